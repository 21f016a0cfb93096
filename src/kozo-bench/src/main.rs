//! `kozo-bench`: one process of a benchmark between processes.
//!
//! Nothing is left out that is there in production: each part is an ordinary Role on an ordinary
//! Node, started from a configuration, with keys, SSH sessions, router, queues and control plane. Each
//! talks to the process that started it in lines, as a comparison with other systems expects them
//! (`tests/bench/kozo.json` tells it how to start the parts):
//!
//! | part | does |
//! |---|---|
//! | `recv` | says `READY`; takes the Messages of `send`, and when all have come, or none for three seconds, says `{"received", "expected", "lost", "out_of_order", "wrong_size", "first_ns", "last_ns"}` |
//! | `send` | says `READY`; at a line sends its Messages, whose first eight bytes are their number, and says `{"sent", "start_ns", "end_ns"}`; with several receivers it listens, and says `LISTENING` before |
//! | `echo` | says `READY`; sends everything back |
//! | `ping` | says `READY`; at a line goes 2,000 times there and back, then measures it `count` times, and says `{"rounds", "rtt_p50_us", "rtt_p99_us", "rtt_p999_us", "rtt_min_us", "rtt_max_us"}` |
//! | `drip` | says `READY`; sends 64 bytes every millisecond, whatever happens |
//! | `flood` | says `READY`; at a line sends `pace` Messages a second for `settle + time`, whatever happens to them, and pings the Peer every 250 ms of `time`; then, and at each further line, says `{"sent", "handed", "queued", "dropped", "sessions", "pings", "ping_unanswered", "ping_p50_ms", "ping_p99_ms", "ping_max_ms", "start_ns", "end_ns"}` |
//! | `sink` | says `READY`; takes the Messages of `flood`, and at each line says `{"received", "highest", "out_of_order", "wrong_size", "counted", "age_p50_ms", "age_p99_ms", "age_max_ms", "came", "dropped", "sessions"}`; the ages are those of what came between `settle` and `settle + time` after the first |
//! | `watch` | says `READY`; says `FIRST ns` at the first Message, and `GAP from_ns to_ns` at each pause of more than 3 ms |
//!
//! The first of each pair of `recv` and `send`, `echo` and `ping`, `watch` and `drip`, `sink` and `flood` listens and
//! the other one connects; with several receivers it is the sender that listens. All end when standard input is closed.
//! Times in nanoseconds are CLOCK_MONOTONIC, which all processes of a machine share.
//!
//! The way: [`Arguments`] · `system` (the configuration, with keys from a folder) · [`run`] (the Node,
//! and when it is ready) · `parts` and `slow` (the Roles) ·
//! [`kozo_bench`] (what came, and how long it took).

mod arguments;
mod certificate;
mod error;
mod parts;
mod slow;
mod system;
mod work;

use std::io::{self, BufRead, Write};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use clap::{Parser as _, ValueEnum as _};
use kozo::bus::{self, Endpoints};
use kozo::control::Control;
use kozo::node::{Node, NodeDeps, Types};
use kozo::output::Output;
use kozo::role::Host as _;
use kozo::status::LinkState;
use kozo::{config, daemon, log, process};
use tokio::sync::{broadcast, watch};

use crate::arguments::{Arguments, Part};
use crate::error::BenchError;
use crate::parts::PartType;
use crate::work::Work;

/// Stack of the thread that waits for standard input.
const STACK: usize = 64 * 1024;

/// Stands for the file of the configuration, which is only in memory.
const FILE: &str = "bench";

/// An address without a bus.
const NO_BUS: &str = "unix:path=/nonexistent";

/// Looks at the links at least this often while waiting for them.
const LOOK: Duration = Duration::from_millis(100);

/// Modes of `kozo` that the Node in here starts this program in, for the programs that it runs.
const MODES: [&str; 2] = ["launch", "guard"];

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|word| MODES.contains(&&*word)) {
        return kozo::cli::run();
    }
    match start(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kozo-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Plays the part, from its log on.
fn start(arguments: &Arguments) -> Result<(), BenchError> {
    // A part reports on standard output; below a warning, the log would only cost time.
    let filter = log::filter_from_environment().unwrap_or_else(|| "warn".to_owned());
    let stderr = Output::start(io::stderr())?;
    let _set_log_filter = log::start(&filter, "bench", &stderr).map_err(BenchError::Log)?;
    run(arguments)
}

/// Plays a part until standard input is closed.
///
/// # Errors
/// When it cannot begin.
fn run(arguments: &Arguments) -> Result<(), BenchError> {
    let (said, lines) = watch::channel(0);
    let started = Arc::new(OnceLock::new());
    let work = Work {
        count: arguments.count,
        size: arguments.size,
        pace: arguments.pace.into(),
        settle: arguments.settle,
        time: arguments.time,
        lines,
        node: Arc::clone(&started),
    };
    let mut types = Types::installed(|kind| process::installed(kind, true));
    for &part in Part::value_variants() {
        types.roles.push(Arc::new(PartType { part, work: work.clone() }));
    }
    let setup = system::prepare(arguments)?;
    let loaded = config::check(FILE, &setup.text, Some(&setup.node), &types.registry())?;
    // A Node was named, so there is one.
    let Some(local) = loaded.local else { return Ok(()) };
    let known = types.clone();
    let links = local.system.nodes.len().saturating_sub(1);
    listen_to_stdin(said)?;
    daemon::block_on(async move {
        let deps = NodeDeps {
            types,
            print: Box::new(|_, line| say(line)),
            set_log_filter: Box::new(|_| Ok(())),
            inherited: Default::default(),
            dial_limiter: Arc::default(),
        };
        let node = Node::start(local, deps).await?;
        // It is set here only.
        let _ = started.set(node.clone());
        let control = Control { node: node.clone(), config: PathBuf::from(FILE), types: known };
        let _bus = bus::start(control, endpoints()?).await;
        if !arguments.listens() {
            until_up(&node, links).await;
        } else if arguments.fanout > 1 {
            say("LISTENING");
            until_up(&node, links).await;
        }
        say("READY");
        // The other thread ends the process.
        std::future::pending::<Result<(), BenchError>>().await
    })?
}

/// A control plane that no other Node's is in the way of: sockets without files, and no bus.
fn endpoints() -> io::Result<Endpoints> {
    Ok(Endpoints {
        socket: Some(unseen("control")?),
        role_socket: Some(unseen("role")?),
        system_bus: Some(NO_BUS.to_owned()),
    })
}

/// A socket of this process without a file.
fn unseen(what: &str) -> io::Result<UnixListener> {
    let name = format!("kozo-bench-{}-{what}", std::process::id());
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

/// Counts the lines on standard input, and ends the process when it is closed.
fn listen_to_stdin(said: watch::Sender<u64>) -> io::Result<()> {
    let listen = move || {
        let mut stdin = io::stdin().lock();
        // What cannot be read has ended.
        while stdin.skip_until(b'\n').unwrap_or(0) > 0 {
            said.send_modify(|lines| *lines += 1);
        }
        std::process::exit(0);
    };
    thread::Builder::new().name("stdin".to_owned()).stack_size(STACK).spawn(listen)?;
    Ok(())
}

/// Returns when so many links are up, and this Node knows what is wanted at their other ends.
async fn until_up(node: &Node, links: usize) {
    let mut changes = node.changes();
    while node.status().peers.iter().filter(|peer| peer.state == LinkState::Up).count() < links {
        match tokio::time::timeout(LOOK, changes.recv()).await {
            // The status knows what it was, and what was missed.
            Ok(Ok(_) | Err(broadcast::error::RecvError::Lagged(_))) | Err(_) => {}
            Ok(Err(broadcast::error::RecvError::Closed)) => return,
        }
    }
}

/// Writes a line to standard output. When that is closed, the process is about to end.
fn say(line: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
