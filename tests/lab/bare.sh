# Without a bus, without systemd and without root: what the README and docs/testnet.md do on one machine, and the rest of
# kozoctl. And what `make` says where nothing is installed.

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

# Types the blocks of a chapter in two terminals.
type_chapter() { # DOCUMENT CHAPTER
    local file folder=$lab_run/${2// /-}
    blocks "$1" "$2" "$folder"
    {
        echo '[ "$(id -un)" = ada ]; [ ! -e /run/dbus ]'
        # The programs are built already, and the folder is no checkout.
        echo 'mkdir bin; printf "#!/bin/sh\nexec kozo testnet\n" > bin/make; chmod +x bin/make; PATH=$PWD/bin:$PATH'
        for file in "$folder"/*; do
            case ${file##*/?? } in
                'sh in one terminal')
                    echo ': > terminal'
                    echo "$(cat "$file") > terminal 2>&1 & terminal=\$!"
                    echo 'until grep -q Cuckoo! terminal; do sleep 0.1; done'
                    continue
                    ;;
                sh | 'sh in another terminal') ;;
                'sh after the testnet') echo 'kill -INT $terminal; wait $terminal' ;;
                *) return 1 ;;
            esac
            printf 'bash -eu -o pipefail <<"END"\n%s\nEND\n' "$(cat "$file")"
        done
    } | alone > "$lab_run/shown" || show_and_fail
}

promised() { # TEXT...
    local text
    for text in "$@"; do
        grep -qF -- "$text" "$lab_run/shown" || {
            echo "nowhere: $text"
            show_and_fail
        }
    done
}

scenario_the_start_needs_neither_bus_nor_root() {
    type_chapter README.md Start
    promised 'Peers: 2 of 2 up' 'scribe answered in' 'timer1@clock' 'queued for 1 peer'
}

scenario_the_testnet_needs_neither_bus_nor_root() {
    type_chapter docs/testnet.md 'A closer look'
    promised 'ok: queued for 1 peer' 'Peers: 2 of 2 up' 'scribe answered in' '"type":"tick"' \
        'did you mean `tick`?' 'Hello from JSON' ssh-ed25519 'bell@clock: done'
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

# What a checkout says on a Debian on which nothing but make is installed.
scenario_make_names_what_it_needs() {
    local target package documented here=$lab_run/bare/root/home/ada/kozo
    documented=$(sed -n '/^```sh on Debian 13$/,/^```$/p' "$lab_top/docs/packages.md")
    install -D -t "$lab_run/bare/root/usr/local/bin" "$(command -v make)"
    mkdir "$here"
    (cd "$lab_top" && cp -r --parents Makefile Cargo.toml debian packaging tests/run tests/setup "$here")
    for target in testnet packages test; do
        alone > "$lab_run/shown" <<END || show_and_fail
cd ~/kozo
code=0; make $target || code=\$?; [ \$code = 2 ]
END
        promised 'Rust 1.95 or later is not installed: see https://rustup.rs'
        not grep -iE 'command not found|no such file' "$lab_run/shown"
        case $target in
            testnet) promised 'sudo apt install build-essential' ;;
            packages)
                promised build-essential debhelper dh-python
                # The documentation has all of them.
                for package in $(sed -n 's/^Debian packages.* apt install //p' "$lab_run/shown"); do
                    grep -qw -- "$package" <<< "$documented"
                done
                ;;
        esac
    done
}
