//! SessionSignals between the parts of a session: what its writer is to say besides Messages, and what its
//! reader came upon that the link has to know.
//!
//! The reader may never wait, so it leaves a signal and goes on. Each signal is acted upon at
//! most once however often it was left, so that there is nothing to overflow; and what the reader
//! left before the link knows the session is still there when it does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::machine::SessionId;
use crate::interest::Interest;

/// What is to be said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToWriter {
    /// This is the session to use.
    pub say_use: bool,
    /// I am here.
    pub heartbeat: bool,
    /// So many bytes of nothing, and a heartbeat behind them.
    pub padding: usize,
    /// I heard the heartbeat with this time in it.
    pub echo: Option<u64>,
    /// I took all that came before your finish.
    pub finished: bool,
    /// No more Messages from me; whether those in the queue go first.
    pub finish: Option<bool>,
    /// Goodbye, and why.
    pub bye: Option<&'static str>,
}

/// What the reader came upon, for the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ToLink {
    /// The decider chose the session.
    pub chosen: bool,
    /// The Peer echoed a heartbeat.
    pub echo: Option<RoundTrip>,
    /// The Peer sends no more Messages on it.
    pub finish: bool,
    /// The Peer has taken all that was sent on it.
    pub finished: bool,
}

/// What the echo of a heartbeat tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// When the heartbeat was sent, by the session's own clock, in microseconds.
    pub sent: u64,
    /// How long it took, in microseconds.
    pub time: u64,
    /// Microseconds by which the Peer's clock is ahead.
    pub skew: i64,
}

/// The last heartbeat that the Peer has echoed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echoed {
    /// When it was sent, by the session's own clock, in microseconds.
    pub sent: u64,
    /// When the echo came, by the same clock.
    pub at: u64,
}

/// What the writer is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// What to say.
    pub to_writer: ToWriter,
    /// Whether Messages may be sent.
    pub active: bool,
    /// What the Peer has acknowledged since the last time.
    pub echoed: Option<Echoed>,
}

/// What joins the reader, the writer and the link of one session.
#[derive(Debug)]
pub struct SessionSignals {
    state: Mutex<State>,
    /// Told when there is something to say.
    pub wake: Notify,
    start: Instant,
    heard: AtomicU64,
    padded: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    to_writer: ToWriter,
    to_link: ToLink,
    interests: Option<Vec<Interest>>,
    echoed: Option<Echoed>,
    active: bool,
}

impl SessionSignals {
    /// For a session that begins now.
    pub fn new() -> SessionSignals {
        SessionSignals {
            state: Mutex::default(),
            wake: Notify::new(),
            start: Instant::now(),
            heard: AtomicU64::new(0),
            padded: AtomicU64::new(u64::MAX),
        }
    }

    /// Leaves a note.
    pub fn tell_writer(&self, note: impl FnOnce(&mut ToWriter)) {
        note(&mut self.lock().to_writer);
        self.wake.notify_one();
    }

    /// Ends the Messages: those in the queue go first if `drain`, and none do otherwise.
    pub fn finish(&self, drain: bool) {
        let mut state = self.lock();
        state.active &= drain;
        state.to_writer.finish = Some(drain);
        drop(state);
        self.wake.notify_one();
    }

    /// Lets the writer send Messages, or no longer.
    pub fn set_active(&self, active: bool) {
        self.lock().active = active;
        self.wake.notify_one();
    }

    /// Takes what the writer is to do now.
    pub fn take_for_writer(&self) -> Work {
        let mut state = self.lock();
        let (to_writer, echoed) = (std::mem::take(&mut state.to_writer), state.echoed.take());
        Work { to_writer, echoed, active: state.active }
    }

    /// Tells the writer that the Peer has echoed the heartbeat with this time in it just now: that it has all that
    /// was written before.
    pub fn acknowledge(&self, echoed: Echoed) {
        self.lock().echoed = Some(echoed);
        self.wake.notify_one();
    }

    /// Leaves a note for the link, which has to be told.
    pub fn tell_link(&self, note: impl FnOnce(&mut ToLink)) {
        note(&mut self.lock().to_link);
    }

    /// Takes what the reader came upon.
    pub fn take_for_link(&self) -> ToLink {
        std::mem::take(&mut self.lock().to_link)
    }

    /// Keeps what the Peer announced, in place of what it announced before, until the link takes it: that
    /// of the session in use.
    pub fn keep_interests(&self, interests: Vec<Interest>) {
        self.lock().interests = Some(interests);
    }

    /// Takes what the Peer announced.
    pub fn interests(&self) -> Option<Vec<Interest>> {
        self.lock().interests.take()
    }

    /// Remembers that bytes came just now.
    pub fn hear(&self) {
        self.heard.store(self.now(), Ordering::Relaxed);
    }

    /// Remembers when the heartbeat behind the padding was sent, by the session's own clock.
    pub fn set_padded(&self, sent: u64) {
        self.padded.store(sent, Ordering::Relaxed);
    }

    /// When the last heartbeat behind padding was sent.
    pub fn padded(&self) -> u64 {
        self.padded.load(Ordering::Relaxed)
    }

    /// When bytes came last.
    pub fn heard(&self) -> Instant {
        self.start + Duration::from_micros(self.heard.load(Ordering::Relaxed))
    }

    /// This session's own clock, in microseconds.
    pub fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for SessionSignals {
    fn default() -> Self {
        SessionSignals::new()
    }
}

/// Which sessions of a link have signals for it.
#[derive(Debug, Default)]
pub struct PendingSessions {
    /// Each at most once; in the order in which they came, for that is mostly the order in which the
    /// Peer chose among them.
    waiting: Mutex<Vec<SessionId>>,
    wake: Notify,
}

impl PendingSessions {
    /// Tells the link that this session has signals for it.
    pub fn tell(&self, id: SessionId) {
        let mut waiting = self.lock();
        if !waiting.contains(&id) {
            waiting.push(id);
        }
        self.wake.notify_one();
    }

    /// Waits for sessions that have signals, and forgets them. Cancel safe.
    pub async fn told(&self) -> Vec<SessionId> {
        self.wake.notified().await;
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<SessionId>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
