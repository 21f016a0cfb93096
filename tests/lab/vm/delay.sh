# A guest and a container between which each packet of one direction takes 200 ms more, as Debian's kernel can have it.

machines clock:amd64 scribe:bookworm
at clock tc qdisc add dev host0 root netem delay 200ms
at clock kozoctl --json ping scribe > "$lab_run/ping"
at clock kozoctl --json bench scribe --time 5s > "$lab_run/bench"
jq -r '"measured: ping \(.round_trip_time / 1000) ms"' "$lab_run/ping"
jq -r '"measured: bench \(.bytes_per_second) bytes a second, round trip \(.round_trip_time.median / 1000) ms"' \
    "$lab_run/bench"
jq -es '.[0].round_trip_time > 200000 and .[1].round_trip_time.least > 200000 and .[1].bytes > 0' \
    "$lab_run/ping" "$lab_run/bench" >/dev/null
# What is under way for so long is still a link that is well.
[ "$(mesh_state clock scribe)" = up ]
not said clock KOZO_CLASS=link-down
