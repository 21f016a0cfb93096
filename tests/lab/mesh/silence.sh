# One of three machines is cut off for a minute, and nothing says so: packets just do not arrive.

machines clock:trixie scribe:bookworm third:trixie
minute_away silence third
[ "$(missing_after 0 clock-scribe)" = 0 ]
