//! What the Node keeps for each user at most, and for all of them together: unanswered calls and their bytes,
//! questions to polkit, views of Messages, connections, programs that have attached themselves.
//!
//! Root and the user that the Node runs as have shares of their own, which others cannot use up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::unistd::geteuid;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most users whose shares are kept while nothing of them is taken.
const MOST_IDLE: usize = 256;

/// An answer of up to this many bytes counts as one call; a larger one as so many.
const ANSWER: usize = 256 * 1024;

/// What is bounded.
#[derive(Clone, Copy, Debug)]
pub(super) enum Share {
    /// Calls that are not answered yet.
    Calls,
    /// KiB of calls that are not answered yet.
    Kib,
    /// Questions to polkit, which may wait for a password.
    Checks,
    /// Views of the Messages that pass.
    Monitors,
    /// Connections to the control socket.
    Connections,
    /// Programs that have attached themselves.
    Attached,
}

/// So much of each. Calls come to so many unread answers of [`ANSWER`] bytes.
#[derive(Debug)]
struct Shares([Arc<Semaphore>; 6]);

impl Shares {
    fn of_one(user: u32) -> Shares {
        let (calls, attached) = if is_own(user) { (128, 512) } else { (32, 64) };
        Shares([calls, 34 * 1024, 4, 16, 32, attached].map(|count| Arc::new(Semaphore::new(count))))
    }

    fn of_all() -> Shares {
        Shares([256, 68 * 1024, 32, 128, 256, 256].map(|count| Arc::new(Semaphore::new(count))))
    }

    fn of(&self, share: Share) -> Arc<Semaphore> {
        let [calls, kib, checks, monitors, connections, attached] = &self.0;
        Arc::clone(match share {
            Share::Calls => calls,
            Share::Kib => kib,
            Share::Checks => checks,
            Share::Monitors => monitors,
            Share::Connections => connections,
            Share::Attached => attached,
        })
    }
}

/// Counts for its user until dropped.
#[derive(Debug)]
pub(super) struct Held {
    _of_one: OwnedSemaphorePermit,
    _of_all: Option<OwnedSemaphorePermit>,
    // Last: a user is forgotten only once nothing of theirs is held.
    _user: Arc<Shares>,
}

/// The shares of all users, and what is left for all of them together.
#[derive(Debug)]
pub(super) struct Accounts {
    users: Mutex<HashMap<u32, Arc<Shares>>>,
    all: Shares,
    /// Bytes of the largest answer that was given yet.
    largest_answer: AtomicUsize,
}

impl Accounts {
    pub(super) fn new() -> Accounts {
        Accounts {
            users: Mutex::default(),
            all: Shares::of_all(),
            largest_answer: AtomicUsize::new(0),
        }
    }

    /// Takes so much for this user, if that is left.
    pub(super) fn try_take(&self, user: u32, share: Share, count: u32) -> Option<Held> {
        let shares = self.user(user);
        let of_one = shares.of(share).try_acquire_many_owned(count).ok()?;
        let of_all = match is_own(user) {
            true => None,
            false => Some(self.all.of(share).try_acquire_many_owned(count).ok()?),
        };
        Some(Held { _of_one: of_one, _of_all: of_all, _user: shares })
    }

    /// Takes so much for this user, once that is left. None if it never will be.
    pub(super) async fn take(&self, user: u32, share: Share, count: u32) -> Option<Held> {
        let shares = self.user(user);
        let of_one = shares.of(share).acquire_many_owned(count).await.ok()?;
        let of_all = match is_own(user) {
            true => None,
            false => Some(self.all.of(share).acquire_many_owned(count).await.ok()?),
        };
        Some(Held { _of_one: of_one, _of_all: of_all, _user: shares })
    }

    fn user(&self, user: u32) -> Arc<Shares> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= MOST_IDLE && !users.contains_key(&user) {
            // Containers give a user thousands of ids.
            users.retain(|_, shares| Arc::strong_count(shares) > 1);
        }
        Arc::clone(users.entry(user).or_insert_with(|| Arc::new(Shares::of_one(user))))
    }

    /// Remembers how large an answer was.
    pub(super) fn note_answer(&self, bytes: usize) {
        self.largest_answer.fetch_max(bytes, Ordering::Relaxed);
    }

    /// How many calls one counts as, so that the answers to all calls of a user stay small together.
    pub(super) fn weight(&self) -> u32 {
        let answers = self.largest_answer.load(Ordering::Relaxed) / ANSWER;
        u32::try_from(answers.clamp(1, 8)).unwrap_or(8)
    }
}

/// Whether this is root, or the user that the Node runs as.
pub(super) fn is_own(user: u32) -> bool {
    user == 0 || user == geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ADA: u32 = 4_000_000_001;
    const BOB: u32 = 4_000_000_002;

    #[test]
    fn one_user_leaves_something_for_others() {
        let accounts = Accounts::new();
        let take = |user| accounts.try_take(user, Share::Checks, 1);
        let of_ada: Vec<Held> = std::iter::from_fn(|| take(ADA)).collect();
        assert_eq!(of_ada.len(), 4);
        assert!(take(BOB).is_some());
        drop(of_ada);
        assert!(take(ADA).is_some());
    }

    #[test]
    fn all_others_together_leave_something_for_root() {
        let accounts = Accounts::new();
        let others: Vec<Held> = (0..1000)
            .flat_map(|user| [ADA + user; 16])
            .map_while(|user| accounts.try_take(user, Share::Monitors, 1))
            .collect();
        assert_eq!(others.len(), 128);
        assert!(accounts.try_take(BOB, Share::Monitors, 1).is_none());
        assert!(accounts.try_take(0, Share::Monitors, 1).is_some());
    }

    #[test]
    fn who_has_nothing_is_forgotten() {
        let accounts = Accounts::new();
        let kept = accounts.try_take(ADA, Share::Calls, 1).unwrap();
        for user in 0..10_000 {
            assert!(accounts.try_take(user, Share::Calls, 1).is_some());
        }
        let users = accounts.users.lock().unwrap();
        assert!(users.len() <= MOST_IDLE && users.contains_key(&ADA));
        drop(kept);
    }

    #[test]
    fn large_answers_count_for_several() {
        let accounts = Accounts::new();
        assert_eq!(accounts.weight(), 1);
        accounts.note_answer(3 * ANSWER);
        assert_eq!(accounts.weight(), 3);
        accounts.note_answer(1 << 30);
        assert_eq!(accounts.weight(), 8);
    }
}
