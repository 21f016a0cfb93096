# What administrators do by mistake, and what a full disk does: the Node as a service says what is wrong, and is
# back when it no longer is.

prepare() {
    install_nodes one clock scribe
    boot one
}

# The configuration with these changes; `restored` takes them back.
changed() { # SED...
    at one cp /etc/kozo/kozo.yml /root/before.yml
    at one sed -i "$@" /etc/kozo/kozo.yml
    at one systemctl daemon-reload
}

restored() {
    at one mv /root/before.yml /etc/kozo/kozo.yml
    at one systemctl daemon-reload
}

# It has failed, for good: it does not even listen any more.
stays_down() { # NODE PORT
    eventually 5 is "$1" ActiveState failed
    is "$1" NRestarts 0
    eventually 5 not at one bash -c "exec 3<>/dev/tcp/127.0.0.1/$2" 2>/dev/null
    is "$1" ActiveState failed
}

scenario_a_missing_key_is_said_in_a_line_and_the_node_stays_down() {
    # Its Peer dials it all the time.
    fresh scribe
    at one mv /etc/kozo/keys/clock /root/away
    not at one systemctl start kozo@clock 2>/dev/null
    stays_down clock 6020
    local line='there is no private key `/etc/kozo/keys/clock` for Node `clock`: perhaps this Node belongs to another machine'
    is clock StatusText "error: $line"
    at one journalctl -q -x -u kozo@clock KOZO_CLASS=configuration-refused > "$lab_run/said"
    [ "$(grep -cF "error: $line" "$lab_run/said")" = 1 ]
    grep -q 'this Node probably belongs to another machine' "$lab_run/said"
    # By its socket alone, too.
    at one systemctl reset-failed
    at one systemctl start kozo@clock.socket
    eventually 10 is clock ActiveState failed
    at one systemctl stop kozo@clock.socket
    stays_down clock 6020
    at one mv /root/away /etc/kozo/keys/clock
    at one systemctl start kozo@clock
    eventually 10 is clock StatusText '1/1 peers up, 2 roles'
}

scenario_a_key_that_is_a_pipe_holds_up_no_start() {
    fresh
    at one mv /etc/kozo/keys/clock /root/away
    at one mkfifo -m 600 /etc/kozo/keys/clock
    at one systemctl daemon-reload
    not at one timeout 10 systemctl start kozo@clock 2>/dev/null
    stays_down clock 6020
    is clock StatusText 'error: the private key `/etc/kozo/keys/clock` cannot be read'
    at one mv /root/away /etc/kozo/keys/clock
    at one systemctl daemon-reload
    at one systemctl start kozo@clock
}

scenario_a_key_that_others_can_read_is_refused() {
    fresh
    at one chmod 640 /etc/kozo/keys/clock
    not at one systemctl start kozo@clock 2>/dev/null
    stays_down clock 6020
    is clock StatusText 'error: the private key `/etc/kozo/keys/clock` is accessible to users other than its owner'
    at one chmod 600 /etc/kozo/keys/clock
    at one systemctl start kozo@clock
}

scenario_a_key_may_have_any_path() {
    fresh
    at one cp -p /etc/kozo/keys/clock '/etc/kozo/keys/my "own" 100% key:\'
    changed "s|/etc/kozo/keys/clock|'/etc/kozo/keys/my \"own\" 100% key:\\\\'|"
    at one systemctl start kozo@clock
    at one cmp /run/credentials/kozo@clock.service/clock.key /etc/kozo/keys/clock
    [ -z "$(at one journalctl -q -b -t systemd -p warning --grep credential)" ]
    restored
}

scenario_a_reload_needs_no_client() {
    fresh scribe clock
    at one mv /usr/bin/kozoctl /root/kozoctl
    changed 's/tick: 1/tick: 2/'
    at one systemctl reload kozo@clock 2>/dev/null
    said kozo@clock KOZO_CLASS=reloaded
    at one sed -i 's/tick: 2/tock: 2/' /etc/kozo/kozo.yml
    not at one systemctl reload kozo@clock 2>/dev/null
    is clock ActiveState active
    # What `systemctl status` shows of it, in the words of the Node.
    at one journalctl -q -u kozo@clock -o cat > "$lab_run/said"
    grep -q '^kozo: error: Role `timer1` (type `timer`) has no option `tock`' "$lab_run/said"
    at one mv /root/kozoctl /usr/bin/kozoctl
    restored
}

# Starts that, and stops it a little later, thirty times, while a Peer dials all the time. PAUSE seconds are between.
stays_stopped() { # PAUSE UNITS...
    local pause=$1
    shift
    fresh
    at one rm -f /tmp/enough
    at one bash -c 'until [ -e /tmp/enough ]; do (exec 3<>/dev/tcp/127.0.0.1/6021); done' 2>/dev/null &
    local dialling=$! times
    for ((times = 0; times < 30; times++)); do
        at one systemctl start "$1"
        # Whether it runs already, starts, or only its sockets are there.
        sleep "0.$((times % 7))"
        at one systemctl stop "$@"
        is scribe ActiveState inactive || is scribe ActiveState failed
        at one systemctl reset-failed 2>/dev/null
        [ -z "$(at one systemctl list-units --plain --no-legend 'kozo*@scribe*')" ]
        sleep "$pause"
    done
    at one touch /tmp/enough
    wait $dialling || true
}

scenario_what_is_stopped_with_its_socket_stays_stopped_whoever_dials() {
    stays_stopped 0 kozo@scribe.socket kozo@scribe
}

scenario_what_is_stopped_by_itself_stays_stopped_whoever_dials() {
    # systemd itself stops what nothing needs any more, and that at most 16 times in 10 s.
    stays_stopped 0.5 kozo@scribe
}

scenario_names_of_any_kind_run() {
    fresh
    local longest name
    longest=$(printf 'long.%.0s' {1..12})long
    [ ${#longest} = 64 ]
    for name in -x -q "$longest"; do
        changed "s|^    clock:|    $name:|"
        at one kozo --check /etc/kozo/kozo.yml >/dev/null
        at one systemctl start "kozo@$name"
        at one systemctl reload "kozo@$name"
        [ "$(at one systemctl show --value -p StatusText "kozo@$name.service")" = '0/1 peers up, 2 roles' ]
        at one busctl status "org.kozo.Node1.${name//./_2e}" >/dev/null
        at one test -S "/run/kozo/$name/bus" || at one kozoctl "--node=$name" status >/dev/null
        at one systemctl stop "kozo@$name"
        restored
    done
    changed "s|^    clock:|    x$longest:|"
    not at one kozo --check /etc/kozo/kozo.yml 2>/dev/null
    restored
}

scenario_a_pipe_in_place_of_the_file_holds_up_nobody() {
    fresh
    at one mv /etc/kozo/kozo.yml /root/before.yml
    at one mkfifo /etc/kozo/kozo.yml
    at one timeout 20 systemctl daemon-reload
    not at one timeout 20 systemctl start kozo@clock 2>/dev/null
    stays_down clock 6020
    restored
}

scenario_a_node_may_store_where_logs_are() {
    fresh
    changed 's|/var/lib/kozo/storage|/var/log/kozo/storage|; s|^            logger:|            timer:|; s|file: /var/log/kozo/scribe.log|tick: 1|'
    at one systemctl start kozo@scribe kozo@clock
    eventually 10 at one sh -c '[ -n "$(ls /var/log/kozo/storage)" ]'
    at one systemctl stop kozo@clock
    restored
}

scenario_a_node_that_crashes_is_back_at_once() {
    fresh clock
    local times began back worst=0
    for ((times = 0; times < 5; times++)); do
        began=$(at one cut -d ' ' -f 1 /proc/uptime | tr -d .)
        at one systemctl kill --signal=KILL --kill-whom=main kozo@clock
        eventually 5 is clock NRestarts $((times + 1))
        eventually 5 is clock ActiveState active
        back=$(at one systemctl show --value -p ActiveEnterTimestampMonotonic kozo@clock)
        back=$((back / 1000 - began * 10))
        [ $back -le $worst ] || worst=$back
    done
    echo "            back after at most $worst ms"
    # Half a second where nobody else wants the machine.
    [ $worst -gt 0 ] && [ $worst -lt 2000 ]
}

scenario_a_node_that_cannot_start_is_not_tried_without_end() {
    fresh
    at one systemd-run -q --unit=taker --socket-property=ListenStream=127.0.0.1:6020 /bin/true
    not at one systemctl start kozo@clock 2>/dev/null
    eventually 20 is clock NRestarts 4
    at one journalctl -q -u kozo@clock -o short-monotonic KOZO_CLASS=start-failed |
        sed -E 's/^\[ *([0-9]+)\..*/\1/' | tail -n 3 > "$lab_run/attempts"
    # Two pauses between three attempts.
    [ $(($(tail -n 1 "$lab_run/attempts") - $(head -n 1 "$lab_run/attempts"))) -ge 5 ]
    at one systemctl stop taker.socket
    eventually 10 is clock ActiveState active
}

tried() { # TIMES
    [ "$(of clock NRestarts)" -ge "$1" ]
}

# As on a full disk, say: systemd itself cannot start it, over and over.
scenario_a_minute_in_which_nothing_starts_is_outlived() {
    fresh clock
    local process
    process=$(of clock MainPID)
    at one mount --bind /dev/null /usr/bin/kozo
    at one systemctl kill --signal=KILL --kill-whom=main kozo@clock
    eventually 10 tried 3
    # What is tried is that nothing happens in all of this time.
    sleep 60
    not is clock ActiveState failed
    echo "            tried $(of clock NRestarts) times in a minute"
    at one umount /usr/bin/kozo
    eventually 5 is clock ActiveState active
    not is clock MainPID "$process"
}

scenario_a_node_is_held_to_what_it_may_hold() {
    fresh clock
    local process property
    process=$(of clock MainPID)
    for property in MemoryHigh MemoryMax TasksMax LimitNOFILE; do
        at one systemctl cat kozo@clock | grep -qx "$property=$(of clock "$property")"
    done
    at one grep -qE "^Max open files +$(of clock LimitNOFILE) +$(of clock LimitNOFILE) " "/proc/$process/limits"
}
