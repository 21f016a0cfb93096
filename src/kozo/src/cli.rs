//! Doing what the command line of the daemon says.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use kozo_arguments::{Arguments, Command};
use kozo_client::Error;
use tracing::{error, warn};

use crate::config::programs::Programs;
use crate::node::{SetLogFilter, Types};
use crate::output::Output;
use crate::service::{self, journal};
use crate::{class, config, control, daemon, log, process, testnet};

/// Exit codes, the first four as the original's.
mod exit {
    /// Wrong usage, or something other than the configuration failed.
    pub(super) const USAGE: u8 = 1;
    /// The Node could not start or be reached, or a Node of a testnet failed.
    pub(super) const START: u8 = 5;
}

/// Runs the command line and says how the process is to exit.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return wrong_usage(&error),
    };
    if let Some(word) = arguments.more.first() {
        let told = format!(
            "unexpected argument '{word}': expected a configuration file and the name of one Node"
        );
        let _ = Arguments::command().error(ErrorKind::TooManyValues, told).print();
        return exit::USAGE.into();
    }
    match &arguments.command {
        Some(Command::Testnet { dir }) => run_testnet(dir),
        Some(Command::Launch { spec, command }) => process::launch::run(spec, command),
        Some(Command::Guard { runs }) => process::guard::run(runs),
        None => match &arguments.reload {
            Some(node) => reload(node),
            None => run_node(&arguments),
        },
    }
}

/// Says what is wrong with the arguments, or the help that they ask for.
fn wrong_usage(error: &clap::Error) -> ExitCode {
    // When this fails too, only the exit code is left to say it.
    let _ = error.print();
    if error.use_stderr() { exit::USAGE.into() } else { ExitCode::SUCCESS }
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
    let file = arguments.config.clone().unwrap_or_default();
    if !arguments.check {
        let name = arguments.node.as_deref().unwrap_or_default();
        let types = Types::installed(|kind| Programs {
            may_be_missing: true,
            ..process::installed(kind, true)
        });
        return start(&file, name, types, &arguments.log.filter());
    }
    let types = Types::installed(|kind| process::installed(kind, arguments.run));
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
    if let Err(problem) = daemon::keep_memory_private() {
        warn!("other processes of this user can read the memory of this one: {problem}");
    }
    // Programs are asked what they are while the configuration is read.
    if let Err(problem) = process::orphans::adopt() {
        warn!("processes that programs leave behind may outlive them: {problem}");
    }
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
