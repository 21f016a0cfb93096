//! What waits to be written to a program besides Messages, and what the half that reads has to tell the half that writes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rmpv::Value;
use tokio::sync::Notify;

use super::Encoding;

/// Bytes of answers that may wait before the program is not read any more.
pub(super) const MOST_WAITING: usize = 64 * 1024;

/// Joins the two halves of a conversation.
#[derive(Debug)]
pub(super) struct Outbox {
    encoding: Encoding,
    state: Mutex<State>,
    changed: Notify,
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    wanted: Wanted,
    /// Nothing more is taken.
    closed: bool,
}

impl State {
    fn has_room(&self) -> bool {
        self.waiting.len() < MOST_WAITING
    }
}

/// What the program wants to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Messages: it has said that it is ready.
    pub(super) messages: bool,
    /// How its Node's Peers stand.
    pub(super) peers: bool,
    /// Nothing any more, once all that waits is written.
    pub(super) nothing: bool,
}

impl Outbox {
    pub(super) fn new(encoding: Encoding) -> Outbox {
        Outbox { encoding, state: Mutex::default(), changed: Notify::new(), room: Notify::new() }
    }

    /// Something that the program is to know.
    pub(super) fn notify(&self, method: &str, params: &Value) {
        self.put(|out| self.encoding.notify(out, method, params));
    }

    /// What became of a request.
    pub(super) fn answer(&self, id: &[u8], result: &Value) {
        self.put(|out| self.encoding.answer(out, id, result));
    }

    /// Why nothing became of a request.
    pub(super) fn refuse(&self, id: Option<&[u8]>, code: i32, text: &str) {
        self.put(|out| self.encoding.refuse(out, id, code, text));
    }

    /// What there is no room for is dropped: an answer to a program that is to stop and does not listen.
    fn put(&self, put: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        if state.has_room() && !state.closed {
            put(&mut state.waiting);
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Changes what the program wants to be told.
    pub(super) fn want(&self, change: impl FnOnce(&mut Wanted)) {
        change(&mut self.lock().wanted);
        self.changed.notify_one();
    }

    /// What it wants to be told.
    pub(super) fn wanted(&self) -> Wanted {
        self.lock().wanted
    }

    /// Takes all that waits.
    pub(super) fn take(&self) -> Vec<u8> {
        let taken = std::mem::take(&mut self.lock().waiting);
        self.room.notify_one();
        taken
    }

    /// Forgets what waits, and takes nothing more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.waiting = Vec::new();
        state.closed = true;
        drop(state);
        self.room.notify_one();
    }

    /// Returns when something was put in or is wanted that was not. Cancel safe; one waits.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether there is room for another answer.
    pub(super) fn has_room(&self) -> bool {
        let state = self.lock();
        state.closed || state.has_room()
    }

    /// Returns when there is room for another answer. Cancel safe; one waits.
    pub(super) async fn room(&self) {
        while !self.has_room() {
            self.room.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
