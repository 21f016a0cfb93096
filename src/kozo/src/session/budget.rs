//! How much of the loop those may take who have not yet said who they are.
//!
//! Any stranger can connect, and a handshake is mostly computing on the loop that carries the links. So what it
//! takes is measured and charged here, and in the long run it is never more than a quarter: whoever
//! wants something computed waits in a line until the time that the ones before have taken is paid for.
//! Addresses at which Peers are expected have a line of their own, which goes on for longer.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::transport::network::Network;

/// One part in so many of the loop's time.
const SHARE: u32 = 4;

/// Time that strangers may take at once: links wait for so long.
const AT_ONCE: Duration = Duration::from_millis(5);

/// Time that those at known addresses may take at once, the strangers' included.
const KNOWN_AT_ONCE: Duration = Duration::from_millis(25);

/// In a line that is so long newcomers find no place.
const LONG: usize = 64;

/// What is left of the time for handshakes, and who waits for it.
#[derive(Debug)]
pub struct Budget {
    /// When all that was taken is paid for, a quarter of the time going there.
    paid: Mutex<Instant>,
    strangers: Line,
    known: Line,
}

/// Who wants a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Where from.
    pub network: Network,
    /// Whether that is an address at which a Peer is expected.
    pub known: bool,
    /// How many steps of the handshake are done.
    pub steps: u32,
}

/// The right to compute, one at a time in each line. What passes until it is dropped is charged.
#[derive(Debug)]
pub struct Turn {
    budget: Arc<Budget>,
    known: bool,
    /// Since it is its turn; none until what was taken before is paid for.
    since: Option<Instant>,
}

#[derive(Debug)]
struct Line {
    state: Mutex<LineState>,
    at_once: Duration,
}

#[derive(Debug, Default)]
struct LineState {
    /// A newcomer has the turn, or was told so.
    taken: bool,
    waiting: Vec<Waiting>,
    joined: u64,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    claim: Claim,
    turn: oneshot::Sender<Turn>,
}

/// A place in a line; given up when dropped.
struct InLine<'a> {
    line: &'a Line,
    id: u64,
}

impl Default for Budget {
    fn default() -> Budget {
        let line = |at_once: Duration| Line { state: Mutex::default(), at_once: at_once * SHARE };
        Budget {
            paid: Mutex::new(Instant::now()),
            strangers: line(AT_ONCE),
            known: line(KNOWN_AT_ONCE),
        }
    }
}

impl Budget {
    /// Whether so many wait in this line that no other is to be let in.
    pub fn is_crowded(&self, known: bool) -> bool {
        self.line(known).lock().waiting.len() >= LONG
    }

    /// Waits in the line of known addresses or in that of strangers. First comes who has fewest others of
    /// his network with him, then who has least left to do, then who has waited longest. Cancel safe.
    pub async fn turn(self: Arc<Self>, claim: Claim) -> Turn {
        let known = claim.known;
        let mut turn = match self.join(claim) {
            Ok(turn) => turn,
            Err((receiver, id)) => {
                let _in_line = InLine { line: self.line(known), id };
                match receiver.await {
                    Ok(turn) => turn,
                    // That cannot be: what is in the line stays there until it gets the turn.
                    Err(_) => Turn { budget: Arc::clone(&self), known, since: None },
                }
            }
        };
        let at_once = self.line(known).at_once;
        loop {
            let wait = self.owed().saturating_sub(at_once);
            if wait.is_zero() {
                break;
            }
            sleep(wait).await;
        }
        turn.since = Some(Instant::now());
        turn
    }

    /// Takes the turn if it is free, else a place in the line.
    fn join(self: &Arc<Self>, claim: Claim) -> Result<Turn, (oneshot::Receiver<Turn>, u64)> {
        let known = claim.known;
        let mut line = self.line(known).lock();
        if !line.taken {
            line.taken = true;
            return Ok(Turn { budget: Arc::clone(self), known, since: None });
        }
        let (turn, receiver) = oneshot::channel();
        line.joined += 1;
        let id = line.joined;
        line.waiting.push(Waiting { id, claim, turn });
        Err((receiver, id))
    }

    /// Charges time that was taken.
    pub fn charge(&self, taken: Duration) {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        *paid = (*paid).max(Instant::now()) + taken * SHARE;
    }

    fn owed(&self) -> Duration {
        let paid = *self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        paid.saturating_duration_since(Instant::now())
    }

    fn line(&self, known: bool) -> &Line {
        if known { &self.known } else { &self.strangers }
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, LineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LineState {
    /// Takes out who is next.
    fn next(&mut self) -> Option<Waiting> {
        let mut counts: HashMap<&Network, usize> = HashMap::new();
        for waiting in &self.waiting {
            *counts.entry(&waiting.claim.network).or_default() += 1;
        }
        let rank = |waiting: &Waiting| {
            let of_network = counts.get(&waiting.claim.network).copied();
            (of_network, Reverse(waiting.claim.steps), waiting.id)
        };
        let ranks = self.waiting.iter().map(rank).enumerate();
        let at = ranks.min_by_key(|(_, rank)| *rank).map(|(at, _)| at)?;
        Some(self.waiting.swap_remove(at))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(since) = self.since {
            self.budget.charge(since.elapsed());
        }
        let next = {
            let mut line = self.budget.line(self.known).lock();
            let next = line.next();
            line.taken = next.is_some();
            next
        };
        if let Some(next) = next {
            let turn = Turn { budget: Arc::clone(&self.budget), known: self.known, since: None };
            // If he is gone the turn comes back, and is dropped.
            let _ = next.turn.send(turn);
        }
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        // Taken out first, dropped when the lock is free.
        let mut line = self.line.lock();
        let at = line.waiting.iter().position(|waiting| waiting.id == self.id);
        let gone = at.map(|at| line.waiting.swap_remove(at));
        drop(line);
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use tokio::task::yield_now;

    use super::*;

    const STEP: Duration = Duration::from_millis(1);

    fn claim(known: bool) -> Claim {
        Claim { network: Network::of("10.0.0.1:1"), known, steps: 0 }
    }

    /// Takes a turn for a millisecond.
    async fn compute(budget: &Arc<Budget>, claim: Claim) {
        let _turn = Arc::clone(budget).turn(claim).await;
        sleep(STEP).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_quarter_of_the_time_and_no_more() {
        let (budget, begun) = (Arc::new(Budget::default()), Instant::now());
        join_all((0..205).map(|_| compute(&budget, claim(false)))).await;
        // Five at once; each of the others has to wait for four milliseconds.
        assert!(begun.elapsed() >= STEP * SHARE * 199, "{:?}", begun.elapsed());
        // Waiting is not charged, nor is what the timer adds.
        assert!(begun.elapsed() < STEP * SHARE * 300, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn known_addresses_go_on_while_strangers_wait() {
        let budget = Arc::new(Budget::default());
        let strangers = join_all((0..200).map(|_| compute(&budget, claim(false))));
        let known = async {
            for _ in 0..100 {
                yield_now().await;
            }
            let begun = Instant::now();
            for _ in 0..10 {
                compute(&budget, claim(true)).await;
            }
            begun.elapsed()
        };
        let (_, took) = tokio::join!(strangers, known);
        assert!(took < Duration::from_millis(30), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_leaves_the_line() {
        let budget = Arc::new(Budget::default());
        budget.charge(Duration::from_secs(1));
        let mut line: Vec<_> =
            (0..=LONG).map(|_| Box::pin(Arc::clone(&budget).turn(claim(false)))).collect();
        // The first of them has the turn and waits until it is paid for.
        line.iter_mut().for_each(|turn| assert!(turn.now_or_never().is_none()));
        assert!(budget.is_crowded(false) && !budget.is_crowded(true));
        line.pop();
        assert!(!budget.is_crowded(false));
        drop(line);
        Arc::clone(&budget).turn(claim(false)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_fewest_go_first_and_of_them_who_is_nearly_done() {
        let budget = Arc::new(Budget::default());
        let order = Mutex::new(Vec::new());
        let first = Arc::clone(&budget).turn(claim(false)).await;
        let wait = |(name, address, steps): (&'static str, &str, u32)| {
            let claim = Claim { network: Network::of(address), known: false, steps };
            let (budget, order) = (Arc::clone(&budget), &order);
            async move {
                let _turn = budget.turn(claim).await;
                order.lock().unwrap().push(name);
            }
        };
        let line = [
            ("fourth", "10.0.0.1:1", 1),
            ("third", "10.0.0.1:2", 2),
            ("second", "10.0.0.2:1", 0),
            ("first", "10.0.0.3:1", 1),
        ];
        tokio::join!(join_all(line.map(wait)), async { drop(first) });
        assert_eq!(*order.lock().unwrap(), ["first", "second", "third", "fourth"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_nobody_takes_goes_to_the_next() {
        let budget = Arc::new(Budget::default());
        let first = Arc::clone(&budget).turn(claim(false)).await;
        let mut told = Box::pin(Arc::clone(&budget).turn(claim(false)));
        assert!((&mut told).now_or_never().is_none());
        drop(first);
        // It has been told, and has not looked.
        drop(told);
        let _turn = Arc::clone(&budget).turn(claim(false)).await;
    }
}
