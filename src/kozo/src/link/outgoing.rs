//! The queue of Messages for one Peer, between the router and the session in use.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::message::Message;
use crate::queue::{Limits, RollingQueue, Room, TooLarge, Waiters, Weight as _};

/// What to do with a Message for the Peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The link is up: queue it for the session.
    Open,
    /// The link is made on demand, or another one takes its place: queue it, and ask for the link.
    Hold,
    /// The link is down: drop it.
    Down,
    /// Policy forbids it: drop it.
    Forbidden,
}

/// Why a Message for a Peer was dropped here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// The queue was full, and this was the oldest in it.
    QueueFull,
    /// The link was down.
    LinkDown,
    /// The connection policies forbid Messages in this direction.
    Policy,
}

impl DropReason {
    /// Its name in the status.
    pub fn name(self) -> &'static str {
        match self {
            DropReason::QueueFull => "queue_full",
            DropReason::LinkDown => "link_down",
            DropReason::Policy => "policy",
        }
    }
}

/// What became of a Message for the Peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is queued; whether the queue is full now.
    Queued {
        /// No more fits without dropping.
        full: bool,
    },
    /// It was dropped and counted.
    Dropped(DropReason),
}

/// Messages on their way to one Peer.
#[derive(Debug)]
pub struct Outgoing {
    /// The bounds of the queue, for those who only look.
    length: AtomicUsize,
    size: AtomicUsize,
    state: Mutex<State>,
    /// Told when there is something for the session to send.
    pub ready: Notify,
    /// Told when there is a Message that the link should be made for.
    pub wanted: Notify,
}

#[derive(Debug)]
struct State {
    queue: RollingQueue<Message>,
    disposition: Disposition,
    dropped: BTreeMap<DropReason, u64>,
    waiters: Waiters,
}

/// Figures of an outgoing queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutgoingCounters {
    /// Messages dropped, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Messages in it now.
    pub length: usize,
    /// Bytes in it now.
    pub size: usize,
}

impl Outgoing {
    /// An empty queue.
    pub fn new(limits: Limits, disposition: Disposition) -> Outgoing {
        let queue = RollingQueue::new(limits);
        let Limits { length, size } = queue.limits();
        Outgoing {
            length: AtomicUsize::new(length),
            size: AtomicUsize::new(size),
            state: Mutex::new(State {
                queue,
                disposition,
                dropped: BTreeMap::new(),
                waiters: Waiters::default(),
            }),
            ready: Notify::new(),
            wanted: Notify::new(),
        }
    }

    /// Takes a Message for the Peer, or drops and counts it.
    ///
    /// # Errors
    /// When it is larger than the whole queue.
    pub fn push(&self, message: Message) -> Result<Pushed, TooLarge> {
        let mut state = self.lock();
        let reason = match state.disposition {
            Disposition::Open | Disposition::Hold => None,
            Disposition::Down => Some(DropReason::LinkDown),
            Disposition::Forbidden => Some(DropReason::Policy),
        };
        if let Some(reason) = reason {
            state.count(reason, 1);
            return Ok(Pushed::Dropped(reason));
        }
        let (was_empty, weight) = (state.queue.is_empty(), message.weight());
        let dropped = state.queue.push(message)?;
        state.count(DropReason::QueueFull, dropped);
        let full = !state.queue.has_room_for(weight);
        let open = state.disposition == Disposition::Open;
        drop(state);
        if !open {
            self.wanted.notify_one();
        } else if was_empty {
            // The session waits only when it has found nothing.
            self.ready.notify_one();
        }
        Ok(Pushed::Queued { full })
    }

    /// What to wait for before a Message of so many bytes is queued without dropping another; nothing,
    /// if there is room now or the Message would be dropped anyway.
    pub fn wait_for_room(&self, weight: usize) -> Option<Room> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let queues = matches!(state.disposition, Disposition::Open | Disposition::Hold);
        (queues && !state.queue.has_room_for(weight)).then(|| state.waiters.join())
    }

    /// Moves Messages of together at most so many bytes into `batch`, but at least one if there is one. Returns
    /// their bytes.
    pub fn take(&self, batch: &mut Vec<Message>, bytes: usize) -> usize {
        let mut guard = self.lock();
        let state = &mut *guard;
        let mut taken = 0;
        while let Some(weight) = state.queue.next_weight()
            && (taken == 0 || taken + weight <= bytes)
        {
            batch.extend(state.queue.pop());
            taken += weight;
        }
        state.waiters.wake_if_half_empty(&state.queue);
        taken
    }

    /// Whether something waits.
    pub fn has_messages(&self) -> bool {
        !self.lock().queue.is_empty()
    }

    /// Changes what happens to Messages. What is in the queue is dropped where the new state would
    /// have dropped it.
    pub fn set_disposition(&self, disposition: Disposition) {
        let mut state = self.lock();
        state.disposition = disposition;
        match disposition {
            Disposition::Open => {
                drop(state);
                self.ready.notify_one();
            }
            Disposition::Hold => {}
            Disposition::Down | Disposition::Forbidden => {
                let dropped = state.queue.clear();
                state.waiters.wake();
                state.count(DropReason::LinkDown, dropped);
            }
        }
    }

    /// Its figures now.
    pub fn counters(&self) -> OutgoingCounters {
        let state = self.lock();
        OutgoingCounters {
            dropped: state.dropped.iter().map(|(reason, count)| (reason.name(), *count)).collect(),
            length: state.queue.len(),
            size: state.queue.bytes(),
        }
    }

    /// The bounds.
    pub fn limits(&self) -> Limits {
        let load = |bound: &AtomicUsize| bound.load(Ordering::Relaxed);
        Limits { length: load(&self.length), size: load(&self.size) }
    }

    /// Changes the bounds. What there is no room for any more is dropped, the oldest first.
    pub fn set_limits(&self, limits: Limits) {
        let mut state = self.lock();
        let dropped = state.queue.set_limits(limits);
        state.count(DropReason::QueueFull, dropped);
        state.waiters.wake();
        let Limits { length, size } = state.queue.limits();
        self.length.store(length, Ordering::Relaxed);
        self.size.store(size, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, reason: DropReason, count: u64) {
        if count > 0 {
            *self.dropped.entry(reason).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::message::{Draft, Origin};

    fn message(size: usize) -> Message {
        let origin = Arc::new(Origin { node: "clock".to_owned(), boot: 1 });
        let data = vec![0xc0; size];
        Message::encode(origin, "timer", 1, 1, &Draft::event("tick").encoded(&data)).unwrap()
    }

    fn open() -> Outgoing {
        Outgoing::new(Limits { length: 8, size: 400 }, Disposition::Open)
    }

    fn dropped(outgoing: &Outgoing, reason: DropReason) -> u64 {
        outgoing.counters().dropped.get(reason.name()).copied().unwrap_or(0)
    }

    #[test]
    fn a_queue_without_room_for_another_message_like_the_last_is_full() {
        let outgoing = open();
        let most = 400 / message(100).weight();
        for count in 1..=most {
            let full = count == most;
            assert_eq!(outgoing.push(message(100)).unwrap(), Pushed::Queued { full }, "{count}");
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Push(usize),
        Take(usize),
        Set(Disposition),
    }

    fn step() -> impl Strategy<Value = Step> {
        const DISPOSITIONS: [Disposition; 4] =
            [Disposition::Open, Disposition::Hold, Disposition::Down, Disposition::Forbidden];
        prop_oneof![
            6 => (1_usize..500).prop_map(Step::Push),
            3 => (1_usize..300).prop_map(Step::Take),
            1 => proptest::sample::select(&DISPOSITIONS[..]).prop_map(Step::Set),
        ]
    }

    proptest! {
        #[test]
        fn every_message_is_sent_dropped_or_still_there(steps in vec(step(), 0..100)) {
            let outgoing = open();
            let (mut disposition, mut pushed, mut sent) = (Disposition::Open, 0, 0);
            let mut batch = Vec::new();
            for step in steps {
                match step {
                    Step::Push(size) => match (outgoing.push(message(size)), disposition) {
                        (Ok(Pushed::Queued { .. }), Disposition::Open | Disposition::Hold)
                        | (Ok(Pushed::Dropped(DropReason::LinkDown)), Disposition::Down)
                        | (Ok(Pushed::Dropped(DropReason::Policy)), Disposition::Forbidden) => {
                            pushed += 1;
                        }
                        (Err(error), _) => prop_assert!(error.weight > error.size),
                        (other, _) => prop_assert!(false, "{other:?} when {disposition:?}"),
                    },
                    Step::Take(bytes) => {
                        let taken = outgoing.take(&mut batch, bytes);
                        prop_assert!(batch.len() <= 1 || taken <= bytes);
                        sent += batch.len() as u64;
                    }
                    Step::Set(new) => {
                        outgoing.set_disposition(new);
                        disposition = new;
                    }
                }
                batch.clear();
                let counters = outgoing.counters();
                let dropped: u64 = counters.dropped.values().sum();
                prop_assert_eq!(pushed, sent + dropped + counters.length as u64);
            }
        }
    }

    #[test]
    fn narrower_bounds_drop_the_oldest_and_count_them() {
        let outgoing = open();
        for _ in 0..3 {
            outgoing.push(message(60)).unwrap();
        }
        let limits = Limits { length: 2, size: 300 };
        outgoing.set_limits(limits);
        assert_eq!((outgoing.limits(), outgoing.counters().length), (limits, 2));
        assert_eq!(dropped(&outgoing, DropReason::QueueFull), 1);
        assert!(outgoing.push(message(300)).is_err(), "they hold for what comes");
    }

    #[test]
    fn a_batch_has_one_message_at_least_and_at_most_so_many_bytes() {
        let outgoing = open();
        for _ in 0..3 {
            outgoing.push(message(100)).unwrap();
        }
        let mut batch = Vec::new();
        let weight = outgoing.take(&mut batch, 1);
        assert_eq!((batch.len(), weight), (1, message(100).size()));
        outgoing.take(&mut batch, 2 * weight - 1);
        assert_eq!(batch.len(), 2);
        assert_eq!(outgoing.take(&mut batch, 2 * weight), weight);
        assert_eq!(outgoing.take(&mut batch, 2 * weight), 0);
        assert_eq!(batch.len(), 3);
    }
}
