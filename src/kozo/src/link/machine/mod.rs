//! The state machine of a link: what to do about one Peer, and when.
//!
//! Pure: [`Event`]s and the time go in, [`Action`]s come out; `task` carries them out. One of the two
//! Nodes of a link, the one whose name sorts first, is its *decider*: it alone says which session is
//! used, by a frame `use` on it, so that both sides always come to the same answer. The other side
//! offers sessions and follows. Moving from one session to another, each side finishes the old one
//! first (`finish`, `finished`), and sends on the new one only then: nothing is lost or overtaken.

mod sessions;
mod terms;

use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;
use crate::config::ConnectPolicy;
use crate::transport::Priority;
use sessions::{Phase, TrackedSession, TrackedSessions};
pub use terms::{Action, End, Event, LinkState, Offer, Reason, Rules, SessionId, State};

/// How long the present session has to answer when another one is offered, and again if something has
/// come on it in the second half of that.
const PROBE: Duration = Duration::from_secs(2);
/// How long an offered session waits for the decider.
const DECISION: Duration = Duration::from_secs(10);
/// How long new Messages wait for the old session to be finished, and a finished one may stay.
const LINGER: Duration = Duration::from_secs(5);
/// Sessions that may wait for the decider at once; the oldest goes when there is one more.
const MOST_OFFERED: usize = 4;
/// A link that stays up for so long has recovered.
const STEADY: Duration = Duration::from_millis(500);
/// A Peer silent for this many heartbeats is down.
const SILENT_HEARTBEATS: u32 = 3;

/// The state machine.
#[derive(Debug)]
pub struct Machine {
    rules: Rules,
    sessions: TrackedSessions,
    /// The session in use still waits for the old one to be finished, until then.
    held: Option<Instant>,
    dialling: bool,
    retry_at: Option<Instant>,
    /// No attempt for a Message is made before.
    not_before: Option<Instant>,
    wanted: bool,
    ending: Option<End>,
    /// The link is kept closed by request.
    closed: bool,
    /// The session in use is to be finished by then, and is closed if it is not.
    closing: Option<Instant>,
    up_since: Option<Instant>,
    down_since: Option<Instant>,
    backoff: Backoff,
    heard: Option<Instant>,
    /// The last heartbeat on the session in use.
    beat: Option<Instant>,
    random: fn() -> f64,
}

impl Machine {
    /// A machine that has not begun. `random` gives numbers from 0 to 1.
    pub fn new(rules: Rules, random: fn() -> f64) -> Machine {
        Machine {
            backoff: Backoff::new(rules.retry),
            rules,
            sessions: TrackedSessions::default(),
            held: None,
            dialling: false,
            retry_at: None,
            not_before: None,
            wanted: false,
            ending: None,
            closed: false,
            closing: None,
            up_since: None,
            down_since: None,
            heard: None,
            beat: None,
            random,
        }
    }

    /// What the link is doing.
    pub fn state(&self) -> State {
        if self.current().is_some() {
            State::Up
        } else if self.dialling || self.is_offered() {
            State::Connecting
        } else if self.retry_at.is_some() {
            State::Waiting
        } else if self.rules.outward == ConnectPolicy::OnDemand && !self.closed {
            State::Idle
        } else {
            State::Disabled
        }
    }

    /// The session in use.
    pub fn current(&self) -> Option<SessionId> {
        self.sessions.in_use().map(|session| session.offer.id)
    }

    /// When [`Event::Time`] is due at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let beats = self.sessions.in_use().is_some().then(|| {
            let silent = self.heard.map(|heard| heard + self.silence());
            let beat = self.beat.map(|beat| beat + self.rules.heartbeat);
            [silent, beat]
        });
        let sessions = self.sessions.deadline().into_iter();
        sessions
            .chain(self.held)
            .chain(self.retry_at)
            .chain(self.closing)
            .chain(beats.into_iter().flatten().flatten())
            .min()
    }

    /// Takes an event and says what is to be done, in this order.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Start => self.start(now),
            Event::Wanted => self.want(now, &mut actions),
            Event::DialFailed => self.dial_failed(now),
            Event::DialRefused => {
                self.backoff.go_on();
                self.dial_failed(now);
            }
            Event::Ready(offer) => self.ready(offer, now, &mut actions),
            Event::Use(id) => self.used(id, now, &mut actions),
            Event::Finish(id) => self.peer_finish(id, &mut actions),
            Event::Finished(id) => self.finished(id, &mut actions),
            Event::Echo(id) => self.echo(id, &mut actions),
            Event::Ended(id) => self.ended(id, false, now, &mut actions),
            Event::TurnedAway(id) => self.ended(id, true, now, &mut actions),
            Event::Time { heard } => self.time(heard, now, &mut actions),
            Event::Connect => self.connect(now, &mut actions),
            Event::Disconnect => self.disconnect(now, &mut actions),
            Event::Stop(end) => self.stop(end, &mut actions),
        }
        actions
    }

    fn start(&mut self, now: Instant) {
        self.down_since = Some(now);
        if self.rules.outward == ConnectPolicy::Constant {
            self.retry_at = Some(now + self.rules.spread.mul_f64((self.random)()));
        }
    }

    fn want(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let up = self.current().is_some();
        if self.rules.outward != ConnectPolicy::OnDemand || self.is_ending() || up {
            return;
        }
        self.wanted = true;
        if self.state() == State::Idle {
            self.retry_at = self.not_before.filter(|at| now < *at);
            if self.retry_at.is_none() {
                self.dial(None, actions);
            }
        }
    }

    fn dial(&mut self, above: Option<Priority>, actions: &mut Vec<Action>) {
        self.dialling = true;
        self.retry_at = None;
        actions.push(Action::Dial(above));
    }

    fn dial_failed(&mut self, now: Instant) {
        self.dialling = false;
        if self.current().is_some() {
            self.look_for_better(now);
        } else {
            self.retry_later(now);
        }
    }

    fn retry_later(&mut self, now: Instant) {
        if self.rules.outward == ConnectPolicy::Never || self.is_ending() {
            return;
        }
        let down_for = self.down_since.map_or(Duration::ZERO, |since| now - since);
        let pause = self.backoff.next(down_for, (self.random)());
        // Nothing leads there, and nothing will but another configuration.
        let nowhere = self.rules.best.is_none();
        let at = now + if nowhere { self.rules.retry } else { pause };
        if self.rules.outward == ConnectPolicy::Constant || self.wanted {
            self.retry_at = Some(at);
        } else {
            self.not_before = Some(at);
        }
    }

    /// While on a Transport that is not the best one, tries the better ones now and then.
    fn look_for_better(&mut self, now: Instant) {
        let better = self
            .sessions
            .in_use()
            .is_some_and(|session| Some(session.offer.priority) < self.rules.best);
        let may_dial = self.rules.outward == ConnectPolicy::Constant && !self.is_ending();
        self.retry_at = (better && may_dial).then(|| now + self.rules.retry);
    }

    fn ready(&mut self, offer: Offer, now: Instant, actions: &mut Vec<Action>) {
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

    fn used(&mut self, id: SessionId, now: Instant, actions: &mut Vec<Action>) {
        let offered = self.sessions.get(id).is_some_and(|session| session.phase.is_offered());
        if !self.rules.decider && offered {
            self.adopt(id, now, actions);
        }
    }

    /// An attempt has led to nothing, or to something that was not needed: the next one is due.
    fn try_again(&mut self, now: Instant) {
        if self.dialling || self.retry_at.is_some() {
            return;
        }
        if self.current().is_some() {
            self.look_for_better(now);
        } else if !self.is_offered() {
            self.retry_later(now);
        }
    }

    /// Takes a session into use, in place of the present one if there is one.
    fn adopt(&mut self, id: SessionId, now: Instant, actions: &mut Vec<Action>) {
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

    fn peer_finish(&mut self, id: SessionId, actions: &mut Vec<Action>) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.peer_finished = true;
        }
        self.close_if_done(id, actions);
    }

    fn finished(&mut self, id: SessionId, actions: &mut Vec<Action>) {
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
    fn release_if_done(&mut self, actions: &mut Vec<Action>) {
        let unfinished = |session: &TrackedSession| session.finish_said && !session.finished;
        if !self.sessions.iter().any(unfinished) {
            self.release(actions);
        }
    }

    /// Lets the session in use have the Messages that waited for the old one's end.
    fn release(&mut self, actions: &mut Vec<Action>) {
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

    fn echo(&mut self, id: SessionId, actions: &mut Vec<Action>) {
        if self.current() == Some(id) {
            self.close_candidates(actions);
        }
    }

    fn close_candidates(&mut self, actions: &mut Vec<Action>) {
        for id in self.sessions.remove_all(Phase::is_candidate) {
            actions.push(Action::Close(id, Reason::Duplicate));
        }
    }

    fn ended(&mut self, id: SessionId, turned_away: bool, now: Instant, actions: &mut Vec<Action>) {
        let Some(session) = self.sessions.get(id) else { return };
        let phase = session.phase;
        self.sessions.remove(id);
        match phase {
            Phase::Current => self.down(turned_away, now, actions),
            Phase::Old(_) => self.release_if_done(actions),
            Phase::Candidate(_) | Phase::Offered(_) => self.try_again(now),
        }
    }

    /// The session in use is gone: another one takes its place, or the link is down.
    fn down(&mut self, turned_away: bool, now: Instant, actions: &mut Vec<Action>) {
        (self.held, self.closing) = (None, None);
        for id in self.sessions.remove_all(Phase::is_old) {
            actions.push(Action::Close(id, Reason::Moved));
        }
        if let Some(id) = self.sessions.find(Phase::is_candidate) {
            return self.adopt(id, now, actions);
        }
        // A link that does not stay up gets no quick attempt each time.
        let steady = self.up_since.take().is_some_and(|since| now >= since + STEADY);
        if steady {
            self.backoff.reset();
        } else {
            self.backoff.go_on();
        }
        // Where this side is not wanted it was not really up.
        if steady || !turned_away {
            self.down_since = Some(now);
        }
        (self.heard, self.beat, self.retry_at) = (None, None, None);
        // A search for a better Transport may be under way: it serves as the next attempt.
        self.try_again(now);
    }

    fn time(&mut self, heard: Option<Instant>, now: Instant, actions: &mut Vec<Action>) {
        if let Some(id) = self.current() {
            self.heard = self.heard.max(heard);
            if self.heard.is_some_and(|heard| now >= heard + self.silence()) {
                self.close_current(id, now, actions);
            } else if self.beat.is_some_and(|beat| now >= beat + self.rules.heartbeat) {
                self.beat = Some(now);
                actions.push(Action::Heartbeat(id));
            }
        }
        for id in self.sessions.ids() {
            self.time_of_other(id, now, actions);
        }
        if self.held.is_some_and(|until| now >= until) {
            self.release(actions);
        }
        if self.closing.is_some_and(|until| now >= until) {
            self.closing = None;
            self.close_unfinished(Reason::Asked, actions);
        }
        if self.retry_at.is_some_and(|at| now >= at) {
            let above = self.sessions.in_use().map(|session| session.offer.priority);
            self.dial(above, actions);
        }
    }

    fn time_of_other(&mut self, id: SessionId, now: Instant, actions: &mut Vec<Action>) {
        // What was done about another session may have closed this one.
        let Some(phase) = self.sessions.get(id).map(|session| session.phase) else { return };
        match phase {
            // So much may be under way on the present session that its answer takes longer.
            Phase::Candidate(until) if now >= until && self.is_lively(now) => {
                if let Some(session) = self.sessions.get_mut(id) {
                    session.phase = Phase::Candidate(now + PROBE);
                }
            }
            Phase::Candidate(until) if now >= until => match self.current() {
                Some(present) => self.close_current(present, now, actions),
                None => self.adopt(id, now, actions),
            },
            Phase::Offered(until) if now >= until => {
                self.sessions.remove(id);
                actions.push(Action::Close(id, Reason::Undecided));
                self.try_again(now);
            }
            Phase::Old(since) if now >= since + LINGER => {
                self.sessions.remove(id);
                actions.push(Action::Close(id, Reason::Moved));
                self.release_if_done(actions);
            }
            _ => {}
        }
    }

    /// Whether something has come just now on the session in use.
    fn is_lively(&self, now: Instant) -> bool {
        self.current().is_some() && self.heard.is_some_and(|heard| now < heard + PROBE / 2)
    }

    fn close_current(&mut self, id: SessionId, now: Instant, actions: &mut Vec<Action>) {
        actions.push(Action::Close(id, Reason::Silent));
        self.sessions.remove(id);
        self.down(false, now, actions);
    }

    fn connect(&mut self, now: Instant, actions: &mut Vec<Action>) {
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

    fn disconnect(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.is_ending() {
            return;
        }
        self.closed = true;
        self.wanted = false;
        self.closing = self.current().is_some().then(|| now + LINGER);
        self.end(actions);
    }

    /// Closes the session in use, in which this side has said that it has finished.
    fn close_unfinished(&mut self, reason: Reason, actions: &mut Vec<Action>) {
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

    fn stop(&mut self, end: End, actions: &mut Vec<Action>) {
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

    /// Closes all sessions as they are.
    fn close_all(&mut self, actions: &mut Vec<Action>) {
        self.held = None;
        let reason = self.reason_to_end();
        let all = self.sessions.remove_all(|_| true);
        actions.extend(all.into_iter().map(|id| Action::Close(id, reason)));
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

    /// Whether no session is to be made any more.
    fn is_ending(&self) -> bool {
        self.ending.is_some() || self.closed
    }

    fn reason_to_end(&self) -> Reason {
        self.ending.map_or(Reason::Asked, End::reason)
    }

    fn silence(&self) -> Duration {
        self.rules.heartbeat * SILENT_HEARTBEATS
    }

    fn is_offered(&self) -> bool {
        self.sessions.count(Phase::is_offered) > 0
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
