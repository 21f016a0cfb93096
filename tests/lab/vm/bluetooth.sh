# Two guests whose Nodes reach each other over Bluetooth too: links move there when the network goes, and back when it returns.
# Adapters are turned off, blocked, pulled out, bluetoothd starts again, the program is killed. At last motion at a pin of one
# makes the other speak, over Bluetooth alone. The Transport comes with a package, and works after that and a restart.

machines clock:amd64 scribe:amd64
radio clock scribe
clock_uuid=7be1fcb3-5776-42fb-91fd-2ee7b5bbb86d
scribe_uuid=0c0de1b1-9a4e-4d12-8f3a-6c1f0b7a2d54
clock_address=$(radio_address clock)
scribe_address=$(radio_address scribe)
before=$(exposure clock)

# Both Nodes restart with these options of their Transports bluetooth, in the braces of YAML. FILTER is what else is changed.
with_bluetooth() { # CLOCK SCRIBE [FILTER...]
    local name
    for name in clock scribe; do
        mesh_configuration | sed "/^    clock:/,/^    scribe:/ s|^        transports:|&\\n            bluetooth: {$1}|
            /^    scribe:/,\$ s|^        transports:|&\\n            bluetooth: {$2}|" | "${@:3}" cat |
            put "$name" /etc/kozo/kozo.yml
    done
    for name in clock scribe; do
        at "$name" systemctl daemon-reload
        at "$name" systemctl restart "kozo@$name"
    done
}

over() { # NAME TRANSPORT: what its link goes over
    [ "$(at "$1" kozoctl --json peer "$(others "$1")" | jq -r '"\(.state) \(.transport)"')" = "up $2" ]
}

elapsed() { # TIME: since then, in seconds
    awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'
}

both_over() { # TRANSPORT
    over clock "$1" && over scribe "$1"
}

says() { # NAME WORDS: of the Transport
    grep -q "bluetooth .*$2" <<< "$(at "$1" kozoctl status)"
}

listens() { # NAME
    says "$1" 'hci0 with'
}

# Not installed: the Nodes go on with the other Transport, and say what to install.
with_bluetooth "uuid: $clock_uuid" "uuid: $scribe_uuid"
linked 60
says clock 'install the package kozo-transport-bluetooth'
for name in clock scribe; do
    at "$name" apt-get install --quiet --yes kozo-transport-bluetooth
    at "$name" systemctl restart "kozo@$name"
done
linked 60
for name in clock scribe; do
    eventually 6 listens "$name"
    over "$name" tcp
done
[ "$(radio_get clock Discoverable)" = 'b true' ]
echo "measured: $before; with the Transport: $(exposure clock)"

# The network goes. Each finds the other among what is in range; nobody is paired.
stranger headphones 4f1c2b7e-0000-4a6f-9c1e-0123456789ab >/dev/null
traffic 5
tcp_away scribe
gone=$(now)
eventually 12 both_over bluetooth
back=$(now)
echo "measured: over Bluetooth after $(elapsed "$gone") s, with a search"
grep -q "$scribe_address" <<< "$(at clock kozoctl peers)"
[ -z "$(at clock bluetoothctl devices Bonded)" ]
at clock kozoctl --json ping scribe > "$lab_run/ping"
jq -r '"measured: ping \(.round_trip_time / 1000) ms"' "$lab_run/ping"

# The program dies: its links go on.
at clock pkill -KILL -x bluetooth
eventually 3 listens clock
both_over bluetooth

# The network is back: the link moves there, and nothing is lost on the way.
sleep 5
returns=$(now)
tcp_back scribe
eventually 12 both_over tcp
sleep 5
accounted
echo "measured: lost by the cut: $(missing_after 0); afterwards: $(missing_after "$returns")"
[ "$(missing_after "$returns")" -eq 0 ]
[ "$(delivered_between "$back" "$returns")" -gt 0 ]

# Without Bluetooth a Node is as well as before.
stranger_gone headphones
moved=$(now)
radio_power scribe off
eventually 2 says scribe 'adapter hci0 is off: bluetoothctl power on'
radio_power scribe on
eventually 3 listens scribe
radio_block scribe
eventually 2 says scribe 'adapter hci0 is blocked: rfkill unblock'
radio_unblock scribe
radio_power scribe on
eventually 3 listens scribe
for _ in 1 2; do
    at scribe systemctl stop bluetooth
    eventually 2 says scribe 'bluetoothd does not run'
    # Who was stopped stays so.
    sleep 3
    not at scribe systemctl --quiet is-active bluetooth
    at scribe systemctl start bluetooth
    radio_power scribe on
    eventually 3 listens scribe
done
radio_unplug scribe
eventually 2 says scribe 'there is no Bluetooth adapter'
radio_plug scribe
radio_power scribe on
eventually 3 listens scribe
both_over tcp
not said scribe --since "@${moved%.*}" KOZO_CLASS=link-down
[ "$(at scribe sh -c 'ls /proc/$(pgrep -x bluetooth)/fd | wc -l')" -lt 20 ]
echo "measured: memory of the Transport:$(memory_of scribe bluetooth)"

# By addresses, over Bluetooth alone: nobody has to search, and nobody else finds the adapters.
without_tcp() { # COMMAND...
    sed '/^            tcp:/,+1d' | "$@"
}
at clock apt-get install --quiet --yes kozo-role-motion-detect
chip clock one hall 8
with_pin_and_voice() { # COMMAND...
    sed '/^    clock:/,/^    scribe:/ s|^        roles:|&\n            hall: {type: motion-detect, chip: hall, pin: 3, period: 1h}|
        /^    scribe:/,$ s|^        roles:|&\n            voice: {type: exec, on: "event:motion detection", run: "cat >> said; echo >> said"}|' | "$@"
}
with_bluetooth "uuid: $clock_uuid, address: '$clock_address'" "uuid: $scribe_uuid, address: '$scribe_address', socketConnectionBacklog: 2" \
    without_tcp with_pin_and_voice
began=$(now)
linked 120
echo "measured: linked over Bluetooth after $(elapsed "$began") s, by addresses"
[ "$(radio_get scribe Discoverable)" = 'b false' ]
heard() { # true|false
    at scribe grep -qr "$1" /var/lib/kozo --include=said
}
is_watched() {
    grep -q 'no motion' <<< "$(at clock kozoctl role hall)"
}
eventually 6 is_watched
pull clock one 3 up
eventually 3 heard true
pull clock one 3 down
eventually 3 heard false
at clock kozoctl --json bench scribe --time 10s > "$lab_run/bench"
jq -r '"measured: bench \(.bytes_per_second) bytes a second, round trip \(.round_trip_time.median / 1000) ms"' "$lab_run/bench"

# A stranger who knows no SSH connects to the service: the link stays, and so does the service.
put clock /usr/local/bin/rfcomm-test < radio/rfcomm
channel=$(at clock sdptool browse --uuid "$scribe_uuid" "$scribe_address" | sed -n 's/.*Channel: //p')
for _ in 1 2 3; do
    head -c 3000 /dev/urandom | at clock timeout 60 perl /usr/local/bin/rfcomm-test "$channel" "$scribe_address" >/dev/null || true
done
over scribe bluetooth
listens scribe

# Without the package the Node goes on.
at clock apt-get remove --quiet --yes kozo-transport-bluetooth
at clock systemctl restart kozo@clock
eventually 3 says clock 'install the package kozo-transport-bluetooth'
