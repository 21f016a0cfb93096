# The clock of a machine jumps a day ahead, and back. What times a link is not that clock.

machines clock:bookworm scribe:trixie
at clock mkdir -p /etc/systemd/system/kozo@.service.d /etc/kozo/time
# One clock for all on this machine: only the Node is made to see another one.
put clock /etc/systemd/system/kozo@.service.d/time.conf <<-'UNIT'
	[Service]
	Environment=LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1
	Environment=FAKETIME_TIMESTAMP_FILE=/etc/kozo/time/now FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1
	Environment=FAKETIME_DISABLE_SHM=1
	UNIT
echo +0 | put clock /etc/kozo/time/now
at clock systemctl daemon-reload
restart clock
linked 10
traffic
sleep 2
began=$(now)
for time in +1d +0 -1d +0; do
    echo "$time" | put clock /etc/kozo/time/now
    sleep 4
    linked 1
done
# It was seen: a Peer measures how far the clocks are apart.
[ -n "$(at scribe grep -c 'clock [0-9]*$' /var/log/kozo/scribe.log)" ]
[ "$(at scribe grep -oE '^\[[0-9-]+' /var/log/kozo/scribe.log | sort -u | wc -l)" -ge 3 ]
[ -z "$(at scribe journalctl -q -u kozo@scribe KOZO_CLASS=link-down --since "@${began%.*}" -o cat)" ]
accounted
[ "$(missing_after "$began")" = 0 ]
