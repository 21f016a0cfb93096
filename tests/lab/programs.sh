# Programs of Roles in the service: what the drop-in allows, what they cannot reach, and that a Node without
# them is confined as ever.

prepare() {
    install_nodes one clock scribe
    boot one
    # scribe has a Role that runs what is in a file, once.
    system | sed 's|^            cuckoo:|            probe:\n                type: exec\n                every: 1h\n                run: [/bin/sh, /usr/local/lib/try]\n            cuckoo:|' |
        put one /etc/kozo/kozo.yml
    at one systemctl daemon-reload
}

try() { # runs standard input as the program of scribe, and waits for its end
    put one /usr/local/lib/try
    fresh scribe
    eventually 30 at one test -e /var/lib/kozo/storage/probe.files/over
}

answers() { # what it has written
    at one cat /var/lib/kozo/storage/probe.files/out
}

scenario_only_a_node_with_programs_has_the_drop_in() {
    fresh scribe clock
    grep -q /programs.conf <<< "$(at one systemctl cat kozo@scribe)"
    not grep -q /programs.conf <<< "$(at one systemctl cat kozo@clock)"
    is clock MemoryDenyWriteExecute yes
    is scribe MemoryDenyWriteExecute no
    is scribe OOMPolicy continue
    is_tight clock
    is_tight scribe
}

scenario_a_program_is_confined() {
    try <<'END'
cd "$STATE_DIRECTORY"; rm -f out over
try() { name=$1; shift; if "$@" > /dev/null 2>&1; then echo "$name done"; else echo "$name refused"; fi >> out; }
try key cat /run/credentials/kozo@scribe.service/scribe.key
try storage sh -c 'cat ../cuckoo || echo x > ../new'
try memory sh -c ": < /proc/$PPID/mem"
try socket rm /run/kozo/scribe/bus
try signal kill -0 $PPID
try reload timeout 10 kozoctl -n scribe reload
try inject timeout 10 kozoctl -n scribe inject event x
try session setsid setsid --wait timeout 10 kozoctl -n scribe reload
try bus timeout 10 busctl call org.kozo.Node1.scribe /org/kozo/Node1 org.kozo.Node1 Reload 'a{sv}' 0
try attach timeout 10 kozoctl -n scribe attach --name guest -- true
try attach_bus timeout 10 busctl call org.kozo.Node1.scribe /org/kozo/Node1 org.kozo.Node1 Attach 'a{sv}' 0
try own sh -c 'echo x > mine'
try usr cat /etc/os-release
grep NoNewPrivs /proc/self/status >> out
ulimit -c >> out
cat /proc/self/oom_score_adj >> out
(setsid sleep 600 &)
touch over
exec sleep 600
END
    answers > "$lab_run/out"
    cat "$lab_run/out"
    local what
    for what in key storage memory socket reload inject session bus attach attach_bus; do
        grep -qx "$what refused" "$lab_run/out"
    done
    grep -qx 'own done' "$lab_run/out"
    grep -qx 'usr done' "$lab_run/out"
    grep -qP '^NoNewPrivs:\t1' "$lab_run/out"
    [ "$(tail -n 2 "$lab_run/out")" = $'0\n1000' ]
    # An administrator is served.
    at one kozoctl -n scribe status > /dev/null
    grep -q Process <<< "$(at one kozoctl -n scribe role probe)"
    # And so is the user of the Node, who is no program of it.
    at one runuser -u kozo -- kozoctl -n /run/kozo/scribe/bus reload
    at one systemctl stop kozo@scribe
    not at one pgrep -x sleep
}

many_tasks() {
    [ "$(at one pgrep -c -x sleep)" -gt 300 ]
}

scenario_a_role_is_a_service_of_its_own() {
    fresh clock
    at one mkdir -p /usr/local/lib/kozo/roles
    at one sh -c 'cd /usr/local/lib/kozo/roles && kozoctl role new bell'
    put one /etc/systemd/system/kozo-bell.service < "$lab_top/packaging/kozo-bell.service.example"
    at one systemctl daemon-reload
    at one systemctl start kozo-bell
    at one kozoctl -n clock wait role=bell:running
    at one kozoctl -n clock inject order bell
    at one kozoctl -n clock role bell > "$lab_run/bell"
    grep -q 'attached by .*, process' "$lab_run/bell"
    # Whoever is not of the group is not let in.
    not at one runuser -u nobody -- kozoctl -n clock attach --name other
    # It goes with its Node, and comes again with it.
    at one systemctl restart kozo@clock
    at one systemctl start kozo-bell
    at one kozoctl -n clock wait role=bell:running
    at one systemctl stop kozo@clock
    eventually 10 not at one systemctl is-active --quiet kozo-bell
    at one rm -r /usr/local/lib/kozo /etc/systemd/system/kozo-bell.service
    at one systemctl daemon-reload
}

scenario_a_fork_bomb_ends_at_its_limit_and_the_node_goes_on() {
    fresh
    try <<'END'
touch "$STATE_DIRECTORY/over"
(while :; do sleep 601 & done) 2> /dev/null
exec sleep 600
END
    # More than the Node has by itself.
    eventually 60 many_tasks
    is scribe ActiveState active
    is scribe NRestarts 0
    at one kozoctl -n scribe status > /dev/null
    # The control group counts no tasks in a container; this is all of them.
    [ "$(at one pgrep -c -x sleep)" -lt "$(of scribe TasksMax)" ]
    at one systemctl stop kozo@scribe
    is scribe ActiveState inactive
}
