# A machine gets another address, without a word, as a DHCP server may give it.

machines clock:bookworm scribe:trixie
traffic
sleep 2
readdress scribe 10.77.0.99
# It is the one that dials, and may be back at once.
eventually $((3 * HEARTBEAT + 2)) said clock KOZO_CLASS=link-down KOZO_PEER=scribe
linked 10
back=$(now)
sleep 3
accounted
[ "$(missing_after "$back")" = 0 ]
