//! How long to wait before the next attempt to connect.

use std::time::Duration;

use kozo_core::pauses::Pauses;

/// Pause after the first failure. A connection that was cut, or a daemon that is just being started
/// again, is found again at once.
const FIRST: Duration = Duration::from_millis(1);

/// A pause never exceeds this share of the time since the link went down (or [`SHORT`], if that is
/// more), so that a Peer that was away for a short while is found again in a much shorter one.
const SHARE: u32 = 64;

/// Pauses may grow to this in any case. An attempt that is refused costs next to nothing, and one that
/// meets silence lasts for seconds by itself.
const SHORT: Duration = Duration::from_millis(10);

/// The same for a link that does not stay up when it is made, or that the Peer refuses.
const UNSTEADY: Duration = Duration::from_secs(1);

/// Pauses that double from a millisecond up to a limit.
#[derive(Clone, Debug)]
pub struct Backoff {
    pauses: Pauses,
    unsteady: bool,
    limit: Duration,
}

impl Backoff {
    /// Pauses up to this limit.
    pub fn new(limit: Duration) -> Backoff {
        Backoff { pauses: Pauses::new(FIRST, Duration::MAX), unsteady: false, limit }
    }

    /// The pause after one more failure, when the link is down for that long. `random` is from 0 to
    /// 1 and spreads the pause by a quarter in either direction: Nodes that lost each other at the same
    /// moment should not come back at the same moment for ever.
    pub fn next(&mut self, down_for: Duration, random: f64) -> Duration {
        let short = if self.unsteady { UNSTEADY } else { SHORT };
        let share = (down_for / SHARE).max(short);
        self.pauses
            .after_failure()
            .min(share)
            .min(self.limit)
            .mul_f64(0.75 + random.clamp(0.0, 1.0) / 2.0)
            .min(self.limit)
    }

    /// Begins anew.
    pub fn reset(&mut self) {
        self.pauses.reset();
        self.unsteady = false;
    }

    /// The link was up, but not for long, or the Peer refused it: there is no hurry.
    pub fn go_on(&mut self) {
        self.unsteady = true;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
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
        assert_eq!(pauses[..2], [1, 2].map(Duration::from_millis));
        assert_eq!(pauses.last(), Some(&Duration::from_secs(60)));
        assert!(pauses.is_sorted());
    }

    #[test]
    fn after_a_minute_the_pause_is_short_still() {
        let mut backoff = Backoff::new(Duration::from_secs(60));
        for _ in 0..50 {
            assert!(backoff.next(Duration::from_secs(60), 1.0) < Duration::from_secs(2));
        }
    }

    #[test]
    fn a_link_that_does_not_stay_up_is_made_once_a_second() {
        let mut backoff = Backoff::new(Duration::from_secs(60));
        for _ in 0..20 {
            backoff.go_on();
            backoff.next(Duration::ZERO, 0.5);
        }
        assert_eq!(backoff.next(Duration::ZERO, 0.5), UNSTEADY);
        backoff.reset();
        assert_eq!(backoff.next(Duration::ZERO, 0.5), FIRST);
    }

    #[test]
    fn a_limit_of_hours_is_reached() {
        let mut backoff = Backoff::new(Duration::from_secs(7200));
        let pauses = (0..40).map(|_| backoff.next(Duration::from_secs(1_000_000), 0.5));
        assert_eq!(pauses.last(), Some(Duration::from_secs(7200)));
    }

    #[test]
    fn a_limit_below_the_first_pause_holds() {
        let mut backoff = Backoff::new(Duration::from_millis(10));
        for _ in 0..50 {
            assert!(backoff.next(Duration::from_secs(60), 1.0) <= Duration::from_millis(10));
        }
    }
}
