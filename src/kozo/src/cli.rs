//! The command line of the daemon.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, CommandFactory, Parser, Subcommand};

use crate::config::{self, ConfigError};
use crate::node::Types;
use crate::{daemon, testnet};

/// Exit codes, the first four as the original's.
mod exit {
    /// Wrong usage, or something other than the configuration failed.
    pub(super) const USAGE: u8 = 1;
    /// The Node could not start, or a Node of a testnet failed.
    pub(super) const START: u8 = 5;
}

const EXIT_CODES: &str = "\
Exit codes: 0 stopped as asked, 1 wrong usage or refused configuration, \
2 no such file, 3 not YAML, 4 unknown node, 5 could not start.";

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
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    max_term_width = 80
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    /// The configuration file, in YAML.
    #[arg(required = true)]
    config: Option<PathBuf>,

    /// The Node to run; optional with --check.
    #[arg(required_unless_present = "check")]
    node: Option<String>,

    /// Check the configuration, for NODE too if one is given, and start nothing.
    #[arg(long)]
    check: bool,

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

    /// Log what this filter says, for instance `info,kozo::link=debug`.
    #[arg(long, value_name = "FILTER", env = "KOZO_LOG", hide_env = false)]
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
        self.log.clone().unwrap_or_else(own)
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
            // Nobody to tell when this fails.
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    match &arguments.command {
        Some(Command::Testnet { dir }) => run_testnet(dir),
        None => run_node(&arguments),
    }
}

fn run_node(arguments: &Arguments) -> ExitCode {
    let types = Types::built_in();
    let file = arguments.config.clone().unwrap_or_default();
    let loaded = match config::load(&file, arguments.node.as_deref(), &types.registry()) {
        Ok(loaded) => loaded,
        Err(error) => return refuse(&error),
    };
    for warning in &loaded.warnings {
        eprintln!("{warning}");
    }
    if arguments.check {
        let names: Vec<_> = loaded.system.nodes.iter().map(|node| &*node.name).collect();
        let count = names.len();
        println!("{} is fine: {count} nodes ({})", file.display(), names.join(", "));
        return ExitCode::SUCCESS;
    }
    let Some(local) = loaded.local else { return exit::USAGE.into() };
    match daemon::run(file, local, types, &arguments.log.filter()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kozo: {error}");
            exit::START.into()
        }
    }
}

fn refuse(error: &ConfigError) -> ExitCode {
    eprintln!("{}", error.render(std::io::stderr().is_terminal()).trim_end());
    error.exit_code().into()
}

fn run_testnet(directory: &std::path::Path) -> ExitCode {
    let result = std::env::current_exe().map_err(testnet::TestnetError::from).and_then(|program| {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        daemon::block_on(testnet::run(directory, &program, colour))?
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kozo testnet: {error}");
            exit::START.into()
        }
    }
}
