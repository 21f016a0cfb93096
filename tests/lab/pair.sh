# Two machines, a Node on each: what is sent on the one is seen on the other, whatever it is.

prepare() {
    local clock_at=one scribe_at=two
    install_nodes one clock
    install_nodes two scribe
    boot one
    boot two
    at one systemctl start kozo@clock
    at two systemctl start kozo@scribe
    at one kozoctl -n clock wait peer=scribe:up --timeout 20s
}

# Records what `kozoctl monitor` shows on machine two, from its first line on.
watch() { # ARGUMENT...
    : > "$lab_run/seen"
    at two kozoctl monitor "$@" --json > "$lab_run/seen" 2> "$lab_run/watching" &
    watching=$!
    # Its interest has arrived when the ticks of clock do.
    eventually 10 saw '"role":"timer1"'
}

unwatch() {
    at two pkill -x kozoctl
    wait "$watching" || true
}

# Whether a line with all of these texts was seen.
saw() { # TEXT...
    local text lines
    lines=$(cat "$lab_run/seen")
    for text in "$@"; do
        lines=$(grep -F -- "$text" <<< "$lines") || return 1
    done
}

inject() { # ARGUMENT OF busctl...
    at one busctl call -- org.kozo.Node1.clock /org/kozo/Node1 org.kozo.Node1 Inject 'sssva{sv}' "$@"
}

scenario_what_is_injected_here_is_seen_there_and_by_a_role() {
    local data='"data":{"a":[1,2.5,"é",null,true]}'
    watch tick
    at one kozoctl inject event tick --channel kitchen '{"a": [1, 2.5, "é", null, true]}' \
        > "$lab_run/answer"
    grep -q 'queued for 1 peer' "$lab_run/answer"
    eventually 5 saw "$data" '"channel":"kitchen"' '"kind":"event"' '"type":"tick"' '"node":"clock"' \
        '"role":"inject"'
    # The cuckoo of scribe prints and logs it, and its logger writes that.
    eventually 5 at two grep -qF 'Cuckoo! inject@clock: {"a":[1,2.5,"é",null,true]}' /var/log/kozo/scribe.log
    # What is said by D-Bus in JSON is the same.
    inject event tick bathroom s '{"a": [1, 2.5, "é", null, true]}' 1 encoding s json > "$lab_run/answer"
    grep -qE '^tuuu [0-9]+ 0 1 0$' "$lab_run/answer"
    eventually 5 saw "$data" '"channel":"bathroom"'
    unwatch
}

scenario_values_of_d_bus_arrive_as_they_are() {
    watch tick
    inject event tick '' 'a{sv}' 6 most t 18446744073709551615 least x -9223372036854775808 \
        half d 2.5 yes b true word s é some ai 3 1 -2 3 0 > "$lab_run/answer"
    eventually 5 saw '"most":18446744073709551615' '"least":-9223372036854775808' '"half":2.5' \
        '"yes":true' '"word":"é"' '"some":[1,-2,3]' '"channel":null'
    # Bytes, as a value of D-Bus and within MessagePack: a map of null and three bytes.
    inject event tick '' ay 4 0 1 254 255 0 > "$lab_run/answer"
    eventually 5 saw '"data":{"$base64":"AAH+/w=="}'
    not inject event tick '' ay 12 130 161 97 192 161 98 196 3 0 128 255 0 1 encoding s msgpack \
        2> "$lab_run/told"
    grep -q 'not valid MessagePack' "$lab_run/told"
    inject event tick '' ay 11 130 161 97 192 161 98 196 3 0 128 255 1 encoding s msgpack \
        > "$lab_run/answer"
    eventually 5 saw '"data":{"a":null,"b":{"$base64":"AID/"}}'
    # The same by kozoctl, and what was seen can be sent again.
    at one kozoctl inject event tick --channel again \
        '{"n": [18446744073709551615, -9223372036854775808, {"$base64": "AID/"}]}' > "$lab_run/answer"
    eventually 5 saw '"data":{"n":[18446744073709551615,-9223372036854775808,{"$base64":"AID/"}]}' \
        '"channel":"again"'
    unwatch
}

scenario_a_cut_is_seen_on_both_sides_and_heals() {
    at one ip link set host0 down
    at one kozoctl -n clock wait peer=scribe:down --timeout 20s > "$lab_run/answer"
    at two kozoctl -n scribe wait peer=clock:down --timeout 20s > "$lab_run/answer"
    [ "$(at one systemctl show --value -p StatusText kozo@clock)" = '0/1 peers up, 2 roles' ]
    # Messages are for now: what nobody can have is dropped, and that is said.
    not at one kozoctl -n clock inject event tick --channel cellar > "$lab_run/answer" 2>&1
    grep -q '1 interested peer is unreachable' "$lab_run/answer"
    at one ip link set host0 up
    at one kozoctl -n clock wait peer=scribe:up --timeout 20s > "$lab_run/answer"
    at two kozoctl -n scribe wait peer=clock:up --timeout 20s > "$lab_run/answer"
    not at two grep -q cellar /var/log/kozo/scribe.log
    at one kozoctl -n clock ping scribe > "$lab_run/answer"
}
