# Removing stops the Node and keeps what is its user's; purging leaves nothing.

machines clock:bookworm scribe:trixie
# What apt and dpkg have said is in order. One thing that they say is no fault of ours: dpkg of Debian 12 knows
# the folder of generators as /lib/systemd/system-generators, too, and takes it to be two.
quiet() {
    not grep -iE 'warning|error|not empty' \
        <(grep -v "directory '/usr/lib/systemd/system-generators' not empty" "$lab_run/said")
}

show() {
    cat "$lab_run/said"
    false
}

traffic
sleep 2
no_more_traffic
for name in clock scribe; do
    at "$name" apt-get -q -y remove kozo kozoctl > "$lab_run/said" 2>&1 || show
    quiet
    [ -z "$(at "$name" pgrep -x kozo)" ]
    [ -z "$(at "$name" systemctl list-units --plain --no-legend 'kozo*')" ]
    at "$name" test -s "/var/log/kozo/$name.log"
    at "$name" test -s /etc/kozo/kozo.yml -a -s "/etc/kozo/$name.key"
    # What was installed again goes on with it.
    at "$name" apt-get -q -y install kozo kozoctl > "$lab_run/said" 2>&1 || show
    at "$name" systemctl is-active --quiet "kozo@$name"
done
linked 10
# What one of them has stored elsewhere.
at scribe install -d -o kozo -g kozo '/srv/things of scribe/below'
for name in clock scribe; do
    # Ours, not that of the package.
    at "$name" rm -r /etc/systemd/system/kozo@.service.d /usr/local/bin/sender
    at "$name" systemctl daemon-reload
    at "$name" apt-get -q -y purge kozo kozoctl > "$lab_run/said" 2>&1 || show
    quiet
    [ -z "$(at "$name" pgrep -x kozo)" ]
    if [ "$name" = scribe ]; then
        # Whose that is, nobody else can become.
        grep -qF '/srv/things of scribe/below' "$lab_run/said" || show
        [ "$(at scribe stat -c %U '/srv/things of scribe/below')" = kozo ]
        # As it was said.
        at scribe rm -r '/srv/things of scribe'
        at scribe userdel kozo
        at scribe sh -c '! getent group kozo || groupdel kozo'
    fi
    # All that has its name, or belongs to nobody any more. The repository was here before.
    left=$(at "$name" find / -xdev \( -iname '*kozo*' -o -nouser -o -nogroup \) \
        -not -path '/proc/*' -not -path '/srv/kozo*' -not -path '/sys/*' \
        -not -path '/etc/apt/*' -not -path '/var/lib/apt/lists/*' -not -path '/var/cache/apt/*')
    [ -z "$left" ] || { echo "left on $name: $left"; false; }
    not at "$name" getent passwd kozo
    not at "$name" getent group kozo
    [ -z "$(at "$name" ls /run/kozo 2>/dev/null)" ]
done
