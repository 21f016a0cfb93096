# Motion at pins of one machine is seen on the other: simulated pins of a chip, and of what looks like a Raspberry Pi. The
# Role comes with a package, and works after that and a restart.

machines clock:amd64 scribe:bookworm
before=$(exposure clock)

# The Node restarts with these Roles, each a line: NAME, and its options in the braces of YAML.
with_roles() { # ROLE...
    local roles
    roles=$(printf '\\n            %s' "$@")
    mesh_configuration | sed "/^    clock:/,/roles:/ s|^        roles:|&$roles|" | put clock /etc/kozo/kozo.yml
    at clock systemctl daemon-reload
    at clock systemctl restart kozo@clock
    linked 120
}

says() { # ROLE WORDS: in what kozoctl shows of it
    grep -q "$2" <<< "$(at clock kozoctl role "$1")"
}

live() { # NAME 0|1: it goes away, or comes back
    at clock sh -c 'echo "$2" > "/sys/kernel/config/gpio-sim/$1/live"' live "$@"
}

seen() { # ROLE true|false
    [ -n "$(jq --arg role "$1" --argjson data "$2" \
        'select(.type == "motion detection" and .node == "clock" and .role == $role and .data == $data)' \
        "$events")" ]
}

# Not installed: the Node goes on without it, and says what to install.
with_roles 'hall: {type: motion-detect, chip: hall, pin: 3}'
says hall 'install the package kozo-role-motion-detect'
grep -q 'hall.*failed' <<< "$(at clock kozoctl roles)"

at clock apt-get install --quiet --yes kozo-role-motion-detect
# By edges alone within an hour, by looks alone, and what is set otherwise.
with_roles 'hall: {type: motion-detect, chip: hall, pin: 3, period: 1h}' \
    'looks: {type: motion-detect, chip: hall, pin: 4, period: 100ms, edges: false}' \
    'low: {type: motion-detect, chip: hall, pin: 5, activeLow: true}' \
    'biased: {type: motion-detect, chip: hall, pin: 6, bias: pullUp}' \
    'nowhere: {type: motion-detect, chip: hall, pin: 8}' \
    'twice: {type: motion-detect, chip: hall, pin: 7}' \
    'again: {type: motion-detect, chip: hall, pin: 7}'
eventually 5 says hall "there is no GPIO chip 'hall'"

# The chip comes, and a level at a pin of it is seen elsewhere.
chip clock one hall 8
for role in hall looks; do
    eventually 10 says $role ' no motion at pin [34] of gpiochip. (hall)'
done
for role in low biased; do
    eventually 10 says $role ' motion at pin'
    not says $role 'no motion'
done
eventually 10 says nowhere 'it has the pins 0 to 7'
is_taken() { # ROLE OTHER: one of the two has the pin
    says "$1" 'no motion' && says "$2" 'is in use by' || { says "$2" 'no motion' && says "$1" 'is in use by'; }
}
eventually 10 is_taken twice again
watch_events scribe 'motion*'
eventually 10 seen looks false
not seen hall false
for level in up down; do
    [ $level = up ] && data=true || data=false
    for pin in 3 4 5; do
        pull clock one $pin $level
    done
    eventually 5 seen hall $data
    eventually 5 seen looks $data
done
eventually 5 seen low true
eventually 5 says looks ' no motion'
eventually 5 at scribe grep -q 'motion started' /var/log/kozo/scribe.log
eventually 5 at scribe grep -q 'motion stopped' /var/log/kozo/scribe.log

# A Raspberry Pi: what it is, a chip with the label of its pins, and their registers, where a level is a bit.
at clock sh -ec '
    mount -t tmpfs tmpfs /sys/firmware
    mkdir -p /sys/firmware/devicetree/base
    printf "raspberrypi,4-model-b\0brcm,bcm2711\0" > /sys/firmware/devicetree/base/compatible
    truncate -s 4096 /dev/gpiomem
    chgrp gpio /dev/gpiomem
    chmod 0660 /dev/gpiomem'
chip clock two pinctrl-bcm2711 58
with_roles 'hall: {type: motion-detect, period: 1h}' \
    'board: {type: motion-detect, pin: 17}' \
    'lines: {type: motion-detect, pin: 17, chip: pinctrl-bcm2711}'
eventually 10 says hall ' no motion at pin 18 of the Raspberry Pi 4 B'
eventually 10 is_taken board lines
watch_events scribe 'motion*'
# The kernel tells the edge. Then the bit of the pin in the register GPLEV0, at 0x34, tells the level.
pull clock two 18 up
eventually 5 seen hall true
at clock sh -c 'printf "\004" | dd of=/dev/gpiomem bs=1 seek=54 conv=notrunc status=none'
at clock kozoctl role hall restart
eventually 10 says hall ' motion at pin 18 of the Raspberry Pi 4 B'

# What the service is allowed. A chip goes away and comes back.
with_roles 'hall: {type: motion-detect, chip: hall, pin: 3}'
eventually 10 says hall ' no motion at pin 3'
echo "measured: $before; with the Role: $(exposure clock)"
[ "$(at clock systemctl show --property DevicePolicy --value kozo@clock)" = closed ]
at clock systemctl show --property DeviceAllow --value kozo@clock | tr ' ' '\n' > "$lab_run/allowed"
# ProtectClock= lets the clock of the machine be read.
not grep -vxE '(char-gpiochip|/dev/gpiomem0?|rw|char-rtc|r)?' "$lab_run/allowed"
live one 0
eventually 10 says hall "cannot be read any more\|there is no GPIO chip 'hall'"
live one 1
eventually 30 says hall ' no motion at pin 3'
grep -q 'hall.*running' <<< "$(at clock kozoctl roles)"

# Without the package the Node goes on.
at clock apt-get remove --quiet --yes kozo-role-motion-detect
with_roles 'hall: {type: motion-detect, chip: hall, pin: 3}'
says hall 'install the package kozo-role-motion-detect'
kill "$watching"
