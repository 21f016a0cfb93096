# What the README tells administrators, as it is written there.

prepare() {
    install_nodes one clock scribe
    boot one
}

scenario_every_command_of_the_readme_works() {
    local file
    blocks 'Running it as a service' "$lab_run/guide"
    for file in "$lab_run"/guide/*; do
        [ "${file##*/?? }" = 'sh on a machine with systemd' ]
        put one /root/block < "$file"
        if ! at one bash -eu -o pipefail -c 'cd; timeout 60 bash -eu -o pipefail block' \
            > "$lab_run/said" 2>&1 </dev/null; then
            cat "$file" "$lab_run/said"
            return 1
        fi
        cat "$lab_run/said" >> "$lab_run/shown"
    done
    local promised
    for promised in 'is fine: 2 nodes (clock, scribe)' '1/1 peers up, 2 roles' 'State: up for' \
        'scribe answered in' '"type":"tick"' 'queued for 1 peer' 'Messages flow' \
        '"KOZO_PEER":"scribe"' 'did you mean `tick`?' '/etc/kozo/kozo.yml:10:17' \
        'kozo-transport@clock:tcp.socket' 'exit code 4' 'org.kozo.manage' 's "up"' 'role-logger.conf' \
        'Overall exposure level'; do
        if ! grep -qF -- "$promised" "$lab_run/shown"; then
            cat "$lab_run/shown"
            echo "nowhere: $promised"
            return 1
        fi
    done
    # It was said to arrive, and has.
    local hello
    for hello in 'the administrator' Ada D-Bus; do
        eventually 10 at one grep -q "Hello from $hello" /var/log/kozo/scribe.log
    done
}
