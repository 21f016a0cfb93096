# Booted Debian machines for tests: functions to be used by the scenarios beside this file.
#
# A machine is a systemd-nspawn container with its own systemd, D-Bus, polkit and journal, made of a root
# file system that is built once and cached, with an overlay of its own on top. All of it is gone when
# the script ends, however it ends. vm/ has machines of another kind.
#
#   machine NAME               makes a machine with everything of Kōzō installed, not yet booted
#   put NAME PATH              writes standard input to a file of a machine, booted or not
#   boot NAME                  boots it and waits until it runs; again after `power_off`
#   at NAME COMMAND...         runs a command in it
#   power_off NAME             stops it in an orderly way
#   blocks DOCUMENT CHAPTER FOLDER   writes the code blocks of a chapter into files of a folder, see there
#   not COMMAND...             fails when it succeeds (a `!` would not end a script)
#   eventually SECONDS COMMAND...   waits until a command succeeds, and fails when it does not in time
#
# Booted machines see each other by their names, on a bridge of their own. They are of Debian 12, or of
# what $KOZO_LAB_SUITE says, for instance trixie.

# What is in the root file system; another list is another file system.
lab_packages=systemd,systemd-sysv,dbus,polkitd,procps,iproute2,openssh-client,python3,jq,socat
lab_suite=${KOZO_LAB_SUITE:-bookworm}
lab_cache=${KOZO_LAB_CACHE:-/var/cache/kozo-lab}

lab_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
lab_bridge=kozo$$
lab_run=
# How many times as long as said `eventually` waits, for machines that are slower than this one.
lab_slowness=1
# Of each machine: of which kind it is, KIND in the functions `KIND_boot`, `KIND_at`, `KIND_shut_down` and
# `KIND_gone`; the process that ends when it does; the one by which it is reached and killed.
declare -A lab_kind=() lab_process=() lab_leader=() lab_number=()

# The root file system of the suite, which is built if it is not there.
lab_base() { # SUITE: says where it is
    local root
    root=$lab_cache/$1-$(printf %s "$lab_packages" | sha256sum | cut -c -12)
    mkdir -p "$lab_cache"
    (
        flock 9
        [ -d "$root" ] && exit
        echo "Building a root file system in $root" >&2
        # If it was killed before, /proc may still be mounted in there.
        rm -rf --one-file-system "$root.new"
        mmdebstrap --quiet --variant=important --include="$lab_packages" "$1" "$root.new" >&2
        mv "$root.new" "$root"
    ) 9>"$lab_cache/lock"
    echo "$root"
}

lab_begin() {
    lab_root=$(lab_base "$lab_suite")
    trap lab_end EXIT
    lab_run=$(mktemp -d /run/kozo-lab.XXXXXX)
    ip link add "$lab_bridge" type bridge
    ip link set "$lab_bridge" up
}

lab_end() {
    local code=$? name
    trap - EXIT
    for name in "${!lab_number[@]}"; do
        if [ $code -ne 0 ] && [ -n "${lab_leader[$name]:-}" ]; then
            printf '\n== journal of %s\n' "$name"
            at "$name" journalctl --no-pager -b -n ${LABN:-80} -o short-precise || true
        fi
    done
    lab_clear
    ip link delete "$lab_bridge" 2>/dev/null || true
    [ -z "$lab_run" ] || rm -rf --one-file-system "$lab_run"
    exit $code
}

lab_clear() { # ends all machines, and forgets them
    local name
    for name in "${!lab_number[@]}"; do
        lab_kill "$name"
        ! mountpoint -q "$lab_run/$name/root" || umount "$lab_run/$name/root"
        umount "$lab_run/$name"
        rmdir "$lab_run/$name"
    done
    lab_number=()
}

lab_kill() { # NAME
    [ -n "${lab_process[$1]:-}" ] || return 0
    kill -KILL "${lab_leader[$1]:-${lab_process[$1]}}" 2>/dev/null || true
    lab_gone "$1"
}

lab_gone() { # NAME: waits for its end
    wait "${lab_process[$1]}" 2>/dev/null || true
    "${lab_kind[$1]}_gone" "$1"
    lab_process[$1]='' lab_leader[$1]=''
}

lab_files() { # FOLDER: installs Kōzō there, as its packages will
    local program tree
    for program in kozo kozoctl; do
        [ -x "$lab_top/target/release/$program" ] &&
            install -D -t "$1/usr/bin" "$lab_top/target/release/$program"
    done
    install -D -t "$1/usr/lib/systemd/system-generators" "$lab_top/target/release/kozo-generator"
    for tree in systemd dbus; do
        [ -d "$lab_top/$tree" ] && cp -rT "$lab_top/$tree" "$1"
    done
    mkdir -p "$1/etc/kozo"
    systemd-sysusers --root="$1" 2>/dev/null
    journalctl --root="$1" --update-catalog
}

machine() { # NAME
    local folder=$lab_run/$1
    lab_kind[$1]=container
    lab_number[$1]=$((${#lab_number[@]} + 1))
    mkdir "$folder"
    mount -t tmpfs tmpfs "$folder"
    mkdir "$folder/upper" "$folder/work" "$folder/root"
    mount -t overlay overlay -o "lowerdir=$lab_root,upperdir=$folder/upper,workdir=$folder/work" \
        "$folder/root"
    lab_files "$folder/root"
    echo "$1" > "$folder/root/etc/hostname"
}

put() { # NAME PATH
    if [ -n "${lab_leader[$1]:-}" ]; then
        at "$1" sh -c 'mkdir -p "$(dirname "$1")" && cat > "$1"' put "$2"
    else
        mkdir -p "$(dirname "$lab_run/$1/root$2")"
        cat > "$lab_run/$1/root$2"
    fi
}

boot() { # NAME
    local name=$1 other
    "${lab_kind[$name]}_boot" "$name"
    at "$name" ip address add "10.77.0.${lab_number[$name]}/24" dev host0
    at "$name" ip link set host0 up
    for other in "${!lab_number[@]}"; do
        echo "10.77.0.${lab_number[$other]} $other"
    done | at "$name" tee -a /etc/hosts >/dev/null
}

at() { # NAME COMMAND...
    "${lab_kind[$1]}_at" "$@"
}

power_off() { # NAME
    "${lab_kind[$1]}_shut_down" "$1"
    lab_gone "$1"
}

container_boot() { # NAME
    # Each in a control group of its own, or their systemds would take each other's for theirs. The system calls are
    # those that programs of Roles are confined by, which some versions of nspawn do not know.
    setsid systemd-nspawn --quiet --boot --directory="$lab_run/$1/root" \
        --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" \
        --machine="$1-$$" --register=no --keep-unit --resolv-conf=off \
        --network-bridge="$lab_bridge" --console=pipe \
        </dev/null >"$lab_run/$1/console" 2>&1 &
    lab_process[$1]=$!
    eventually 20 lab_find_leader "$1"
    eventually 60 lab_is_running "$1"
}

container_at() { # NAME COMMAND...
    local leader=${lab_leader[$1]}
    shift
    nsenter --target "$leader" --all --wdns=/ env -i PATH="$PATH" HOME=/root LANG=C.UTF-8 "$@"
}

container_shut_down() { # NAME
    # What `systemctl poweroff` comes to, without an answer that may not arrive.
    kill -RTMIN+4 "${lab_leader[$1]}"
}

container_gone() { # NAME
    :
}

# The child of systemd-nspawn that is process 1 in there: there are others, for a moment.
lab_find_leader() { # NAME
    local child
    for child in $(pgrep -P "${lab_process[$1]}"); do
        if grep -qsE '^NSpid:.*\s1$' "/proc/$child/status"; then
            lab_leader[$1]=$child
            return
        fi
    done
    return 1
}

lab_is_running() { # NAME
    case $(at "$1" systemctl is-system-running 2>/dev/null) in
        running | degraded) ;;
        *) return 1 ;;
    esac
}

eventually() { # SECONDS COMMAND...
    # One more, as SECONDS drops what has passed of the second in which this begins.
    local deadline=$((SECONDS + $1 * lab_slowness + 1))
    shift
    until "$@"; do
        if [ $SECONDS -ge $deadline ]; then
            echo "not within the time: $*" >&2
            return 1
        fi
        sleep 0.1
    done
}

not() { # COMMAND...
    if "$@"; then
        echo "succeeded, but should not have: $*" >&2
        return 1
    fi
}

blocks() { # DOCUMENT CHAPTER FOLDER: the files are called `NUMBER INFO`
    mkdir "$3"
    awk -v chapter="## $2" -v folder="$3" '
        /^## / { wanted = $0 == chapter }
        /^```/ && wanted {
            if (file) {
                close(file)
                file = ""
            } else {
                file = sprintf("%s/%02d %s", folder, ++count, substr($0, 4))
            }
            next
        }
        file { print > file }
        END { exit !count }' "$lab_top/$1"
}
