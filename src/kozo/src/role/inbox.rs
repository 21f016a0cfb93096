//! A rolling queue with somebody waiting at its end: a Role's queue of Messages, or a tap.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::message::Message;
use crate::queue::{Limits, RollingQueue, TooLarge};

/// Messages on their way to one consumer.
#[derive(Debug)]
pub struct Inbox {
    state: Mutex<State>,
    ready: Notify,
}

#[derive(Debug)]
struct State {
    queue: RollingQueue<Message>,
    closed: bool,
    received: u64,
    dropped: u64,
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
        Inbox {
            state: Mutex::new(State {
                queue: RollingQueue::new(limits),
                closed: false,
                received: 0,
                dropped: 0,
            }),
            ready: Notify::new(),
        }
    }

    /// Puts a Message in, dropping the oldest as far as needed. Says whether the inbox is full now.
    /// A closed inbox takes nothing and says no.
    ///
    /// # Errors
    /// When the Message is larger than the whole inbox.
    pub fn push(&self, message: Message) -> Result<bool, TooLarge> {
        let mut state = self.lock();
        if state.closed {
            return Ok(false);
        }
        let dropped = state.queue.push(message)?;
        state.received += 1;
        state.dropped += dropped.count;
        let full = !state.queue.has_room_for(0);
        drop(state);
        self.ready.notify_one();
        Ok(full)
    }

    /// The next Message; `None` when the inbox is closed and empty. Cancel safe. One consumer.
    pub async fn receive(&self) -> Option<Message> {
        loop {
            let ready = self.ready.notified();
            {
                let mut state = self.lock();
                if let Some(message) = state.queue.pop() {
                    return Some(message);
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
        self.lock().queue.pop()
    }

    /// Takes no more Messages; those in it can still be received.
    pub fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_one();
    }

    /// The bounds.
    pub fn limits(&self) -> Limits {
        self.lock().queue.limits()
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
