//! How a link ends: because the Node stops, another link takes its place, the Peer is no longer let in, or an
//! administrator closes it; and how one that was closed begins anew.

use tokio::time::Instant;

use super::sessions::Phase;
use super::terms::{Action, End, Reason};
use super::{LINGER, Machine};
use crate::config::ConnectPolicy;

impl Machine {
    pub(super) fn connect(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.ending.is_some() {
            return;
        }
        if std::mem::take(&mut self.closed) {
            self.closing = None;
            self.close_unfinished(Reason::Asked, actions);
            self.down_since = Some(now);
            self.backoff.reset();
        }
        let busy = self.current().is_some() || self.dialling || self.is_offered();
        if !busy && self.rules.outward != ConnectPolicy::Never {
            self.dial(None, actions);
        }
    }

    pub(super) fn disconnect(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.is_ending() {
            return;
        }
        self.closed = true;
        self.wanted = false;
        self.closing = self.current().is_some().then(|| now + LINGER);
        self.end(actions);
    }

    pub(super) fn stop(&mut self, end: End, actions: &mut Vec<Action>) {
        let reason = self.is_ending().then(|| self.reason_to_end());
        self.ending = Some(end);
        self.closing = None;
        if end == End::Revoke {
            self.close_all(actions);
        } else if let Some(reason) = reason {
            // What is to be closed has been told so; for the rest of it there is no time.
            self.close_unfinished(reason, actions);
        }
        self.end(actions);
    }

    /// Finishes the session in use and closes all others.
    fn end(&mut self, actions: &mut Vec<Action>) {
        self.retry_at = None;
        // There is no time left to wait for an old session's end.
        self.release(actions);
        if std::mem::take(&mut self.dialling) {
            actions.push(Action::StopDialling);
        }
        let (reason, drain) = (self.reason_to_end(), self.ending != Some(End::Replace));
        for session in self.sessions.iter_mut() {
            let id = session.offer.id;
            if matches!(session.phase, Phase::Current) {
                session.finish_said = true;
                actions.push(Action::Finish { id, drain });
            } else {
                actions.push(Action::Close(id, reason));
            }
        }
        self.sessions.remove_all(|phase| !matches!(phase, Phase::Current));
    }

    /// Closes all sessions as they are.
    fn close_all(&mut self, actions: &mut Vec<Action>) {
        self.held = None;
        let reason = self.reason_to_end();
        let all = self.sessions.remove_all(|_| true);
        actions.extend(all.into_iter().map(|id| Action::Close(id, reason)));
    }

    /// Closes the session in use, in which this side has said that it has finished.
    pub(super) fn close_unfinished(&mut self, reason: Reason, actions: &mut Vec<Action>) {
        if let Some(id) = self
            .sessions
            .in_use()
            .filter(|session| session.finish_said)
            .map(|session| session.offer.id)
        {
            self.sessions.remove(id);
            actions.push(Action::Close(id, reason));
        }
    }

    /// Whether no session is to be made any more.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_some() || self.closed
    }

    pub(super) fn reason_to_end(&self) -> Reason {
        self.ending.map_or(Reason::Asked, End::reason)
    }
}
