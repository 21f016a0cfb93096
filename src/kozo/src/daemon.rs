//! The daemon around a Node: its runtime, its log, its signals.

use std::io::{self, Write};
use std::path::PathBuf;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use tracing::{info, warn};

use crate::bus::{self, Entrances};
use crate::config::LocalNode;
use crate::control::Control;
use crate::log;
use crate::node::{Node, StartError, Surroundings, Types};
use crate::signals::{Asked, Signals};

/// Threads for what blocks: disks and name resolution.
const BLOCKING_THREADS: usize = 8;

/// Set in the environment of a daemon that is to stop when the program that started it ends, however
/// that ends.
pub const STOP_WITH_PARENT: &str = "KOZO_STOP_WITH_PARENT";

/// Why the daemon did not run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The system gave no runtime, or no signals.
    #[error("{0}")]
    System(#[from] io::Error),
    /// The log filter makes no sense.
    #[error("{0}")]
    Log(String),
    /// The Node did not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Runs a future on a runtime of its own: everything of a Node on one thread, but for what blocks.
///
/// # Errors
/// When the system gives no runtime.
pub fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()?;
    let result = runtime.block_on(future);
    // A disk or a name server that hangs must not keep the process.
    runtime.shutdown_background();
    Ok(result)
}

/// Runs a Node, whose configuration is from this file, until a signal stops it.
///
/// # Errors
/// When it cannot start.
pub fn run(file: PathBuf, local: LocalNode, types: Types, filter: &str) -> Result<(), DaemonError> {
    let set_log_filter = log::start(filter).map_err(DaemonError::Log)?;
    block_on(async move {
        let mut signals = Signals::new()?;
        if std::env::var_os(STOP_WITH_PARENT).is_some() {
            prctl::set_pdeathsig(Signal::SIGTERM).map_err(io::Error::from)?;
        }
        let name = local.config.name.clone();
        let known = types.clone();
        let surroundings = Surroundings { types, print: Box::new(print), set_log_filter };
        let node = Node::start(local, surroundings).await?;
        let control = Control { node: node.clone(), config: file, types: known };
        let _bus = bus::start(control, Entrances::default()).await;
        info!("node '{name}' runs");
        while signals.next().await == Asked::Hangup {
            info!("opening log files anew");
            node.reopen();
        }
        info!("stopping; a second signal stops at once");
        tokio::select! {
            () = node.stop() => {}
            () = signals.stop() => warn!("stopped at once"),
        }
        Ok(())
    })?
}

/// A line of a Role goes to standard output as it is; who reads it may be gone.
fn print(_role: &str, line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}
