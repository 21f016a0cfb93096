//! Notes to a session's writer: what to say besides Messages, left there by the reader and the link.
//!
//! The reader may never wait for a write, so it leaves a note and goes on. Each note is said at most
//! once however often it was left, so that there is nothing to overflow.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// What is to be said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sayings {
    /// This is the session to use.
    pub say_use: bool,
    /// I am here.
    pub heartbeat: bool,
    /// I heard the heartbeat with this time in it.
    pub echo: Option<u64>,
    /// I took all that came before your finish.
    pub finished: bool,
    /// No more Messages from me; whether those in the queue go first.
    pub finish: Option<bool>,
    /// Goodbye, and why.
    pub bye: Option<&'static str>,
}

/// What joins the reader, the writer and the link of one session.
#[derive(Debug)]
pub struct Notes {
    state: Mutex<State>,
    /// Told when there is something to say.
    pub wake: Notify,
    start: Instant,
    heard: AtomicU64,
    sent: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    sayings: Sayings,
    active: bool,
}

impl Notes {
    /// For a session that begins now.
    pub fn new() -> Notes {
        Notes {
            state: Mutex::default(),
            wake: Notify::new(),
            start: Instant::now(),
            heard: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }

    /// Leaves a note.
    pub fn leave(&self, note: impl FnOnce(&mut Sayings)) {
        note(&mut self.lock().sayings);
        self.wake.notify_one();
    }

    /// Lets the writer send Messages, or no longer.
    pub fn set_active(&self, active: bool) {
        self.lock().active = active;
        self.wake.notify_one();
    }

    /// Takes what is to be said, and says whether Messages may be sent.
    pub fn take(&self) -> (Sayings, bool) {
        let mut state = self.lock();
        (std::mem::take(&mut state.sayings), state.active)
    }

    /// Remembers that bytes came just now.
    pub fn hear(&self) {
        self.heard.store(self.now(), Ordering::Relaxed);
    }

    /// Remembers that bytes went out just now.
    pub fn send(&self) {
        self.sent.store(self.now(), Ordering::Relaxed);
    }

    /// When bytes came last.
    pub fn heard(&self) -> Instant {
        self.start + Duration::from_micros(self.heard.load(Ordering::Relaxed))
    }

    /// When bytes went out last.
    pub fn sent(&self) -> Instant {
        self.start + Duration::from_micros(self.sent.load(Ordering::Relaxed))
    }

    /// This session's own clock, in microseconds.
    pub fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Notes {
    fn default() -> Self {
        Notes::new()
    }
}
