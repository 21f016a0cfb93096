# Motion at a pin of one machine is seen on the other: simulated pins of a chip, and of what looks like a Raspberry Pi.
# The Role comes with a package, and works after that and a restart.

machines clock:amd64 scribe:bookworm
exposure=$(at clock systemd-analyze security kozo@clock | grep -o 'exposure level.*')

# Gives clock a Role `hall` with these lines of YAML, parted by \n and indented as in the file.
has_motion() { # LINES
    mesh_configuration | sed "/^    clock:/,/roles:/ s|^        roles:|&\n            hall:\n                $1|" |
        put clock /etc/kozo/kozo.yml
}

says() { # WORDS: the Role does, in its status
    at clock kozoctl role hall | grep -q "$1"
}

chip() { # NAME LABEL LINES: makes a chip
    at clock sh -ec '
        modprobe gpio-sim
        mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
        cd /sys/kernel/config/gpio-sim
        mkdir "$1" "$1/bank"
        echo "$2" > "$1/bank/label"
        echo "$3" > "$1/bank/num_lines"
        echo 1 > "$1/live"' chip "$@"
}

pull() { # NAME LINE up|down
    at clock sh -ec '
        cd /sys/kernel/config/gpio-sim
        echo "pull-$3" > "/sys/devices/platform/$(cat "$1/dev_name")/$(cat "$1/bank/chip_name")/sim_gpio$2/pull"' pull "$@"
}

# Events at scribe from now on, into the file `events`.
watching=
watch_events() {
    [ -z "$watching" ] || kill "$watching"
    at scribe kozoctl --json monitor 'motion*' > "$lab_run/events" &
    watching=$!
    eventually 10 at scribe kozoctl --json status >/dev/null
}

seen() { # true|false
    jq -e --argjson data "$1" 'select(.data == $data and .node == "clock" and .role == "hall")' "$lab_run/events" | grep -q .
}

# Not installed: the Node goes on without it, and says what to install.
has_motion 'type: motion-detect\n                pin: 3\n                chip: hall'
at clock systemctl restart kozo@clock
linked 120
says 'install the package kozo-role-motion-detect'
at clock kozoctl roles | grep -q 'hall.*failed'

at clock apt-get install --quiet --yes kozo-role-motion-detect
at clock systemctl restart kozo@clock
linked 120
eventually 5 says "there is no GPIO chip 'hall'"

# The chip comes, and a level at a pin of it is seen elsewhere.
chip one hall 8
eventually 10 says ' no motion at pin 3 of gpiochip. (hall)'
watch_events
eventually 10 seen false
pull one 3 up
eventually 5 seen true
says ' motion at pin 3'
eventually 5 at scribe grep -q 'motion started' /var/log/kozo/scribe.log
pull one 3 down
eventually 5 says ' no motion'

# A Raspberry Pi: what it is, a chip with the label of its pins, and their registers, where a level is a bit.
at clock sh -ec '
    mount -t tmpfs tmpfs /sys/firmware
    mkdir -p /sys/firmware/devicetree/base
    printf "raspberrypi,4-model-b\0brcm,bcm2711\0" > /sys/firmware/devicetree/base/compatible
    truncate -s 4096 /dev/gpiomem
    chgrp gpio /dev/gpiomem
    chmod 0660 /dev/gpiomem'
chip two pinctrl-bcm2711 58
has_motion 'type: motion-detect'
at clock systemctl restart kozo@clock
linked 120
eventually 10 says ' no motion at pin 18 of the Raspberry Pi 4 B'
watch_events
# The bit of pin 18 in the register GPLEV0, at 0x34.
at clock sh -c 'printf "\004" | dd of=/dev/gpiomem bs=1 seek=54 conv=notrunc status=none'
pull two 18 up
eventually 5 seen true
says ' motion at pin 18 of the Raspberry Pi 4 B'

# A chip that goes away and comes back.
has_motion 'type: motion-detect\n                pin: 3\n                chip: hall'
at clock systemctl restart kozo@clock
linked 120
eventually 10 says ' no motion at pin 3'
at clock sh -c 'echo 0 > /sys/kernel/config/gpio-sim/one/live'
eventually 10 says "pin 3 of gpiochip. (hall) cannot be read any more\|there is no GPIO chip 'hall'"
at clock sh -c 'echo 1 > /sys/kernel/config/gpio-sim/one/live'
eventually 30 says ' no motion at pin 3'
at clock kozoctl roles | grep -q 'hall.*running'

echo "measured: $exposure; with the Role: $(at clock systemd-analyze security kozo@clock | grep -o 'exposure level.*')"

# Without the package the Node goes on.
at clock apt-get remove --quiet --yes kozo-role-motion-detect
at clock systemctl restart kozo@clock
linked 120
says 'install the package kozo-role-motion-detect'
kill "$watching" 2>/dev/null || true
