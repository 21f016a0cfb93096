//! Views of the Messages that pass: those of monitors and debug consoles.

use std::sync::{Arc, Weak};

use crate::interest::Interest;
use crate::message::Message;
use crate::queue::Limits;
use crate::role::Inbox;

/// Bounds of a tap.
const TAP: Limits = Limits { length: 1024, size: 4 * 1024 * 1024 };

/// A view of the Messages that pass.
struct Tap {
    inbox: Weak<Inbox>,
    interests: Vec<Interest>,
    /// Whether Peers are to send what it wants even where no Role does.
    announced: bool,
}

/// The taps that are open. One is closed when its inbox is dropped.
#[derive(Default)]
pub(super) struct Taps(Vec<Tap>);

impl Taps {
    /// Opens a tap for Messages that match one of these. With `announced`, Peers are asked for such Messages.
    pub(super) fn open(&mut self, interests: Vec<Interest>, announced: bool) -> Arc<Inbox> {
        // Not all who open one say when they close it.
        self.forget_closed();
        let inbox = Arc::new(Inbox::new(TAP));
        self.0.push(Tap { inbox: Arc::downgrade(&inbox), interests, announced });
        inbox
    }

    /// Forgets taps that are closed.
    pub(super) fn forget_closed(&mut self) {
        self.0.retain(|tap| tap.inbox.strong_count() > 0);
    }

    /// Shows a Message to the taps that want it.
    pub(super) fn show(&self, message: &Message) {
        for tap in &self.0 {
            if tap.interests.iter().any(|interest| interest.matches(message))
                && let Some(inbox) = tap.inbox.upgrade()
            {
                // What is too large for a tap is not shown.
                let _ = inbox.push(message.clone());
            }
        }
    }

    /// What Peers are asked for.
    pub(super) fn announced(&self) -> impl Iterator<Item = &Interest> {
        self.0.iter().filter(|tap| tap.announced).flat_map(|tap| &tap.interests)
    }

    /// Bytes of the largest Message that a tap could take; 0 where there is none.
    pub(super) fn largest(&self) -> usize {
        if self.0.is_empty() { 0 } else { TAP.size }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_that_are_closed_are_forgotten() {
        let mut taps = Taps::default();
        for _ in 0..100 {
            drop(taps.open(vec![Interest::any()], false));
        }
        assert!(taps.len() <= 1);
        taps.forget_closed();
        assert_eq!((taps.len(), taps.largest()), (0, 0));
    }
}
