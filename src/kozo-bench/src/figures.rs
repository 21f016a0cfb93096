//! Payloads with numbers and times, and the figures that come of them. `tests/bench/peers` reads this file too, so
//! that what it measures of other systems is counted alike; it uses nothing else of this crate.

use std::time::Duration;

use serde_json::{Value, json};

/// Round trips before those that count.
pub const WARM_UP: u64 = 2000;

/// Nanoseconds.
const MILLISECOND: f64 = 1e6;

/// Takes the ages of what comes in one stretch of time, which begins a while after the first payload.
#[derive(Debug)]
pub struct Ages {
    size: usize,
    settle: u64,
    time: u64,
    first: Option<u64>,
    received: u64,
    highest: Option<u64>,
    out_of_order: u64,
    wrong_size: u64,
    ages: Vec<u64>,
}

impl Ages {
    /// For payloads of so many bytes: those count that come between `settle` and `settle + time` after the
    /// first.
    pub fn new(size: usize, settle: Duration, time: Duration) -> Ages {
        Ages {
            size,
            settle: nanoseconds(settle),
            time: nanoseconds(time),
            first: None,
            received: 0,
            highest: None,
            out_of_order: 0,
            wrong_size: 0,
            ages: Vec::new(),
        }
    }

    /// Takes a payload that came at this time: behind its number stands when it was made.
    pub fn take(&mut self, payload: &[u8], came: u64) {
        let read = stamp(payload).filter(|_| payload.len() == self.size);
        let Some((number, made)) = read else {
            self.wrong_size += 1;
            return;
        };
        self.received += 1;
        if self.highest.is_some_and(|highest| number <= highest) {
            self.out_of_order += 1;
        }
        self.highest = self.highest.max(Some(number));
        let since = came.saturating_sub(*self.first.get_or_insert(came));
        if since >= self.settle && since - self.settle < self.time {
            self.ages.push(came.saturating_sub(made));
        }
    }

    /// The result.
    pub fn report(&self) -> Value {
        let mut ages = self.ages.clone();
        ages.sort_unstable();
        let at = |thousandths| quantile(&ages, thousandths, MILLISECOND);
        json!({
            "received": self.received,
            "highest": self.highest,
            "out_of_order": self.out_of_order,
            "wrong_size": self.wrong_size,
            "counted": ages.len(),
            "age_p50_ms": at(500),
            "age_p99_ms": at(990),
            "age_max_ms": at(1000),
        })
    }
}

/// How many Messages are due at a constant rate.
#[derive(Debug)]
pub struct Pace {
    per_second: u64,
    start: u64,
    due: u64,
}

impl Pace {
    /// So many a second, from this time on.
    pub fn new(per_second: u64, start: u64) -> Pace {
        Pace { per_second, start, due: 0 }
    }

    /// How many are due now that were not before. What is more than a twentieth of a second late is left out:
    /// a flood has no need to catch up.
    pub fn due(&mut self, now: u64) -> u64 {
        let elapsed = u128::from(now.saturating_sub(self.start));
        let all = elapsed * u128::from(self.per_second) / 1_000_000_000;
        let all = u64::try_from(all).unwrap_or(u64::MAX);
        let due = all.saturating_sub(self.due);
        self.due = all.max(self.due);
        due.min(self.per_second / 20 + 1)
    }
}

/// A duration as the clock counts it.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A fresh payload with its number in front, and behind that when it was made.
pub fn stamped(number: u64, made: u64, size: usize) -> Vec<u8> {
    let mut payload = payload(number, size);
    if let Some(place) = payload.get_mut(8..16) {
        place.copy_from_slice(&made.to_le_bytes());
    }
    payload
}

/// The number of a payload, and when it was made.
pub fn stamp(payload: &[u8]) -> Option<(u64, u64)> {
    let made = payload.get(8..16)?.try_into().ok().map(u64::from_le_bytes);
    number(payload).zip(made)
}

/// A fresh payload with its number in front.
pub fn payload(number: u64, size: usize) -> Vec<u8> {
    let mut payload = vec![0; size];
    if let Some(start) = payload.get_mut(..8) {
        start.copy_from_slice(&number.to_le_bytes());
    }
    payload
}

/// The number in front of a payload.
pub fn number(payload: &[u8]) -> Option<u64> {
    payload.get(..8)?.try_into().ok().map(u64::from_le_bytes)
}

/// The quantile of sorted times, in units of so many nanoseconds; nothing if there are no times.
fn quantile(sorted: &[u64], thousandths: usize, unit: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let nanoseconds = sorted.get((last * thousandths + 500) / 1000).copied()?;
    #[allow(clippy::cast_precision_loss, reason = "nothing here takes months")]
    let nanoseconds = nanoseconds as f64;
    Some(nanoseconds / unit)
}

/// What pings, in nanoseconds, come to. What was not answered counts with the time it waited.
pub fn pings(mut times: Vec<u64>, unanswered: u64) -> Value {
    times.sort_unstable();
    let at = |thousandths| quantile(&times, thousandths, MILLISECOND);
    json!({
        "pings": times.len(),
        "ping_unanswered": unanswered,
        "ping_p50_ms": at(500),
        "ping_p99_ms": at(990),
        "ping_max_ms": at(1000),
    })
}

/// What the round trips, in nanoseconds, come to.
pub fn round_trips(mut times: Vec<u64>) -> Value {
    times.sort_unstable();
    let at = |thousandths| quantile(&times, thousandths, 1000.0).unwrap_or(0.0);
    json!({
        "rounds": times.len(),
        "rtt_p50_us": at(500),
        "rtt_p99_us": at(990),
        "rtt_p999_us": at(999),
        "rtt_min_us": at(0),
        "rtt_max_us": at(1000),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn only_the_ages_of_the_stretch_count() {
        let second = Duration::from_secs(1);
        let mut ages = Ages::new(256, second, 2 * second);
        assert_eq!(ages.report()["age_p50_ms"], Value::Null);
        // One each half second, of an age of as many milliseconds as its number.
        for number in 0..10 {
            let came = 1_000_000_000 + number * 500_000_000;
            ages.take(&stamped(number, came - number * 1_000_000, 256), came);
        }
        ages.take(&stamped(10, 0, 64), 0);
        let report = ages.report();
        assert_eq!(report["received"], 10);
        assert_eq!(report["highest"], 9);
        assert_eq!(report["wrong_size"], 1);
        assert_eq!(report["out_of_order"], 0);
        assert_eq!(report["counted"], 4, "numbers 2 to 5");
        assert_eq!(report["age_p50_ms"], 4.0);
        assert_eq!(report["age_max_ms"], 5.0);
        ages.take(&stamped(4, 0, 256), u64::MAX);
        assert_eq!(ages.report()["out_of_order"], 1);
        assert_eq!(ages.report()["highest"], 9);
    }

    #[test]
    fn a_pace_is_kept_on_average_and_not_caught_up_with() {
        let mut pace = Pace::new(1500, 7);
        let due: u64 = (1..=1000).map(|tick| pace.due(7 + tick * 1_000_000)).sum();
        assert_eq!(due, 1500);
        assert_eq!(pace.due(7 + 11_000_000_000), 76, "of 15,000");
        assert_eq!(pace.due(7 + 11_002_000_000), 3);
        assert_eq!(pace.due(0), 0);
    }

    #[test]
    fn a_ping_without_an_answer_counts() {
        let result = pings(vec![5_000_000_000, 20_000_000, 30_000_000], 1);
        assert_eq!(result["pings"], 3);
        assert_eq!(result["ping_unanswered"], 1);
        assert_eq!(result["ping_p50_ms"], 30.0);
        assert_eq!(result["ping_p99_ms"], 5000.0);
        assert_eq!(pings(Vec::new(), 0)["ping_p50_ms"], Value::Null);
    }

    #[test]
    fn round_trips_are_sorted() {
        let result = round_trips((1..=1001).rev().map(|time| time * 1000).collect());
        assert_eq!(result["rtt_min_us"], 1.0);
        assert_eq!(result["rtt_p50_us"], 501.0);
        assert_eq!(result["rtt_p99_us"], 991.0);
        assert_eq!(result["rtt_max_us"], 1001.0);
    }
}
