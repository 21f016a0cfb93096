# A machine reboots, and another one loses its power and comes back.

machines clock:bookworm scribe:trixie third:bookworm
traffic
sleep 2
reboot third
linked 10
lose_power scribe
linked 10
back=$(now)
sleep 3
accounted
[ "$(missing_after "$(add "$back" 3)")" = 0 ]
