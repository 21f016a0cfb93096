# Roles that are programs, on two machines: a command on the one rings a bell on the other, which is an awk script
# speaking the protocol; and whatever another program there does to itself or to its Node, the bell goes on ringing.

prepare() {
    local clock_at=one scribe_at=two
    install_nodes one clock
    install_nodes two scribe
    # clock rings: for whoever orders it by its name, and once a second.
    system | sed 's|^            injector:|            button:\n                type: exec\n                every: 1s\n                on: event:pressed\n                run: [echo, ding]\n                send: {kind: order, type: ring}\n            injector:|' |
        put one /etc/kozo/kozo.yml
    # scribe has the bell, and a Role that misbehaves as the file says.
    {
        echo 'rolePath: /usr/local/lib/kozo/roles'
        system | sed 's|^            cuckoo:|            bell: {}\n            rogue: {}\n            cuckoo:|'
    } | put two /etc/kozo/kozo.yml
    bell | put two /usr/local/lib/kozo/roles/bell
    bell rogue | put two /usr/local/lib/kozo/roles/rogue
    chmod 755 "$lab_run"/two/root/usr/local/lib/kozo/roles/*
    boot one
    boot two
    at one systemctl start kozo@clock
    at two systemctl start kozo@scribe
    at one kozoctl -n clock wait peer=scribe:up --timeout 20s
}

# A Role in awk: for each Order `ring` it sends the Event `rung`, with how often it has.
bell() { # [NAME]
    cat <<END
#!/bin/sh
case \$1 in --describe)
    echo '{"format": "1.0", "author": "", "version": "1.0", "description": "A ${1:-bell}", "config": {}}'
    exit ;;
esac
[ ! -x "\$STATE_DIRECTORY/behaviour" ] || exec "\$STATE_DIRECTORY/behaviour"
exec awk -W interactive '
    function tell(method, params) {
        printf "{\"jsonrpc\": \"2.0\", \"method\": \"%s\", \"params\": %s}\n", method, params
        fflush()
    }
    /"method":"start"/ { tell("interest", "{\"patterns\": [{\"kind\": \"order\", \"type\": \"ring\"}]}"); tell("ready", "{}") }
    /"method":"message"/ { tell("send", "{\"kind\": \"event\", \"type\": \"rung\", \"channel\": \"${1:-bell}\", \"data\": " ++rings "}") }
    /"method":"stop"/ { exit }
'
END
}

# The bell has rung for somebody else, after now, on the machine where the button is.
rings() {
    at one timeout 15 kozoctl -n clock monitor rung --channel bell --count 2 --json > "$lab_run/rung"
    [ "$(grep -c '"node":"scribe"' "$lab_run/rung")" = 2 ]
}

rogue_is() { # STATE
    at two kozoctl -n scribe wait "role=rogue:$1" --timeout 30s
}

# Standard input is what the rogue does from now on; whatever it is, the Node and all others go on.
behaves() {
    put two /var/lib/kozo/storage/rogue.files/behaviour
    at two chmod 755 /var/lib/kozo/storage/rogue.files/behaviour
    at two kozoctl -n scribe role rogue restart > "$lab_run/answer"
}

shown() { # TEXT: what `kozoctl role` says of the rogue
    grep -qF -- "$1" <<< "$(at two kozoctl -n scribe role rogue)"
}

has_dropped() {
    [ "$(at two kozoctl -n scribe role rogue --json | jq '.dropped')" -gt 0 ]
}

# All that must be so after each scenario.
unharmed() {
    rings
    is_at_two ActiveState active
    is_at_two NRestarts 0
    at one kozoctl -n clock ping scribe > "$lab_run/answer"
    at two rm /var/lib/kozo/storage/rogue.files/behaviour
}

is_at_two() { # PROPERTY VALUE
    [ "$(at two systemctl show --value -p "$1" kozo@scribe)" = "$2" ]
}

scenario_a_bell_rings_across_the_link() {
    rings
    at one kozoctl -n clock inject event pressed > "$lab_run/answer"
    rings
}

scenario_who_is_killed_or_ends_is_back() {
    rogue_is running
    at two kill -KILL "$(at two kozoctl -n scribe role rogue --json | jq .process.pid)"
    eventually 10 shown 'SIGKILL'
    rogue_is running
    behaves <<< $'#!/bin/sh\nexit 3'
    eventually 10 shown 'exited with code 3'
    unharmed
}

scenario_who_is_stopped_or_hangs_loses_its_messages_alone() {
    behaves <<'END'
#!/bin/sh
echo '{"method": "interest", "params": {"patterns": [{}]}}'
echo '{"method": "ready"}'
trap '' TERM
kill -STOP $$
END
    rogue_is running
    # More than its queue and the pipe hold.
    at one bash -c 'line=$(head -c 3000 /dev/zero | tr "\0" x)
        yes "{\"kind\": \"event\", \"type\": \"flood\", \"data\": \"$line\"}" | head -n 5000 > /dev/tcp/127.0.0.1/7050'
    eventually 10 has_dropped
    unharmed
    # It has to be killed, and is.
    at two kozoctl -n scribe role rogue restart > "$lab_run/answer"
    rogue_is running
}

scenario_garbage_is_named_by_line_and_column() {
    behaves <<< $'#!/bin/sh\necho \'{"method": "ready"}\'\necho "Hello, world"\nexec sleep 600'
    eventually 10 shown 'line 2, column 1'
    behaves <<< $'#!/bin/sh\nexec head -c 100000000 /dev/zero'
    eventually 20 shown 'line 1'
    behaves <<< $'#!/bin/sh\nexec cat /dev/urandom >&2'
    unharmed
}

scenario_a_flood_slows_who_makes_it() {
    behaves <<'END'
#!/bin/sh
echo '{"method": "ready"}'
yes '{"method": "send", "params": {"kind": "event", "type": "flood"}}'
END
    rogue_is running
    unharmed
}

scenario_what_explodes_ends_at_its_limits() {
    behaves <<'END'
#!/bin/sh
echo '{"method": "ready"}'
exec perl -e 'my @f; while (open my $f, "<", "/dev/null") { push @f, $f } print STDERR "at ".@f."\n"; sleep 600'
END
    eventually 10 said_at_two 'at [0-9]'
    unharmed
    behaves <<< $'#!/bin/sh\necho \'{"method": "ready"}\'\nwhile :; do sleep 601 & done 2> /dev/null'
    unharmed
    at two kozoctl -n scribe role rogue stop > "$lab_run/answer"
    eventually 10 not at two pgrep -x sleep
}

said_at_two() { # PATTERN
    at two journalctl -q -u kozo@scribe -o cat --grep "$1" > "$lab_run/said"
}
