# A machine gets another address, without a word, as a DHCP server may give it.

machines clock:bookworm scribe:trixie
traffic
sleep 2
readdress scribe 10.77.0.99
parted $((3 * HEARTBEAT + 1)) scribe
linked 10
back=$(now)
sleep 3
accounted
[ "$(missing_after "$back")" = 0 ]
