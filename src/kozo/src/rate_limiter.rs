//! Log lines that come again and again, or that a stranger could cause at will: at most one a minute for one cause,
//! or so many of one source.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// How long a cause keeps silent once it has been logged.
const INTERVAL: Duration = Duration::from_secs(60);

/// Causes that are remembered at once. A stranger who invents more of them is not logged any more.
const MOST: usize = 1024;

/// Remembers what was logged when, by cause.
#[derive(Debug)]
pub(crate) struct RateLimiter<K> {
    logged: HashMap<K, Logged>,
}

#[derive(Debug)]
struct Logged {
    at: Instant,
    suppressed: u64,
}

impl<K> Default for RateLimiter<K> {
    fn default() -> Self {
        RateLimiter { logged: HashMap::new() }
    }
}

impl<K: Eq + Hash> RateLimiter<K> {
    /// Whether a line about this cause may be logged now; if so, how many were suppressed since the last one.
    pub(crate) fn allow(&mut self, cause: impl Into<K>) -> Option<Suppressed> {
        let (cause, now) = (cause.into(), Instant::now());
        if let Some(known) = self.logged.get_mut(&cause) {
            if now < known.at + INTERVAL {
                known.suppressed += 1;
                return None;
            }
            known.at = now;
            return Some(Suppressed(std::mem::take(&mut known.suppressed)));
        }
        if self.logged.len() >= MOST {
            self.logged.retain(|_, known| now < known.at + INTERVAL);
        }
        if self.logged.len() >= MOST {
            return None;
        }
        self.logged.insert(cause, Logged { at: now, suppressed: 0 });
        Some(Suppressed(0))
    }
}

/// Lines about one cause that were left out since the last one. Behind a line it says so, if there are any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suppressed(pub(crate) u64);

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} similar suppressed)"),
        }
    }
}

/// Lines of one source that may write at will, within bounds: so many in each interval.
#[derive(Debug)]
pub(crate) struct Allowance {
    most: u32,
    begun: Instant,
    used: u32,
    suppressed: u64,
}

impl Allowance {
    /// An allowance of so many lines a minute.
    pub(crate) fn new(most: u32) -> Allowance {
        Allowance { most, begun: Instant::now(), used: 0, suppressed: 0 }
    }

    /// Whether a line may be logged now; if so, how many were suppressed since the last one.
    pub(crate) fn take(&mut self) -> Option<u64> {
        if self.begun.elapsed() >= INTERVAL {
            (self.begun, self.used) = (Instant::now(), 0);
        }
        if self.used == self.most {
            self.suppressed += 1;
            return None;
        }
        self.used += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_lines_a_minute() {
        let mut allowance = Allowance::new(2);
        assert_eq!([(); 4].map(|()| allowance.take()), [Some(0), Some(0), None, None]);
        tokio::time::advance(INTERVAL).await;
        assert_eq!([(); 3].map(|()| allowance.take()), [Some(2), Some(0), None]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_line_a_minute_for_one_cause() {
        let mut limiter = RateLimiter::<(&str, &str)>::default();
        assert_eq!(limiter.allow(("clock", "stranger")), Some(Suppressed(0)));
        assert_eq!(limiter.allow(("clock", "stranger")), None);
        assert_eq!(limiter.allow(("clock", "stranger")), None);
        assert_eq!(limiter.allow(("clock", "host-key")), Some(Suppressed(0)));
        assert_eq!(limiter.allow(("scribe", "stranger")), Some(Suppressed(0)));
        tokio::time::advance(INTERVAL).await;
        assert_eq!(limiter.allow(("clock", "stranger")), Some(Suppressed(2)));
    }

    #[test]
    fn remembers_only_so_many() {
        let mut limiter = RateLimiter::<usize>::default();
        for cause in 0..2 * MOST {
            limiter.allow(cause);
        }
        assert_eq!(limiter.logged.len(), MOST);
    }
}
