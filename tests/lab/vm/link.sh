# Two guests: one loses its power, the other one says so, and both are linked again when it has booted.

machines clock:amd64 scribe:amd64
# What was written a moment ago is not on the disk yet, and is not what this is about.
at scribe sync
lab_kill scribe
parted 10 scribe
said clock KOZO_PEER=scribe KOZO_CLASS=link-down
mesh_boot scribe
linked 120
at clock kozoctl ping scribe
