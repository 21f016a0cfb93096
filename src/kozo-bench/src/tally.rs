//! What a receiver has seen, and the clock that all processes of a machine share.

use std::time::Duration;

use serde_json::{Value, json};

use crate::figures::{nanoseconds, number};

/// A flood of which nothing came for so long is over.
pub const OVER: Duration = Duration::from_secs(3);

/// Pauses between two Messages that are worth a line, in nanoseconds.
const PAUSE: u64 = 3_000_000;

/// What a part says at a Message that came now: when the first came, and where there was a pause.
pub fn heard(last: &mut Option<u64>, time: u64) -> Option<String> {
    match last.replace(time) {
        None => Some(format!("FIRST {time}")),
        Some(last) if time - last > PAUSE => Some(format!("GAP {last} {time}")),
        Some(_) => None,
    }
}

/// CLOCK_MONOTONIC in nanoseconds.
pub fn now() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    // Every Linux has this clock.
    nanoseconds(now.map_or(Duration::ZERO, Duration::from))
}

/// Counts what comes of a flood.
#[derive(Debug)]
pub struct Tally {
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
    pub fn new(expected: u64, size: usize) -> Tally {
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
    pub fn take(&mut self, payload: &[u8]) {
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
    pub fn is_complete(&self) -> bool {
        self.received >= self.expected
    }

    /// Whether some have come.
    pub fn has_begun(&self) -> bool {
        self.received > 0
    }

    /// The result.
    pub fn report(&self) -> Value {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use crate::figures::payload;

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
}
