# The Node as a service: started, watched, confined and described by systemd.

prepare() {
    install_nodes one clock scribe
    boot one
    at one mkdir /home/probe
}

scenario_start_returns_when_the_node_is_ready() {
    fresh scribe clock
    is clock ActiveState active
    is clock StatusText '1/1 peers up, 2 roles'
    eventually 5 is scribe StatusText '1/1 peers up, 3 roles'
    at one systemctl status --no-pager kozo@clock > "$lab_run/status"
    grep -q 'Status: "1/1 peers up, 2 roles"' "$lab_run/status"
}

scenario_start_fails_when_the_node_cannot_start() {
    fresh
    # A port that is taken: neither systemd nor the Node can listen.
    at one systemd-run -q --unit=taker --socket-property=ListenStream=127.0.0.1:6020 /bin/true
    not at one systemctl start kozo@clock 2>/dev/null
    eventually 5 said kozo@clock 'MESSAGE_ID=4e3dd837bdcf43858220da155dd44c46'
    at one systemctl stop taker.socket
    # It goes on trying.
    eventually 10 is clock ActiveState active
}

scenario_the_status_line_is_kept() {
    fresh scribe clock
    at one systemctl stop kozo@scribe
    eventually 10 is clock StatusText '0/1 peers up, 2 roles'
    at one systemctl start kozo@scribe
    eventually 10 is clock StatusText '1/1 peers up, 2 roles'
}

scenario_a_stopped_node_stays_stopped_whoever_dials() {
    fresh scribe clock
    at one systemctl stop kozo@scribe
    eventually 10 is clock StatusText '0/1 peers up, 2 roles'
    not at one bash -c 'exec 3<>/dev/tcp/127.0.0.1/6021' 2>/dev/null
    is scribe ActiveState inactive
}

scenario_a_peer_starts_a_node_of_which_only_the_socket_runs() {
    fresh
    at one systemctl start kozo@scribe.socket
    is scribe ActiveState inactive
    at one systemctl start kozo@clock
    eventually 10 is scribe StatusText '1/1 peers up, 3 roles'
    # The sockets that it listens on are those of systemd, no others.
    [ "$(at one ss -Hltn 'sport = :6021' | wc -l)" = 1 ]
    # And a client at the control socket starts one, too.
    fresh
    at one systemctl start kozo@scribe.socket
    at one kozoctl -n scribe status >/dev/null
    # It answers as soon as it can, which is before all of it is ready.
    eventually 5 is scribe ActiveState active
}

scenario_a_restart_refuses_nobody() {
    fresh scribe
    at one rm -f /tmp/enough
    # At least a thousand, and on until the last restart is over.
    at one bash -c '
        for ((i = 0; i < 1000 || ! $(test -e /tmp/enough; echo $((1 - $?))); i++)); do
            exec 3<>/dev/tcp/127.0.0.1/6021 || exit
            exec 3>&-
        done
        echo $i connections
    ' > "$lab_run/connections" 2>&1 &
    local connecting=$! before socket='kozo-transport@scribe:tcp\x20lan.socket' since
    before=$(of scribe ExecMainPID)
    since=$(at one systemctl show -p ActiveEnterTimestampMonotonic "$socket")
    at one systemctl restart kozo@scribe
    at one systemctl restart kozo@scribe
    at one touch /tmp/enough
    wait $connecting
    grep -qE '^[0-9]{4,} connections$' "$lab_run/connections"
    not is scribe ExecMainPID "$before"
    # It was open all the time, not merely closed too shortly for anybody to notice.
    [ "$(at one systemctl show -p ActiveEnterTimestampMonotonic "$socket")" = "$since" ]
}

scenario_a_node_that_dials_meets_no_closed_port_during_a_restart() {
    fresh scribe clock
    at one rm -f /tmp/enough
    # Whenever the link is down it is tried at once, so that many attempts fall into the restarts.
    at one sh -c 'until [ -e /tmp/enough ]; do kozoctl -n clock peer scribe connect; done' \
        > "$lab_run/connections" 2>&1 &
    local connecting=$! sessions
    for _ in 1 2 3; do
        at one systemctl restart kozo@scribe
    done
    at one touch /tmp/enough
    wait $connecting
    at one kozoctl -n clock wait peer=scribe:up --timeout 10s
    sessions=$(link_of_clock | sed -n '2s/^t //p')
    [ "$sessions" -ge 4 ]
    not said kozo@clock "_SYSTEMD_INVOCATION_ID=$(of clock InvocationID)" KOZO_CLASS=unreachable
}

scenario_a_reload_touches_only_what_has_changed() {
    fresh scribe clock
    local since
    since=$(link_of_clock)
    at one cp /etc/kozo/kozo.yml /root/before.yml
    # Another Role, and another Node, whose machine is not there.
    at one sed -i 's/^            timer1:/            timer2:\n                type: timer\n                tick: 60\n&/' \
        /etc/kozo/kozo.yml
    at one tee -a /etc/kozo/kozo.yml >/dev/null <<END
    third:
        privateKey: /etc/kozo/keys/third
        publicKey: $(cat "$(keys)/other.pub")
        transports:
            tcp:
                address: 127.0.0.1
                port: 6029
END
    # Long enough for a link that began anew to say so.
    at one sleep 1
    at one systemctl reload kozo@clock 2>/dev/null
    is clock StatusText '1/2 peers up, 3 roles'
    at one kozoctl -n clock wait role=timer2:running role=timer1:running --timeout 5s
    [ "$(link_of_clock)" = "$since" ]
    said kozo@clock KOZO_CLASS=reloaded
    # A file that is refused changes nothing, and says where it is wrong.
    local pid
    pid=$(of clock ExecMainPID)
    at one sed -i 's/tick: 60/tock: 60/' /etc/kozo/kozo.yml
    not at one systemctl reload kozo@clock 2>/dev/null
    is clock ActiveState active
    is clock ExecMainPID "$pid"
    is clock StatusText '1/2 peers up, 3 roles'
    at one kozoctl -n clock wait role=timer2:running --timeout 5s
    [ "$(link_of_clock)" = "$since" ]
    at one journalctl -q -u kozo@clock -p err KOZO_CLASS=reload-refused > "$lab_run/refused"
    grep -qE '/etc/kozo/kozo.yml:9:17' "$lab_run/refused"
    local run
    run=$(of clock InvocationID)
    not said kozo@clock "_SYSTEMD_INVOCATION_ID=$run" KOZO_CLASS=link-down
    # And back.
    at one cp /root/before.yml /etc/kozo/kozo.yml
    at one systemctl reload kozo@clock 2>/dev/null
    is clock StatusText '1/1 peers up, 2 roles'
    [ "$(link_of_clock)" = "$since" ]
    at one systemctl daemon-reload
}

# Since when the link from clock to scribe is up, and how often it has come up.
link_of_clock() {
    at one busctl get-property org.kozo.Node1.clock /org/kozo/Node1/peer/scribe org.kozo.Peer1 Since Sessions
}

scenario_a_node_listens_where_its_file_says_even_if_its_socket_does_not() {
    fresh scribe
    at one sed -i 's/port: 6021/port: 6031/' /etc/kozo/kozo.yml
    at one systemctl restart kozo@scribe 2>/dev/null
    at one bash -c 'exec 3<>/dev/tcp/127.0.0.1/6031'
    eventually 5 said kozo@scribe KOZO_CLASS=other-port 'KOZO_TRANSPORT=tcp lan'
    # As the catalog says.
    at one systemctl daemon-reload
    at one systemctl stop kozo@scribe kozo@scribe.socket
    at one systemctl start kozo@scribe
    at one bash -c 'exec 3<>/dev/tcp/127.0.0.1/6031'
    not at one bash -c 'exec 3<>/dev/tcp/127.0.0.1/6021' 2>/dev/null
    at one sed -i 's/port: 6031/port: 6021/' /etc/kozo/kozo.yml
    at one systemctl daemon-reload
}

scenario_a_node_that_hangs_is_restarted() {
    fresh clock
    at one mkdir -p /run/systemd/system/kozo@clock.service.d
    printf '[Service]\nWatchdogSec=1s\nTimeoutAbortSec=1s\nRestartSec=0\n' |
        put one /run/systemd/system/kozo@clock.service.d/watchdog.conf
    at one systemctl daemon-reload
    at one systemctl restart kozo@clock
    local before
    before=$(of clock ExecMainPID)
    # One that does not hang is left alone.
    at one sleep 3
    is clock ExecMainPID "$before"
    at one kill -STOP "$before"
    eventually 15 is clock NRestarts 1
    eventually 15 is clock ActiveState active
    not is clock ExecMainPID "$before"
    at one rm -r /run/systemd/system/kozo@clock.service.d
    at one systemctl daemon-reload
}

scenario_the_private_key_is_a_credential() {
    fresh clock
    not at one runuser -u kozo -- cat /etc/kozo/keys/clock 2>/dev/null
    local process
    process=$(of clock ExecMainPID)
    [ "$(at one awk '/^Uid:/ { print $2 }' "/proc/$process/status")" = "$(at one id -u kozo)" ]
    # What is in its memory is for nobody else of its user.
    not at one runuser -u kozo -- ls "/proc/$process/fd" 2>/dev/null
    at one cmp /run/credentials/kozo@clock.service/clock.key /etc/kozo/keys/clock
}

scenario_a_node_has_what_its_own_roles_need() {
    fresh clock scribe
    at one systemctl cat kozo@scribe > "$lab_run/scribe"
    at one systemctl cat kozo@clock > "$lab_run/clock"
    grep -q /role-logger.conf "$lab_run/scribe"
    not grep -q /role-logger.conf "$lab_run/clock"
    grep -qx 'LoadCredential=clock.key:/etc/kozo/keys/clock' "$lab_run/clock"
    is clock LogsDirectory ''
    is scribe LogsDirectory kozo
    at one systemctl list-sockets --no-pager > "$lab_run/sockets"
    grep -qE '^\[::\]:6020 +kozo-transport@clock:tcp.socket' "$lab_run/sockets"
    grep -qF 'kozo-transport@scribe:tcp\x20lan.socket' "$lab_run/sockets"
}

scenario_two_nodes_of_one_file_run_side_by_side() {
    fresh scribe clock
    eventually 10 at one grep -q 'Cuckoo!' /var/log/kozo/scribe.log
    is clock NRestarts 0
    is scribe NRestarts 0
}

scenario_the_target_has_all_enabled_nodes_also_at_boot() {
    fresh
    at one systemctl --quiet enable kozo.target kozo@clock.service kozo@scribe.service
    power_off one
    boot one
    eventually 10 is clock StatusText '1/1 peers up, 2 roles'
    is scribe ActiveState active
    at one systemctl stop kozo.target
    is scribe ActiveState inactive
    is clock ActiveState inactive
    at one systemctl start kozo.target
    is scribe ActiveState active
    is clock ActiveState active
    at one systemctl --quiet disable kozo.target kozo@clock.service kozo@scribe.service
}

scenario_the_sandbox_is_tight_and_the_node_works_in_it() {
    fresh scribe clock
    local process
    is_tight clock
    is_tight scribe
    # A file of the logger, one in a folder that only the configuration knows of, storage, and a name
    # of /etc/hosts.
    eventually 10 at one grep -q 'Cuckoo!' /var/log/kozo/scribe.log
    eventually 10 at one grep -q 'Cuckoo!' '/srv/kozo logs/second.log'
    eventually 10 at one sh -c '[ -n "$(ls /var/lib/kozo/storage)" ]'
    is clock StatusText '1/1 peers up, 2 roles'
    process=$(of scribe ExecMainPID)
    at one grep -qE '^NoNewPrivs:\s1$' "/proc/$process/status"
    at one grep -qE '^Seccomp:\s2$' "/proc/$process/status"
    at one grep -qE '^CapBnd:\s0+$' "/proc/$process/status"
    local folder
    for folder in / /usr /etc/kozo /var/lib /srv; do
        not at one nsenter -t "$process" -m touch "$folder/probe" 2>/dev/null
    done
    for folder in /dev/kmsg /dev/mem /proc/sys /home/probe; do
        not at one nsenter -t "$process" -m test -e "$folder"
    done
}

scenario_the_journal_has_fields() {
    fresh scribe clock
    at one systemctl stop kozo@scribe
    eventually 5 said kozo@clock KOZO_PEER=scribe KOZO_CLASS=link-down PRIORITY=4
    local entry
    entry=$(at one journalctl -o json KOZO_PEER=scribe KOZO_CLASS=link-up | tail -n 1)
    for field in '"KOZO_NODE":"clock"' '"KOZO_TRANSPORT":"tcp"' '"PRIORITY":"6"' \
        '"SYSLOG_IDENTIFIER":"kozo"' '"MESSAGE_ID":"' '"_SYSTEMD_UNIT":"kozo@clock.service"' \
        '"MESSAGE":"link up peer='; do
        grep -qF "$field" <<< "$entry"
    done
    said kozo@clock KOZO_TRANSPORT=tcp
    said kozo@scribe KOZO_ROLE=cuckoo
}

scenario_the_journal_explains_a_refused_key() {
    fresh scribe
    # Somebody who knows all but the key of clock.
    system | sed "s|$(cut -d' ' -f2 "$(keys)/clock.pub")|$(cut -d' ' -f2 "$(keys)/other.pub")|; s|/etc/kozo/keys/clock|/root/other|" |
        put one /root/other.yml
    at one sh -c 'umask 077; cat > /root/other' < "$(keys)/other"
    at one timeout 10 kozo /root/other.yml clock >/dev/null 2>&1 &
    local stranger=$!
    eventually 10 said kozo@scribe KOZO_CLASS=stranger
    at one journalctl -x -u kozo@scribe KOZO_CLASS=stranger > "$lab_run/explained"
    grep -q 'belongs to no Node, was presented' "$lab_run/explained"
    grep -q 'Subject: Node scribe refused a key' "$lab_run/explained"
    grep -q 'A machine connected with a key' "$lab_run/explained"
    kill $stranger
    wait $stranger || true
}

scenario_a_bad_file_never_stops_a_boot() {
    fresh
    machine two
    put two /etc/kozo/kozo.yml <<< ''
    mkdir -p "$lab_run/two/root/etc/systemd/system/multi-user.target.wants"
    ln -s /usr/lib/systemd/system/kozo.target \
        "$lab_run/two/root/etc/systemd/system/multi-user.target.wants/kozo.target"
    local generator=/usr/lib/systemd/system-generators/kozo-generator number=0 text
    for text in missing '' $'system:\n\tclock:' 'system: [1' $'\xff\xfe\x00' \
        "$(system | sed 's/publicKey/pubicKey/')" "$(head -c 5000000 /dev/zero | tr '\0' ' ')"; do
        if [ "$text" = missing ]; then
            rm "$lab_run/two/root/etc/kozo/kozo.yml"
        else
            put two /etc/kozo/kozo.yml <<< "$text"
        fi
        boot two
        at two systemctl is-active -q multi-user.target kozo.target
        # Where there is no kernel log, the line goes to standard error.
        mkdir -p "$lab_run/two/root/tmp/out"
        at two mkdir -p /run/out
        at two sh -c "$generator /run/out 2>&1" > "$lab_run/line"
        [ "$(wc -l < "$lab_run/line")" = 1 ]
        [ -z "$(at two ls /run/out)" ]
        not at two systemctl start kozo@clock 2>/dev/null
        [ "$(at two systemctl show --value -p NRestarts kozo@clock)" = 0 ]
        power_off two
        number=$((number + 1))
    done
    [ $number = 7 ]
}
