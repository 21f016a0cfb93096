//! What a receiver has seen, and the clock that all processes of a machine share.

use serde_json::{Value, json};

/// CLOCK_MONOTONIC in nanoseconds.
pub(super) fn now() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    // Every Linux has this clock.
    let now = now.map_or(std::time::Duration::ZERO, std::time::Duration::from);
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Counts what comes of a flood.
#[derive(Debug)]
pub(super) struct Tally {
    expected: u64,
    size: usize,
    received: u64,
    next: u64,
    out_of_order: u64,
    wrong_size: u64,
    first: u64,
    last: u64,
}

impl Tally {
    /// For so many payloads of so many bytes.
    pub(super) fn new(expected: u64, size: usize) -> Tally {
        Tally {
            expected,
            size,
            received: 0,
            next: 0,
            out_of_order: 0,
            wrong_size: 0,
            first: 0,
            last: 0,
        }
    }

    /// Takes a payload, whose first eight bytes are its number.
    pub(super) fn take(&mut self, payload: &[u8]) {
        let Some(number) = number(payload).filter(|_| payload.len() == self.size) else {
            self.wrong_size += 1;
            return;
        };
        if number < self.next {
            self.out_of_order += 1;
        }
        self.next = number.saturating_add(1);
        self.received += 1;
        if self.received == 1 {
            self.first = now();
        }
        // The clock is read for one message in sixteen and for the last.
        if self.received & 15 == 0 || self.received == self.expected || self.next == self.expected {
            self.last = now();
        }
    }

    /// Whether all have come.
    pub(super) fn is_complete(&self) -> bool {
        self.received >= self.expected
    }

    /// Whether some have come.
    pub(super) fn has_begun(&self) -> bool {
        self.received > 0
    }

    /// The result.
    pub(super) fn report(&self) -> Value {
        json!({
            "received": self.received,
            "expected": self.expected,
            "lost": self.expected.saturating_sub(self.received),
            "out_of_order": self.out_of_order,
            "wrong_size": self.wrong_size,
            "first_ns": self.first,
            "last_ns": self.last,
        })
    }
}

/// A fresh payload with its number in front.
pub(super) fn payload(number: u64, size: usize) -> Vec<u8> {
    let mut payload = vec![0; size];
    if let Some(start) = payload.get_mut(..8) {
        start.copy_from_slice(&number.to_le_bytes());
    }
    payload
}

/// The number in front of a payload.
pub(super) fn number(payload: &[u8]) -> Option<u64> {
    payload.get(..8)?.try_into().ok().map(u64::from_le_bytes)
}

/// What the round trips, in nanoseconds, come to.
pub(super) fn round_trips(mut times: Vec<u64>) -> Value {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    let at = |thousandths: usize| {
        let nanoseconds = times.get((last * thousandths + 500) / 1000).copied().unwrap_or(0);
        #[allow(clippy::cast_precision_loss, reason = "no round trip takes months")]
        let microseconds = nanoseconds as f64 / 1000.0;
        microseconds
    };
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
    fn a_tally_knows_what_is_missing_and_what_is_not_in_its_place() {
        let mut tally = Tally::new(5, 64);
        assert!(!tally.has_begun());
        for number in [0, 2, 1] {
            tally.take(&payload(number, 64));
        }
        tally.take(&payload(3, 63));
        assert!(tally.has_begun() && !tally.is_complete());
        let report = tally.report();
        assert_eq!(report["lost"], 2);
        assert_eq!(report["out_of_order"], 1);
        assert_eq!(report["wrong_size"], 1);
        for number in [3, 4] {
            tally.take(&payload(number, 64));
        }
        assert!(tally.is_complete());
        let report = tally.report();
        assert!(report["last_ns"].as_u64() > report["first_ns"].as_u64());
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
