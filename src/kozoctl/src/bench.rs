//! `kozoctl bench`: the round trip to a Peer, and what the link to it carries.
//!
//! The Node sends bytes that its Peer throws away, in bursts of about a tenth of a second: what else
//! there is to send goes before the rest of a burst, and in the pauses between them.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use kozo_client::Client;
use serde_json::json;
use tokio::time::sleep;

use crate::failure::Failure;
use crate::node;
use crate::output::Output;
use crate::table::Table;
use crate::view::micros;

/// Round trips that are measured.
const ROUND_TRIPS: u32 = 50;

/// The first burst, and the smallest, in bytes.
const SMALLEST: u64 = 64 * 1024;

/// The largest burst.
const LARGEST: u64 = 32 * 1024 * 1024;

/// What a burst is to take, in microseconds.
const BURST: u64 = 100_000;

/// Measures for so long.
///
/// # Errors
/// When the Peer is not up, or does not answer in time.
pub(crate) async fn run(
    client: &Client,
    peer: &str,
    time: Duration,
    output: Output,
) -> Result<(), Failure> {
    let link = client.peer(peer);
    let mut times = Vec::new();
    for _ in 0..ROUND_TRIPS {
        times.push(node::named(client, peer, link.ping().await).await?);
    }
    times.sort_unstable();
    let at = |part: usize| times.get((times.len() - 1) * part / 100).copied().unwrap_or(0);
    let (begun, mut carried) = (Instant::now(), Carried::default());
    let mut burst = SMALLEST;
    while carried.bursts == 0 || begun.elapsed() < time {
        let took = node::named(client, peer, link.fill(burst).await).await?.max(1);
        carried.add(burst, took);
        progress(peer, &carried);
        sleep(Duration::from_micros(took / 4)).await;
        burst = next_burst(burst, took);
    }
    end_progress();
    let answer = json!({
        "peer": peer,
        "round_trip_time": { "least": at(0), "median": at(50), "most": at(100) },
        "bytes": carried.bytes,
        "microseconds": carried.microseconds,
        "bytes_per_second": carried.rate(),
        "best_bytes_per_second": carried.best,
    });
    let mut table = Table::new(&["", ">USUAL", ">BEST"]);
    let rates = [carried.rate(), carried.best].map(megabytes);
    table.row(["round trip".to_owned(), micros(at(50)), micros(at(0))].map(Into::into));
    table.row(["throughput".to_owned()].into_iter().chain(rates).map(Into::into));
    Ok(output.answer(&answer, &table.show(output))?)
}

/// What has been carried so far.
#[derive(Debug, Default)]
struct Carried {
    bursts: u64,
    bytes: u64,
    microseconds: u64,
    /// The highest rate of a burst, in bytes a second.
    best: u64,
}

impl Carried {
    fn add(&mut self, bytes: u64, microseconds: u64) {
        let rate = per_second(bytes, microseconds);
        self.bursts += 1;
        self.bytes += bytes;
        self.microseconds += microseconds;
        self.best = self.best.max(rate);
    }

    /// Bytes a second.
    fn rate(&self) -> u64 {
        per_second(self.bytes, self.microseconds)
    }
}

fn per_second(bytes: u64, microseconds: u64) -> u64 {
    bytes.saturating_mul(1_000_000) / microseconds.max(1)
}

/// A burst that takes about as long as one is to take; it grows no faster than twofold.
fn next_burst(burst: u64, took: u64) -> u64 {
    let fitting = burst.saturating_mul(BURST) / took.max(1);
    fitting.min(burst.saturating_mul(2)).clamp(SMALLEST, LARGEST)
}

/// `12.3 MB/s`.
fn megabytes(rate: u64) -> String {
    format!("{}.{} MB/s", rate / 1_000_000, rate / 100_000 % 10)
}

/// Shows how it goes to whoever looks on.
fn progress(peer: &str, carried: &Carried) {
    if std::io::stderr().is_terminal() {
        let line = format!("{peer}: {} so far", megabytes(carried.rate()));
        // Nobody to tell when this fails.
        let _ = write!(std::io::stderr(), "\r{line}\x1b[K");
    }
}

fn end_progress() {
    if std::io::stderr().is_terminal() {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_come_to_a_tenth_of_a_second() {
        // A link of 50 MB/s with a round trip of 10 ms.
        let took = |burst: u64| 10_000 + burst / 50;
        let mut burst = SMALLEST;
        for _ in 0..20 {
            burst = next_burst(burst, took(burst));
        }
        assert!((90_000..110_000).contains(&took(burst)), "{burst}");
        assert_eq!(next_burst(SMALLEST, u64::MAX), SMALLEST);
        assert_eq!(next_burst(LARGEST, 1), LARGEST);
    }

    #[test]
    fn rates_are_of_all_bursts_together() {
        let mut carried = Carried::default();
        carried.add(1_000_000, 1_000_000);
        carried.add(3_000_000, 1_000_000);
        assert_eq!((carried.rate(), carried.best), (2_000_000, 3_000_000));
        assert_eq!(megabytes(carried.rate()), "2.0 MB/s");
    }
}
