# A Node is killed every second for a minute, each time as soon as it is back.

machines clock:bookworm scribe:trixie
# What it remembers is written at every tick.
at scribe mkdir -p /etc/systemd/system/kozo@.service.d
printf '[Service]\nRestartSec=0\n[Unit]\nStartLimitIntervalSec=0\n' |
    put scribe /etc/systemd/system/kozo@.service.d/soon.conf
at scribe systemctl daemon-reload
traffic
for ((kills = 0; kills < 60; kills++)); do
    crash scribe
    sleep 1
    at scribe systemctl is-active --quiet kozo@scribe
    linked 10
done
[ "$(at scribe systemctl show --value -p NRestarts kozo@scribe)" = 60 ]
# Nothing was found that could not be read, and it has remembered.
[ -z "$(at scribe journalctl -q -u kozo@scribe KOZO_CLASS=storage-corrupt -o cat)" ]
back=$(now)
sleep 5
accounted
[ "$(missing_after "$(add "$back" 3)")" = 0 ]
