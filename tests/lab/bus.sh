# The Node on the system bus, as busctl shows it.

prepare() {
    install_nodes one clock scribe
    boot one
    fresh scribe clock
}

# A property of one of clock's objects, as busctl writes it: its type and its value.
property() { # OBJECT INTERFACE PROPERTY
    at one busctl get-property org.kozo.Node1.clock "/org/kozo/Node1$1" "org.kozo.$2" "$3"
}

# The value alone.
value() { # OBJECT INTERFACE PROPERTY
    property "$@" | cut -d ' ' -f 2- | tr -d '"'
}

# A property that is a moment, in microseconds, is within 2 s of one in seconds.
is_near() { # OBJECT INTERFACE PROPERTY NUMBER
    local difference=$(($(value "$1" "$2" "$3") / 1000000 - $4))
    [ ${difference#-} -le 2 ]
}

scenario_the_tree_has_all_roles_and_peers() {
    [ "$(at one busctl tree --list org.kozo.Node1.clock)" = "$(printf '%s\n' / /org /org/kozo \
        /org/kozo/Node1 /org/kozo/Node1/peer /org/kozo/Node1/peer/scribe \
        /org/kozo/Node1/role /org/kozo/Node1/role/injector /org/kozo/Node1/role/timer1)" ]
    # Each Node is a service of its own.
    at one busctl tree --list org.kozo.Node1.scribe | grep -qx /org/kozo/Node1/peer/clock
    is clock StatusText '1/1 peers up, 2 roles'
}

scenario_introspection_says_what_there_is() {
    local shown=$lab_run/shown
    at one busctl introspect org.kozo.Node1.clock /org/kozo/Node1/peer/scribe > "$shown"
    grep -qE '^org\.kozo\.Peer1 +interface ' "$shown"
    grep -qE '^\.Connect +method +a\{sv\} +- +-$' "$shown"
    grep -qE '^\.Ping +method +a\{sv\} +t +-$' "$shown"
    grep -qE '^\.State +property +s +"up" +emits-change$' "$shown"
    grep -qE '^\.Name +property +s +"scribe" +const$' "$shown"
    grep -qE '^\.RoundTripTime +property +t +[0-9]+ +-$' "$shown"
    at one busctl introspect org.kozo.Node1.clock /org/kozo/Node1/role/timer1 > "$shown"
    grep -qE '^\.Stop +method +a\{sv\} +- +-$' "$shown"
    grep -qE '^\.Type +property +s +"timer" +emits-change$' "$shown"
    at one busctl introspect org.kozo.Node1.clock /org/kozo/Node1 > "$shown"
    grep -qE '^\.Inject +method +sssva\{sv\} +tuuu +-$' "$shown"
    grep -qE '^\.Monitor +method +a\{sv\} +h +-$' "$shown"
    grep -qE '^\.Describe +method +- +s +-$' "$shown"
    grep -qE '^\.GetManagedObjects +method +- +a\{oa\{sa\{sv\}\}\} +-$' "$shown"
}

scenario_properties_are_true() {
    fresh scribe clock
    local began sent
    began=$(at one date +%s)
    [ "$(property '' Node1 Name)" = 's "clock"' ]
    [ "$(property '' Node1 Roles)" = 'as 2 "timer1" "injector"' ]
    [ "$(property '' Node1 Peers)" = 'as 1 "scribe"' ]
    [ "$(property '' Node1 Config)" = 's "/etc/kozo/kozo.yml"' ]
    [ "$(property '' Node1 Version)" = "s \"$(at one kozo --version | cut -d ' ' -f 2)\"" ]
    is_near '' Node1 Started "$began"
    [ "$(property /role/timer1 Role1 Type)" = 's "timer"' ]
    [ "$(property /role/timer1 Role1 Description)" = 's "Once a second"' ]
    [ "$(property /role/timer1 Role1 State)" = 's "running"' ]
    [ "$(property /role/timer1 Role1 LastError)" = 's ""' ]
    [ "$(property /role/timer1 Role1 Restarts)" = 't 0' ]
    [ "$(property /peer/scribe Peer1 State)" = 's "up"' ]
    [ "$(property /peer/scribe Peer1 PolicyOut)" = 's "constant"' ]
    [ "$(property /peer/scribe Peer1 PolicyIn)" = 's "constant"' ]
    [ "$(property /peer/scribe Peer1 Transport)" = 's "tcp"' ]
    [ "$(property /peer/scribe Peer1 LastError)" = 's ""' ]
    [ "$(property /peer/scribe Peer1 Sessions)" = 't 1' ]
    [ "$(property /peer/scribe Peer1 Dropped)" = 'a{st} 0' ]
    is_near /peer/scribe Peer1 Since "$began"
    # The port to which the link leads, or from which it came, is one that scribe really has.
    local address
    address=$(value /peer/scribe Peer1 Address)
    at one ss -Htn state established | grep -qF "$address "
    # A clock that is the same cannot be ahead by more than was measured with it.
    eventually 5 is_measured
    [ "$(value /peer/scribe Peer1 ClockSkew | tr -d -)" -lt 1000000 ]
    # What is counted goes on being counted: a tick and a line for the log every second.
    sent=$(value /role/timer1 Role1 Sent)
    eventually 5 has_grown /role/timer1 Role1 Sent "$((sent + 1))"
    eventually 5 has_grown /peer/scribe Peer1 Sent "$((sent + 1))"
    eventually 5 has_grown '' Node1 Sent "$((sent + 1))"
    # What the Node says of itself as a whole says the same.
    at one busctl --json=short call org.kozo.Node1.clock /org/kozo/Node1 org.kozo.Node1 Describe |
        grep -qF '\"name\":\"clock\"'
}

is_measured() {
    [ "$(value /peer/scribe Peer1 RoundTripTime)" -gt 0 ]
}

has_grown() { # OBJECT INTERFACE PROPERTY LEAST
    [ "$(value "$1" "$2" "$3")" -gt "$4" ]
}

scenario_properties_follow_a_role() {
    fresh scribe clock
    at one busctl call org.kozo.Node1.clock /org/kozo/Node1/role/timer1 org.kozo.Role1 Stop 'a{sv}' 0
    [ "$(property /role/timer1 Role1 State)" = 's "stopped"' ]
    at one busctl call org.kozo.Node1.clock /org/kozo/Node1/role/timer1 org.kozo.Role1 Start 'a{sv}' 0
    eventually 5 is_value /role/timer1 Role1 State running
}

is_value() { # OBJECT INTERFACE PROPERTY VALUE
    [ "$(value "$1" "$2" "$3")" = "$4" ]
}

# Records what goes over the bus in $lab_run/seen, until `unwatch`.
watch() { # OPTION...
    : > "$lab_run/seen"
    at one busctl monitor --match "interface='org.kozo.Lab'" "$@" \
        > "$lab_run/seen" 2> "$lab_run/watching" &
    watching=$!
    eventually 10 sees_a_signal
}

sees_a_signal() {
    at one busctl emit /org/kozo/lab org.kozo.Lab Here
    [ -s "$lab_run/seen" ]
}

unwatch() {
    at one pkill -x busctl
    wait "$watching" || true
}

watch_signals() {
    watch --json=short --match "type='signal',sender='org.kozo.Node1.clock'"
}

# Whether a signal with all of these texts was seen.
was_told() { # TEXT...
    local text lines
    lines=$(cat "$lab_run/seen")
    for text in "$@"; do
        lines=$(grep -F -- "$text" <<< "$lines") || return 1
    done
}

scenario_who_watches_sees_a_peer_go_and_come_back() {
    fresh scribe clock
    watch_signals
    local peer='"path":"/org/kozo/Node1/peer/scribe"' changed='"member":"PropertiesChanged"'
    at one systemctl stop kozo@scribe
    eventually 10 was_told "$peer" "$changed" org.kozo.Peer1 '"State":{"type":"s","data":"down"}' \
        '"Address":{"type":"s","data":""}' '"LastError":{"type":"s"'
    not was_told "$changed" '"State":{"type":"s","data":"up"}'
    at one systemctl start kozo@scribe
    eventually 10 was_told "$peer" "$changed" '"State":{"type":"s","data":"up"}' \
        '"Sessions":{"type":"t","data":2}'
    unwatch
}

scenario_objects_come_and_go_with_a_reload() {
    fresh scribe clock
    local added='"member":"InterfacesAdded"' removed='"member":"InterfacesRemoved"'
    [ "$(managed | grep -oE '/[a-z]+/[a-z0-9]+":\{"org\.kozo\.[A-Za-z0-9]+' | sort)" = "$(printf '%s\n' \
        '/peer/scribe":{"org.kozo.Peer1' \
        '/role/injector":{"org.kozo.Role1' '/role/timer1":{"org.kozo.Role1')" ]
    watch_signals
    at one cp /etc/kozo/kozo.yml /root/before.yml
    at one sed -i 's/^            injector:/            "timer-2": { type: timer }\n&/' /etc/kozo/kozo.yml
    at one kozoctl -n clock reload >/dev/null
    eventually 5 was_told "$added" /org/kozo/Node1/role/timer_2d2 org.kozo.Role1 \
        '"Type":{"type":"s","data":"timer"}'
    eventually 5 was_told '"path":"/org/kozo/Node1"' '"member":"PropertiesChanged"' timer-2
    managed | grep -qF /org/kozo/Node1/role/timer_2d2
    [ "$(property '' Node1 Roles)" = 'as 3 "timer1" "timer-2" "injector"' ]
    at one cp /root/before.yml /etc/kozo/kozo.yml
    at one kozoctl -n clock reload >/dev/null
    eventually 5 was_told "$removed" /org/kozo/Node1/role/timer_2d2 org.kozo.Role1
    not grep -qF timer_2d2 <<< "$(managed)"
    unwatch
    at one systemctl daemon-reload
}

managed() {
    at one busctl --json=short call org.kozo.Node1.clock /org/kozo/Node1 \
        org.freedesktop.DBus.ObjectManager GetManagedObjects
}

scenario_errors_have_names_and_say_what_is_wrong() {
    fresh clock
    watch --match "type='error'"
    local root=/org/kozo/Node1
    refuses org.kozo.Error.InvalidArgument frequency \
        $root org.kozo.Node1 Inject 'sssva{sv}' event tick '' s x 1 frequency s high
    refuses org.kozo.Error.InvalidArgument 'the data is not JSON' \
        $root org.kozo.Node1 Inject 'sssva{sv}' event tick '' s '[1' 1 encoding s json
    refuses org.kozo.Error.Failed 'no link to' $root/peer/scribe org.kozo.Peer1 Ping 'a{sv}' 0
    refuses org.freedesktop.DBus.Error.UnknownObject nobody \
        $root/role/nobody org.kozo.Role1 Stop 'a{sv}' 0
    unwatch
}

# A call fails with this error, in words and by name.
refuses() { # ERROR TEXT OBJECT INTERFACE METHOD ARGUMENT...
    local error=$1 text=$2
    shift 2
    not at one busctl call org.kozo.Node1.clock "$@" 2> "$lab_run/told"
    grep -qF -- "$text" "$lab_run/told"
    eventually 5 grep -qF "ErrorName=$error " "$lab_run/seen"
}
