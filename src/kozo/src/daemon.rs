//! The daemon around a Node: its runtime, its log, its signals.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use tracing::{info, warn};

use crate::bus::{self, Endpoints};
use crate::class;
use crate::config::LocalNode;
use crate::control::Control;
use crate::node::{Node, NodeDeps, Print, SetLogFilter, StartError, Types};
use crate::output::Output;
use crate::process::orphans;
use crate::service::{Service, journal, pause, sockets};
use crate::signals::{Asked, Signals};
use kozo_core::types::BLOCKING_THREADS;

/// Set in the environment of a daemon that is to stop when the program that started it ends, however
/// that ends.
pub const STOP_WITH_PARENT: &str = "KOZO_STOP_WITH_PARENT";

/// How long the last lines may take to be written when the daemon ends.
pub const LAST_LINES: Duration = Duration::from_millis(250);

/// Why the daemon did not run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The system gave no runtime, or no signals.
    #[error("{0}")]
    System(#[from] io::Error),
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

/// Keeps the memory of this process, which is going to have the private key in it, from all other processes of its user:
/// there is no tracing it, no reading it, and no core dump.
///
/// # Errors
/// What the system says.
pub fn keep_memory_private() -> io::Result<()> {
    Ok(prctl::set_dumpable(false)?)
}

/// Runs a Node, whose configuration is from this file, until a signal stops it.
///
/// # Errors
/// When it cannot start.
pub fn run(
    file: PathBuf,
    local: LocalNode,
    types: Types,
    set_log_filter: SetLogFilter,
) -> Result<(), DaemonError> {
    let mut inherited = sockets::take_over()?;
    let (socket, role_socket) = sockets::control(&mut inherited);
    let stdout = Output::start(io::stdout())?;
    let lines = stdout.clone();
    let ended = block_on(async move {
        let mut signals = Signals::new()?;
        orphans::attend()?;
        if std::env::var_os(STOP_WITH_PARENT).is_some() {
            prctl::set_pdeathsig(Signal::SIGTERM).map_err(io::Error::from)?;
        }
        let name = local.config.name.clone();
        // A line of a Role goes to standard output as it is; in the journal it has the Role's name.
        let print: Print = if journal::is_open() {
            Box::new(|role: &str, line: &str| info!(role, "{line}"))
        } else {
            Box::new(move |_role: &str, line: &str| lines.line(line))
        };
        let known = types.clone();
        let dial_limiter = Arc::default();
        let deps = NodeDeps { types, print, set_log_filter, inherited, dial_limiter };
        let node = tokio::select! {
            started = Node::start(local, deps) => started?,
            // To listen may take long: at a name, when the name server hangs.
            () = signals.stop() => return Ok(()),
        };
        pause::started();
        let control = Control { node: node.clone(), config: file, types: known };
        let entrances = Endpoints { socket, role_socket, system_bus: None };
        let _bus = bus::start(control, entrances).await;
        let service = Service::start(&node);
        info!(class = class::NODE_READY, "node '{name}' runs");
        while signals.next().await == Asked::Hangup {
            info!("reopening log files");
            node.reopen();
        }
        service.stopping();
        info!("stopping; a second signal stops at once");
        tokio::select! {
            () = node.stop() => {}
            () = signals.stop() => warn!("stopped at once"),
        }
        orphans::end_all().await;
        Ok(())
    });
    stdout.flush(LAST_LINES);
    ended?
}
