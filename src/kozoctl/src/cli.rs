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
use crate::complete::{self, Program, Shell};
use crate::failure::Failure;
use crate::wait::Condition;

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 usage error, 3 no Node running, 4 not allowed, 5 no such Peer or Role, \
6 queued for no Role and no Peer, 7 timed out, 8 host unreachable.";

const DATA: &str = "\
DATA is one JSON value, or KEY=VALUE pairs that make a map, or '-' to read JSON from standard input. \
Anything else is text, and so is a VALUE that is not JSON. 64-bit integers are kept exactly; bytes are \
written {\"$base64\": \"AAEC\"}.";

/// Manage the Kōzō Nodes of this machine.
///
/// Without a command, shows the status of the Node. Answers go to standard output, everything else to
/// standard error; output that does not go to a terminal is plain text.
#[derive(Debug, Parser)]
#[command(
    name = "kozoctl",
    version,
    after_help = EXIT_CODES,
    disable_help_subcommand = true,
    max_term_width = 80
)]
pub(crate) struct Cli {
    // Before the global options, whose heading would hold for it too.
    #[command(flatten)]
    pub(crate) watch: Watch,

    #[command(flatten)]
    pub(crate) global: Global,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

impl Cli {
    /// Names the command that is meant, where a person has left that out or `--watch` stands before it.
    ///
    /// # Errors
    /// When the command is none that can be watched.
    pub(crate) fn complete(mut self) -> Result<Cli, Failure> {
        let command = self.command.get_or_insert(Command::Status { watch: Watch::default() });
        match command.watch() {
            Some(watch) => watch.watch |= self.watch.watch,
            None if self.watch.watch => {
                return Err(Failure::usage(
                    "only status, roles, role, peers and peer can be watched",
                ));
            }
            None => {}
        }
        Ok(self)
    }
}

impl Command {
    /// Whether it is to show something again and again, if it shows something.
    pub(crate) fn watch(&mut self) -> Option<&mut Watch> {
        match self {
            Command::Status { watch }
            | Command::Roles { watch }
            | Command::Peers { watch }
            | Command::Role { watch, action: None, command: None, .. }
            | Command::Peer { watch, action: None, .. } => Some(watch),
            _ => None,
        }
    }
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The Node to talk to, if this machine runs several: its name, its name on the bus, or the path
    /// of its control socket.
    #[arg(short, long, global = true, value_name = "NODE",
        add = ArgValueCompleter::new(complete::nodes))]
    pub(crate) node: Option<String>,

    /// Run the command on this host over ssh. With several hosts, separated by commas, run it on each
    /// in turn and give each the same standard input.
    #[arg(short = 'H', long, global = true, value_name = "HOST", value_delimiter = ',',
        value_hint = ValueHint::Hostname)]
    pub(crate) host: Vec<OsString>,

    /// Answer in JSON. Fields may be added in later versions, but not removed.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// Whether to show something once, or whenever it changes.
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
    /// Show, start, stop or restart a Role, or write one of your own.
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Role {
        #[command(subcommand)]
        command: Option<RoleCommand>,
        /// Its name.
        #[arg(required = true, add = ArgValueCompleter::new(complete::roles))]
        name: Option<String>,
        /// What to do with it; if omitted, show it.
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
    /// Show, connect or disconnect a Peer.
    Peer {
        /// Its name.
        #[arg(add = ArgValueCompleter::new(complete::peers))]
        name: String,
        /// What to do with it; if omitted, show it.
        #[arg(conflicts_with = "watch")]
        action: Option<PeerAction>,
        #[command(flatten)]
        watch: Watch,
    },
    /// Send a Message.
    ///
    /// Prints how many Roles and Peers it was queued for. Fails with exit code 6 if it was queued for
    /// none.
    #[command(after_help = DATA)]
    Inject(Inject),
    /// Run a program as a Role of the Node.
    ///
    /// The program speaks the protocol of kozo-role(7) on its standard input and output; it is a Role
    /// for as long as it runs. Without a program, kozoctl sends what you type and shows what the Node
    /// says. With --host, the program runs here and is a Role of that host's Node. This needs the right
    /// to both inject and monitor.
    Attach(Attach),
    /// List the types of Roles and Transports on this machine. Needs no running Node.
    Types {
        /// Show this type in full: its options, their defaults and the values they take.
        name: Option<String>,
        /// The configuration, which may name further folders of programs.
        #[arg(short, long, value_name = "FILE", default_value = CONFIG, value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Show the Messages that pass through the Node, as they arrive.
    ///
    /// Prints one line per Message; with --json, one JSON object. When Messages arrive faster than they
    /// can be shown, some are skipped, and a line says how many.
    Monitor(Monitor),
    /// Create, extend, check or show a configuration. Needs no running Node.
    #[command(subcommand, arg_required_else_help = true)]
    Config(Config),
    /// Generate a key pair for a Node and print the public key. Needs no running Node.
    Keygen {
        /// The file for the private key. An existing file is never overwritten.
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// The comment in the key.
        #[arg(long, default_value = "kozo")]
        comment: String,
    },
    /// Wait until every CONDITION holds.
    Wait {
        /// peer=NAME:STATE or role=NAME:STATE. If STATE is omitted, up for a Peer, running for a Role.
        ///
        /// A Peer is disabled, idle, down or up; a Role is starting, running, failed, finished or
        /// stopped.
        #[arg(required = true, value_name = "CONDITION",
            add = ArgValueCompleter::new(complete::conditions))]
        conditions: Vec<Condition>,
        /// Give up after this long, such as 500ms, 10s or 5min.
        #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
        timeout: Duration,
    },
    /// Measure the round trip to a Peer.
    Ping {
        /// Its name.
        #[arg(add = ArgValueCompleter::new(complete::peers))]
        peer: String,
        /// How many pings to send, one a second.
        #[arg(short, long, value_name = "NUMBER", default_value_t = 1,
            value_parser = clap::value_parser!(u32).range(1..))]
        count: u32,
    },
    /// Measure the throughput and the round trip of the link to a Peer.
    ///
    /// The Node sends padding, which the Peer discards. Prints the median and the best throughput in
    /// one direction, and the median and the shortest round trip. This is what large Messages can
    /// reach; small ones cost more. The padding yields to Messages.
    Bench {
        /// Its name.
        #[arg(add = ArgValueCompleter::new(complete::peers))]
        peer: String,
        /// How long to measure, such as 3s.
        #[arg(short, long, value_name = "TIME", default_value = "3s", value_parser = duration)]
        time: Duration,
    },
    /// Reload the configuration; whatever is unchanged keeps running.
    Reload,
    /// Print the completion script of a shell.
    ///
    /// For example, in ~/.bashrc: source <(kozoctl completion bash)
    Completion {
        /// The shell.
        shell: Shell,
        /// Only that of this program.
        #[arg(hide = true)]
        program: Option<Program>,
    },
    /// Write all man pages to a folder.
    #[command(hide = true)]
    Man {
        /// The folder; created if missing.
        #[arg(value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Inject {
    /// Its kind.
    pub(crate) kind: MessageKind,
    /// Its type, such as tick.
    #[arg(value_name = "TYPE")]
    pub(crate) message_type: String,
    /// Its channel.
    #[arg(short, long)]
    pub(crate) channel: Option<String>,
    /// Its data; null if omitted.
    #[arg(allow_negative_numbers = true)]
    pub(crate) data: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Attach {
    /// The name of the Role; defaults to that of the program.
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
    /// Write a working Role to start from into this folder. Needs no running Node.
    New {
        /// The name of its type.
        name: String,
        /// Write it in shell (the default).
        #[arg(long, conflicts_with = "python")]
        shell: bool,
        /// Write it in Python.
        #[arg(long)]
        python: bool,
    },
    /// Run a file as a Role of the Node without changing the configuration.
    Try {
        /// The file.
        #[arg(value_hint = ValueHint::ExecutablePath)]
        file: PathBuf,
        /// The name of the Role; defaults to that of the file.
        #[arg(long)]
        name: Option<String>,
        /// Set an option of the Role, such as pin=7.
        #[arg(short, long, value_name = "OPTION=VALUE")]
        set: Vec<OptionSetting>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Monitor {
    /// Only Messages whose type matches this pattern; * and ? are wildcards.
    pub(crate) pattern: Option<String>,
    /// Only Messages of this kind.
    #[arg(short, long)]
    pub(crate) kind: Option<MessageKind>,
    /// Only Messages whose channel matches this pattern.
    #[arg(short, long, value_name = "PATTERN")]
    pub(crate) channel: Option<String>,
    /// Only Messages from Roles whose name matches this pattern.
    #[arg(short, long, value_name = "PATTERN")]
    pub(crate) role: Option<String>,
    /// Only Messages from Nodes whose name matches this pattern.
    #[arg(short, long, value_name = "PATTERN")]
    pub(crate) from: Option<String>,
    /// Exit after this many Messages.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Exit when the Node stops, instead of waiting for it to come back.
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Check a configuration and, given NODE, the private key of that Node.
    Check {
        /// The configuration.
        #[arg(default_value = CONFIG, value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// The Node that will run here.
        #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::configured_nodes))]
        local: Option<String>,
    },
    /// Show a configuration as Kōzō reads it, with the defaults filled in.
    ///
    /// The output is a configuration that means the same.
    Show {
        /// The configuration.
        #[arg(default_value = CONFIG, value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Create a Node for this machine: its key and its block in the configuration.
    ///
    /// Prints the block to give to `kozoctl config add-peer` on the other machines. An existing
    /// configuration keeps its contents, and an existing Node stays as it is. At a terminal, you are
    /// prompted for anything you leave out.
    New(NewNode),
    /// Add the Nodes of other machines to the configuration.
    ///
    /// The rest of the file stays as it is, including comments and order. Nodes that it already has are
    /// left alone, and a result that would not pass `kozoctl config check` is not written.
    AddPeer(AddPeer),
}

#[derive(Debug, Args)]
pub(crate) struct NewNode {
    /// The name of the Node.
    #[arg(value_name = "NODE")]
    pub(crate) name: Option<String>,
    /// Where others reach this machine: names or addresses, separated by commas.
    #[arg(short, long, value_name = "ADDRESS")]
    pub(crate) address: Vec<String>,
    /// A Role of the Node, such as timer1=timer; the type defaults to the name.
    #[arg(short, long, value_name = "NAME[=TYPE]")]
    pub(crate) role: Vec<RoleArgument>,
    /// Set an option of such a Role, for example timer1.tick=5s.
    #[arg(short, long, value_name = "ROLE.OPTION=VALUE")]
    pub(crate) set: Vec<Setting>,
    // Where the Node listens.
    #[arg(short, long, value_parser = clap::value_parser!(u16).range(1..), help = port())]
    pub(crate) port: Option<u16>,
    /// The private key; generated if missing. Defaults to a file in the folder `keys` beside the
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
    /// What `kozoctl config new` printed on another machine, or a whole configuration; - is standard
    /// input.
    #[arg(required = true, value_name = "BLOCK", value_hint = ValueHint::FilePath)]
    pub(crate) blocks: Vec<PathBuf>,
    /// Replace Nodes that the configuration has with other contents.
    #[arg(long)]
    pub(crate) replace: bool,
    /// The configuration.
    #[arg(short, long, value_name = "FILE", default_value = CONFIG,
        value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleAction {
    /// Start it if it is not running.
    Start,
    /// Stop it.
    Stop,
    /// Stop it if it is running, then start it.
    Restart,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PeerAction {
    /// Connect now instead of at the next attempt.
    Connect,
    /// Close the link, and do not reconnect until told to.
    Disconnect,
}

/// The kinds of Messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MessageKind {
    /// Something happened.
    Event,
    /// A Role should do something.
    Order,
    /// A line for a log.
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
        "The port the Node listens on; defaults to {usual}, or the next one that no other Node of this machine uses"
    )
}

/// A duration as in the configuration: seconds, or numbers with units.
fn duration(text: &str) -> Result<Duration, String> {
    let read = kozo_core::config::parse_duration(text);
    read.ok_or_else(|| "expected seconds, or numbers with units: 500ms, 10s, 1min 30s".to_owned())
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
