# Who may do what: real users, with polkit and without it.

prepare() {
    install_nodes one clock scribe
    boot one
    install_user one ada kozo
    install_user one bob
    fresh scribe clock
}

by() { # USER COMMAND...
    local user=$1
    shift
    at one runuser -u "$user" -- "$@"
}

# Inject by busctl, to nobody in particular.
by_bus() { # USER
    by "$1" busctl call org.kozo.Node1.clock /org/kozo/Node1 org.kozo.Node1 \
        Inject 'sssva{sv}' log log '' s "from $1" 0
}

# kozoctl refuses: exit code 4, and these words.
denied() { # USER TEXT COMMAND...
    local user=$1 text=$2 code=0
    shift 2
    by "$user" env "$bus" kozoctl -n clock "$@" >/dev/null 2> "$lab_run/told" || code=$?
    [ $code = 4 ]
    grep -qF -- "$text" "$lab_run/told"
}

# Where kozoctl is to look for the bus.
bus=DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/dbus/system_bus_socket

# What takes the rights of an administrator is denied, and nothing has come of it.
denied_to_manage() { # USER TEXT
    denied "$1" "$2" role timer1 stop
    denied "$1" "$2" role timer1 restart
    denied "$1" "$2" peer scribe disconnect
    denied "$1" "$2" peer scribe connect
    denied "$1" "$2" reload
    at one kozoctl -n clock wait role=timer1:running peer=scribe:up --timeout 5s
}

may_send_and_see() { # USER
    by "$1" kozoctl -n clock inject log log "\"from $1\""
    by "$1" kozoctl -n clock inject event tick --channel kitchen
    by "$1" kozoctl -n clock monitor --count 1
    by "$1" kozoctl -n clock ping scribe
}

scenario_everybody_may_look() {
    for user in root ada bob; do
        by $user kozoctl -n clock status
        by $user kozoctl -n clock roles
        by $user kozoctl -n clock peers
        by $user kozoctl -n clock wait peer=scribe:up
        by $user busctl get-property org.kozo.Node1.clock /org/kozo/Node1 org.kozo.Node1 Peers
    done > "$lab_run/looked"
}

scenario_who_is_not_in_the_group_is_refused_by_the_name_of_the_action() {
    denied bob org.kozo.inject inject event tick
    denied bob org.kozo.monitor monitor --count 1
    denied bob org.kozo.monitor ping scribe
    denied_to_manage bob org.kozo.manage
    not by_bus bob 2> "$lab_run/told"
    grep -qF org.kozo.inject "$lab_run/told"
    # Nobody can own the name of a Node but those who run Nodes.
    not by bob busctl call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus \
        RequestName su org.kozo.Node1.false 0 2>/dev/null
}

scenario_the_group_sends_and_sees_without_a_prompt() {
    may_send_and_see ada </dev/null > "$lab_run/answers"
    by_bus ada > "$lab_run/answers"
    denied_to_manage ada org.kozo.manage
    # To ping is allowed, to load the link is not.
    denied ada org.kozo.manage bench scribe
    eventually 10 at one grep -q 'from ada' /var/log/kozo/scribe.log
}

scenario_root_may_do_everything() {
    {
        may_send_and_see root
        by_bus root
        at one kozoctl -n clock role timer1 stop
        at one kozoctl -n clock role timer1 start
        at one kozoctl -n clock peer scribe disconnect
        at one kozoctl -n clock peer scribe connect
        at one kozoctl -n clock wait peer=scribe:up role=timer1:running --timeout 10s
        at one kozoctl -n clock bench scribe --time 200ms
        at one kozoctl -n clock reload
    } > "$lab_run/answers"
}

scenario_an_administrator_can_let_the_group_manage() {
    sed 's/"org.kozo.monitor"/&, "org.kozo.manage"/' \
        "$lab_run/one/root/usr/share/polkit-1/rules.d/org.kozo.rules" |
        put one /etc/polkit-1/rules.d/10-kozo.rules
    at one systemctl restart polkit
    at one chmod 644 /etc/polkit-1/rules.d/10-kozo.rules
    eventually 10 by ada kozoctl -n clock role timer1 restart > "$lab_run/answers" 2>&1
    denied bob org.kozo.manage role timer1 restart
    at one rm /etc/polkit-1/rules.d/10-kozo.rules
    at one systemctl restart polkit
    eventually 10 denied_to_manage ada org.kozo.manage
}

scenario_polkit_can_let_a_user_attach_programs() {
    fresh scribe clock
    denied bob org.kozo.inject attach --name bobs
    put one /etc/polkit-1/rules.d/10-kozo.rules <<'END'
polkit.addRule(function (action, subject) {
    if (["org.kozo.inject", "org.kozo.monitor"].indexOf(action.id) >= 0 && subject.user == "bob") {
        return polkit.Result.YES;
    }
});
END
    at one chmod 644 /etc/polkit-1/rules.d/10-kozo.rules
    at one systemctl restart polkit
    eventually 10 by bob kozoctl -n clock inject log log 1 > "$lab_run/answers" 2>&1
    # The socket stays closed to him; the bus is the way.
    at one systemd-run --quiet --unit=bobs --uid=bob sh -c \
        'cd "$(mktemp -d)" && kozoctl role new bobs && exec kozoctl -n clock attach -- ./bobs.sh'
    at one kozoctl -n clock wait role=bobs:running --timeout 10s
    at one kozoctl -n clock role bobs > "$lab_run/answers"
    grep -q 'attached by bob, process' "$lab_run/answers"
    at one systemctl stop bobs
    eventually 10 not at one kozoctl -n clock role bobs > "$lab_run/answers" 2>&1
    at one rm /etc/polkit-1/rules.d/10-kozo.rules
    at one systemctl restart polkit
    eventually 10 denied bob org.kozo.inject attach --name bobs
}

scenario_without_polkit_it_is_root_and_the_group() {
    # As it is where polkit was never installed, and as it is where somebody has switched it off.
    local way
    for way in removed masked; do
        at one systemctl mask --now --quiet polkit
        [ $way = masked ] || at one rm /usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service
        at one busctl call org.freedesktop.DBus / org.freedesktop.DBus ReloadConfig
        denied bob org.kozo.inject inject event tick
        denied bob org.kozo.monitor monitor --count 1
        denied_to_manage bob org.kozo.manage
        may_send_and_see ada > "$lab_run/answers"
        by_bus ada > "$lab_run/answers"
        denied_to_manage ada org.kozo.manage
        at one kozoctl -n clock role timer1 restart > "$lab_run/answers"
        at one kozoctl -n clock reload > "$lab_run/answers"
        [ $way = masked ] ||
            put one /usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service \
                < "$lab_root/usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service"
    done
    at one systemctl unmask --quiet polkit
    at one busctl call org.freedesktop.DBus / org.freedesktop.DBus ReloadConfig
}

scenario_the_control_socket_is_for_root_and_the_group() {
    # The one that the Node makes, and the one that systemd makes for it.
    local unit bus=DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nonexistent
    for unit in kozo@clock.service kozo@clock.socket; do
        fresh scribe
        at one systemctl start $unit
        at one env $bus kozoctl -n clock reload > "$lab_run/answers"
        by ada env $bus kozoctl -n clock inject log log 1 > "$lab_run/answers"
        by ada env $bus kozoctl -n clock monitor --count 1 > "$lab_run/answers"
        denied ada org.kozo.manage role timer1 stop
        denied ada org.kozo.manage reload
        denied bob '/run/kozo/clock/bus: Permission denied' status
        # Nor can the group keep it from the next daemon.
        not by ada flock --nonblock /run/kozo/clock/lock true 2>/dev/null
    done
}

# What polkit is told about whether it may ask, while bob tries to stop a Role by a command.
asked_with() { # FLAGS COMMAND...
    local flags=$1 watcher
    shift
    at one dbus-monitor --system "member='CheckAuthorization'" > "$lab_run/asked" 2>&1 &
    watcher=$!
    eventually 10 grep -q member=NameAcquired "$lab_run/asked"
    not by bob env "$bus" "$@" < /dev/null > "$lab_run/told" 2>&1
    grep -qF org.kozo.manage "$lab_run/told"
    eventually 10 grep -qE '^   uint32 [01]$' "$lab_run/asked"
    at one pkill -x dbus-monitor
    wait "$watcher" || true
    grep -qxF "   uint32 $flags" "$lab_run/asked"
}

scenario_only_who_sits_at_a_terminal_can_be_asked_for_a_password() {
    fresh clock
    asked_with 0 kozoctl -n clock role timer1 stop
    asked_with 1 script -qec 'kozoctl -n clock role timer1 stop' /dev/null
    asked_with 1 busctl call org.kozo.Node1.clock /org/kozo/Node1/role/timer1 org.kozo.Role1 Stop 'a{sv}' 0
    asked_with 0 busctl --allow-interactive-authorization=no call org.kozo.Node1.clock \
        /org/kozo/Node1/role/timer1 org.kozo.Role1 Stop 'a{sv}' 0
}
