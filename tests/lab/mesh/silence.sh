# One of three machines is cut off for a minute, and nothing says so: packets just do not arrive.

machines clock:trixie scribe:bookworm third:trixie
traffic
sleep 3
silence third
parted $((3 * HEARTBEAT + 1)) third
gone=$(now)
sleep 60
healed=$(now)
heal third
linked 5
back=$(now)
sleep 3
accounted
[ "$(delivered_between "$gone" "$healed" '*third*')" = 0 ]
[ "$(missing_after "$back")" = 0 ]
[ "$(missing_after 0 'clock-scribe')" = 0 ]
