//! The command line, as data: from this one definition come the parser, `--help`, the man pages and
//! the completions of shells.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::ArgValueCompleter;
use kozo_core::message::Kind;
use kozo_core::places::CONFIG;

use crate::arguments::{OptionSetting, RoleArgument, Setting};
use crate::complete::{self, Shell};
use crate::wait::Condition;

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no daemon, 4 not allowed, 5 no such peer or role, \
6 nobody is interested, 7 timed out.";

const DATA: &str = "\
DATA is one value in JSON, or KEY=VALUE pairs that make a map, or '-' for JSON from standard input. \
What is none of these is a text, and so is a VALUE that is not JSON. Whole numbers of 64 bits are kept as they are, and bytes are \
written as {\"$base64\": \"AAEC\"}.";

/// Look after the Kōzō Nodes of this machine.
///
/// Without a command, shows the status of the Node. Answers go to standard output, all else to
/// standard error; what is not for a terminal is plain.
#[derive(Debug, Parser)]
#[command(
    name = "kozoctl",
    version,
    after_help = EXIT_CODES,
    disable_help_subcommand = true,
    max_term_width = 80
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The Node to talk to, if there are several on this machine: its name, or, where several have
    /// that, its name on the bus or the path of its control socket.
    #[arg(short, long, global = true, value_name = "NODE",
        add = ArgValueCompleter::new(complete::nodes))]
    pub(crate) node: Option<String>,

    /// Run the command on this machine, over ssh.
    #[arg(short = 'H', long, global = true, value_name = "HOST", value_hint = ValueHint::Hostname)]
    pub(crate) host: Option<OsString>,

    /// Answer in JSON. Fields are only ever added.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// Whether to show once, or whenever something changes.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Watch {
    /// Show it again whenever it changes, until Ctrl-C.
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the Node, its Roles and its Peers.
    Status {
        #[command(flatten)]
        watch: Watch,
    },
    /// Show the Roles of the Node.
    Roles {
        #[command(flatten)]
        watch: Watch,
    },
    /// Show one Role, or start, stop or restart it; or begin one of your own.
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Role {
        #[command(subcommand)]
        command: Option<RoleCommand>,
        /// Its name.
        #[arg(required = true, add = ArgValueCompleter::new(complete::roles))]
        name: Option<String>,
        /// What to do; without it, the Role is shown.
        #[arg(conflicts_with = "watch")]
        action: Option<RoleAction>,
        #[command(flatten)]
        watch: Watch,
    },
    /// Show the Peers of the Node.
    Peers {
        #[command(flatten)]
        watch: Watch,
    },
    /// Show one Peer, or connect to it or disconnect from it.
    Peer {
        /// Its name.
        #[arg(add = ArgValueCompleter::new(complete::peers))]
        name: String,
        /// What to do; without it, the Peer is shown.
        #[arg(conflicts_with = "watch")]
        action: Option<PeerAction>,
        #[command(flatten)]
        watch: Watch,
    },
    /// Send a Message.
    ///
    /// Answers how many Roles and Peers it went to, and fails with exit code 6 if nobody is
    /// interested.
    #[command(after_help = DATA)]
    Inject(Inject),
    /// Make a program a Role of the Node, for as long as it runs.
    ///
    /// The program speaks the protocol of kozo-role(7) on its standard input and output. Without one, what
    /// is typed is sent to the Node, and what the Node says is shown. With --host the Node is that of
    /// another machine, and the program runs here. Who may both inject and monitor may attach.
    Attach(Attach),
    /// List the types of Roles and Transports of this machine. Needs no daemon.
    Types {
        /// Show all of this type: its options, their defaults, and what is allowed.
        name: Option<String>,
        /// The configuration that names more folders with programs.
        #[arg(short, long, value_name = "FILE", default_value = CONFIG, value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Show the Messages that pass through the Node, as they come.
    ///
    /// One line for each; with --json, one JSON object for each. When more come than can be shown,
    /// some are skipped, and a line says how many.
    Monitor(Monitor),
    /// Check, show or begin a configuration. Needs no daemon.
    #[command(subcommand, arg_required_else_help = true)]
    Config(Config),
    /// Make a key pair for a Node, and show its public half. Needs no daemon.
    Keygen {
        /// The new file for the private key. What exists is never overwritten.
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// The comment in the key.
        #[arg(long, default_value = "kozo")]
        comment: String,
    },
    /// Wait until all of this is so.
    Wait {
        /// peer=NAME:STATE or role=NAME:STATE; up and running if no STATE is given.
        ///
        /// States of a Peer are disabled, idle, down and up, those of a Role
        /// starting, running, failed, finished and stopped.
        #[arg(required = true, value_name = "CONDITION",
            add = ArgValueCompleter::new(complete::conditions))]
        conditions: Vec<Condition>,
        /// Give up after this long, for instance 500ms, 10s or 5min.
        #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
        timeout: Duration,
    },
    /// Measure the time that a Peer takes to answer.
    Ping {
        /// Its name.
        #[arg(add = ArgValueCompleter::new(complete::peers))]
        peer: String,
        /// How often, once a second.
        #[arg(short, long, value_name = "NUMBER", default_value_t = 1,
            value_parser = clap::value_parser!(u32).range(1..))]
        count: u32,
    },
    /// Measure what the link to a Peer carries, and how fast it answers.
    ///
    /// The Node sends bytes that mean nothing, which its Peer throws away, and shows how many a second
    /// come to that one way (usually, and at best), and the usual and the shortest round trip. That is what
    /// large Messages can have of the link; small ones cost more. What is sent for it gives way to
    /// Messages, and leaves the link pauses.
    Bench {
        /// Its name.
        #[arg(add = ArgValueCompleter::new(complete::peers))]
        peer: String,
        /// How long, for instance 3s.
        #[arg(short, long, value_name = "TIME", default_value = "3s", value_parser = duration)]
        time: Duration,
    },
    /// Let the Node read its configuration anew. What has not changed runs on.
    Reload,
    /// Write the completions of a shell to standard output.
    ///
    /// For instance, in ~/.bashrc: source <(kozoctl completion bash)
    Completion {
        /// The shell.
        shell: Shell,
    },
    /// Write all man pages to a folder.
    #[command(hide = true)]
    Man {
        /// Where to; it is made if it is not there.
        #[arg(value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Inject {
    /// What it is about.
    pub(crate) kind: MessageKind,
    /// Its type, for instance tick.
    #[arg(value_name = "TYPE")]
    pub(crate) message_type: String,
    /// Its channel.
    #[arg(short, long)]
    pub(crate) channel: Option<String>,
    /// Its data; null if none is given.
    #[arg(allow_negative_numbers = true)]
    pub(crate) data: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Attach {
    /// The name of the Role; that of the program if it is not given.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Speak MessagePack instead of JSON.
    #[arg(long)]
    pub(crate) msgpack: bool,
    /// The program and its arguments.
    #[arg(last = true, value_hint = ValueHint::CommandWithArguments)]
    pub(crate) program: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RoleCommand {
    /// Write a program that works as a Role, in this folder, to be changed. Needs no daemon.
    New {
        /// The name of its type.
        name: String,
        /// In shell; this is so if nothing is said.
        #[arg(long, conflicts_with = "python")]
        shell: bool,
        /// In Python.
        #[arg(long)]
        python: bool,
    },
    /// Run a file as a Role of the Node, without touching the configuration.
    Try {
        /// The file.
        #[arg(value_hint = ValueHint::ExecutablePath)]
        file: PathBuf,
        /// The name of the Role; that of the file if it is not given.
        #[arg(long)]
        name: Option<String>,
        /// An option of the Role, for instance pin=7.
        #[arg(short, long, value_name = "OPTION=VALUE")]
        set: Vec<OptionSetting>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Monitor {
    /// Only types that match this pattern, in which * and ? are wildcards.
    pub(crate) pattern: Option<String>,
    /// Only Messages of this kind.
    #[arg(short, long)]
    pub(crate) kind: Option<MessageKind>,
    /// Only Messages with a channel that matches this pattern.
    #[arg(short, long, value_name = "PATTERN")]
    pub(crate) channel: Option<String>,
    /// Only Messages of Roles whose name matches this pattern.
    #[arg(short, long, value_name = "PATTERN")]
    pub(crate) role: Option<String>,
    /// Only Messages that come from Nodes whose name matches this pattern.
    #[arg(short, long, value_name = "PATTERN")]
    pub(crate) from: Option<String>,
    /// End after so many Messages.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End when the Node stops; otherwise it is waited for, and shown again.
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Check a configuration, and for NODE its private key too.
    Check {
        /// The file.
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// The Node that is to run here.
        #[arg(value_name = "NODE")]
        local: Option<String>,
    },
    /// Show a configuration as it is understood, defaults filled in.
    ///
    /// The answer is a configuration again, and means the same.
    Show {
        /// The file.
        #[arg(default_value = CONFIG, value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Make a Node for this machine: its key, and its block in the configuration.
    ///
    /// Answers with the block that the other machines need, for `kozoctl config add-peer` there. A
    /// configuration that is there keeps all that is in it; a Node that is there is left as it is. What
    /// is missing is asked for at a terminal.
    New(NewNode),
    /// Add the Nodes of other machines to the configuration.
    ///
    /// All that is in it stays as it is, comments and order too. Nothing is written that would be
    /// refused, and a Node that is there already is left alone.
    AddPeer(AddPeer),
}

#[derive(Debug, Args)]
pub(crate) struct NewNode {
    /// The name of the Node.
    #[arg(value_name = "NODE")]
    pub(crate) name: Option<String>,
    /// Where others reach this machine: names and addresses, separated by commas.
    #[arg(short, long, value_name = "ADDRESS")]
    pub(crate) address: Vec<String>,
    /// A Role of the Node, for instance timer1=timer; the type is the name if it is not given.
    #[arg(short, long, value_name = "NAME[=TYPE]")]
    pub(crate) role: Vec<RoleArgument>,
    /// An option of such a Role, for instance timer1.tick=5s.
    #[arg(short, long, value_name = "ROLE.OPTION=VALUE")]
    pub(crate) set: Vec<Setting>,
    // Where the Node listens.
    #[arg(short, long, value_parser = clap::value_parser!(u16).range(1..), help = port())]
    pub(crate) port: Option<u16>,
    /// The private key: one that is there, or a new one. Usually in the folder `keys` beside the
    /// configuration.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) key: Option<PathBuf>,
    /// The configuration.
    #[arg(short, long, value_name = "FILE", default_value = CONFIG,
        value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct AddPeer {
    /// What `kozoctl config new` answers on another machine, or a whole configuration; - is
    /// standard input.
    #[arg(required = true, value_name = "BLOCK", value_hint = ValueHint::FilePath)]
    pub(crate) blocks: Vec<PathBuf>,
    /// Replace Nodes that are there and different.
    #[arg(long)]
    pub(crate) replace: bool,
    /// The configuration.
    #[arg(short, long, value_name = "FILE", default_value = CONFIG,
        value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleAction {
    /// Start it if it does not run.
    Start,
    /// Stop it, and leave it so.
    Stop,
    /// Stop it if it runs, and start it.
    Restart,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PeerAction {
    /// Connect now, without waiting for the next attempt.
    Connect,
    /// Close the connection, and stay apart until told to connect.
    Disconnect,
}

/// The kinds of Messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MessageKind {
    /// Something happened.
    Event,
    /// A Role is to do something.
    Order,
    /// A line to keep.
    Log,
    /// The answer to an Order.
    Reply,
}

impl From<MessageKind> for Kind {
    fn from(kind: MessageKind) -> Kind {
        match kind {
            MessageKind::Event => Kind::Event,
            MessageKind::Order => Kind::Order,
            MessageKind::Log => Kind::Log,
            MessageKind::Reply => Kind::Reply,
        }
    }
}

/// What is said of the port of a new Node.
fn port() -> String {
    let transports = kozo_core::types::built_in().transports;
    let usual = transports.iter().find_map(|transport| transport.usual_port()).unwrap_or_default();
    format!(
        "Where the Node listens; {usual}, or the next one that no other Node of this machine has"
    )
}

/// A duration as in the configuration: seconds, or numbers with units.
fn duration(text: &str) -> Result<Duration, String> {
    let read = kozo_core::config::parse_duration(text);
    read.ok_or_else(|| "seconds, or numbers with units: 500ms, 10s, 1min 30s".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_those_of_the_configuration() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert!(duration("soon").is_err());
    }
}
