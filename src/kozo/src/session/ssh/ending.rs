//! How a session ends: what its handler knows of it and russh does not.
//!
//! russh ends a session with an error of its own, or goes on reading though its handler has had enough. So the
//! handler says here why the session is over, and the task that waits for its end learns that first: the stream
//! is then still there, for a goodbye.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream;
use tokio::sync::Notify;

use super::{HandlerError, SUBSYSTEM};
use crate::session::{End, SessionError};

/// Requests and channels that are refused before a side that goes on asking is closed: each takes an answer,
/// which russh keeps without a bound while keys are being renewed.
const MOST_REFUSED: u32 = 64;

/// Joins the handler of a session with the task that waits for its end.
#[derive(Clone, Default)]
pub(super) struct Ending {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    over: Notify,
}

#[derive(Default)]
struct State {
    reason: Option<SessionError>,
    refused: u32,
}

impl Ending {
    /// Remembers why the session is going to end, if it is. `None` if it is not, after all.
    pub(super) fn expect(&self, reason: Option<SessionError>) {
        self.lock().reason = reason;
    }

    /// The session is over, for this reason; the first one holds.
    pub(super) fn declare(&self, reason: SessionError) {
        self.lock().reason.get_or_insert(reason);
        self.shared.over.notify_one();
    }

    /// Counts something that was asked for and refused: a side that does not stop asking is closed.
    pub(super) fn refuse(&self) {
        let refused = {
            let mut state = self.lock();
            state.refused = state.refused.saturating_add(1);
            state.refused
        };
        if refused > MOST_REFUSED {
            let problem =
                format!("it asks for more than the subsystem '{SUBSYSTEM}', all the time");
            self.declare(SessionError::Protocol(problem));
        }
    }

    /// The end of this session: once its handler has declared it over, and once russh has ended it.
    pub(super) fn of(
        self,
        session: impl Future<Output = Result<(), HandlerError>> + Send + 'static,
    ) -> End {
        let running = (self, Some(Box::pin(session)), false);
        End::new(stream::unfold(running, |(ending, session, declared)| async move {
            let mut session = session?;
            let ended = tokio::select! {
                biased;
                ended = &mut session => ended,
                () = ending.shared.over.notified(), if !declared => {
                    return Some((ending.reason(SessionError::closed()), (ending, Some(session), true)));
                }
            };
            let error = ended.err().map_or_else(SessionError::closed, |HandlerError(error)| error);
            Some((ending.reason(error), (ending, None, declared)))
        }))
    }

    /// Why the session ended, if that is known better than by this error.
    pub(super) fn reason(&self, error: SessionError) -> SessionError {
        self.lock().reason.take().unwrap_or(error)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
