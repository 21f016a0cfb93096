//! Threads that close what must not be closed on the loop of the Node.
//!
//! There is none while nothing is to be closed. What belongs to others has more than one, since what hangs for good takes its
//! thread along; and not many, since each is one of the tasks that the service may have. The Node's own sockets, whose close
//! waits for nothing once they are empty, have another: so they do not wait behind what hangs.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Condvar, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::warn;

use super::discard;
use crate::rate_limiter::RateLimiter;

/// Bytes of the stack of a thread.
const STACK: usize = 128 * 1024;

/// How long one without work waits for some before it ends.
const IDLE: Duration = Duration::from_secs(5);

/// When more descriptors wait, the log says so.
const MANY: usize = 1000;

/// For what others have sent or handed over.
static FOREIGN: Closer = Closer::new(4, discard::foreign);

/// For the sockets of the Node.
static OWN: Closer = Closer::new(1, discard::own);

static WARNINGS: LazyLock<Mutex<RateLimiter<&'static str>>> = LazyLock::new(Mutex::default);

struct Closer {
    /// Threads at most.
    most: usize,
    discard: fn(OwnedFd),
    state: Mutex<State>,
    work: Condvar,
}

struct State {
    waiting: VecDeque<OwnedFd>,
    /// Threads there are, and those of them that wait for work.
    threads: usize,
    idle: usize,
}

/// Closes a descriptor of another program, and what waits in it if it is a Unix socket, on another thread. Does not wait for that.
pub(super) fn close(descriptor: OwnedFd) {
    FOREIGN.put(descriptor);
}

/// Closes a Unix socket of the Node on another thread. What others have put into it is closed as by [`close`].
pub(super) fn close_own(socket: OwnedFd) {
    OWN.put(socket);
}

impl Closer {
    const fn new(most: usize, discard: fn(OwnedFd)) -> Closer {
        let state = State { waiting: VecDeque::new(), threads: 0, idle: 0 };
        Closer { most, discard, state: Mutex::new(state), work: Condvar::new() }
    }

    fn put(&'static self, descriptor: OwnedFd) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.push_back(descriptor);
        let waiting = state.waiting.len();
        if waiting > state.idle && state.threads < self.most {
            let work = || self.work();
            let spawned =
                thread::Builder::new().name("closer".into()).stack_size(STACK).spawn(work);
            // Without a thread it waits for one that there is already, or that can be started for the next.
            state.threads += usize::from(spawned.is_ok());
        }
        drop(state);
        self.work.notify_one();
        if waiting > MANY {
            let mut warnings = WARNINGS.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(more) = warnings.allow("many") {
                warn!(
                    "more than {MANY} file descriptors of other programs wait to be closed{more}"
                );
            }
        }
    }

    /// What a thread does: it closes one after the other, until there is none for a while.
    fn work(&self) {
        while let Some(descriptor) = self.next() {
            (self.discard)(descriptor);
        }
    }

    /// The next descriptor. Without one, this thread is not counted any more.
    fn next(&self) -> Option<OwnedFd> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.waiting.is_empty() {
            state.idle += 1;
            let waited =
                self.work.wait_timeout_while(state, IDLE, |state| state.waiting.is_empty());
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
        let descriptor = state.waiting.pop_front();
        state.threads -= usize::from(descriptor.is_none());
        descriptor
    }
}
