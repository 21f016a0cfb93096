# The disk of the machine that writes the log is full for a while. Its Node goes on, and so does all else.

machines clock:bookworm scribe:trixie
traffic
sleep 2
fill scribe
eventually 10 said scribe KOZO_CLASS=file-trouble
sleep 5
linked 1
free scribe
eventually 20 said scribe KOZO_CLASS=file-well
accounted
[ "$(missing_after 0)" = 0 ]
