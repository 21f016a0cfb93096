# The disk of the machine that writes the log is full for a while. Its Node goes on, and so does all else.

machines clock:bookworm scribe:trixie
# A disk of its own, small enough to fill.
at scribe systemctl stop kozo@scribe
at scribe mount -t tmpfs -o size=1m,mode=0750 tmpfs /var/log/kozo
at scribe chown kozo:kozo /var/log/kozo
at scribe systemctl start kozo@scribe
linked 10
traffic
sleep 2
at scribe sh -c 'cat /dev/zero > /var/log/kozo/full' 2>/dev/null || true
eventually 10 said scribe KOZO_CLASS=file-trouble
sleep 5
linked 1
at scribe rm /var/log/kozo/full
eventually 20 said scribe KOZO_CLASS=file-well
accounted
[ "$(missing_after 0)" = 0 ]
