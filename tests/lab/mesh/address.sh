# A machine gets another address, without a word, as a DHCP server may give it.

machines clock:bookworm scribe:trixie
traffic
sleep 2
readdress scribe 10.77.0.99
# Either may find the other again: scribe that dials, before clock has missed it, or clock by the new address.
is_back() {
    [[ $(at clock kozoctl --json peer scribe | jq -r .address) == 10.77.0.99:* ]]
}
eventually $((3 * HEARTBEAT + 5)) is_back
linked 10
back=$(now)
sleep 3
accounted
[ "$(missing_after "$back")" = 0 ]
