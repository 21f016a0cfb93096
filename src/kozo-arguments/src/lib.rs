//! The command line of the daemon, as data: from this one definition come its parser, its `--help`, and its man
//! page, which `kozoctl man` writes.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};

/// Where a testnet is put unless another place is named.
const TESTNET: &str = "kozo-testnet";

const USAGE: &str = "\
kozo [OPTIONS] <CONFIG> [NODE]
       kozo --reload <NODE>
       kozo <COMMAND>";

const EXIT_CODES: &str = "\
Exit codes: 0 stopped as asked, 1 usage error or invalid configuration, \
2 no such file, 3 not YAML, 4 unknown Node, 5 cannot start, or --reload cannot reach the Node.";

/// Run one Node of a Kōzō System in the foreground.
///
/// CONFIG describes the whole System and can be the same on every machine; NODE names the Node to run.
/// SIGINT and SIGTERM drain and stop it; a second signal stops it at once. SIGHUP makes it reopen its
/// log files.
#[derive(Debug, Parser)]
#[command(
    name = "kozo",
    version,
    after_help = EXIT_CODES,
    override_usage = USAGE,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    subcommand_negates_reqs = true,
    max_term_width = 80
)]
pub struct Arguments {
    /// What to do other than run a Node.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The configuration file, in YAML.
    #[arg(required_unless_present = "reload")]
    pub config: Option<PathBuf>,

    /// The Node to run; optional with --check.
    #[arg(required_unless_present_any = ["check", "reload"])]
    pub node: Option<String>,

    /// Surplus arguments, kept to be named in the error.
    #[arg(hide = true)]
    pub more: Vec<String>,

    /// Check the configuration and, given NODE, the key of that Node; start nothing.
    #[arg(long)]
    pub check: bool,

    /// With --check, run the programs of NODE to ask for their options. Otherwise options are checked
    /// only where a file describes them.
    #[arg(long, requires = "check", requires = "node")]
    pub run: bool,

    /// Make this running Node reload its configuration, and wait until it has accepted it, or print
    /// why it refused.
    #[arg(long, value_name = "NODE", allow_hyphen_values = true, exclusive = true)]
    pub reload: Option<String>,

    /// What to log.
    #[command(flatten)]
    pub log: LogArguments,
}

/// What the daemon does besides running a Node.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a System of three Nodes in DIR and run it on this machine.
    ///
    /// DIR gets a key for each Node, and a configuration that `kozo DIR/config.yml NODE` runs as well.
    /// A testnet that already exists there is reused.
    Testnet {
        /// The folder to use.
        #[arg(default_value = TESTNET)]
        dir: PathBuf,
    },
    /// Become a program of a Node, as the Node says. It runs this itself; nobody else has a reason to.
    #[command(hide = true)]
    Launch {
        /// What the program may and may not do, as JSON.
        spec: String,
        /// The program and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// End what is left of the programs of a Node when that has gone. The Node runs this itself; nobody else has a reason to.
    #[command(hide = true)]
    Guard {
        /// What the names of the runs of its programs begin with.
        runs: String,
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

    /// Log what this filter selects, such as `info,kozo::link=debug`. Without any of these options, the
    /// filter is taken from KOZO_LOG in the environment.
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
        let given = self.log.clone().or_else(|| filter_from_environment().filter(|_| !is_said));
        given.unwrap_or_else(own)
    }
}

/// The filter that KOZO_LOG in the environment says.
pub fn filter_from_environment() -> Option<String> {
    std::env::var("KOZO_LOG").ok().filter(|filter| !filter.is_empty())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }
}
