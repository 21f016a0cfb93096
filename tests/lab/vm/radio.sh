# Bluetooth of two guests: one finds the other, and what else is there, by an inquiry; bytes pass between them, without any
# pairing and also while nothing else connects them. Controllers are switched off, blocked, unplugged.

machines clock:amd64 scribe:amd64
step() { # WHAT: how long it has taken
    echo "measured: $1: $(((${EPOCHREALTIME/./} - began) / 1000)) ms"
    began=${EPOCHREALTIME/./}
}
began=${EPOCHREALTIME/./}
radio clock scribe
step radio
radio_visible scribe on
scribe=$(radio_address scribe)
inquiry clock
eventually 3 knows clock "$scribe" 'Name: scribe'
step found

headphones=$(stranger headphones 4f1c2b7e-0000-4a6f-9c1e-0123456789ab)
eventually 3 knows clock "$headphones" 'Name: headphones'
knows clock "$headphones" 'UUID: .*4f1c2b7e'
inquiry_ends clock
stranger_gone headphones
step stranger

for name in clock scribe; do
    put "$name" /usr/local/bin/rfcomm-test < radio/rfcomm
    at "$name" chmod +x /usr/local/bin/rfcomm-test
done
# As users without any right.
at scribe systemd-run --quiet --unit=echo --property=DynamicUser=yes rfcomm-test 7
head -c 20000 /dev/urandom > "$lab_run/bytes"
bytes_pass() { # what one sends comes back from the other
    at clock setpriv --reuid=kozo --regid=kozo --clear-groups timeout 60 rfcomm-test 7 "$scribe" \
        < "$lab_run/bytes" | cmp "$lab_run/bytes"
}
bytes_pass
step bytes

# Again and again, and after a while.
bytes_pass
sleep 10
bytes_pass
step again

tcp_away scribe
parted 30 scribe
bytes_pass
tcp_back scribe
linked 60
step linked

# Off, blocked, unplugged, and back.
has() { # POWERED
    [ "$(radio_get scribe Powered)" = "b $1" ]
}
radio_power scribe off
eventually 1 has false
radio_power scribe on
radio_block scribe
eventually 1 has false
radio_unblock scribe
radio_power scribe on
radio_unplug scribe
eventually 1 not radio_get scribe Powered
radio_plug scribe
radio_power scribe on
[ "$(radio_address scribe)" = "$scribe" ]
at scribe systemctl restart bluetooth
radio_power scribe on
step back
# A controller that has come, or a bluetoothd that has begun, takes no calls before it has been visible.
radio_visible scribe on
bytes_pass
step end
