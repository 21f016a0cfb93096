//! `kozo testnet`: a whole System on one machine, to see what Kōzō does before setting it up anywhere.
//!
//! The way: `folder` (keys and a configuration, made with `recipe` or found) · `processes` (the daemon
//! itself, once for each Node) · `screen` (their lines, side by side). The Nodes know nothing of it:
//! they are started, run and stopped as anywhere else.

mod folder;
mod processes;
mod recipe;
mod screen;

use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use crate::config::ConfigError;
use crate::keygen::KeygenError;
use crate::node::Types;
use crate::signals::Signals;
use folder::Testnet;
use screen::Line;

/// Why there is no testnet, or how it failed.
#[derive(Debug, thiserror::Error)]
pub enum TestnetError {
    /// The system refused something that nothing runs without.
    #[error("{0}")]
    System(#[from] io::Error),
    /// The folder has something else in it.
    #[error(
        "{} is not empty and not a testnet: name a new or empty folder, or one that \
         `kozo testnet` made",
        .0.display()
    )]
    Foreign(PathBuf),
    /// The path cannot be written into a configuration.
    #[error("cannot put a configuration into {}: its name is not UTF-8", .0.display())]
    NotText(PathBuf),
    /// A file or folder cannot be read or made.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key cannot be made.
    #[error(transparent)]
    Key(#[from] KeygenError),
    /// The configuration that is there cannot be run.
    #[error("the configuration is refused\n\n{0}")]
    Config(#[from] ConfigError),
    /// Another program listens where a Node is to listen.
    #[error(
        "port {port} of {node} is in use: this testnet may already be running. If another program \
         has the port, change it in {}, or name another folder",
        folder.join("config.yml").display()
    )]
    PortTaken {
        /// The folder of the testnet.
        folder: PathBuf,
        /// The Node.
        node: String,
        /// The port.
        port: u16,
    },
    /// No port is free.
    #[error("there are no free ports on this machine")]
    NoPort,
    /// The program of a Node cannot be started.
    #[error("cannot start {}: {source}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What the Nodes say cannot be shown.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// Some Nodes failed; each with how.
    #[error("failed: {}", .0.join(", "))]
    Failed(Vec<String>),
}

/// Runs a System of three Nodes, or what its folder has become since, until all of them have ended
/// or a signal (SIGINT, SIGTERM, SIGHUP) stops them; a second signal kills them. Shows their lines on
/// standard output, and first of all what there is to try. Its reader being gone is a reason to
/// stop, not an error.
///
/// The folder is made if it is missing; a testnet that is there is run again. `program` is the daemon,
/// started as `PROGRAM FOLDER/config.yml NODE` for each Node.
///
/// # Errors
/// When the testnet cannot be made or started, before anything runs; or when a Node failed, after all
/// have ended. No process is left in any case.
pub async fn run(folder: &Path, program: &Path, colour: bool) -> Result<(), TestnetError> {
    let registry = Types::built_in().registry();
    let testnet = folder::prepare(folder, &registry)?;
    let stops = stops()?;
    let (lines, written) = screen::start(&testnet.nodes, colour, io::stdout())?;
    for line in welcome(&testnet, program).lines() {
        // When it has no reader any more, the processes will notice.
        let _ = lines.send(Line { node: None, text: line.into() }).await;
    }
    processes::run(program, &testnet.config, &testnet.nodes, stops, lines, written).await
}

/// Gets an item whenever a signal asks to stop.
fn stops() -> io::Result<mpsc::Receiver<()>> {
    let mut signals = Signals::new()?;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            // A hangup says that the terminal is closed.
            signals.next().await;
            if sender.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// What is there, and what to try with it.
fn welcome(testnet: &Testnet, program: &Path) -> String {
    let shown = |path: &Path| shell_word(&path.to_string_lossy());
    let what = if testnet.new { "Made a testnet in" } else { "Running the testnet in" };
    let first = testnet.nodes.first().map_or("NODE", String::as_str);
    let mut text = format!(
        "{what} {}: {}.\n\n\
         All of them use config.yml in that folder. Things to try:\n\n",
        shown(&testnet.folder),
        testnet.nodes.join(", "),
    );
    if let Some(address) = testnet.inject {
        text.push_str(&format!(
            "  Send a message, from another terminal:\n    {}\n\n",
            injection(&address.ip().to_string(), address.port())
        ));
    }
    text.push_str(&format!(
        "  Stop one Node with `kill` and its process number (below), see the others go on, and start\n  \
           it again by hand, from another terminal:\n    {} {} {first}\n\n  \
           Stop all with Ctrl-C.\n\n",
        shown(program),
        shown(&testnet.config),
    ));
    text
}

/// A command that injects a Message and shows the answer, for any shell, on a machine with bash.
fn injection(host: &str, port: u16) -> String {
    format!(
        "echo \"('log', 'Hello from the shell')\" | \
         bash -c 'exec 3<>/dev/tcp/{host}/{port} && cat >&3 && head -n 1 <&3'"
    )
}

/// A word as a shell takes it.
fn shell_word(text: &str) -> String {
    let plain =
        |c: char| c.is_alphanumeric() || matches!(c, '/' | '_' | '-' | '.' | ',' | '+' | ':');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;
