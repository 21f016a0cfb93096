//! What the man pages of programs say besides what `--help` does: files, exit status, the fields of JSON, examples.

/// A term and what it means.
pub(super) type Entry = (&'static str, &'static str);

/// What `kozoctl` ends with.
pub(super) const EXIT_OF_KOZOCTL: &[Entry] = &[
    ("0", "Done."),
    ("1", "Failed for another reason."),
    ("2", "The command line is wrong."),
    ("3", "No Node runs here, the named Node does not run, or it has stopped."),
    ("4", "Not allowed: the message names the polkit action that is needed."),
    ("5", "The Node has no such Peer or Role."),
    ("6", "The Message was queued for no Role and no Peer."),
    ("7", "It did not happen in time."),
    ("8", "The host cannot be reached over ssh."),
    ("attach, role try", "The exit status of the program, once it runs."),
];

/// What `kozo` ends with.
pub(super) const EXIT_OF_KOZO: &[Entry] = &[
    ("0", "Stopped as asked, or the configuration is valid."),
    ("1", "The command line is wrong, the configuration is invalid, or --reload was refused."),
    ("2", "There is no such file."),
    ("3", "The file is not YAML."),
    ("4", "The configuration has no such Node."),
    (
        "5",
        "The Node cannot start, for example because its port is in use; or --reload cannot reach it.",
    ),
];

/// Files of `kozoctl`.
pub(super) const FILES_OF_KOZOCTL: &[Entry] = &[
    ("/etc/kozo/kozo.yml", "The configuration of the System, see kozo.yml(5)."),
    ("/run/kozo/NODE/bus", "The control socket of a Node that systemd runs."),
    ("$XDG_RUNTIME_DIR/kozo/NODE/bus", "The control socket of a Node that a user runs."),
];

/// Files of `kozo`.
pub(super) const FILES_OF_KOZO: &[Entry] = &[
    ("/etc/kozo/kozo.yml", "The configuration of the Nodes that systemd runs, see kozo.yml(5)."),
    ("/usr/lib/kozo/roles, /usr/lib/kozo/transports", "Programs that are Roles and Transports."),
    (
        "/run/kozo/NODE/bus, /run/kozo/NODE/role",
        "The control socket, and the one at which programs attach; in $XDG_RUNTIME_DIR/kozo/NODE for a Node that a user runs.",
    ),
    ("/var/lib/kozo/NODE", "The state that the Roles of a service store."),
];

/// The environment of `kozoctl`.
pub(super) const ENVIRONMENT_OF_KOZOCTL: &[Entry] = &[
    ("NO_COLOR", "If not empty, disables colours."),
    ("DBUS_SYSTEM_BUS_ADDRESS", "The address of the system bus, if not the default."),
];

/// The environment of `kozo`.
pub(super) const ENVIRONMENT_OF_KOZO: &[Entry] = &[
    ("KOZO_LOG", "The log filter, unless the command line sets one."),
    ("NO_COLOR", "If set, disables colours."),
    ("KOZOROLEPATH, KOZOTRANSPORTPATH", "Further folders of programs, separated by colons."),
    ("KOZOIMPORTPATH", "Folders to put first in the PYTHONPATH of programs."),
    ("DBUS_SYSTEM_BUS_ADDRESS", "The address of the system bus, if not the default."),
];

/// The fields of `--json`.
pub(super) const JSON: &[Entry] = &[
    ("name, version", "Of the Node: its name, and the version of its daemon."),
    ("boot", "Random number of this run of the Node, as text."),
    (
        "started, since, time",
        "Moments: microseconds since 1970. When the run began, when the link entered its state, when the Message was sent.",
    ),
    ("sent, received", "Messages, since the Node started."),
    (
        "refused, dropped",
        "Messages that the Node refused, or dropped because a queue was full or the link down; by reason, or in all.",
    ),
    (
        "roles, transports, peers",
        "Those of the Node, as objects; in the answers of inject, how many Roles and Peers the Message was queued for; in those of reload, the names of those that changed.",
    ),
    ("unreachable", "Peers that want the Message but are unreachable."),
    ("type, description", "The type of a Role, Transport or Message; what a Role is for."),
    (
        "state, sub_state",
        "A Role is starting, running, failed, finished or stopped; a Transport starting, running, failed or stopped; a link disabled, idle, down or up, and in detail also connecting or waiting.",
    ),
    (
        "status, problem, last_error, last_exit",
        "The status that a Role or Transport reports, its current problem, why it failed last, how its program ended last; or null.",
    ),
    ("restarts", "How often it was restarted after a failure."),
    ("process", "The program: pid, memory (bytes) and cpu_time (microseconds); or null."),
    ("queue_length, queue_size", "What waits for the Role or Peer: Messages, and bytes."),
    (
        "policy_out, policy_in",
        "The connection policy in each direction: constant, ondemand or never.",
    ),
    (
        "transport, address, direction",
        "The Transport of the link, its remote address, and whether this side (out) or the Peer (in) opened it; null while the link is not up.",
    ),
    (
        "round_trip_time, age",
        "The round trip, and the age of a Message when the Peer received it, as last measured, in microseconds.",
    ),
    ("clock_skew", "How far the Peer's clock is ahead, in microseconds; or null."),
    (
        "rate, backlog",
        "Bytes per second that the line carried under load, and bytes that the Peer has not acknowledged.",
    ),
    ("sessions", "How often the link has come up."),
    (
        "id, node, role, kind, channel, data, msgpack",
        "A Message: its number in that run of its Node; where it comes from; event, order, log or reply; channel or null; its data, in which bytes are {\"$base64\": \"AAEC\"}, and as MessagePack in Base64 where JSON cannot say all of it.",
    ),
    ("skipped", "How many Messages the monitor was too slow to read."),
    (
        "conditions, missing, condition",
        "Of wait: the conditions, and those that do not hold, each with the actual state.",
    ),
    ("peer", "Of ping and bench: the Peer."),
    (
        "added, replaced, unchanged",
        "Of config add-peer: Nodes that were added, replaced, or in the file already.",
    ),
    (
        "builtIn, from, author, options, required, default, allowed",
        "Of types: whether the type is built in, or which file it is; its author; its options, whether each is \
         required, its default, and the values it takes.",
    ),
    (
        "least, median, most, bytes, microseconds, bytes_per_second, best_bytes_per_second",
        "Of bench: the shortest, median and longest round_trip_time, in microseconds; how many bytes were carried \
         in how much time; the median and the best throughput.",
    ),
    (
        "file, ok, nodes, warnings, error",
        "Of config check: the file, whether it is valid, its Nodes, and what is wrong.",
    ),
    (
        "node, changed, block, privateKey, publicKey",
        "Of config new and keygen: the Node, whether anything was written, its block for other machines, the file of its key, its public key.",
    ),
    (
        "host, exit, answer",
        "With several hosts, one line for each: its name, the exit status there, and the answer.",
    ),
];

/// Examples of a command: what it does, and how to write that.
pub(super) fn examples(command: &str) -> &'static [Entry] {
    match command {
        "kozoctl" => &[
            ("Show the Node of this machine", "kozoctl"),
            ("Show it as it changes", "kozoctl --watch"),
            ("Ask another machine", "kozoctl -H root@scribe.local status"),
            (
                "Add a Node to the configuration of a fleet, and apply it",
                "kozoctl -H scribe,hall config add-peer - <clock.yml\nkozoctl -H scribe,hall reload",
            ),
            (
                "List the Peers that are down",
                "kozoctl peers --json | jq -r '.[] | select(.state != \"up\").name'",
            ),
        ],
        "kozoctl-status" => &[("Watch a Node", "kozoctl status --watch")],
        "kozoctl-roles" => &[(
            "List those that failed",
            "kozoctl roles --json | jq '.[] | select(.state == \"failed\")'",
        )],
        "kozoctl-role" => {
            &[("Show a Role", "kozoctl role timer1"), ("Restart it", "kozoctl role timer1 restart")]
        }
        "kozoctl-role-new" => &[("Write a Role in Python", "kozoctl role new bell --python")],
        "kozoctl-role-try" => {
            &[("Run it with an option", "kozoctl role try ./bell.py --set pin=7")]
        }
        "kozoctl-peers" => &[("Watch all links", "kozoctl peers --watch")],
        "kozoctl-peer" => &[
            ("Show a link", "kozoctl peer scribe"),
            ("Do not wait for the next attempt", "kozoctl peer scribe connect"),
        ],
        "kozoctl-inject" => &[
            ("Ring a bell three times", "kozoctl inject order ring 3"),
            (
                "Name a channel, and give data as a map",
                "kozoctl inject event door --channel kitchen open=true by=Ada",
            ),
            ("Send JSON that another program makes", "date +%s | kozoctl inject event now -"),
        ],
        "kozoctl-attach" => &[
            ("Run a program as the Role bell", "kozoctl attach --name bell -- ./bell.sh"),
            ("As a Role of another machine's Node", "kozoctl -H scribe attach -- ./bell.sh"),
        ],
        "kozoctl-types" => &[("Show what a timer takes", "kozoctl types timer")],
        "kozoctl-monitor" => &[
            ("Show all ticks", "kozoctl monitor 'tick*'"),
            (
                "Save the next ten Messages of a channel",
                "kozoctl monitor --channel kitchen --count 10 --json >kitchen.json",
            ),
        ],
        "kozoctl-config" => &[("Set up the first Node of a machine", "kozoctl config new")],
        "kozoctl-config-check" => &[(
            "Check the configuration of this machine, and a key",
            "kozoctl config check /etc/kozo/kozo.yml clock",
        )],
        "kozoctl-config-show" => {
            &[("Show a configuration with all defaults", "kozoctl config show ./kozo.yml")]
        }
        "kozoctl-config-new" => &[(
            "Create a Node with a timer, and keep its block",
            "kozoctl config new clock --address clock.local \\\n    --role timer --set timer.tick=10s >clock.yml",
        )],
        "kozoctl-config-add-peer" => &[
            ("Add a Node from its block", "kozoctl config add-peer clock.yml"),
            ("Add it on several machines", "kozoctl -H scribe,hall config add-peer - <clock.yml"),
        ],
        "kozoctl-keygen" => &[("Make a key", "kozoctl keygen /etc/kozo/keys/clock")],
        "kozoctl-wait" => &[(
            "Wait for a link and a Role",
            "kozoctl wait peer=scribe:up role=logger:running --timeout 1min",
        )],
        "kozoctl-ping" => &[("Ping ten times", "kozoctl ping scribe --count 10")],
        "kozoctl-bench" => &[("Measure for ten seconds", "kozoctl bench scribe --time 10s")],
        "kozoctl-reload" => {
            &[("Apply a changed configuration", "kozoctl config check && kozoctl reload")]
        }
        "kozoctl-completion" => &[("Enable it in this shell", "source <(kozoctl completion bash)")],
        "kozo" => &[
            ("Check a configuration", "kozo --check /etc/kozo/kozo.yml"),
            ("Run a Node, and log more", "kozo -v ./kozo.yml clock"),
            ("Show what a link does", "kozo --log info,kozo::link=debug ./kozo.yml clock"),
        ],
        "kozo-testnet" => &[("Try Kōzō on one machine", "kozo testnet")],
        _ => &[],
    }
}
