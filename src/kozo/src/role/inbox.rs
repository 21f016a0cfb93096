//! A rolling queue with a consumer waiting at its end: a Role's queue of Messages, or a tap.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::message::Message;
use crate::queue::{Limits, RollingQueue, Room, TooLarge, Waiters, Weight as _};

/// Messages on their way to one consumer.
#[derive(Debug)]
pub struct Inbox {
    limits: Limits,
    state: Mutex<State>,
    ready: Notify,
}

#[derive(Debug)]
struct State {
    queue: RollingQueue<Message>,
    closed: bool,
    received: u64,
    dropped: u64,
    waiters: Waiters,
    /// Whether the consumer was given a turn and has taken nothing.
    had_turn: bool,
}

/// Figures of an inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboxCounters {
    /// Messages put in.
    pub received: u64,
    /// Messages dropped because the queue was full.
    pub dropped: u64,
    /// Messages in it now.
    pub length: usize,
    /// Bytes in it now.
    pub size: usize,
}

impl Inbox {
    /// An empty inbox.
    pub fn new(limits: Limits) -> Inbox {
        let queue = RollingQueue::new(limits);
        Inbox {
            limits: queue.limits(),
            state: Mutex::new(State {
                queue,
                closed: false,
                received: 0,
                dropped: 0,
                waiters: Waiters::default(),
                had_turn: false,
            }),
            ready: Notify::new(),
        }
    }

    /// Puts a Message in, dropping the oldest as far as needed. Says whether the inbox is full now: has no
    /// room for another one like it. A closed inbox takes nothing and says no.
    ///
    /// # Errors
    /// When the Message is larger than the whole inbox.
    pub fn push(&self, message: Message) -> Result<bool, TooLarge> {
        let mut state = self.lock();
        if state.closed {
            return Ok(false);
        }
        let (was_empty, weight) = (state.queue.is_empty(), message.weight());
        let dropped = state.queue.push(message)?;
        state.received += 1;
        state.dropped += dropped;
        let full = !state.queue.has_room_for(weight);
        drop(state);
        // The consumer waits only when it has found nothing.
        if was_empty {
            self.ready.notify_one();
        }
        Ok(full)
    }

    /// Counts a Message that it wanted, and for which it is too small.
    pub fn miss(&self) {
        let mut state = self.lock();
        state.received += 1;
        state.dropped += 1;
    }

    /// Whether the consumer is to have a turn before a Message of so many bytes goes in: there is no room
    /// for it, and the consumer has not been given a turn since it last took something.
    pub fn wants_turn(&self, weight: usize) -> bool {
        let mut state = self.lock();
        if state.closed || state.had_turn || state.queue.has_room_for(weight) {
            return false;
        }
        state.had_turn = true;
        true
    }

    /// What to wait for before a Message of so many bytes goes in without dropping another; nothing, if
    /// there is room now.
    pub fn wait_for_room(&self, weight: usize) -> Option<Room> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let has_room = state.closed || state.queue.has_room_for(weight);
        (!has_room).then(|| state.waiters.join())
    }

    /// The next Message; `None` when the inbox is closed and empty. Cancel safe. One consumer.
    pub async fn receive(&self) -> Option<Message> {
        self.take(State::pop).await
    }

    /// Puts all Messages that are there into `batch`, behind what is in it; waits for one if there is
    /// none. Says no when the inbox is closed and empty. Cancel safe. One consumer.
    pub async fn receive_many(&self, batch: &mut Vec<Message>) -> bool {
        let all = |state: &mut State| {
            let before = batch.len();
            batch.extend(state.queue.drain());
            state.had_turn = false;
            state.waiters.wake();
            (batch.len() > before).then_some(())
        };
        self.take(all).await.is_some()
    }

    /// What `take` finds, as soon as it finds something; `None` when the inbox is closed and empty.
    async fn take<T>(&self, mut take: impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        loop {
            let ready = self.ready.notified();
            {
                let mut state = self.lock();
                if let Some(found) = take(&mut state) {
                    return Some(found);
                }
                if state.closed {
                    return None;
                }
            }
            ready.await;
        }
    }

    /// The next Message, if one is there.
    pub fn try_receive(&self) -> Option<Message> {
        self.lock().pop()
    }

    /// Takes no more Messages; those in it can still be received.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiters.wake();
        drop(state);
        self.ready.notify_one();
    }

    /// The bounds.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Its figures now.
    pub fn counters(&self) -> InboxCounters {
        let state = self.lock();
        InboxCounters {
            received: state.received,
            dropped: state.dropped,
            length: state.queue.len(),
            size: state.queue.bytes(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pop(&mut self) -> Option<Message> {
        let message = self.queue.pop();
        self.had_turn = false;
        self.waiters.wake_if_half_empty(&self.queue);
        message
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;
    use crate::message::{Draft, Origin};

    #[test]
    fn an_inbox_without_room_for_another_message_like_the_last_is_full() {
        let origin = Arc::new(Origin { node: "clock".to_owned(), boot: 1 });
        let draft = Draft::event("tick").bytes(&[0; 100]);
        let message = Message::encode(origin, "timer", 1, 1, &draft).unwrap();
        let inbox = Inbox::new(Limits { length: 100, size: 3 * message.weight() });
        let full = [(); 3].map(|()| inbox.push(message.clone()).unwrap());
        assert_eq!(full, [false, false, true]);
    }
}
