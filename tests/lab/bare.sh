# Without a bus, without systemd and without root: what the README's tour does, and the rest of kozoctl.

prepare() {
    machine bare
    chroot "$lab_run/bare/root" useradd --create-home --shell /bin/bash ada
}

# Runs standard input in bash, as the user ada, alone in the machine.
alone() {
    {
        echo 'exec 2>&1; cd "$(mktemp -d)"'
        cat
    } | put bare /home/ada/script
    systemd-nspawn --quiet --directory="$lab_run/bare/root" --machine="bare-$$" --register=no --keep-unit \
        --private-network --as-pid2 --user=ada --chdir=/home/ada --console=pipe \
        /bin/bash -eu -o pipefail script </dev/null 2> "$lab_run/console" || {
        cat "$lab_run/console"
        return 1
    }
}

show_and_fail() {
    cat "$lab_run/shown"
    return 1
}

scenario_the_tour_needs_neither_bus_nor_root() {
    local file
    blocks Tour "$lab_run/tour"
    {
        echo '[ "$(id -un)" = ada ]; [ ! -e /run/dbus ]'
        for file in "$lab_run"/tour/*; do
            case ${file##*/?? } in
                'sh in one terminal')
                    echo ': > terminal'
                    echo "$(cat "$file") > terminal 2>&1 & terminal=\$!"
                    echo 'until grep -q Cuckoo! terminal; do sleep 0.1; done'
                    continue
                    ;;
                sh) ;;
                'sh after the testnet') echo 'kill -INT $terminal; wait $terminal' ;;
                *) return 1 ;;
            esac
            printf 'bash -eu -o pipefail <<"END"\n%s\nEND\n' "$(cat "$file")"
        done
    } | alone > "$lab_run/shown" || show_and_fail
    local promised
    for promised in 'ok: queued for 1 peer' 'Peers: 2 of 2 up' 'scribe answered in' '"type":"tick"' \
        'did you mean `tick`?' 'Hello from JSON' ssh-ed25519; do
        grep -qF -- "$promised" "$lab_run/shown"
    done
}

scenario_kozoctl_finds_the_nodes_and_does_everything() {
    alone > "$lab_run/shown" <<'END' || show_and_fail
: > terminal
kozo testnet > terminal & terminal=$!
until grep -q Cuckoo! terminal; do sleep 0.1; done
# Nothing but the sockets of this user leads to the Nodes.
code=0; kozoctl status 2> told || code=$?; [ $code = 2 ]
grep -qF '(clock, injector, scribe)' told
for node in clock scribe injector; do
    kozoctl -n $node status
    kozoctl -n $node roles --json
    kozoctl -n $node peers
done
kozoctl -n clock role timer1 stop
kozoctl -n clock wait role=timer1:stopped --timeout 5s
kozoctl -n clock role timer1 restart
kozoctl -n clock wait role=timer1:running --timeout 5s
kozoctl -n scribe peer clock disconnect
kozoctl -n scribe wait peer=clock:disabled --timeout 10s
kozoctl -n scribe peer clock connect
kozoctl -n scribe wait peer=clock:up --timeout 20s
kozoctl -n scribe ping clock --count 3
kozoctl -n scribe monitor tick --count 1 --json > seen & monitor=$!
wait $monitor
grep -q '"type":"tick"' seen
kozoctl -n scribe monitor probe --channel kitchen --count 1 --json > seen & monitor=$!
until kozoctl -n clock inject event probe -c kitchen '{"a": [1, 2.5, "é", null, true]}'; do sleep 0.1; done
wait $monitor
grep -qF '"data":{"a":[1,2.5,"é",null,true]}' seen
sed -i 's/^            timer1:/            timer2: { type: timer }\n&/' kozo-testnet/config.yml
kozoctl -n clock reload
kozoctl -n clock wait role=timer2:running peer=scribe:up --timeout 5s
sed -i 's/timer2: { type/timer2: { tpye/' kozo-testnet/config.yml
kozoctl -n clock reload && exit 1
kozoctl -n clock role timer2
code=0; kozoctl -n clock role nobody || code=$?; [ $code = 5 ]
kill $terminal
wait $terminal
code=0; kozoctl -n clock status || code=$?; [ $code = 3 ]
echo all of it
END
    [ "$(tail -n 1 "$lab_run/shown")" = 'all of it' ]
}
