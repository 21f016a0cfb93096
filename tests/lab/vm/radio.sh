# Bluetooth of two guests: one finds the other, and what else is there, by an inquiry; bytes pass between them, without any
# pairing and also while nothing else connects them. Controllers are switched off, blocked, unplugged.

machines clock:amd64 scribe:amd64
began=${EPOCHREALTIME/./}
radio clock scribe
echo "measured: radio: $(took "$began" "")"
radio_visible scribe on
scribe=$(radio_address scribe)
inquiry clock
eventually 3 knows clock "$scribe" 'Name: scribe'
echo "measured: found: $(took "$began" "")"

headphones=$(stranger headphones 4f1c2b7e-0000-4a6f-9c1e-0123456789ab)
eventually 3 knows clock "$headphones" 'Name: headphones'
knows clock "$headphones" 'UUID: .*4f1c2b7e'
inquiry_ends clock
stranger_gone headphones
echo "measured: stranger: $(took "$began" "")"

bytes_pass() { # what one sends is what the other gets
    head -c 2000 /dev/urandom > "$lab_run/bytes"
    put clock /root/bytes < "$lab_run/bytes"
    at scribe systemd-run --quiet --collect --unit=got rctest -r -P 7 -O /root/got
    sleep 2
    at clock timeout 60 rctest -s -P 7 -B /root/bytes -N 1 "$scribe"
    at scribe systemctl stop got
    at scribe cat /root/got | cmp "$lab_run/bytes"
}
bytes_pass
echo "measured: bytes: $(took "$began" "")"

# Again and again, and after a while.
bytes_pass
sleep 10
bytes_pass
echo "measured: again: $(took "$began" "")"

tcp_away scribe
parted 30 scribe
bytes_pass
tcp_back scribe
linked 60
echo "measured: linked: $(took "$began" "")"

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
echo "measured: back: $(took "$began" "")"
bytes_pass
echo "measured: end: $(took "$began" "")"
