# What the generator lets a Node take acts, on a kernel with control groups of version 2: what takes more is slowed
# down at MemoryHigh=, and ended and started again at MemoryMax=, or, if it is a program of a Role, ended alone; the other Node goes on.

. ../nodes.sh
install_nodes one clock scribe
boot one
fresh scribe clock
scribe=$(of scribe ExecMainPID)
high=$(of clock MemoryHigh) max=$(of clock MemoryMax)
group=/sys/fs/cgroup$(of clock ControlGroup)

# Systemd has given all of it to the kernel.
[ "$(at one cat "$group/memory.high")" = "$high" ]
[ "$(at one cat "$group/memory.max")" = "$max" ]
[ "$(at one cat "$group/pids.max")" = "$(of clock TasksMax)" ]
at one grep -E "^Max open files +$(of clock LimitNOFILE) " "/proc/$(of clock ExecMainPID)/limits"

happened() { # EVENT: to $group
    [ "$(at one awk -v event="$1" '$1 == event { print $2 }' "$group/memory.events")" -gt 0 ]
}

was_ended() { # TIMES
    [ "$(ends | wc -l)" = "$1" ] && is clock ActiveState active
}

# The journal about each end for want of memory: its microseconds since the boot.
ends() {
    at one journalctl -q -o json -u kozo@clock UNIT_RESULT=oom-kill | jq -r .__MONOTONIC_TIMESTAMP
}

starts() {
    at one journalctl -q -o json -u kozo@clock JOB_TYPE=start JOB_RESULT=done | jq -r .__MONOTONIC_TIMESTAMP
}

# How long the last end was before the last start: a tenth of a second, and what a start takes here.
away() {
    local milliseconds=$((($(starts | tail -n 1) - $(ends | tail -n 1)) / 1000))
    echo "measured: back after $milliseconds ms"
    [ $milliseconds -gt 0 ] && [ $milliseconds -lt 30000 ]
}

scribe_went_on() {
    is scribe ExecMainPID "$scribe"
    is scribe NRestarts 0
    at one kozoctl -n scribe wait peer=clock:up --timeout 60s
}

# What takes ever more, as a leak would, beside the Node in its control group.
at one sh -c 'echo $$ > "$1/cgroup.procs"; exec tail /dev/zero' leak "$group" &
eventually 5 happened high
not happened oom_kill
# The others have all they want: memory, and time.
at one kozoctl -n scribe status >/dev/null
echo "measured: $(at one cat "$group/memory.current") bytes taken, $high to be slowed down, $max to be ended"

# From there to the end it would be long. With nothing that slows it down:
at one sh -c 'echo max > "$1/memory.high"' sh "$group"
eventually 10 was_ended 1
away
scribe_went_on

# The Node itself, if it may take less than those do who each give it almost a whole line.
at one sh -c 'echo 8M > "$1/memory.max"' sh "$group"
at one bash -c '
    for ((i = 0; i < 20; i++)); do
        exec {visitor}<>/dev/tcp/127.0.0.1/7050 && head -c 1000000 /dev/zero | tr "\0" x >&$visitor
    done
    cat <&$visitor' 2>/dev/null &
eventually 10 was_ended 2
away
grep -qE 'Memory cgroup out of memory: Killed process [0-9]+ \(kozo\)' <<< "$(at one dmesg)"
scribe_went_on

# Programs of a Role that take ever more are ended, and not their Node. What an administrator has set holds from the next
# start on, too: it goes before what the generator says.
system | sed 's|^            cuckoo:|            exploding:\n                type: exec\n                every: 1h\n                run: "for i in 1 2 3 4; do tail /dev/zero \& done; wait; echo all are gone >\&2"\n            cuckoo:|' |
    put one /etc/kozo/kozo.yml
at one systemctl daemon-reload
at one systemctl set-property --runtime kozo@scribe MemoryHigh=infinity MemoryMax=64M
fresh scribe clock
scribe=$(of scribe ExecMainPID)
group=/sys/fs/cgroup$(of scribe ControlGroup)
[ "$(at one cat "$group/memory.max")" = $((64 << 20)) ]
eventually 10 said kozo@scribe --grep='all are gone'
happened oom_kill
scribe_went_on
