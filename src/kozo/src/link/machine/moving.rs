//! From one session to another: what becomes of one that is ready, who decides on it, and how each side finishes the
//! one that was in use before.

use tokio::time::Instant;

use super::sessions::{Phase, TrackedSession};
use super::terms::{Action, Offer, Reason, SessionId};
use super::{DECISION, LINGER, MOST_OFFERED, Machine, PROBE, SILENT_HEARTBEATS};

impl Machine {
    pub(super) fn ready(&mut self, offer: Offer, now: Instant, actions: &mut Vec<Action>) {
        if offer.dialled {
            self.dialling = false;
        }
        if self.is_ending() {
            return actions.push(Action::Close(offer.id, self.reason_to_end()));
        }
        let mut session = TrackedSession::new(offer, Phase::Offered(now + DECISION), now);
        if !self.rules.decider {
            self.close_oldest_offer(actions);
            return self.sessions.push(session);
        }
        let present = self.sessions.in_use().map(|session| session.offer);
        match present {
            Some(present) if present.boot == offer.boot && offer.priority <= present.priority => {
                self.close_candidates(actions);
                session.phase = Phase::Candidate(now + PROBE);
                self.sessions.push(session);
                actions.push(Action::Heartbeat(present.id));
                self.try_again(now);
            }
            _ => {
                self.sessions.push(session);
                self.adopt(offer.id, now, actions);
            }
        }
    }

    fn close_oldest_offer(&mut self, actions: &mut Vec<Action>) {
        if self.sessions.count(Phase::is_offered) >= MOST_OFFERED
            && let Some(oldest) = self.sessions.find(Phase::is_offered)
        {
            self.sessions.remove(oldest);
            actions.push(Action::Close(oldest, Reason::Undecided));
        }
    }

    pub(super) fn used(&mut self, id: SessionId, now: Instant, actions: &mut Vec<Action>) {
        let offered = self.sessions.get(id).is_some_and(|session| session.phase.is_offered());
        if !self.rules.decider && offered {
            self.adopt(id, now, actions);
        }
    }

    /// Takes a session into use, in place of the present one if there is one.
    pub(super) fn adopt(&mut self, id: SessionId, now: Instant, actions: &mut Vec<Action>) {
        let Some(TrackedSession { offer, since, .. }) = self.sessions.get(id).copied() else {
            return;
        };
        if self.rules.decider {
            actions.push(Action::SayUse(id));
        }
        self.retire_present(&offer, now, actions);
        if let Some(session) = self.sessions.get_mut(id) {
            session.phase = Phase::Current;
        }
        if self.held.is_none() {
            actions.push(Action::Activate(id));
        }
        // Measures the round trip at once, not only after the first interval.
        actions.push(Action::Heartbeat(id));
        if self.dialling {
            self.dialling = false;
            actions.push(Action::StopDialling);
        }
        self.wanted = false;
        self.up_since = Some(now);
        // A session that waited while the one before it was silent may be as dead: it has what is left
        // of the three heartbeats, but one in any case.
        let one_left = now.checked_sub(self.rules.heartbeat * (SILENT_HEARTBEATS - 1));
        (self.heard, self.beat) = (Some(since).max(one_left), Some(now));
        self.look_for_better(now);
    }

    fn retire_present(&mut self, successor: &Offer, now: Instant, actions: &mut Vec<Action>) {
        let Some(present) = self.sessions.in_use_mut() else { return };
        let Offer { id, priority, boot, .. } = present.offer;
        if boot != successor.boot {
            self.held = None;
            self.sessions.remove(id);
            return actions.push(Action::Close(id, Reason::Restarted));
        }
        present.phase = Phase::Old(now);
        present.finish_said = true;
        actions.push(Action::Finish { id, drain: false });
        // No better than the present one: the decider has given that one up, nothing will end it.
        if priority != successor.priority {
            self.held = Some(now + LINGER);
        }
    }

    pub(super) fn peer_finish(&mut self, id: SessionId, actions: &mut Vec<Action>) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.peer_finished = true;
        }
        self.close_if_done(id, actions);
    }

    pub(super) fn finished(&mut self, id: SessionId, actions: &mut Vec<Action>) {
        let (ending, reason) = (self.is_ending(), self.reason_to_end());
        let Some(session) = self.sessions.get_mut(id).filter(|session| session.finish_said) else {
            return;
        };
        session.finished = true;
        if ending {
            self.sessions.remove(id);
            self.closing = None;
            return actions.push(Action::Close(id, reason));
        }
        self.release_if_done(actions);
        self.close_if_done(id, actions);
    }

    /// Lets the session in use have the Messages once nothing before them can be under way.
    pub(super) fn release_if_done(&mut self, actions: &mut Vec<Action>) {
        let unfinished = |session: &TrackedSession| session.finish_said && !session.finished;
        if !self.sessions.iter().any(unfinished) {
            self.release(actions);
        }
    }

    /// Lets the session in use have the Messages that waited for the old one's end.
    pub(super) fn release(&mut self, actions: &mut Vec<Action>) {
        if self.held.take().is_some()
            && let Some(id) = self.current()
        {
            actions.push(Action::Activate(id));
        }
    }

    /// The decider closes an old session once both sides have finished it.
    fn close_if_done(&mut self, id: SessionId, actions: &mut Vec<Action>) {
        let done = self.sessions.get(id).is_some_and(|session| {
            session.finished && session.peer_finished && session.phase.is_old()
        });
        if done && self.rules.decider {
            self.sessions.remove(id);
            actions.push(Action::Close(id, Reason::Moved));
        }
    }

    pub(super) fn echo(&mut self, id: SessionId, actions: &mut Vec<Action>) {
        if self.current() == Some(id) {
            self.close_candidates(actions);
        }
    }

    fn close_candidates(&mut self, actions: &mut Vec<Action>) {
        for id in self.sessions.remove_all(Phase::is_candidate) {
            actions.push(Action::Close(id, Reason::Duplicate));
        }
    }
}
