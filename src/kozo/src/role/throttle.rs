//! Saying a thing at most once a minute, however often it happens.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

const PAUSE: Duration = Duration::from_secs(60);

/// Remembers what was said when. Texts that differ are different things.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    said: HashMap<String, Instant>,
}

impl Throttle {
    /// Whether to say this now: it was not said within the last minute.
    pub(crate) fn allows(&mut self, text: &str) -> bool {
        let now = Instant::now();
        self.said.retain(|_, said| now.duration_since(*said) < PAUSE);
        if self.said.contains_key(text) {
            return false;
        }
        self.said.insert(text.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn once_a_minute_for_each_text() {
        let mut throttle = Throttle::default();
        assert!(throttle.allows("full"));
        assert!(throttle.allows("gone"));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(!throttle.allows("full"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(throttle.allows("full"));
        assert!(!throttle.allows("full"));
    }
}
