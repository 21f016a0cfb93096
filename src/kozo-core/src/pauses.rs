//! Pauses between attempts: each twice as long as the one before, up to a limit.

use std::time::Duration;

/// Pauses that double.
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Pauses {
    /// Pauses from the first to the longest, which is not exceeded even by the first.
    pub const fn new(first: Duration, longest: Duration) -> Pauses {
        Pauses { first, longest, next: first }
    }

    /// How long to wait after one more failure.
    pub fn after_failure(&mut self) -> Duration {
        let pause = self.next.min(self.longest);
        self.next = pause.saturating_mul(2);
        pause
    }

    /// Begins anew, after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_double_up_to_the_longest_and_begin_anew() {
        let mut pauses = Pauses::new(Duration::from_secs(1), Duration::from_secs(5));
        let seconds: Vec<_> = (0..5).map(|_| pauses.after_failure().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 5, 5]);
        pauses.reset();
        assert_eq!(pauses.after_failure().as_secs(), 1);
        let mut longest_is_shorter = Pauses::new(Duration::from_secs(9), Duration::from_secs(5));
        assert_eq!([longest_is_shorter.after_failure(); 2].map(|pause| pause.as_secs()), [5, 5]);
        let mut for_ever = Pauses::new(Duration::from_secs(1), Duration::MAX);
        assert!((0..200).map(|_| for_ever.after_failure()).is_sorted());
    }
}
