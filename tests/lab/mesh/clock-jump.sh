# The clock of a machine jumps a day ahead, and back. What times a link is not that clock.

OWN_CLOCKS=yes
machines clock:bookworm scribe:trixie
traffic
sleep 2
began=$(now)
for time in +1d +0 -1d +0; do
    jump clock "$time"
    sleep 4
    linked 1
done
# It did jump: its Messages have the times of three days.
[ "$(at scribe sed -nE 's/^\[([0-9-]+) .*@clock> .*/\1/p' /var/log/kozo/scribe.log | sort -u | wc -l)" = 3 ]
not said scribe KOZO_CLASS=link-down --since "@${began%.*}"
accounted
[ "$(missing_after "$began")" = 0 ]
