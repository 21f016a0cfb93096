# Bluetooth for emulated machines: BlueZ on their own kernels, with controllers that btvirt emulates. Sourced by ../lib.sh.
# All that are on one air hear each other. Of amd64 only.
#
#   radio NAME...            each of these machines has a controller, hci0, that is on; the air is in the first of
#                            them, and gone with it
#   radio_plug NAME [HCI] / radio_unplug NAME [HCI]
#                            one more, or one again / it is gone
#   radio_power NAME on|off [HCI]   as a user switches it
#   radio_block NAME / radio_unblock NAME   by rfkill
#   radio_visible NAME on|off [HCI]   it can be found, for three minutes, and then still be called: BlueZ lets no stranger
#                            call a controller that has not been visible since it came, or since bluetoothd began
#   radio_address NAME [HCI]   says its address
#   radio_get NAME PROPERTY [HCI]   what bluetoothd says of it
#   inquiry NAME / inquiry_ends NAME   it looks for others from now on / does not any more
#   knows NAME ADDRESS MATCH   what it has learnt of another one
#   stranger NAME [UUID]     a phone with this name and service is in range from now on: it can be found, and takes no
#                            connections; without a service it says its name only when it is asked. Says its address
#   stranger_gone NAME
#   tcp_away NAME / tcp_back NAME   its addresses are gone, but for the one by which the lab reaches it and the air does
#
# HCI is the number of a controller, 0 if it is not said. bluetoothd is bluetooth.service of the machine.

radio_air=
radio_socket=/tmp/bt-server-bredrle
radio_port=45550

# Linux 6.1 of Debian 12 crashes now and then where one connection of Bluetooth fails while another one begins. A scenario that
# fails after that says nothing of Kōzō.
radio_ends() {
    local code=$? name
    for name in "${!lab_number[@]}"; do
        if [ $code -ne 0 ] && grep -aqE 'kernel BUG at|BUG: ' "$lab_run/$name/console" 2>/dev/null; then
            grep -aE -A 20 'kernel BUG at|BUG: ' "$lab_run/$name/console"
            echo "not run: the kernel of the guest $name has crashed"
            code=0
        fi
    done
    trap - ERR
    set +e
    (exit "$code")
    lab_end
}

radio() { # NAME...
    local name
    trap radio_ends EXIT
    radio_air=$1
    for name in "$@"; do
        # What the kernel would load while a new controller waits, which it gives two seconds.
        at "$name" modprobe -a drbg hci_vhci rfcomm algif_hash algif_skcipher cmac ecb
        put "$name" /usr/local/bin/controller < "$vm/radio/controller"
        at "$name" chmod +x /usr/local/bin/controller
    done
    at "$1" systemd-run --quiet --unit=air btvirt -s
    eventually 1 at "$1" test -S "$radio_socket"
    at "$1" systemd-run --quiet --unit=air-passed-on --socket-property=ListenStream="[::]:$radio_port" \
        /lib/systemd/systemd-socket-proxyd "$radio_socket"
    for name in "$@"; do
        radio_plug "$name"
        radio_power "$name" on
    done
}

# By the address that stays, see guest_address.
radio_way() { # NAME: how it reaches the air
    if [ "$1" = "$radio_air" ]; then
        echo "$radio_socket"
    else
        printf '%s%%host0 %s' "$(guest_address "$radio_air")" "$radio_port"
    fi
}

radio_plug() { # NAME [HCI]
    local tries way
    read -ra way <<< "$(radio_way "$1")"
    for tries in 1 2 3; do
        at "$1" systemd-run --quiet --collect --unit="hci${2:-0}" /usr/local/bin/controller "${way[@]}"
        ! eventually 1 radio_address "$1" "${2:-0}" >/dev/null || return 0
        # The kernel has not waited for it.
        radio_unplug "$@"
    done
    return 1
}

radio_unplug() { # NAME [HCI]
    at "$1" systemctl stop "hci${2:-0}"
}

radio_get() { # NAME PROPERTY [HCI]
    at "$1" busctl get-property org.bluez "/org/bluez/hci${3:-0}" org.bluez.Adapter1 "$2" 2>/dev/null
}

radio_set() { # NAME PROPERTY on|off [HCI]
    local value=true
    [ "$3" = on ] || value=false
    at "$1" busctl set-property org.bluez "/org/bluez/hci${4:-0}" org.bluez.Adapter1 "$2" b "$value" 2>/dev/null
}

# It is refused while bluetoothd or the kernel are busy with a controller that has just come.
radio_power() { # NAME on|off [HCI]
    eventually 2 radio_set "$1" Powered "$2" "${3:-0}"
}

radio_visible() { # NAME on|off [HCI]
    eventually 2 radio_set "$1" Discoverable "$2" "${3:-0}"
}

radio_address() { # NAME [HCI]
    local answer
    answer=$(radio_get "$1" Address "${2:-0}") || return
    answer=${answer#s \"}
    echo "${answer%\"}"
}

radio_block() { # NAME
    at "$1" sh -c 'for soft in /sys/class/rfkill/*/soft; do echo 1 > $soft; done'
}

radio_unblock() { # NAME
    at "$1" sh -c 'for soft in /sys/class/rfkill/*/soft; do echo 0 > $soft; done'
}

stranger() { # NAME [UUID]: says its address
    at "$radio_air" rm -f "/run/stranger-$1"
    at "$radio_air" systemd-run --quiet --collect --unit="stranger-$1" --property=StandardOutput="file:/run/stranger-$1" \
        /usr/local/bin/controller "$radio_socket" -- "$@"
    eventually 1 at "$radio_air" grep . "/run/stranger-$1"
}

stranger_gone() { # NAME
    at "$radio_air" systemctl stop "stranger-$1"
}

tcp_away() { # NAME
    at "$1" ip address flush dev host0 scope global
}

tcp_back() { # NAME
    mesh_readdress "$1"
}

inquiry() { # NAME
    at "$1" systemd-run --quiet --collect --unit=inquiry bluetoothctl --timeout 600 scan bredr
}

inquiry_ends() { # NAME
    at "$1" systemctl stop inquiry
}

knows() { # NAME ADDRESS MATCH
    grep -q "$3" <<< "$(at "$1" bluetoothctl info "$2")"
}
