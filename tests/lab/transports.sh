# Transports that are programs, on two machines: in shell, in Python to the README of 2014, in Python with its own
# cryptography, and in Rust. Each carries the link, in the whole sandbox of the service; hostile ones harm nobody.

programs=/usr/local/lib/kozo/transports

prepare() {
    local clock_at=one scribe_at=two name
    install_nodes one clock
    install_nodes two scribe
    "$lab_top/packaging/build" --quiet -p kozo-role --example tcp
    for name in one two; do
        lab_python "$name"
        put "$name" $programs/socat < "$lab_top/packaging/examples/socat.sh"
        put "$name" $programs/seed_tcp.py < "$lab_top/src/python/tests/transports/seed_tcp.py"
        put "$name" $programs/bare.py < "$lab_top/src/python/tests/transports/bare.py"
        put "$name" $programs/rust < "$lab_top/target/release/examples/tcp"
        rogue | put "$name" $programs/rogue
        chmod 755 "$lab_run/$name/root$programs"/{socat,rust,rogue}
    done
    boot one
    boot two
}

# What python3-kozo has.
lab_python() { # NAME
    local packages=$lab_run/$1/root/usr/lib/python3/dist-packages
    mkdir -p "$packages/kozo"
    cp "$lab_top"/src/python/kozo/*.py "$packages/kozo"
}

# The configuration with these Transports in place of those of clock and of scribe.
system_over() { # CLOCK SCRIBE
    local clock_at=one scribe_at=two
    echo "transportPath: $programs"
    echo 'connectionRetry: 1s'
    system | awk -v clock="$1" -v scribe="$2" '
        /^    [a-z]+:$/ { node = $1 }
        /^        transports:/ { print "        transports: {" (node == "clock:" ? clock : scribe) "}"; skips = 1; next }
        skips && /^            / { next }
        { skips = 0; print }'
}

# Both Nodes run with these Transports, and with nothing of before.
over() { # CLOCK SCRIBE
    local name node
    for name in one two; do
        node=clock
        [ $name = one ] || node=scribe
        system_over "$1" "$2" | put "$name" /etc/kozo/kozo.yml
        at "$name" systemctl daemon-reload
        at "$name" systemctl stop "kozo@$node.socket" "kozo@$node.service"
        at "$name" systemctl start "kozo@$node"
    done
    at one kozoctl -n clock wait peer=scribe:up --timeout 30s
}

# The link is over this type, and Messages go both ways.
carries() { # TYPE
    [ "$(at one kozoctl -n clock peer scribe --json | jq -r .transport)" = "$1" ]
    at two timeout 15 kozoctl -n scribe monitor tick --count 2 --json > "$lab_run/seen"
    [ "$(grep -c '"node":"clock"' "$lab_run/seen")" = 2 ]
    at one kozoctl -n clock ping scribe > "$lab_run/answer"
}

scenario_one_in_shell_carries_the_link() {
    over 'socat: {host: one}' 'socat: {host: two}'
    carries socat
    grep -qE '^socat +socat +running' <<< "$(at one kozoctl -n clock status)"
}

scenario_one_in_python_to_the_readme_of_2014_carries_the_link() {
    over 'seed_tcp: {address: one}' 'seed_tcp: {address: two}'
    carries seed_tcp
}

scenario_one_that_authenticates_by_itself_carries_the_link() {
    over 'bare: {address: one}' 'bare: {address: two}'
    carries bare
}

scenario_one_in_rust_carries_the_link_and_its_end_ends_nothing() {
    over 'rust: {address: one, port: 6021}' 'rust: {address: two, port: 6021}'
    carries rust
    local sessions
    sessions=$(at one kozoctl -n clock peer scribe --json | jq .sessions)
    at one pkill -KILL -x rust
    at two pkill -KILL -x rust
    carries rust
    [ "$(at one kozoctl -n clock peer scribe --json | jq .sessions)" = "$sessions" ]
    eventually 10 runs_again
}

runs_again() {
    grep -qE '^rust +rust +running' <<< "$(at one kozoctl -n clock status)"
}

# What it does is in a file: it says that it listens, and then whatever the file has in Python.
rogue() {
    cat <<'END'
#!/usr/bin/env python3
import json, os, socket, sys, time
if "--describe" in sys.argv:
    print('{"format": 1, "kind": "transport", "connectsTo": ["*"], "priority": "best", "config": {"does": {}}}')
    sys.exit()
node = socket.socket(fileno=3)
lines = node.makefile("r")
does = json.loads(lines.readline())["params"]["options"]["does"]
line = json.loads(lines.readline())
node.sendall(json.dumps({"jsonrpc": "2.0", "id": line["id"], "result": {}}).encode() + b"\n")
accepted = b'{"jsonrpc":"2.0","method":"accepted","params":{"address":"nowhere"%s}}\n'
if does == "hangs":
    time.sleep(1000)
elif does == "garbage":
    node.sendall(b"]" * 1000 + b"\n")
elif does == "long":
    node.sendall(b"x" * 10_000_000)
elif does == "files":
    while True:
        socket.send_fds(node, [accepted % b""], [os.open("/etc/passwd", os.O_RDONLY)])
        time.sleep(0.01)
elif does == "thousand":
    kept = []
    for _ in range(1000):
        ours, theirs = socket.socketpair()
        socket.send_fds(node, [accepted % b""], [theirs.fileno()])
        theirs.close()
        kept.append(ours)
    time.sleep(1000)
elif does == "name":
    while True:
        ours, theirs = socket.socketpair()
        socket.send_fds(node, [accepted % b', "peer": "scribe"'], [theirs.fileno()])
        time.sleep(0.01)
for line in lines:
    pass
END
}

scenario_hostile_ones_harm_nobody() {
    local does
    for does in hangs garbage long files thousand name; do
        over "rogue: {does: $does}, rust: {address: one, port: 6021}" "rogue: {does: $does}, rust: {address: two, port: 6021}"
        carries rust
        at one sleep 2
        carries rust
        [ "$(at one systemctl show --value -p NRestarts kozo@clock)" = 0 ]
        # It lives for some four seconds here.
        [ "$(at one ps -o cputimes= -p "$(of clock ExecMainPID)")" -le 1 ]
    done
}
