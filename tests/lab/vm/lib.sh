# Machines with a kernel of their own, emulated, with Kōzō installed from its packages: the words that the scenarios
# beside this file are made of.
#
# A scenario is written like those of ../mesh, with the words of ../mesh/lib.sh. In `machines NAME:SUITE...` a SUITE
# that is an architecture, amd64 or arm64, makes a guest of QEMU, another one a container, on the same bridge. What
# cuts a machine off at the bridge (`unplug`, `silence`) is for containers: guests are reached through it. Besides:
#
#   guest NAME ARCH [DISK]   makes a guest, not yet booted, with the disk of `build` or another one; its files are
#                            below $lab_run/NAME/root until it boots
#   boot_time NAME           says how long its last boot took, by its own clock
#   has_crossed ARCH         goes on only if there are packages for it
#   exposure NAME            what systemd says of the sandbox of its Node, as a text
#   memory_of NAME PROGRAM   what a program there has in memory, as a text
#   chip NAME CHIP LABEL LINES / pull NAME CHIP LINE up|down   makes a chip of simulated GPIO pins / a level at one
#   watch_events NAME PATTERN*   Events of these types that come to it from now on are in the file $events
#   radio NAME...            gives guests Bluetooth, see radio/lib.sh for this and what more there is
#   not_run WHY              ends the scenario, and says in the summary of all tests why it could not be run
#
# No KVM is used, as what tests run on is often a virtual machine already: a guest is some ten times slower than the
# machine it is on, and all deadlines here are generous.

# shellcheck source=../mesh/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../mesh/lib.sh"

HEARTBEAT=3
MESH_PATIENCE=120
lab_slowness=10

# What a guest may write, and what is on its disk, in memory.
GUEST_DISK=1g

vm=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=radio/lib.sh
. "$vm/radio/lib.sh"
declare -A guest_arch=() guest_files=()
declare -A guest_emulator=([arm64]=qemu-system-aarch64 [armhf]=qemu-arm-static)

# The packages of all architectures, as `make packages-all` leaves them.
crossed=${KOZO_CROSSED:-$lab_top/target/all}

guest() { # NAME ARCH [DISK]
    local folder=$lab_run/$1
    guest_files[$1]=$("$vm/build" "$2")
    guest_arch[$1]=$2
    lab_kind[$1]=guest
    lab_number[$1]=$((${#lab_number[@]} + 1))
    mkdir "$folder"
    mount -t tmpfs -o size=$GUEST_DISK tmpfs "$folder"
    mkdir "$folder/root"
    cp --sparse=always "${3:-${guest_files[$1]}/disk}" "$folder/disk"
    mount -o loop "$folder/disk" "$folder/root"
    echo "$1" > "$folder/root/etc/hostname"
    tr -d - < /proc/sys/kernel/random/uuid > "$folder/root/etc/machine-id"
}

# The chapter "Install" of README.md on a guest. Its disk is that of all others.
install_guest() { # ARCH REPOSITORY
    guest clock "$1"
    offer clock "$2"
    boot clock
    install_by_readme clock
    power_off clock
    mv "$lab_run/clock/disk" "$MESH_LAYERS/$1"
    lab_clear
}

machine() { # NAME: what the scenarios of the service run on
    guest "$1" amd64 "$MESH_LAYERS/amd64"
}

mesh_make() { # NAME SUITE
    case $2 in
        amd64 | arm64) guest "$1" "$2" "$MESH_LAYERS/$2" ;;
        *)
            mesh_machine "$1" "$2"
            guest_install "$1"
            ;;
    esac
}

# Kōzō, without what needs more packages, into a container that does not run yet; `install` is about how a user does it.
guest_install() { # NAME
    local root=$lab_run/$1/root
    cp -r "$lab_top/target/packages" "$root/srv"
    chroot "$root" sh -c 'dpkg --install /srv/packages/kozo_*_amd64.deb /srv/packages/kozoctl_*_amd64.deb' > "$lab_run/$1/installed" 2>&1 || {
        cat "$lab_run/$1/installed"
        return 1
    }
}

guest_boot() { # NAME
    local tap=$lab_bridge.${lab_number[$1]}
    guest_unmount "$1"
    ip tuntap add "$tap" mode tap
    ip link set "$tap" master "$lab_bridge" up
    guest_emulate "$1" "$tap" </dev/null >"$lab_run/$1/qemu" 2>&1 &
    lab_process[$1]=$! lab_leader[$1]=$!
    eventually 24 guest_answers "$1" || {
        cat "$lab_run/$1/qemu" "$lab_run/$1/console"
        return 1
    }
    eventually 24 lab_is_running "$1"
}

# What was written is on the disk only when no process has it mounted any more: a systemd-nspawn that has just begun
# has copied what we have mounted.
guest_unmount() { # NAME
    ! mountpoint -q "$lab_run/$1/root" || umount "$lab_run/$1/root"
    eventually 1 not_in_use "$lab_run/$1/disk"
}

not_in_use() { # DISK
    [ -z "$(losetup --associated "$1")" ]
}

guest_emulate() { # NAME TAP: becomes the emulator
    local files=${guest_files[$1]} machine console
    case ${guest_arch[$1]} in
        amd64)
            machine=(qemu-system-x86_64 -machine q35 -cpu max)
            console="console=ttyS0 tsc=reliable"
            ;;
        arm64)
            # The processor of a Raspberry Pi 4.
            machine=(qemu-system-aarch64 -machine virt -cpu cortex-a72)
            console=console=ttyAMA0
            ;;
    esac
    # cryptomgr.notests: what the kernel computes with is not tested as it is loaded, which took a radio many seconds.
    exec "${machine[@]}" -accel tcg,thread=multi -smp 2 -m 768 \
        -nodefaults -no-user-config -display none -serial "file:$lab_run/$1/console" \
        -kernel "$files/kernel" -initrd "$files/initrd" \
        -append "$console quiet mitigations=off audit=0 cryptomgr.notests net.ifnames=0 panic=-1" \
        -drive "if=none,id=disk,format=raw,file=$lab_run/$1/disk" -device virtio-blk-pci,drive=disk \
        -netdev "tap,id=net,ifname=$2,script=no,downscript=no" \
        -device "virtio-net-pci,netdev=net,romfile=,mac=$(printf '52:54:00:00:00:%02x' "${lab_number[$1]}")" \
        -device virtio-rng-pci
}

# It follows from that of its card, and is kept whatever others the guest is given.
guest_address() { # NAME
    printf 'fe80::5054:ff:fe00:%x' "${lab_number[$1]}"
}

guest_ssh() { # NAME ARGUMENT...
    ssh -F none -i "${guest_files[$1]}/key" -o User=root -o HostName="$(guest_address "$1")%%$lab_bridge" \
        -o ControlPath="$lab_run/$1/ssh" -o ConnectTimeout=10 -o LogLevel=ERROR \
        -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "$@"
}

guest_answers() { # NAME: all that follows goes through this connection
    guest_ssh "$1" -M -N -f </dev/null >/dev/null 2>&1
}

guest_at() { # NAME COMMAND...
    guest_ssh "$1" "$(printf '%q ' "${@:2}")"
}

guest_shut_down() { # NAME
    # The answer may not arrive.
    at "$1" systemctl poweroff || true
    eventually 10 not_alive "${lab_process[$1]}"
}

not_alive() { # PROCESS
    ! kill -0 "$1" 2>/dev/null
}

guest_gone() { # NAME
    guest_ssh "$1" -O exit 2>/dev/null || true
    ip link delete "$lab_bridge.${lab_number[$1]}"
}

boot_time() { # NAME
    at "$1" systemd-analyze time | head -n 1
}

exposure() { # NAME
    at "$1" systemd-analyze security "kozo@$1" | grep -o 'exposure level.*: [0-9.]*'
}

memory_of() { # NAME PROGRAM
    at "$1" sh -c 'grep VmRSS "/proc/$(pgrep -x "$1")/status"' memory_of "$2" | cut -d: -f2
}

chip() { # NAME CHIP LABEL LINES
    at "$1" sh -ec '
        modprobe gpio-sim
        mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
        cd /sys/kernel/config/gpio-sim
        mkdir "$1" "$1/bank"
        echo "$2" > "$1/bank/label"
        echo "$3" > "$1/bank/num_lines"
        echo 1 > "$1/live"' chip "${@:2}"
}

pull() { # NAME CHIP LINE up|down
    at "$1" sh -ec '
        cd /sys/kernel/config/gpio-sim
        echo "pull-$3" > "/sys/devices/platform/$(cat "$1/dev_name")/$(cat "$1/bank/chip_name")/sim_gpio$2/pull"' pull "${@:2}"
}

# Another file each time: who wrote the one before may not have ended.
watching='' events=''
watch_events() { # NAME PATTERN*
    [ -z "$watching" ] || kill "$watching"
    events=$(mktemp "$lab_run/events.XXXXXX")
    at "$1" kozoctl --json monitor "$2" > "$events" &
    watching=$!
    eventually 10 is_watching "$1" "${2%\*}-of-nobody"
}

is_watching() { # NAME TYPE
    at "$1" kozoctl inject event "$2" >/dev/null || true
    grep -q "$2" "$events"
}

# The other architectures for which there are packages, and what could execute them.
crossed_architectures() {
    local arch
    for arch in "${!guest_emulator[@]}"; do
        [ -z "$(compgen -G "$crossed/packages/*_$arch.deb")" ] ||
            ! command -v "${guest_emulator[$arch]}" >/dev/null || echo "$arch"
    done
}

# Ends the scenario if it is not one of them.
has_crossed() { # ARCH
    grep -qx "$1" <<< "$(crossed_architectures)" ||
        not_run "there are no packages for $1 (make packages-all), or no ${guest_emulator[$1]}"
}

not_run() { # WHY
    echo "not run: $1"
    exit 0
}
