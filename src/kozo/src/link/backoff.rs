//! How long to wait before the next attempt to connect.

use std::time::Duration;

/// Pause after the first failure.
const FIRST: Duration = Duration::from_millis(250);

/// A pause never exceeds this share of the time since the link went down (or a second, if that is
/// more), so that a Peer that was away for a short while is found again in a shorter one.
const SHARE: u32 = 32;

/// Pauses that double from a quarter of a second up to a limit.
#[derive(Clone, Debug)]
pub struct Backoff {
    failures: u32,
    limit: Duration,
}

impl Backoff {
    /// Pauses up to this limit.
    pub fn new(limit: Duration) -> Backoff {
        Backoff { failures: 0, limit }
    }

    /// The pause after one more failure, when the link is down for that long. `random` is from 0 to
    /// 1 and spreads the pause by a quarter in either direction: Nodes that lost each other at the same
    /// moment should not come back at the same moment for ever.
    pub fn next(&mut self, down_for: Duration, random: f64) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let share = (down_for / SHARE).max(Duration::from_secs(1));
        doubled
            .min(share)
            .min(self.limit)
            .mul_f64(0.75 + random.clamp(0.0, 1.0) / 2.0)
            .min(self.limit)
    }

    /// Begins anew.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_with_the_time_down_up_to_the_limit() {
        let mut backoff = Backoff::new(Duration::from_secs(60));
        let mut down = Duration::ZERO;
        let mut pauses = Vec::new();
        while down < Duration::from_secs(14400) {
            let pause = backoff.next(down, 0.5);
            down += pause;
            pauses.push(pause);
        }
        assert_eq!(pauses.first(), Some(&Duration::from_millis(250)));
        assert_eq!(pauses.last(), Some(&Duration::from_secs(60)));
        assert!(pauses.is_sorted());
    }

    #[test]
    fn after_a_minute_the_pause_is_short_still() {
        let mut backoff = Backoff::new(Duration::from_secs(60));
        for _ in 0..50 {
            assert!(backoff.next(Duration::from_secs(60), 1.0) < Duration::from_secs(3));
        }
    }

    #[test]
    fn a_limit_below_the_first_pause_holds() {
        let mut backoff = Backoff::new(Duration::from_millis(100));
        assert!(backoff.next(Duration::ZERO, 1.0) <= Duration::from_millis(100));
    }
}
