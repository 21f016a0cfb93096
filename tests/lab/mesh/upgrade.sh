# One machine gets the next version, while the others send.

machines clock:bookworm scribe:trixie third:bookworm
traffic
sleep 2
before=$(at third systemctl show --value -p ExecMainPID kozo@third)
stored=$(at third find /var/lib/kozo -type f -newermt 2000-01-01)
at third sh -c 'rm -r /srv/kozo && mv /srv/kozo-next /srv/kozo'
mesh_ends third
at third sh -c 'apt-get -q update && apt-get -q -y upgrade' > "$lab_run/upgraded" 2>&1
mesh_ended third
at third dpkg-query -W -f '${Version}\n' kozo | grep -q next
not [ "$(at third systemctl show --value -p ExecMainPID kozo@third)" = "$before" ]
linked 5
back=$(now)
[ "$(at third find /var/lib/kozo -type f -newermt 2000-01-01)" = "$stored" ]
sleep 3
accounted
[ "$(missing_after "$(add "$back" 3)")" = 0 ]
[ "$(missing_after 0 clock-scribe)" = 0 ]
