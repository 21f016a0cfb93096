//! Threads that close what must not be closed on the loop of the Node.
//!
//! There is none while nothing is to be closed. More than one, since what hangs for good takes its thread along; and not many,
//! since each is one of the tasks that the service may have.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::warn;

use super::discard;

/// Threads at most.
const THREADS: usize = 4;

/// Bytes of the stack of one.
const STACK: usize = 128 * 1024;

/// How long one without work waits for some before it ends.
const IDLE: Duration = Duration::from_secs(5);

/// When so many descriptors wait, the log says so.
const MANY: usize = 100;

static CLOSER: Closer = Closer { state: Mutex::new(State::NEW), work: Condvar::new() };

struct Closer {
    state: Mutex<State>,
    work: Condvar,
}

struct State {
    waiting: VecDeque<OwnedFd>,
    /// Threads there are, and those of them that wait for work.
    threads: usize,
    idle: usize,
}

impl State {
    const NEW: State = State { waiting: VecDeque::new(), threads: 0, idle: 0 };
}

/// Closes a descriptor, and what waits in it if it is a Unix socket, on another thread. Does not wait for that.
pub(super) fn close(descriptor: OwnedFd) {
    let mut state = CLOSER.state.lock().unwrap_or_else(PoisonError::into_inner);
    state.waiting.push_back(descriptor);
    let waiting = state.waiting.len();
    if waiting > state.idle && state.threads < THREADS {
        let spawned = thread::Builder::new().name("closer".into()).stack_size(STACK).spawn(work);
        // Without a thread it waits for one that there is already, or that can be started for the next.
        state.threads += usize::from(spawned.is_ok());
    }
    drop(state);
    CLOSER.work.notify_one();
    if waiting == MANY {
        warn!(
            "{MANY} file descriptors are waiting to be closed: other programs sent some that take long to close"
        );
    }
}

/// What a thread does: it closes one after the other, until there is none for a while.
fn work() {
    while let Some(descriptor) = next() {
        discard::discard(descriptor);
    }
}

/// The next descriptor. Without one, this thread is not counted any more.
fn next() -> Option<OwnedFd> {
    let mut state = CLOSER.state.lock().unwrap_or_else(PoisonError::into_inner);
    if state.waiting.is_empty() {
        state.idle += 1;
        let waited = CLOSER.work.wait_timeout_while(state, IDLE, |state| state.waiting.is_empty());
        (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
    }
    let descriptor = state.waiting.pop_front();
    state.threads -= usize::from(descriptor.is_none());
    descriptor
}
