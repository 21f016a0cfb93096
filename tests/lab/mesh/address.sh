# A machine gets another address, without a word, as a DHCP server may give it.

machines clock:bookworm scribe:trixie
# Others know it by its name.
for name in clock scribe; do
    at "$name" sed -i "s/address: $(mesh_address scribe)/address: scribe.lab/" /etc/kozo/kozo.yml
    echo "$(mesh_address scribe) scribe.lab" | at "$name" tee -a /etc/hosts >/dev/null
    at "$name" systemctl daemon-reload
    at "$name" systemctl reload "kozo@$name"
done
linked 10
traffic
sleep 2
at scribe ip address add 10.77.0.99/24 dev host0
at scribe ip address del "$(mesh_address scribe)/24" dev host0
at clock sed -i 's/^.* scribe.lab$/10.77.0.99 scribe.lab/' /etc/hosts
parted $((3 * HEARTBEAT + 2)) scribe
linked 10
back=$(now)
sleep 3
accounted
[ "$(missing_after "$(add "$back" 1)")" = 0 ]
