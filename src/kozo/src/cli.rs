//! The command line of the daemon.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser, Subcommand};
use kozo_client::Error;
use tracing::{error, warn};

use crate::node::{SetLogFilter, Types};
use crate::output::Output;
use crate::service::{self, journal};
use crate::{class, config, control, daemon, log, testnet};

/// Exit codes, the first four as the original's.
mod exit {
    /// Wrong usage, or something other than the configuration failed.
    pub(super) const USAGE: u8 = 1;
    /// The Node could not start or be reached, or a Node of a testnet failed.
    pub(super) const START: u8 = 5;
}

const USAGE: &str = "\
kozo [OPTIONS] <CONFIG> [NODE]
       kozo --reload <NODE>
       kozo <COMMAND>";

const EXIT_CODES: &str = "\
Exit codes: 0 stopped as asked, 1 wrong usage or refused configuration, \
2 no such file, 3 not YAML, 4 unknown node, 5 could not start, or not be reached by --reload.";

/// Run one Node of a Kōzō System in the foreground.
///
/// CONFIG describes the whole System and is the same on every machine; NODE says which of its Nodes
/// this one is. SIGINT and SIGTERM drain and stop it, a second one stops it at once; SIGHUP lets it
/// open its log files anew.
#[derive(Debug, Parser)]
#[command(
    name = "kozo",
    version,
    after_help = EXIT_CODES,
    override_usage = USAGE,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    max_term_width = 80
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    /// The configuration file, in YAML.
    #[arg(required_unless_present = "reload")]
    config: Option<PathBuf>,

    /// The Node to run; optional with --check.
    #[arg(required_unless_present_any = ["check", "reload"])]
    node: Option<String>,

    /// Words that have no meaning, to be told so.
    #[arg(hide = true)]
    more: Vec<String>,

    /// Check the configuration, for NODE too if one is given, and start nothing.
    #[arg(long)]
    check: bool,

    /// Let this Node, which runs here already, read its configuration again; wait until it has taken it,
    /// or say why it has refused it.
    #[arg(long, value_name = "NODE", allow_hyphen_values = true, exclusive = true)]
    reload: Option<String>,

    #[command(flatten)]
    log: LogArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a System of three Nodes in DIR and run all of it on this machine.
    ///
    /// DIR gets a key for each Node and a configuration that `kozo DIR/config.yml NODE` runs too.
    /// One that an earlier testnet made is used again.
    Testnet {
        /// Where to put it.
        #[arg(default_value = testnet::DEFAULT_DIRECTORY)]
        dir: PathBuf,
    },
}

/// What is logged.
#[derive(Debug, clap::Args)]
pub struct LogArguments {
    /// Log more; twice for everything.
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,

    /// Log warnings and errors only; twice for errors only.
    #[arg(short, long, action = ArgAction::Count)]
    quiet: u8,

    /// Log what this filter says, for instance `info,kozo::link=debug`. Where none of these three is
    /// given, KOZO_LOG in the environment can say it.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

impl LogArguments {
    /// The filter that the arguments come to.
    pub fn filter(&self) -> String {
        let level = match (self.verbose, self.quiet) {
            (_, 2..) => "error",
            (_, 1) => "warn",
            (0, 0) => "info",
            (1, 0) => "debug",
            _ => "trace",
        };
        // Others' lines help only their developers.
        let own = || format!("warn,kozo={level}");
        let is_said = self.verbose > 0 || self.quiet > 0;
        let given =
            self.log.clone().or_else(|| log::filter_from_environment().filter(|_| !is_said));
        given.unwrap_or_else(own)
    }
}

/// The definition of the command line, for its man page.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the command line and says how the process is to exit.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // There is no one to tell when this fails.
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    if let Some(word) = arguments.more.first() {
        let told = format!(
            "'{word}' is one word too many: a configuration file and the name of one Node are all"
        );
        let _ = Arguments::command().error(ErrorKind::TooManyValues, told).print();
        return exit::USAGE.into();
    }
    match &arguments.command {
        Some(Command::Testnet { dir }) => run_testnet(dir),
        None => match &arguments.reload {
            Some(node) => reload(node),
            None => run_node(&arguments),
        },
    }
}

/// Lets a Node that runs here reload, over its control socket.
fn reload(node: &str) -> ExitCode {
    let done = daemon::block_on(control::ask_to_reload(node));
    match done.map_err(|error| Error::Failed(error.to_string())).and_then(|done| done) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&format!("kozo: {error}"));
            match error {
                Error::NoDaemon { .. } | Error::Gone(_) => exit::START.into(),
                _ => exit::USAGE.into(),
            }
        }
    }
}

fn run_node(arguments: &Arguments) -> ExitCode {
    let types = Types::built_in();
    let file = arguments.config.clone().unwrap_or_default();
    if !arguments.check {
        let name = arguments.node.as_deref().unwrap_or_default();
        return start(&file, name, types, &arguments.log.filter());
    }
    let loaded = match config::load(&file, arguments.node.as_deref(), &types.registry()) {
        Ok(loaded) => loaded,
        Err(error) => {
            print_error(&error.render(log::is_coloured()));
            return error.exit_code().into();
        }
    };
    for warning in &loaded.warnings {
        print_error(warning);
    }
    let names: Vec<_> = loaded.system.nodes.iter().map(|node| &*node.name).collect();
    let count = names.len();
    let plural = |count| if count == 1 { "" } else { "s" };
    let but = match loaded.warnings.len() {
        0 => String::new(),
        count => format!(", but for {count} warning{}", plural(count)),
    };
    let (file, nodes, names) = (file.display(), plural(count), names.join(", "));
    let answer = format!("{file} is fine{but}: {count} node{nodes} ({names})\n");
    // The exit code says the same to programs that do not read it.
    let _ = std::io::stdout().write_all(answer.as_bytes());
    ExitCode::SUCCESS
}

/// Runs a Node, from its log on.
fn start(file: &Path, name: &str, types: Types, filter: &str) -> ExitCode {
    let stderr = match Output::start(std::io::stderr()) {
        Ok(stderr) => stderr,
        Err(error) => {
            print_error(&format!("kozo: {error}"));
            return exit::START.into();
        }
    };
    let code = match log::start(filter, name, &stderr) {
        Ok(set_log_filter) => start_node(file, name, types, set_log_filter),
        Err(problem) => {
            print_error(&format!("kozo: {problem}"));
            exit::USAGE.into()
        }
    };
    stderr.flush(daemon::LAST_LINES);
    code
}

fn start_node(file: &Path, name: &str, types: Types, set_log_filter: SetLogFilter) -> ExitCode {
    let loaded = match config::load(file, Some(name), &types.registry()) {
        Ok(loaded) => loaded,
        Err(error) => {
            complain(class::CONFIGURATION_REFUSED, &error.render(log::is_coloured()));
            return error.exit_code().into();
        }
    };
    for warning in &loaded.warnings {
        if journal::is_open() { warn!("{warning}") } else { print_error(warning) }
    }
    let Some(local) = loaded.local else { return exit::USAGE.into() };
    match daemon::run(file.to_owned(), local, types, set_log_filter) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(class::START_FAILED, &format!("kozo: {error}"));
            service::pause::failed();
            exit::START.into()
        }
    }
}

/// Says something on standard error; when that is closed or full, the exit code has to do.
fn print_error(text: &str) {
    let _ = std::io::stderr().write_all(format!("{}\n", text.trim_end()).as_bytes());
}

/// Says why there is no Node: to the journal where that is read, else as it is. Its first line is for people who
/// looks at the service.
fn complain(class: &str, text: &str) {
    let text = text.trim_end();
    service::failing(text.lines().next().unwrap_or_default());
    if journal::is_open() { error!(class, "{text}") } else { print_error(text) }
}

fn run_testnet(directory: &Path) -> ExitCode {
    let result = std::env::current_exe().map_err(testnet::TestnetError::from).and_then(|program| {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        daemon::block_on(testnet::run(directory, &program, colour))?
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&format!("kozo testnet: {error}"));
            exit::START.into()
        }
    }
}
