//! The turn of a task that may have much to do at once: it ends after about a millisecond of work, so that
//! others get theirs.
//!
//! The clock is looked at only now and then, for that costs as much as a Message does.

use std::time::{Duration, Instant};

/// How long a turn takes.
const TURN: Duration = Duration::from_millis(1);

/// Steps between two looks at the clock.
const STEPS: usize = 256;

/// Bytes that take about as long as a step.
const BYTES: usize = 1024;

/// A turn, and what was done since the clock was looked at. A step is some tens of nanoseconds: what a
/// Message costs that goes where the one before it went.
#[derive(Debug, Default)]
pub struct Turn {
    steps: usize,
    /// When it began, as far as that is known.
    began: Option<Instant>,
}

impl Turn {
    /// Counts so many steps.
    pub fn step(&mut self, steps: usize) {
        self.steps = self.steps.saturating_add(steps);
    }

    /// Counts what it takes to go through so many bytes.
    pub fn read(&mut self, bytes: usize) {
        self.step(bytes / BYTES);
    }

    /// Whether others are to have a turn now. The caller then gives them one, and the next turn begins.
    pub fn is_over(&mut self) -> bool {
        if self.steps < STEPS {
            return false;
        }
        self.steps = 0;
        let now = Instant::now();
        let began = *self.began.get_or_insert(now);
        let over = now.saturating_duration_since(began) >= TURN;
        if over {
            // What others do meanwhile is not part of it.
            self.began = None;
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_ends_after_a_while_and_not_before() {
        let (mut turn, began) = (Turn::default(), Instant::now());
        while !turn.is_over() {
            turn.step(1);
        }
        assert!(began.elapsed() >= TURN, "{:?}", began.elapsed());
        let mut fresh = Turn::default();
        fresh.step(STEPS - 1);
        fresh.began = Some(began);
        assert!(!fresh.is_over(), "the clock was not looked at yet");
        fresh.read(BYTES);
        assert!(fresh.is_over());
        assert!(!fresh.is_over(), "the next one has begun");
    }
}
