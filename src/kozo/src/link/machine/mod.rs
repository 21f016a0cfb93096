//! The state machine of a link: what to do about one Peer, and when.
//!
//! Pure: [`Event`]s and the time go in, [`Action`]s come out; `task` carries them out. One of the two
//! Nodes of a link, the one whose name sorts first, is its *decider*: it alone says which session is
//! used, by a frame `use` on it, so that both sides always come to the same answer. The other side
//! offers sessions and follows. Moving from one session to another, each side finishes the old one
//! first (`finish`, `finished`), and sends on the new one only then: nothing is lost or overtaken.

mod ending;
mod moving;
mod sessions;
mod terms;

use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;
use crate::config::ConnectPolicy;
use crate::transport::Priority;
use sessions::{Phase, TrackedSessions};
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
