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
#   unplug NAME / silence NAME     its link at the bridge is down / nothing passes there, but it looks well
#   heal NAME                    it is as before
#   crash NAME / restart NAME / reboot NAME
#   said NAME MATCH...           the journal has such an entry of its Node
#   now, add TIME SECONDS        a time, for these:
#   delivered_between T1 T2 [PATTERN] / missing_after T [PATTERN]
#                                after `accounted`: how many Messages, from one Node to another as the pattern
#                                FROM-TO says#
# And those of ../lib.sh: at, put, not, eventually. HEARTBEAT is that of the System, in seconds.

# shellcheck source=../lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# What a minimal Debian with systemd and D-Bus has; the last are for the lab alone.
lab_packages=systemd,systemd-sysv,dbus,iproute2,procps,libfaketime

HEARTBEAT=${HEARTBEAT:-1}

mesh=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
declare -A mesh_suite=()
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
    lab_number[$1]=$((${#lab_number[@]} + 1))
    mkdir "$folder"
    mount -t tmpfs tmpfs "$folder"
    mkdir "$folder/upper" "$folder/work" "$folder/root"
    mount -t overlay overlay -o "lowerdir=$lower,upperdir=$folder/upper,workdir=$folder/work" \
        "$folder/root"
    echo "$1" > "$folder/root/etc/hostname"
    tr -d - < /proc/sys/kernel/random/uuid > "$folder/root/etc/machine-id"
    # It has no way out: what it installs comes from our repository.
    [ -n "${3:-}" ] || rm -f "$folder"/root/etc/apt/sources.list{,.d/*}
    mesh_suite[$1]=$2
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
        mesh_machine "$name" "${which#*:}" "$(mesh_layer "${which#*:}")"
        ssh-keygen -q -t ed25519 -N '' -C '' -f "$lab_run/$name/key"
        install -m 0600 "$lab_run/$name/key" "$lab_run/$name/root/etc/kozo/$name.key"
        install "$mesh/sender" "$lab_run/$name/root/usr/local/bin/sender"
        mkdir "$lab_run/$name/root/var/sent"
        # The journal is for what happens; what the loggers print is in their files too.
        printf '[Service]\nEnvironment=KOZO_LOG=warn,kozo=info,kozo::daemon=warn\n' |
            put "$name" /etc/systemd/system/kozo@.service.d/quiet.conf
    done
    for name in "${mesh_names[@]}"; do
        mesh_configuration | put "$name" /etc/kozo/kozo.yml
    done
    for name in "${mesh_names[@]}"; do
        boot "$name"
        at "$name" systemctl --quiet enable --now "kozo@$name"
    done
    linked 20
}

mesh_address() { # NAME
    echo "10.77.0.${lab_number[$1]}"
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
		                address: $(mesh_address "$name")
		YAML
    done
}

others() { # NAME
    local name
    for name in "${mesh_names[@]}"; do
        [ "$name" = "$1" ] || echo "$name"
    done
}

linked() { # SECONDS [NAME...]: links of these are up, on both sides; of all if none is named
    local seconds=$1 name deadline=$((SECONDS + $1))
    shift
    [ $# -gt 0 ] || set -- "${mesh_names[@]}"
    for name in "${mesh_names[@]}"; do
        # shellcheck disable=SC2046 # one condition each
        at "$name" kozoctl wait $(others "$name" | sed 's/.*/peer=&:up/') \
            --timeout "$((deadline > SECONDS ? deadline - SECONDS : 1))s" >/dev/null || {
            echo "not connected after $seconds s, seen from $name" >&2
            at "$name" kozoctl peers >&2
            return 1
        }
    done
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

mesh_end_of() { # NAME: what a process has in its hands when it ends is gone with it
    ledger "$1"
    echo "$1 $(now)" >> "$lab_run/ends"
}

crash() { # NAME
    mesh_end_of "$1"
    at "$1" systemctl kill --signal=KILL --kill-whom=main "kozo@$1"
}

restart() { # NAME
    mesh_end_of "$1"
    at "$1" systemctl restart "kozo@$1"
}

reboot() { # NAME
    mesh_end_of "$1"
    power_off "$1"
    boot "$1"
    [ ! -e "$lab_run/traffic" ] || mesh_send "$1"
}

mesh_send() { # NAME
    at "$1" systemd-run --quiet --unit=sender /usr/local/bin/sender "$1" "$(cat "$lab_run/traffic")"
}

traffic() { # [RATE]
    local name
    echo "${1:-100}" > "$lab_run/traffic"
    for name in "${mesh_names[@]}"; do
        mesh_send "$name"
    done
}

accounted() {
    local name
    rm "$lab_run/traffic"
    for name in "${mesh_names[@]}"; do
        at "$name" systemctl stop sender
    done
    # Until what was sent is written, and until each knows what the others have got.
    sleep $((3 + 2 * HEARTBEAT))
    touch "$lab_run/ends"
    for name in "${mesh_names[@]}"; do
        ledger "$name"
        at "$name" cat /var/sent/log > "$lab_run/sent.$name"
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
