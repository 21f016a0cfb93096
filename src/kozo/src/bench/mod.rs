//! `kozo bench`: one process of a benchmark between processes.
//!
//! Nothing is left out that is there in production: each part is an ordinary Role on an ordinary
//! Node, started from a configuration, with keys, SSH sessions, router, queues and control plane. Each
//! speaks with whoever started it by lines, as a comparison with other systems wants them
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
//! and when it is ready) · `parts` and `slow` (the Roles) · `tally` (what came, and how long it took).

mod certificate;
mod parts;
mod slow;
mod system;
mod tally;

use std::io::{self, BufRead, Write};
use std::net;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use tokio::sync::{broadcast, watch};

use crate::bus::{self, Endpoints};
use crate::config::{self, ConfigError};
use crate::control::Control;
use crate::daemon;
use crate::keygen::KeygenError;
use crate::node::{Node, NodeDeps, StartError, Types};
use crate::status::LinkState;
use parts::{PartType, Work};

/// Stack of the thread that waits for standard input.
const STACK: usize = 64 * 1024;

/// What stands for the file of the configuration, which there is only in memory.
const FILE: &str = "bench";

/// Where no bus is.
const NO_BUS: &str = "unix:path=/nonexistent";

/// The longest measurement.
const LONGEST: Duration = Duration::from_secs(3600);

/// Looks at the links at least this often while waiting for them.
const LOOK: Duration = Duration::from_millis(100);

/// What one process of a benchmark does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Counts what `send` floods it with, and says how fast it came.
    Recv,
    /// Floods, once told to by a line on standard input.
    Send,
    /// Sends everything back.
    Echo,
    /// Measures round trips, once told to by a line on standard input.
    Ping,
    /// Sends a Message every millisecond, whatever happens.
    Drip,
    /// Says when the first Message came, and where there was a pause.
    Watch,
    /// Sends more than a slow line carries, without waiting, and pings meanwhile.
    Flood,
    /// Says how old the Messages of `flood` are when they come.
    Sink,
}

impl Part {
    /// All of them.
    const ALL: [Part; 8] = [
        Part::Recv,
        Part::Send,
        Part::Echo,
        Part::Ping,
        Part::Drip,
        Part::Watch,
        Part::Flood,
        Part::Sink,
    ];

    /// The part at the other end.
    fn other(self) -> Part {
        match self {
            Part::Recv => Part::Send,
            Part::Send => Part::Recv,
            Part::Echo => Part::Ping,
            Part::Ping => Part::Echo,
            Part::Drip => Part::Watch,
            Part::Watch => Part::Drip,
            Part::Flood => Part::Sink,
            Part::Sink => Part::Flood,
        }
    }

    /// Name of its Role, and what its Role's type is called.
    fn name(self) -> &'static str {
        match self {
            Part::Recv => "bench_recv",
            Part::Send => "bench_send",
            Part::Echo => "bench_echo",
            Part::Ping => "bench_ping",
            Part::Drip => "bench_drip",
            Part::Watch => "bench_watch",
            Part::Flood => "bench_flood",
            Part::Sink => "bench_sink",
        }
    }

    /// Whether it waits to be told to begin.
    fn waits(self) -> bool {
        matches!(self, Part::Send | Part::Ping | Part::Flood)
    }
}

/// Play a part in a benchmark between processes.
///
/// Each process is a whole Node. It says what it measured on standard output, and ends when standard
/// input is closed.
#[derive(Clone, Debug, clap::Parser)]
#[command(max_term_width = 80)]
pub struct Arguments {
    /// What this process does.
    part: Part,

    /// Where the listening side listens.
    #[arg(long, value_name = "ADDRESS:PORT")]
    addr: net::SocketAddr,

    /// Folder with the keys and certificates (P-256, PEM) `a.key` and `a.crt` of the listening side,
    /// `b.key` and `b.crt` of the connecting side. In a fan-out the keys of the receivers are made in it.
    #[arg(long, value_name = "DIR")]
    certs: PathBuf,

    /// Bytes in each message.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=262_144))]
    size: u32,

    /// Messages of a flood, or round trips.
    #[arg(long, default_value_t = 20_000)]
    count: u64,

    /// Receivers at once. With more than one it is they who connect, and the sender listens.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    fanout: u16,

    /// Messages that wait for the Peer at most (`outgoingQueueLength`).
    #[arg(long, default_value_t = system::QUEUE, value_parser = clap::value_parser!(u32).range(1..))]
    queue: u32,

    /// Messages a second that `flood` sends.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pace: u32,

    /// Seconds that `flood` goes on before `flood` and `sink` measure.
    #[arg(long, default_value = "5", value_parser = seconds)]
    settle: Duration,

    /// Seconds that `flood` and `sink` measure.
    #[arg(long, default_value = "20", value_parser = seconds)]
    time: Duration,
}

/// A duration on the command line.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds is wanted".to_owned())?;
    let duration = Duration::try_from_secs_f64(seconds).ok().filter(|time| *time <= LONGEST);
    duration.ok_or_else(|| "it is from 0 to 3600 seconds".to_owned())
}

impl Arguments {
    /// Whether this process listens and the other one connects.
    fn listens(&self) -> bool {
        matches!(self.part, Part::Recv | Part::Echo | Part::Watch | Part::Sink)
            == (self.fanout == 1)
    }
}

/// Why a part could not be played.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The system refused something that nothing runs without.
    #[error("{0}")]
    System(#[from] io::Error),
    /// A file cannot be read or moved.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate has no key that can be used.
    #[error("{} is no PEM certificate with a P-256 key", .0.display())]
    Certificate(PathBuf),
    /// A key cannot be written as text.
    #[error("a key cannot be written as text: {0}")]
    Key(#[from] ssh_key::Error),
    /// No key can be made.
    #[error(transparent)]
    Keygen(#[from] KeygenError),
    /// All keys for receivers are in use, or there are none.
    #[error("no key for a receiver is left in {}: the sender, which makes them, comes first", .0.display())]
    NoPlace(PathBuf),
    /// What was made of all that is no System.
    #[error("the configuration is refused\n\n{0}")]
    Config(#[from] ConfigError),
    /// The Node does not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Plays a part until standard input is closed.
///
/// # Errors
/// When it cannot begin.
pub fn run(arguments: &Arguments) -> Result<(), BenchError> {
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
    let mut types = Types::built_in();
    for part in Part::ALL {
        types.roles.push(Arc::new(PartType { part, work: work.clone() }));
    }
    let place = system::prepare(arguments)?;
    let loaded = config::check(FILE, &place.text, Some(&place.node), &types.registry())?;
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
        // Nobody else sets it.
        let _ = started.set(node.clone());
        let control = Control { node: node.clone(), config: PathBuf::from(FILE), types: known };
        let _bus = bus::start(control, entrances()?).await;
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

/// Ways to the control plane that come in nobody's way: a socket without a file, and no bus.
fn entrances() -> io::Result<Endpoints> {
    let name = format!("kozo-bench-{}", std::process::id());
    let socket = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    Ok(Endpoints { socket: Some(socket), system_bus: Some(NO_BUS.to_owned()) })
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
    use crate::role::Host as _;
    let mut changes = node.changes();
    while node.status().peers.iter().filter(|peer| peer.state == LinkState::Up).count() < links {
        match tokio::time::timeout(LOOK, changes.recv()).await {
            // Whatever it was, and whatever was missed: the status knows.
            Ok(Ok(_) | Err(broadcast::error::RecvError::Lagged(_))) | Err(_) => {}
            Ok(Err(broadcast::error::RecvError::Closed)) => return,
        }
    }
}

/// Says a line to whoever started the process. When nobody reads it, the process is about to end.
fn say(line: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
