# Bluetooth devices in range of one machine are seen on the other: they come, go and are renamed. The adapter is missing, off,
# blocked, unplugged, and bluetoothd stops: the Role says so, and searches again by itself. It comes with a package, and needs
# no more than any program.

machines clock:amd64 scribe:bookworm
service=4f1c2b7e-0000-4a6f-9c1e-0123456789ab

# The Node goes on with this Role, in the braces of YAML.
with() { # ROLE
    mesh_configuration | sed "/^    clock:/,/roles:/ s|^        roles:|&\\n            nearby: {$1}|" |
        put clock /etc/kozo/kozo.yml
    at clock systemctl daemon-reload
    at clock systemctl reload kozo@clock
}

with_role() { # OPTIONS
    with "type: bluetooth-discover, $1"
}

says() { # WORDS: in what kozoctl shows of the Role
    grep -q "$1" <<< "$(at clock kozoctl role nearby)"
}

seen() { # TYPE CONDITION: of the data of an Event, in jq
    [ -n "$(jq --arg type "bluetooth $1" \
        'select(.type == $type and .node == "clock" and .role == "nearby") | .data | select('"$2"')' "$events")" ]
}

logged() { # TEXT
    at scribe grep -qF "$1" /var/log/kozo/scribe.log
}

# What the service may with any program.
with 'type: exec, run: "true", every: 1h'
at clock systemctl restart kozo@clock
linked 120
before=$(exposure clock)

# Not installed: the Node goes on without it, and says what to install.
with_role 'searchDuration: 2s, cooldown: 1s'
says 'install the package kozo-role-bluetooth-discover'
grep -q 'nearby.*failed' <<< "$(at clock kozoctl roles)"
at clock apt-get install --quiet --yes kozo-role-bluetooth-discover
with_role 'searchDuration: 2s, cooldown: 1s, log: true'
eventually 5 says 'bluetoothd does not run\|there is no Bluetooth adapter'

# An adapter comes, then devices.
radio clock
eventually 5 says 'no device in range of hci0'
[ "$(exposure clock)" = "$before" ]
watch_events scribe 'bluetooth*'
uncle=$(stranger uncle)
# At once, or, where he answers late, after the next search.
named() {
    logged "came into range: \"uncle\" ($uncle)" || logged "$uncle is \"uncle\""
}
eventually 5 named
stranger_gone uncle
eventually 5 logged "left the range: \"uncle\" ($uncle)"
headphones=$(stranger headphones "$service")
eventually 5 seen 'devices in range' '."'"$headphones"'" == "headphones"'
eventually 5 seen 'device details' '.devices."'"$headphones"'" |
    .name == "headphones" and .rssi < 0 and .class == 5898764 and .services == ["'"$service"'"]'
eventually 5 logged "came into range: \"headphones\" ($headphones)"
eventually 5 says '1 device in range of hci0'
stranger_gone headphones
eventually 5 logged "left the range: \"headphones\" ($headphones)"
eventually 5 seen 'devices in range' '. == {}'

# One that is renamed, to what could be taken for more than a name.
radio_plug clock 1
radio_power clock on 1
radio_visible clock on 1
tablet=$(radio_address clock 1)
eventually 5 logged "came into range: \"clock #2\" ($tablet)"
at clock busctl set-property org.bluez /org/bluez/hci1 org.bluez.Adapter1 Alias s $'tab\nlet "'
eventually 5 logged "($tablet) is now \"tab\\nlet \\\"\""
eventually 5 seen 'devices in range' '."'"$tablet"'" == "tab\nlet \""'
echo "measured: $before; memory of the Role:$(memory_of clock bluetooth-disco)"

# What may be in the way of an adapter.
radio_power clock off
eventually 5 says 'adapter hci0 is off: bluetoothctl power on'
radio_power clock on
eventually 5 says 'in range of hci0'
radio_block clock
eventually 5 says 'adapter hci0 is blocked: rfkill unblock'
radio_unblock clock
radio_power clock on
eventually 5 says 'in range of hci0'
at clock systemctl stop bluetooth
eventually 5 says 'bluetoothd does not run'
# Asking it for anything would start it.
sleep 5
[ "$(at clock systemctl is-active bluetooth)" = inactive ]
at clock systemctl start bluetooth
radio_power clock on
eventually 5 says 'in range of hci0'
radio_unplug clock 1
radio_unplug clock
eventually 5 says 'there is no Bluetooth adapter'
radio_plug clock
radio_power clock on
eventually 5 says 'in range of hci0'
grep -q 'nearby.*running' <<< "$(at clock kozoctl roles)"

# Low Energy too: classic devices are found still.
with_role 'searchDuration: 12s, cooldown: 1s, le: true'
watch_events scribe 'bluetooth*'
headphones=$(stranger headphones "$service")
eventually 10 seen 'devices in range' '."'"$headphones"'" == "headphones"'

# Of two adapters, the one that is named.
radio_plug clock 1
radio_power clock on 1
with_role "searchDuration: 2s, cooldown: 1s, adapter: '$(radio_address clock 1)'"
eventually 5 says 'in range of hci1'
with_role "searchDuration: 2s, cooldown: 1s, adapter: '00:00:00:00:00:01'"
eventually 5 says 'no Bluetooth adapter has the address 00:00:00:00:00:01; there is hci0 with'

# Without the package the Node goes on.
at clock apt-get remove --quiet --yes kozo-role-bluetooth-discover
with_role 'searchDuration: 2s'
eventually 5 says 'install the package kozo-role-bluetooth-discover'
kill "$watching"
