# Watching a Node under many more Messages than anybody can read: it is told what was skipped, and nothing
# else is slower for it.

prepare() {
    install_nodes one clock scribe
    boot one
    fresh scribe clock
    at one sh -c "yes \"('event', 'flood', 'hall', {'a': 1})\" | head -n $each > /tmp/lines"
}

# Lines that each of this many connections sends.
each=100000
connections=4

# Sends all of it, each connection as fast as its answers come, and sets $took to the milliseconds.
flood() {
    local began=${EPOCHREALTIME/./}
    at one bash -c '
        for ((i = 0; i < $1; i++)); do
            (
                exec 3<>/dev/tcp/127.0.0.1/7050
                head -n "$2" <&3 >/dev/null &
                cat /tmp/lines >&3
                wait
            ) &
        done
        wait' flood $connections $each
    took=$(((${EPOCHREALTIME/./} - began) / 1000))
}

# A number of clock's, as `kozoctl status --json` has it.
sent() {
    at one busctl get-property org.kozo.Node1.clock /org/kozo/Node1/role/injector org.kozo.Role1 Sent |
        cut -d ' ' -f 2
}

# What a monitor's file comes to: what was shown and what was said to be skipped.
accounted() { # FILE
    awk -F '[:}]' '/^\{"skipped":/ { sum += $2 } /"type":"flood"/ { sum++ } END { print sum + 0 }' "$1"
}

is_accounted() { # FILE NUMBER
    [ "$(accounted "$1")" = "$2" ]
}

scenario_a_monitor_skips_and_says_how_many() {
    local all=$((each * connections)) before alone watching
    flood
    alone=$took
    : > "$lab_run/seen"
    # It is slow to read on behind the first: a fast machine shows Messages as fast as they are sent.
    at one bash -c "kozoctl -n clock monitor 'fl*' --json | { read -r first; echo \"\$first\"; sleep 8; cat; }" \
        > "$lab_run/seen" 2> "$lab_run/watching" &
    watching=$!
    eventually 10 sees_a_flag
    # Another one that reads nothing at all, and the ticks that go to scribe meanwhile.
    at one sh -c 'mkfifo /tmp/pipe; exec 9<>/tmp/pipe; exec kozoctl -n clock monitor >/tmp/pipe' \
        2>> "$lab_run/watching" &
    at one kozoctl -n scribe monitor tick --json > "$lab_run/ticks" 2> "$lab_run/watching" &
    eventually 5 test -s "$lab_run/ticks"
    before=$(sent)
    flood
    echo "            $((all * 1000 / alone)) messages a second unwatched, $((all * 1000 / took)) watched"
    [ $((all * 1000 / took)) -ge 50000 ]
    [ "$(sent)" = $((before + all)) ]
    # A last one, so that what was skipped before it is said.
    raise_a_flag
    eventually 20 is_accounted "$lab_run/seen" $all
    grep -q skipped "$lab_run/seen"
    are_all_there
    at one pkill -x kozoctl
    wait $watching || true
}

raise_a_flag() {
    # To no Role and no Peer, which kozoctl says by its exit code.
    at one kozoctl -n clock inject event flag > "$lab_run/answer" 2>&1 || [ $? = 6 ]
}

sees_a_flag() {
    raise_a_flag
    grep -q '"type":"flag"' "$lab_run/seen"
}

# The ticks that scribe has seen are all that there were: each comes a second after the one before, give or
# take a fifth.
are_all_there() {
    sed -E 's/.*"time":([0-9]+).*/\1/' "$lab_run/ticks" | awk '
        NR > 1 && ($1 - last > 1200000 || $1 - last < 800000) { print "a tick after", $1 - last; bad = 1 }
        { last = $1 }
        END { exit bad || NR < 2 }'
}
