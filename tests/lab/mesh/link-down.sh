# The cable of one of three machines is pulled for a minute.

machines clock:bookworm scribe:trixie third:bookworm
traffic
sleep 3
unplug third
parted $((3 * HEARTBEAT + 1)) third
gone=$(now)
sleep 60
healed=$(now)
heal third
linked 5
back=$(now)
sleep 3
accounted
# Nothing was kept for later, nothing is lost any more, and the others were not disturbed.
[ "$(delivered_between "$gone" "$healed" '*third*')" = 0 ]
[ "$(missing_after "$back")" = 0 ]
[ "$(missing_after 0 clock-scribe)" = 0 ]
