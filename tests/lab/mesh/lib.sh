# Several machines on a bridge, with Kōzō installed from its packages: the words that scenarios are made of.
#
# A scenario is a file beside this one: what it is about as a comment, then `machines`, then what is done to
# them and what must be so, one step a line. It fails at the first step that fails.
#
#   machines NAME:SUITE...       makes and boots machines, each with a Node of its name, and waits until all
#                                of them are connected. Each Node writes the Log Messages of all into
#                                /var/log/kozo/NAME.log, and takes Messages at the port of its injector
#   traffic [RATE]               from now on every Node sends numbered Messages, RATE (100) a second
#   accounted                    stops the traffic, and looks that each Message was delivered once and in
#                                order, or counted as dropped by the Node that dropped it
#   linked SECONDS               all Nodes are connected, within this time
#   parted SECONDS NAME          no other Node has a link to this one, within this time
#   unplug NAME / silence NAME   its link at the bridge is down / nothing passes there, but it looks well
#   heal NAME                    it is as before
#   minute_away FAULT NAME       with traffic: that, for a minute, and what must be so during it and afterwards
#   crash NAME / restart NAME / reboot NAME / lose_power NAME
#   readdress NAME ADDRESS       it has another address, and its name leads there
#   fill NAME / free NAME        its disk is full / has room again
#   jump NAME TIME               its Node sees a clock that is so far off: +1d, -1h, +0. For machines that were
#                                made with OWN_CLOCKS=yes
#   install_packages NAME FOLDER   kozo and kozoctl, of this folder of the machine
#   said NAME MATCH...           the journal has such an entry of its Node
#   now, add TIME SECONDS        a time, for these:
#   delivered_between T1 T2 [PATTERN] / missing_after T [PATTERN]
#                                after `accounted`: how many Messages, from one Node to another as the pattern
#                                FROM-TO says
#
# And those of ../lib.sh: at, put, not, eventually. HEARTBEAT is that of the System, in seconds.

# shellcheck source=../lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# What a minimal Debian with systemd and D-Bus has; the last are for the lab alone.
lab_packages=systemd,systemd-sysv,dbus,iproute2,procps,python3,libfaketime

HEARTBEAT=1
OWN_CLOCKS=

# Seconds until all are linked at first.
MESH_PATIENCE=20

# What a machine may write, to its memory.
MESH_DISK=400m

mesh=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
declare -A mesh_suite=() mesh_address=()
mesh_names=()

# Says which step has failed, of a trap on ERR.
mesh_failed() { # COMMAND
    local frame
    [ $BASH_SUBSHELL -eq 0 ] || return 0
    printf 'failed: %s\n' "$1" >&2
    for ((frame = 1; frame < ${#BASH_SOURCE[@]}; frame++)); do
        printf '    in %s:%s\n' "${BASH_SOURCE[frame]##*/}" "${BASH_LINENO[frame - 1]}" >&2
    done
}

# A machine of a suite with the layers on top of its root file system, the uppermost first.
mesh_machine() { # NAME SUITE [LAYER]
    local folder=$lab_run/$1 lower
    lower=$(lab_base "$2")
    [ -z "${3:-}" ] || lower=$3:$lower
    lab_kind[$1]=container
    lab_number[$1]=$((${#lab_number[@]} + 1))
    mkdir "$folder"
    mount -t tmpfs -o size=$MESH_DISK tmpfs "$folder"
    mkdir "$folder/upper" "$folder/work" "$folder/root"
    mount -t overlay overlay -o "lowerdir=$lower,upperdir=$folder/upper,workdir=$folder/work" \
        "$folder/root"
    echo "$1" > "$folder/root/etc/hostname"
    tr -d - < /proc/sys/kernel/random/uuid > "$folder/root/etc/machine-id"
    # It has no way out: what it installs comes from our repository.
    [ -n "${3:-}" ] || rm -f "$folder"/root/etc/apt/sources.list{,.d/*}
    mesh_suite[$1]=$2
}

# A machine with Kōzō installed. The lab of ../vm makes them otherwise.
mesh_make() { # NAME SUITE
    mesh_machine "$1" "$2" "$(mesh_layer "$2")"
    cp -r "$MESH_LAYERS/next" "$lab_run/$1/root/srv/kozo-next"
}

# The layer that the installation has left, see `run`.
mesh_layer() { # SUITE
    echo "$MESH_LAYERS/$1"
}

machines() { # NAME:SUITE...
    local name which
    for which in "$@"; do
        name=${which%:*}
        mesh_names+=("$name")
        mesh_make "$name" "${which#*:}"
        mesh_address[$name]=10.77.0.${lab_number[$name]}
        ssh-keygen -q -t ed25519 -N '' -C '' -f "$lab_run/$name/key"
        install -m 0600 "$lab_run/$name/key" "$lab_run/$name/root/etc/kozo/$name.key"
        install "$mesh/sender" "$lab_run/$name/root/usr/local/bin/sender"
        touch "$lab_run/sent.$name"
        mesh_service "$name"
    done
    for name in "${mesh_names[@]}"; do
        mesh_configuration | put "$name" /etc/kozo/kozo.yml
    done
    for name in "${mesh_names[@]}"; do
        mesh_boot "$name"
        at "$name" systemctl --quiet enable --now "kozo@$name"
    done
    linked "$MESH_PATIENCE"
}

# What is different here from a Node at its user's.
mesh_service() { # NAME
    {
        echo '[Service]'
        # The journal is for what happens; what the loggers print is in their files too.
        echo 'Environment=KOZO_LOG=warn,kozo=info,kozo::daemon=warn'
        # One clock for all on this machine: only the Node is made to see another one.
        [ -z "$OWN_CLOCKS" ] || cat <<-'UNIT'
			Environment=LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1
			Environment=FAKETIME_TIMESTAMP_FILE=/etc/kozo/clock FAKETIME_NO_CACHE=1
			Environment=FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_DISABLE_SHM=1
			UNIT
    } | put "$1" /etc/systemd/system/kozo@.service.d/lab.conf
    echo +0 | put "$1" /etc/kozo/clock
}

mesh_boot() { # NAME
    boot "$1"
    mesh_readdress "$1"
}

mesh_readdress() { # NAME: its address, and all names in all machines that run, are as they should be
    local name
    at "$1" ip address flush dev host0 scope global
    at "$1" ip address add "${mesh_address[$1]}/24" dev host0
    for name in "${mesh_names[@]}"; do
        [ -n "${lab_leader[$name]:-}" ] || continue
        {
            echo 127.0.0.1 localhost
            for other in "${mesh_names[@]}"; do
                echo "${mesh_address[$other]} $other"
            done
        } | put "$name" /etc/hosts
    done
}

readdress() { # NAME ADDRESS
    mesh_address[$1]=$2
    mesh_readdress "$1"
}

mesh_configuration() {
    local name
    echo "heartbeat: $HEARTBEAT"
    echo 'system:'
    for name in "${mesh_names[@]}"; do
        cat <<-YAML
		    $name:
		        privateKey: /etc/kozo/$name.key
		        publicKey: $(cat "$lab_run/$name/key.pub")
		        roleStorage: /var/lib/kozo/storage
		        roles:
		            message_injector:
		                log: false
		            ticks-of-$name:
		                type: timer
		                log: false
		            cuckoo:
		                timer: ticks-of-$name
		                log: false
		            logger:
		                file: /var/log/kozo/$name.log
		                flushEvery: 1
		                rotateEvery: 0
		        transports:
		            tcp:
		                address: $name
		YAML
    done
}

others() { # NAME
    local name
    for name in "${mesh_names[@]}"; do
        [ "$name" = "$1" ] || echo "$name"
    done
}

linked() { # SECONDS
    local name deadline=$((SECONDS + $1))
    for name in "${mesh_names[@]}"; do
        # Where no Node runs yet there is nothing that could wait.
        until mesh_is_linked "$name" $((deadline > SECONDS ? deadline - SECONDS : 1)); do
            if [ $SECONDS -ge $deadline ]; then
                echo "not connected after $1 s, seen from $name" >&2
                at "$name" kozoctl peers >&2
                return 1
            fi
            sleep 0.1
        done
    done
}

mesh_is_linked() { # NAME SECONDS
    # shellcheck disable=SC2046 # one condition each
    at "$1" kozoctl wait $(others "$1" | sed 's/.*/peer=&:up/') --timeout "$2s" >/dev/null 2>&1
}

mesh_state() { # NAME PEER
    at "$1" kozoctl --json peer "$2" | jq -r .state
}

mesh_is_parted() { # NAME
    local other
    for other in $(others "$1"); do
        [ "$(mesh_state "$other" "$1")" != up ] || return 1
    done
}

parted() { # SECONDS NAME
    eventually "$1" mesh_is_parted "$2"
}

# The bridge's end of a machine's cable.
mesh_port() { # NAME
    local index
    index=$(at "$1" cat /sys/class/net/host0/iflink)
    ip -o link | sed -nE "s/^$index: ([^:@]+).*/\1/p"
}

unplug() { # NAME
    ip link set "$(mesh_port "$1")" down
}

silence() { # NAME: its cable leads nowhere, and nobody is told
    ip link set "$(mesh_port "$1")" nomaster
}

heal() { # NAME
    local port
    port=$(mesh_port "$1")
    ip link set "$port" up
    ip link set "$port" master "$lab_bridge"
}

now() {
    echo "$EPOCHREALTIME"
}

add() { # TIME SECONDS
    awk -v time="$1" -v seconds="$2" 'BEGIN { printf "%.6f\n", time + seconds }'
}

said() { # NAME MATCH...: its journal has such an entry of its Node
    local name=$1
    shift
    [ -n "$(at "$name" journalctl -q -u "kozo@$name" -o cat "$@")" ]
}

# What a Node has counted, for the account: before it ends, and at last.
ledger() { # NAME
    at "$1" kozoctl --json status >> "$lab_run/ledger.$1" || true
}

# What a process has in its hands when it ends is gone with it. It ends between these two.
mesh_ends() { # NAME
    ledger "$1"
    mesh_ended "$1"
}

mesh_ended() { # NAME
    echo "$1 $(now)" >> "$lab_run/ends"
}

crash() { # NAME
    mesh_ends "$1"
    at "$1" systemctl kill --signal=KILL --kill-whom=main "kozo@$1"
}

restart() { # NAME
    mesh_ends "$1"
    at "$1" systemctl restart "kozo@$1"
    mesh_ended "$1"
}

reboot() { # NAME
    mesh_ends "$1"
    # What came into the machine by nsenter would be stopped with all else there, and never go on.
    at "$1" pkill -x sender || true
    power_off "$1"
    mesh_ended "$1"
    mesh_back "$1"
}

lose_power() { # NAME
    mesh_ends "$1"
    lab_kill "$1"
    mesh_back "$1"
}

mesh_back() { # NAME: it boots again, and sends again if it did
    mesh_boot "$1"
    [ ! -e "$lab_run/traffic" ] || mesh_send "$1"
}

install_packages() { # NAME FOLDER
    mesh_ends "$1"
    at "$1" sh -c 'dpkg --install "$1"/kozo_*.deb "$1"/kozoctl_*.deb' sh "$2" > "$lab_run/installed.$1" 2>&1 || {
        cat "$lab_run/installed.$1"
        return 1
    }
    mesh_ended "$1"
}

fill() { # NAME
    at "$1" sh -c 'cat /dev/zero > /var/fill' 2>/dev/null || true
}

free() { # NAME
    at "$1" rm /var/fill
}

jump() { # NAME TIME
    # Whole, as the Node looks at any time.
    echo "$2" | put "$1" /etc/kozo/clock.new
    at "$1" mv /etc/kozo/clock.new /etc/kozo/clock
}

# Its list is kept outside of the machine, which may be without power, or have a full disk.
mesh_send() { # NAME
    local last
    last=$(tail -n 1 "$lab_run/sent.$1")
    # Who lost his power may have given one more to the Node than he has written down: its number is not
    # given twice.
    at "$1" /usr/local/bin/sender "$1" "$(cat "$lab_run/traffic")" $((${last%% *} + 1)) \
        </dev/null >> "$lab_run/sent.$1" 2>/dev/null &
}

traffic() { # [RATE]
    local name
    echo "${1:-100}" > "$lab_run/traffic"
    for name in "${mesh_names[@]}"; do
        mesh_send "$name"
    done
}

no_more_traffic() {
    local name
    rm "$lab_run/traffic"
    for name in "${mesh_names[@]}"; do
        at "$name" pkill -x sender
    done
}

accounted() {
    local name
    no_more_traffic
    # Until what was sent is written, and until each knows what the others have got.
    sleep $((3 + 2 * HEARTBEAT))
    touch "$lab_run/ends"
    for name in "${mesh_names[@]}"; do
        ledger "$name"
        at "$name" cat "/var/log/kozo/$name.log" > "$lab_run/got.$name"
    done
    "$mesh/account" "$lab_run" "${mesh_names[@]}"
}

# After `accounted`: Messages sent between two times, between those Nodes whose names, FROM-TO, match.
delivered_between() { # T1 T2 [PATTERN]
    # shellcheck disable=SC2086 # a pattern
    awk -v a="$1" -v b="$2" '$2 > a && $2 < b && $3 == "delivered"' "$lab_run"/fate.${3:-*} | wc -l
}

missing_after() { # T [PATTERN]
    # shellcheck disable=SC2086 # a pattern
    awk -v a="$1" '$2 > a && $3 != "delivered"' "$lab_run"/fate.${2:-*} | wc -l
}

minute_away() { # FAULT NAME
    local gone healed back
    traffic
    sleep 3
    "$1" "$2"
    parted $((3 * HEARTBEAT + 1)) "$2"
    gone=$(now)
    sleep 60
    healed=$(now)
    heal "$2"
    linked 5
    back=$(now)
    sleep 3
    accounted
    # Nothing was kept for later, nothing is lost any more.
    [ "$(delivered_between "$gone" "$healed" "*$2*")" = 0 ]
    [ "$(missing_after "$back")" = 0 ]
}

# At a terminal, as a user does, but for the pager. What goes to standard error is kept.
type_in() { # NAME FILE [KEYBOARD]: what is typed meanwhile comes from KEYBOARD
    put "$1" /root/steps < "$2"
    at "$1" env TERM=linux SYSTEMD_PAGER=cat script --quiet --return --command \
        'cd && bash -eu -o pipefail steps 2>complaints' /dev/null <"${3:-/dev/null}" | tr -d '\r' || {
        at "$1" cat /root/complaints
        return 1
    }
    at "$1" cat /root/complaints >> "$lab_run/complaints.$1"
}

# For `install_by_readme`, into a machine that does not run yet: the repository, and a sudo that asks nothing.
offer() { # NAME REPOSITORY
    local root=$lab_run/$1/root
    cp -r "$2" "$root/srv/kozo"
    printf '#!/bin/sh\nexec "$@"\n' | install /dev/stdin "$root/usr/local/bin/sudo"
}

# The chapter "Install" of README.md, exactly as it is written.
install_by_readme() { # NAME
    local before warned
    [ -d "$lab_run/install" ] || blocks README.md Install "$lab_run/install"
    before=$(at "$1" journalctl -q -n 1 --show-cursor | sed -n 's/^-- cursor: //p')
    type_in "$1" "$lab_run"/install/*' sh on every machine' > "$lab_run/installed"
    # Nothing else has come with them, nothing has been said of them, and nothing runs.
    grep -qE "^(0 upgraded, 2 newly installed|  ?Upgrading: 0, Installing: 2)" "$lab_run/installed" || {
        cat "$lab_run/installed"
        return 1
    }
    not grep . "$lab_run/complaints.$1"
    warned=$(at "$1" journalctl -q --after-cursor="$before" -p warning)
    [ -z "$warned" ] || {
        echo "$warned"
        return 1
    }
    [ -z "$(at "$1" systemctl list-units --plain --no-legend 'kozo@*' 'kozo-transport@*')" ]
    [ "$(at "$1" systemctl is-system-running)" = running ]
}
