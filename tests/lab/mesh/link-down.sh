# The cable of one of three machines is pulled for a minute.

machines clock:bookworm scribe:trixie third:bookworm
minute_away unplug third
# The others were not disturbed.
[ "$(missing_after 0 clock-scribe)" = 0 ]
