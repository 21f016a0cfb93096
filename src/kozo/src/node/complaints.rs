//! Log lines that somebody outside could cause at will: at most one a minute for one cause.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_secs(60);

/// Causes that are remembered at once; more than that is somebody's attempt to have us remember.
const MOST: usize = 1024;

/// Remembers what was said.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    said: Mutex<HashMap<(String, &'static str), Said>>,
}

#[derive(Debug)]
struct Said {
    at: Instant,
    kept_back: u64,
}

impl Complaints {
    /// Whether a line about this subject and cause may be logged now; if so, how many were kept back
    /// since the last one.
    pub(super) fn may_say(&self, subject: &str, cause: &'static str) -> Option<u64> {
        let now = Instant::now();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = said.get_mut(&(subject.to_owned(), cause)) {
            if now < known.at + INTERVAL {
                known.kept_back += 1;
                return None;
            }
            known.at = now;
            return Some(std::mem::take(&mut known.kept_back));
        }
        if said.len() >= MOST {
            said.retain(|_, known| now < known.at + INTERVAL);
        }
        if said.len() >= MOST {
            return None;
        }
        said.insert((subject.to_owned(), cause), Said { at: now, kept_back: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_a_minute_for_one_cause() {
        let complaints = Complaints::default();
        assert_eq!(complaints.may_say("clock", "stranger"), Some(0));
        assert_eq!(complaints.may_say("clock", "stranger"), None);
        assert_eq!(complaints.may_say("clock", "stranger"), None);
        assert_eq!(complaints.may_say("clock", "host-key"), Some(0));
        assert_eq!(complaints.may_say("scribe", "stranger"), Some(0));
        tokio::time::advance(INTERVAL).await;
        assert_eq!(complaints.may_say("clock", "stranger"), Some(2));
    }

    #[test]
    fn remembers_only_so_many() {
        let complaints = Complaints::default();
        for subject in 0..2 * MOST {
            complaints.may_say(&subject.to_string(), "stranger");
        }
        assert_eq!(complaints.said.lock().map(|said| said.len()).unwrap_or(0), MOST);
    }
}
