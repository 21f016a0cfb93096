//! The parts, and the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Messages that wait in the queue of a Role at most, where the default would be 128: what waits for one turn
/// of the loop is then worth a turn.
pub(crate) const QUEUE: u32 = 1024;

/// The longest measurement.
const LONGEST: Duration = Duration::from_secs(3600);

/// What one process of a benchmark does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Counts what `send` floods it with, and says how fast it came.
    Recv,
    /// Floods, once told to by a line on standard input.
    Send,
    /// Sends everything back.
    Echo,
    /// Measures round trips, once told to by a line on standard input.
    Ping,
    /// Sends a Message every millisecond, without waiting for anything.
    Drip,
    /// Says when the first Message came, and where there was a pause.
    Watch,
    /// Sends more than a slow line carries, without waiting, and pings meanwhile.
    Flood,
    /// Says how old the Messages of `flood` are when they come.
    Sink,
}

impl Part {
    /// The part at the other end.
    pub(crate) fn other(self) -> Part {
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
    pub(crate) fn name(self) -> &'static str {
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
    pub(crate) fn waits(self) -> bool {
        matches!(self, Part::Send | Part::Ping | Part::Flood)
    }
}

/// Play a part in a benchmark between processes.
///
/// Each process is a whole Node. It says what it measured on standard output, and ends when standard
/// input is closed.
#[derive(Debug, clap::Parser)]
#[command(name = "kozo-bench", version, max_term_width = 80)]
pub(crate) struct Arguments {
    /// What this process does.
    pub(crate) part: Part,

    /// Where the listening side listens.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) addr: SocketAddr,

    /// Folder with the keys and certificates (P-256, PEM) `a.key` and `a.crt` of the listening side,
    /// `b.key` and `b.crt` of the connecting side. In a fan-out the keys of the receivers are made in it.
    #[arg(long, value_name = "DIR")]
    pub(crate) certs: PathBuf,

    /// Bytes in each message.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=262_144))]
    pub(crate) size: u32,

    /// A program that is the Transport between them in place of `tcp`. Its type has the
    /// options `address`, `bindAddress` and `port`.
    #[arg(long, value_name = "FILE")]
    pub(crate) transport: Option<PathBuf>,

    /// Messages of a flood, or round trips.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) count: u64,

    /// Receivers at once. With more than one it is they who connect, and the sender listens.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) fanout: u16,

    /// Messages that wait for the Peer at most (`outgoingQueueLength`).
    #[arg(long, default_value_t = QUEUE, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) queue: u32,

    /// Messages a second that `flood` sends.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) pace: u32,

    /// Seconds that `flood` goes on before `flood` and `sink` measure.
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub(crate) settle: Duration,

    /// Seconds that `flood` and `sink` measure.
    #[arg(long, default_value = "20", value_parser = seconds)]
    pub(crate) time: Duration,
}

/// A duration on the command line.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds is wanted".to_owned())?;
    let duration = Duration::try_from_secs_f64(seconds).ok().filter(|time| *time <= LONGEST);
    duration.ok_or_else(|| "it is from 0 to 3600 seconds".to_owned())
}

impl Arguments {
    /// Whether this process listens and the other one connects.
    pub(crate) fn listens(&self) -> bool {
        matches!(self.part, Part::Recv | Part::Echo | Part::Watch | Part::Sink)
            == (self.fanout == 1)
    }
}
