//! The ledger of a Peer: how many Messages went to which run of it, arrived there or were lost, and how many came
//! from which.
//!
//! A *run* is one start of the Peer's daemon, named by its boot number. What was under way when a session died may
//! have arrived or not; only the Peer knows. It counts what comes from this run of this Node, and says how many that
//! are in its hello and its heartbeats. So Messages are *under way* until the Peer acknowledges them, or until the
//! link is up again and the two sides are *reconciled*: what has not arrived by then never will.
//!
//! Pure: numbers go in, numbers come out. [`Peer`](super::Peer) holds the lock, and the link's `task` says when.

use std::collections::VecDeque;

/// What the status calls Messages that were handed to a session and did not arrive, beside the reasons of
/// [`DropReason`](super::outgoing::DropReason).
pub const LOST: &str = "lost";

/// Replaced runs that are remembered.
const REPLACED: usize = 8;

/// What this run of this Node and all runs of one Peer have had of each other.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Messages sent, to all runs.
    sent: u64,
    /// Messages lost, of all runs.
    lost: u64,
    /// The run that Messages are sent to.
    account: Account,
    /// Runs that a later one has replaced while the link was up, the latest last; never that of the account.
    replaced: VecDeque<u64>,
    /// Messages that came, from all runs.
    received: u64,
    /// The run that the link leads to.
    current: Run,
    /// Another run, which came before or is about to: sessions with both may be open at once.
    other: Run,
}

/// The Messages sent to one run of the Peer: `sent` = `acknowledged` + `lost` + those under way.
#[derive(Debug, Default)]
struct Account {
    /// Which run; none before the link was up for the first time.
    boot: Option<u64>,
    /// Messages from this run of this Node that it had already when the account began: of an earlier account.
    had: u64,
    sent: u64,
    acknowledged: u64,
    lost: u64,
}

/// The Messages that came from one run of the Peer.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    boot: u64,
    received: u64,
}

impl Account {
    fn under_way(&self) -> u64 {
        self.sent - self.acknowledged - self.lost
    }

    /// The run says how many Messages it has. It never has fewer than it had, and no more than it can have: one that
    /// was taken for lost and arrived after all is made up for by the next that is lost.
    fn acknowledge(&mut self, received: u64) {
        let received = received.saturating_sub(self.had);
        self.acknowledged = self.acknowledged.max(received.min(self.sent - self.lost));
    }

    /// Gives up what is under way; returns how many Messages that were.
    fn lose(&mut self) -> u64 {
        let lost = self.under_way();
        self.lost += lost;
        lost
    }
}

impl Ledger {
    /// Messages sent to the Peer, in all its runs.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Messages sent to the Peer that were counted as lost: an upper bound where it was started again meanwhile.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Messages that came from the Peer, in all its runs.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The run that the link leads to, or led to last (0 before the first), and how many Messages came from it:
    /// what the Peer is told.
    pub fn received_from_current(&self) -> (u64, u64) {
        (self.current.boot, self.current.received)
    }

    /// Counts Messages that are sent to the run in use.
    pub fn count_sent(&mut self, messages: u64) {
        self.sent += messages;
        self.account.sent += messages;
    }

    /// A run says how many Messages it has from here. Only the one that they were sent to can know.
    pub fn acknowledge(&mut self, boot: u64, received: u64) {
        if self.account.boot == Some(boot) {
            self.account.acknowledge(received);
        }
    }

    /// The link comes up with this run, after it was down or its session was dead: the run says how many Messages it
    /// has from here, or nothing if it does not know this run of this Node. What else was sent is lost.
    pub fn reconcile(&mut self, boot: u64, received: Option<u64>) {
        // A run has nothing of what was sent to another, even if it knows this Node from a session that came to
        // nothing.
        let goes_on = received.filter(|_| self.account.boot == Some(boot));
        if let Some(received) = goes_on {
            self.account.acknowledge(received);
        }
        self.lost += self.account.lose();
        if goes_on.is_none() {
            // It may have had some before: from an earlier account with it, or of a Peer that was removed and added.
            let had = received.unwrap_or(0);
            self.account = Account { boot: Some(boot), had, ..Account::default() };
        }
        self.replaced.retain(|replaced| *replaced != boot);
    }

    /// Whether this is another run than the one that Messages were sent to last.
    pub fn is_other_run(&self, boot: u64) -> bool {
        self.account.boot.is_some_and(|known| known != boot)
    }

    /// Another run takes the place of the one that Messages were sent to, and the link was not down between them:
    /// the one before may still be there.
    pub fn replace_run(&mut self) {
        self.replaced.extend(self.account.boot);
        if self.replaced.len() > REPLACED {
            self.replaced.pop_front();
        }
    }

    /// Whether this run is still there though another one has replaced it: two daemons have one name and key. Both
    /// let in, they would replace each other for ever.
    pub fn is_twin(&self, boot: u64) -> bool {
        self.replaced.contains(&boot)
    }

    /// Counts Messages that came from this run.
    pub fn count_received(&mut self, boot: u64, messages: u64) {
        self.received += messages;
        if self.current.boot == boot {
            self.current.received += messages;
            return;
        }
        if self.other.boot != boot {
            self.other = Run { boot, received: 0 };
        }
        self.other.received += messages;
    }

    /// The link leads to this run. If that is another one than before, what has already come from it counts, and
    /// nothing else.
    pub fn set_boot(&mut self, boot: u64) {
        if self.current.boot == boot {
            return;
        }
        std::mem::swap(&mut self.current, &mut self.other);
        if self.current.boot != boot {
            self.current = Run { boot, received: 0 };
        }
    }
}

#[cfg(test)]
mod tests;
