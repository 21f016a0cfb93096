# With nothing but apt: a Role of six lines on one machine and a script on the other, and the Roles timer and cuckoo of
# 2014, whose storage outlasts a restart. Bookworm has the oldest Python that is supported.

machines clock:bookworm scribe:trixie
roles=/usr/local/lib/kozo/roles

# The first Role of the page about Python, and those that its tests have.
sed -n '/^`doorbell.py`:/,/^```$/p' "$lab_top/src/python/README.md" | sed '1,/^```python/d; /^```$/d' | put clock $roles/doorbell.py
put clock $roles/old_timer.py < "$lab_top/src/python/tests/roles/timer.py"
put scribe $roles/old_cuckoo.py < "$lab_top/src/python/tests/roles/cuckoo.py"
[ "$(at clock grep -c . $roles/doorbell.py)" -le 6 ]
{
    echo "rolePath: $roles"
    mesh_configuration | sed 's|^            ticks-of-clock:|            doorbell: {}\n            old_timer: {message: tea, log: false}\n&|
        s|^            ticks-of-scribe:|            old_cuckoo: {timer: old_timer}\n&|'
} > "$lab_run/with-python"
for name in clock scribe; do
    at "$name" apt-get install --yes python3-kozo > "$lab_run/apt" 2>&1 || {
        cat "$lab_run/apt"
        false
    }
    put "$name" /etc/kozo/kozo.yml < "$lab_run/with-python"
    at "$name" systemctl daemon-reload
    at "$name" systemctl restart "kozo@$name"
done
linked 20
at clock kozoctl wait role=doorbell:running role=old_timer:running --timeout 30s
at scribe kozoctl wait role=old_cuckoo:running --timeout 30s

put scribe /root/script.py <<'END'
import kozo

node = kozo.attach()
rings = node.receive("event", "rung", timeout=20)
node.send("order", "ring", channel="front")
print(next(rings))
END
at scribe python3 /root/script.py > "$lab_run/printed"
grep -qF "<event 'rung' channel='front' from doorbell@clock: None>" "$lab_run/printed"

cuckoos() { # PATTERN
    said scribe --grep="$1" KOZO_ROLE=old_cuckoo
}
eventually 10 cuckoos 'Cuckoo! old_timer@clock: [0-9:]+ tea'
at scribe systemctl restart kozo@scribe
eventually 10 cuckoos 'The last cuckoo was old_timer@clock: [0-9:]+ tea'

# An exception is in the journal with its line, and the Role goes on.
at clock sh -c "printf 'import kozo\n\n@kozo.on(\"order\", \"ring\")\ndef ring(message):\n    1 / 0\n\nkozo.run()\n' > $roles/doorbell.py"
at clock kozoctl reload > "$lab_run/answer"
at clock kozoctl wait role=doorbell:running --timeout 30s
at scribe kozoctl inject order ring > "$lab_run/answer"
eventually 10 said clock --grep='doorbell.py:5'
at clock kozoctl wait role=doorbell:running --timeout 1s
