# A machine reboots, and another one loses its power and comes back.

machines clock:bookworm scribe:trixie third:bookworm
traffic
sleep 2
reboot third
linked 10
mesh_end_of scribe
lab_kill scribe
boot scribe
mesh_send scribe
linked 10
back=$(now)
sleep 3
accounted
[ "$(missing_after "$(add "$back" 3)")" = 0 ]
[ "$(missing_after 0 clock-third)" -ge 0 ]
