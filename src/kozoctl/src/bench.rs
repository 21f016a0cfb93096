//! `kozoctl bench`: the round trip to a Peer, and what the link to it carries.
//!
//! The Node sends bytes that its Peer throws away, in bursts of about a tenth of a second: what else
//! there is to send goes before the rest of a burst, and in the pauses between them. A burst ends with an
//! answer, so that it takes a round trip longer than its bytes do; over a long distance bursts are
//! longer, and that time is subtracted. While a burst is under way, a ping tells how old news becomes on a link that is
//! loaded.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use kozo_client::{Client, Error};
use serde_json::json;
use tokio::time::sleep;

use crate::failure::Failure;
use crate::node;
use crate::output::Output;
use crate::table::Table;
use crate::view::{micros, rate, size};

/// Most round trips that are measured.
const ROUND_TRIPS: usize = 50;

/// The first burst, and the smallest, in bytes.
const SMALLEST: u64 = 4 * 1024;

/// The largest burst.
const LARGEST: u64 = 32 * 1024 * 1024;

/// What a burst is to take at least, in microseconds.
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
    let measured = measure(client, peer, time).await;
    end_progress();
    let (times, carried) = match measured {
        Err(error @ Error::TimedOut(_)) => {
            let failure: Failure = error.into();
            return Err(failure.hint("The link is slow, or Messages leave no room on it."));
        }
        measured => node::named(client, peer, measured).await?,
    };
    let at = |part: usize| times.get((times.len() - 1) * part / 100).copied().unwrap_or(0);
    let age = carried.age();
    let answer = json!({
        "peer": peer,
        "round_trip_time": { "least": at(0), "median": at(50), "most": at(100) },
        "bytes": carried.bytes,
        "microseconds": carried.microseconds,
        "bytes_per_second": carried.rate(),
        "best_bytes_per_second": carried.best,
        "backlog": carried.backlog,
        "age": age,
    });
    let mut table = Table::new(&["", ">USUAL", ">BEST"]);
    let rates = [carried.rate(), carried.best].map(rate);
    table.row(["round trip".to_owned(), micros(at(50)), micros(at(0))].map(Into::into));
    table.row(["throughput".to_owned()].into_iter().chain(rates).map(Into::into));
    table.row(["age under load".to_owned(), micros(age), String::new()].map(Into::into));
    table.row(["backlog".to_owned(), size(carried.backlog), String::new()].map(Into::into));
    Ok(output.answer(&answer, &table.show(output))?)
}

/// The round trips, sorted, in microseconds, and what the link carried: a quarter of the time for the former.
async fn measure(
    client: &Client,
    peer: &str,
    time: Duration,
) -> Result<(Vec<u64>, Carried), Error> {
    let link = client.peer(peer);
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || times.len() < ROUND_TRIPS && begun.elapsed() < time / 4 {
        let took = link.ping().await?;
        progress(peer, &micros(took));
        times.push(took);
    }
    times.sort_unstable();
    let round_trip = times.first().copied().unwrap_or(0);
    let (mut carried, mut burst) = (Carried::default(), SMALLEST);
    while carried.bursts == 0 || begun.elapsed() < time {
        let (took, (loaded, backlog)) =
            tokio::try_join!(link.fill(burst), under_load(client, peer))?;
        if tells(burst, took, round_trip) {
            carried.add(burst, took.saturating_sub(round_trip));
            carried.add_load(loaded.saturating_sub(round_trip / 2), backlog);
            progress(peer, &rate(carried.rate()));
        }
        sleep(Duration::from_micros(took / 4)).await;
        burst = next_burst(burst, took, round_trip);
    }
    Ok((times, carried))
}

/// The round trip to a Peer whose link is loaded now, in microseconds, and the bytes on their way there.
async fn under_load(client: &Client, peer: &str) -> Result<(u64, u64), Error> {
    let took = client.peer(peer).ping().await?;
    let status = client.describe().await?;
    let backlog = status.peers.iter().find(|known| known.name == peer).map(|peer| peer.backlog);
    Ok((took, backlog.unwrap_or(0)))
}

/// Whether the time that a burst took says more of its bytes than of the distance.
fn tells(burst: u64, took: u64, round_trip: u64) -> bool {
    took >= round_trip.saturating_mul(2) || burst == LARGEST
}

/// What has been carried so far.
#[derive(Debug, Default)]
struct Carried {
    bursts: u64,
    bytes: u64,
    microseconds: u64,
    /// The highest rate of a burst, in bytes a second.
    best: u64,
    /// How old news is that goes along with a burst, in microseconds.
    ages: Vec<u64>,
    /// Most bytes that were on their way.
    backlog: u64,
}

impl Carried {
    fn add(&mut self, bytes: u64, microseconds: u64) {
        let rate = per_second(bytes, microseconds);
        self.bursts += 1;
        self.bytes += bytes;
        self.microseconds += microseconds;
        self.best = self.best.max(rate);
    }

    fn add_load(&mut self, age: u64, backlog: u64) {
        self.ages.push(age);
        self.backlog = self.backlog.max(backlog);
    }

    /// How old news is mostly.
    fn age(&self) -> u64 {
        let mut ages = self.ages.clone();
        ages.sort_unstable();
        ages.get(ages.len() / 2).copied().unwrap_or(0)
    }

    /// Bytes a second.
    fn rate(&self) -> u64 {
        per_second(self.bytes, self.microseconds)
    }
}

fn per_second(bytes: u64, microseconds: u64) -> u64 {
    bytes.saturating_mul(1_000_000) / microseconds.max(1)
}

/// A burst that takes about as long as one is to take; it grows no faster than eightfold.
fn next_burst(burst: u64, took: u64, round_trip: u64) -> u64 {
    let aim = BURST.max(round_trip.saturating_mul(4));
    let fitting = burst.saturating_mul(aim) / took.max(1);
    fitting.min(burst.saturating_mul(8)).clamp(SMALLEST, LARGEST)
}

/// Shows how it goes.
fn progress(peer: &str, so_far: &str) {
    if std::io::stderr().is_terminal() {
        // There is no one to tell when this fails.
        let _ = write!(std::io::stderr(), "\r{peer}: {so_far} so far\x1b[K");
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

    /// What the last of some bursts says of a link of 50 MB/s, and how long that burst took.
    fn measured(round_trip: u64) -> (Carried, u64) {
        let took = |burst: u64| round_trip + burst / 50;
        let (mut burst, mut last) = (SMALLEST, Carried::default());
        for _ in 0..10 {
            if tells(burst, took(burst), round_trip) {
                last = Carried::default();
                last.add(burst, took(burst) - round_trip);
            }
            burst = next_burst(burst, took(burst), round_trip);
        }
        (last, took(burst))
    }

    #[test]
    fn bursts_come_to_a_tenth_of_a_second() {
        let (_, took) = measured(10_000);
        assert!((90_000..110_000).contains(&took), "{took}");
        assert_eq!(next_burst(SMALLEST, u64::MAX, 0), SMALLEST);
        assert_eq!(next_burst(LARGEST, 1, 0), LARGEST);
    }

    #[test]
    fn a_long_way_is_not_taken_for_a_narrow_one() {
        for round_trip in [100, 10_000, 400_000] {
            let (last, _) = measured(round_trip);
            assert!((49_000_000..51_000_000).contains(&last.rate()), "{round_trip}: {last:?}");
        }
    }

    #[test]
    fn what_no_burst_can_fill_is_measured_by_the_largest() {
        assert!(!tells(SMALLEST, 400_010, 400_000));
        assert!(tells(LARGEST, 400_010, 400_000));
    }

    #[test]
    fn rates_are_of_all_bursts_together() {
        let mut carried = Carried::default();
        carried.add(1_000_000, 1_000_000);
        carried.add(3_000_000, 1_000_000);
        assert_eq!((carried.rate(), carried.best), (2_000_000, 3_000_000));
    }
}
