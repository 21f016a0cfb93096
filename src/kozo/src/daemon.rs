//! The daemon around a Node: its runtime, its log, its signals.

use std::io::{self, Write};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::config::LocalNode;
use crate::log;
use crate::node::{Node, StartError, Surroundings, Types};

/// Threads for what blocks: disks and name resolution.
const BLOCKING_THREADS: usize = 8;

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

/// Runs a Node until a signal stops it.
///
/// # Errors
/// When it cannot start.
pub fn run(local: LocalNode, types: Types, filter: &str) -> Result<(), DaemonError> {
    let set_log_filter = log::start(filter).map_err(DaemonError::Log)?;
    block_on(async move {
        let mut signals = Signals::new()?;
        let name = local.config.name.clone();
        let surroundings = Surroundings { types, print: Box::new(print), set_log_filter };
        let node = Node::start(local, surroundings).await?;
        info!("node '{name}' runs");
        while let Asked::Reopen = signals.next().await {
            info!("opening log files anew");
            node.reopen();
        }
        info!("stopping; a second signal stops at once");
        tokio::select! {
            () = node.stop() => {}
            () = signals.stop_again() => warn!("stopped at once"),
        }
        Ok(())
    })?
}

/// A line of a Role goes to standard output as it is; who reads it may be gone.
fn print(_role: &str, line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

enum Asked {
    Stop,
    Reopen,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reopen,
        }
    }

    async fn stop_again(&mut self) {
        while let Asked::Reopen = self.next().await {}
    }
}
