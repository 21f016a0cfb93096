//! The state machine of a link: what to do about one Peer, and when.
//!
//! Pure: [`Event`]s and the time go in, [`Action`]s come out; `task` carries them out. One of the two
//! Nodes of a link, the one whose name sorts first, is its *decider*: it alone says which session is
//! used, by a frame `use` on it, so that both sides always come to the same answer. The other side
//! offers sessions and follows. Moving from one session to another, each side finishes the old one
//! first (`finish`, `finished`), and sends on the new one only then: nothing is lost or overtaken.

use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;
use crate::config::ConnectPolicy;
use crate::transport::Priority;

/// How long the present session has to answer when another one is offered.
const PROBE: Duration = Duration::from_secs(2);
/// How long an offered session waits for the decider.
const DECISION: Duration = Duration::from_secs(10);
/// How long new Messages wait for the old session to be finished.
const FINISH: Duration = Duration::from_secs(1);
/// How long a finished session may stay.
const LINGER: Duration = Duration::from_secs(5);
/// A Peer silent for this many heartbeats is down.
const SILENT_HEARTBEATS: u32 = 3;

/// A session of this link, unique in this run of the daemon.
pub type SessionId = u64;

/// The parts of the configuration that decide.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Whether this side decides which session is used.
    pub decider: bool,
    /// Policy for Messages from here to there: whether this side dials.
    pub outward: ConnectPolicy,
    /// Interval of heartbeats.
    pub heartbeat: Duration,
    /// Longest pause between attempts.
    pub retry: Duration,
    /// The best priority at which the Peer might be reached, if it can be dialled at all.
    pub best: Option<Priority>,
    /// The first attempt is made within this time, to spread the load of many links.
    pub spread: Duration,
}

/// What a link is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// This side does not connect, by policy.
    Disabled,
    /// Nothing to send, and only that would be a reason to connect.
    Idle,
    /// An attempt is under way.
    Connecting,
    /// A session is in use.
    Up,
    /// The next attempt is due later.
    Waiting,
}

impl State {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            State::Disabled => "disabled",
            State::Idle => "idle",
            State::Connecting => "connecting",
            State::Up => "up",
            State::Waiting => "waiting",
        }
    }
}

/// A session that has greeted, as far as the decision goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which one.
    pub id: SessionId,
    /// Priority of the Transport that carries it.
    pub priority: Priority,
    /// The Peer's run that it leads to.
    pub boot: u64,
    /// Whether this side dialled it.
    pub dialled: bool,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The link begins.
    Start,
    /// A Message waits for the link.
    Wanted,
    /// An attempt came to nothing.
    DialFailed,
    /// A session was made, by either side.
    Ready(Offer),
    /// The decider chose this session.
    Use(SessionId),
    /// The Peer sends no more Messages on this session.
    Finish(SessionId),
    /// The Peer has taken all that this side sent before its finish.
    Finished(SessionId),
    /// The Peer answered a heartbeat on this session.
    Echo(SessionId),
    /// The session is over.
    Ended(SessionId),
    /// Time has passed; when the session in use was last heard and last written to.
    Time {
        /// Last bytes from the Peer.
        heard: Option<Instant>,
        /// Last bytes to the Peer.
        sent: Option<Instant>,
    },
    /// The Node stops: finish and close.
    Stop,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Try to connect, by Transports better than this one if one is given.
    Dial(Option<Priority>),
    /// Give up the attempt under way.
    StopDialling,
    /// Say on this session that it is the one to use.
    SayUse(SessionId),
    /// Send Messages on this session from now on.
    Activate(SessionId),
    /// Send no more Messages on this session and say so; first those that are queued, if `drain`.
    Finish {
        /// Which session.
        id: SessionId,
        /// Whether the queue is to be sent first.
        drain: bool,
    },
    /// Send a heartbeat on this session.
    Heartbeat(SessionId),
    /// Close this session.
    Close(SessionId, Reason),
}

/// Why a session is closed from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing was heard for three heartbeats.
    Silent,
    /// Another session is in use and works.
    Duplicate,
    /// The decider did not choose it in time.
    Undecided,
    /// Messages flow on another session now.
    Moved,
    /// It leads to an earlier run of the Peer.
    Restarted,
    /// This Node stops.
    Stopping,
}

impl Reason {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Reason::Silent => "nothing was heard for three heartbeats",
            Reason::Duplicate => "another session is in use",
            Reason::Undecided => "the peer did not choose this session",
            Reason::Moved => "another session has taken over",
            Reason::Restarted => "the peer was started again",
            Reason::Stopping => "the node stops",
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Part {
    /// In use.
    Current,
    /// Offered while another is in use: taken if that one does not answer until then.
    Candidate(Instant),
    /// Offered to the decider, whose answer is awaited until then.
    Offered(Instant),
    /// No longer in use since then.
    Old(Instant),
}

#[derive(Clone, Copy, Debug)]
struct Known {
    offer: Offer,
    part: Part,
    finish_said: bool,
    finished: bool,
    peer_finished: bool,
}

/// The state machine.
#[derive(Debug)]
pub struct Machine {
    rules: Rules,
    sessions: Vec<Known>,
    /// The session in use still waits for the old one to be finished, until then.
    held: Option<Instant>,
    dialling: bool,
    retry_at: Option<Instant>,
    wanted: bool,
    stopping: bool,
    down_since: Option<Instant>,
    backoff: Backoff,
    heard: Option<Instant>,
    sent: Option<Instant>,
    random: fn() -> f64,
}

impl Machine {
    /// A machine that has not begun. `random` gives numbers from 0 to 1.
    pub fn new(rules: Rules, random: fn() -> f64) -> Machine {
        Machine {
            backoff: Backoff::new(rules.retry),
            rules,
            sessions: Vec::new(),
            held: None,
            dialling: false,
            retry_at: None,
            wanted: false,
            stopping: false,
            down_since: None,
            heard: None,
            sent: None,
            random,
        }
    }

    /// What the link is doing.
    pub fn state(&self) -> State {
        if self.current().is_some() {
            State::Up
        } else if self.dialling {
            State::Connecting
        } else if self.retry_at.is_some() {
            State::Waiting
        } else if self.rules.outward == ConnectPolicy::OnDemand {
            State::Idle
        } else {
            State::Disabled
        }
    }

    /// The session in use.
    pub fn current(&self) -> Option<SessionId> {
        self.in_use().map(|known| known.offer.id)
    }

    /// When [`Event::Time`] is due at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let parts = self.sessions.iter().filter_map(|known| match known.part {
            Part::Current => None,
            Part::Candidate(until) | Part::Offered(until) => Some(until),
            Part::Old(since) => Some(since + LINGER),
        });
        let beats = self.in_use().is_some().then(|| {
            let silent = self.heard.map(|heard| heard + self.silence());
            let beat = self.sent.map(|sent| sent + self.rules.heartbeat);
            [silent, beat]
        });
        parts
            .chain(self.held)
            .chain(self.retry_at)
            .chain(beats.into_iter().flatten().flatten())
            .min()
    }

    /// Takes an event and says what is to be done, in this order.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Start => self.start(now),
            Event::Wanted => self.want(&mut actions),
            Event::DialFailed => self.dial_failed(now),
            Event::Ready(offer) => self.ready(offer, now, &mut actions),
            Event::Use(id) => self.used(id, now, &mut actions),
            Event::Finish(id) => self.peer_finish(id, &mut actions),
            Event::Finished(id) => self.finished(id, &mut actions),
            Event::Echo(id) => self.echo(id, &mut actions),
            Event::Ended(id) => self.ended(id, now, &mut actions),
            Event::Time { heard, sent } => self.time(heard, sent, now, &mut actions),
            Event::Stop => self.stop(&mut actions),
        }
        actions
    }

    fn start(&mut self, now: Instant) {
        self.down_since = Some(now);
        if self.rules.outward == ConnectPolicy::Constant {
            self.retry_at = Some(now + self.rules.spread.mul_f64((self.random)()));
        }
    }

    fn want(&mut self, actions: &mut Vec<Action>) {
        if self.rules.outward != ConnectPolicy::OnDemand || self.stopping {
            return;
        }
        self.wanted = true;
        if self.state() == State::Idle {
            self.dial(None, actions);
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
        let wanted = match self.rules.outward {
            ConnectPolicy::Constant => true,
            ConnectPolicy::OnDemand => self.wanted,
            ConnectPolicy::Never => false,
        };
        if wanted && !self.stopping {
            let down_for = self.down_since.map_or(Duration::ZERO, |since| now - since);
            self.retry_at = Some(now + self.backoff.next(down_for, (self.random)()));
        }
    }

    /// While on a Transport that is not the best one, tries the better ones now and then.
    fn look_for_better(&mut self, now: Instant) {
        let better =
            self.in_use().is_some_and(|known| Some(known.offer.priority) < self.rules.best);
        let may_dial = self.rules.outward == ConnectPolicy::Constant && !self.stopping;
        self.retry_at = (better && may_dial).then(|| now + self.rules.retry);
    }

    fn ready(&mut self, offer: Offer, now: Instant, actions: &mut Vec<Action>) {
        if offer.dialled {
            self.dialling = false;
        }
        if self.stopping {
            return actions.push(Action::Close(offer.id, Reason::Stopping));
        }
        let mut known = Known {
            offer,
            part: Part::Offered(now + DECISION),
            finish_said: false,
            finished: false,
            peer_finished: false,
        };
        if !self.rules.decider {
            return self.sessions.push(known);
        }
        let present = self.in_use().map(|known| known.offer);
        match present {
            Some(present) if present.boot == offer.boot && offer.priority <= present.priority => {
                self.close_candidates(actions);
                known.part = Part::Candidate(now + PROBE);
                self.sessions.push(known);
                actions.push(Action::Heartbeat(present.id));
            }
            _ => {
                self.sessions.push(known);
                self.adopt(offer.id, now, actions);
            }
        }
    }

    fn used(&mut self, id: SessionId, now: Instant, actions: &mut Vec<Action>) {
        let offered =
            |known: &Known| known.offer.id == id && matches!(known.part, Part::Offered(_));
        if !self.rules.decider && self.sessions.iter().any(offered) {
            self.adopt(id, now, actions);
        }
    }

    /// Takes a session into use, in place of the present one if there is one.
    fn adopt(&mut self, id: SessionId, now: Instant, actions: &mut Vec<Action>) {
        let boot = self.known(id).map(|known| known.offer.boot);
        if self.rules.decider {
            actions.push(Action::SayUse(id));
        }
        if let Some(present) = self.in_use_mut() {
            present.part = Part::Old(now);
            if Some(present.offer.boot) == boot {
                present.finish_said = true;
                actions.push(Action::Finish { id: present.offer.id, drain: false });
                self.held = Some(now + FINISH);
            } else {
                let old = present.offer.id;
                actions.push(Action::Close(old, Reason::Restarted));
                self.forget(old);
            }
        }
        if let Some(known) = self.sessions.iter_mut().find(|known| known.offer.id == id) {
            known.part = Part::Current;
        }
        if self.held.is_none() {
            actions.push(Action::Activate(id));
        }
        if self.dialling {
            self.dialling = false;
            actions.push(Action::StopDialling);
        }
        self.wanted = false;
        self.down_since = None;
        self.backoff.reset();
        (self.heard, self.sent) = (Some(now), Some(now));
        self.look_for_better(now);
    }

    fn peer_finish(&mut self, id: SessionId, actions: &mut Vec<Action>) {
        if let Some(known) = self.sessions.iter_mut().find(|known| known.offer.id == id) {
            known.peer_finished = true;
        }
        self.close_if_done(id, actions);
    }

    fn finished(&mut self, id: SessionId, actions: &mut Vec<Action>) {
        let known =
            self.sessions.iter_mut().find(|known| known.offer.id == id && known.finish_said);
        let Some(known) = known else { return };
        known.finished = true;
        if self.stopping {
            self.forget(id);
            return actions.push(Action::Close(id, Reason::Stopping));
        }
        if matches!(known.part, Part::Old(_)) {
            self.release(actions);
        }
        self.close_if_done(id, actions);
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
        let done = self.known(id).is_some_and(|known| {
            known.finished && known.peer_finished && matches!(known.part, Part::Old(_))
        });
        if done && self.rules.decider {
            self.forget(id);
            actions.push(Action::Close(id, Reason::Moved));
        }
    }

    fn echo(&mut self, id: SessionId, actions: &mut Vec<Action>) {
        if self.current() == Some(id) {
            self.close_candidates(actions);
        }
    }

    fn close_candidates(&mut self, actions: &mut Vec<Action>) {
        self.sessions.retain(|known| {
            let candidate = matches!(known.part, Part::Candidate(_));
            if candidate {
                actions.push(Action::Close(known.offer.id, Reason::Duplicate));
            }
            !candidate
        });
    }

    fn ended(&mut self, id: SessionId, now: Instant, actions: &mut Vec<Action>) {
        let Some(known) = self.known(id) else { return };
        let part = known.part;
        self.forget(id);
        match part {
            Part::Current => self.down(now, actions),
            Part::Old(_) => self.release(actions),
            Part::Candidate(_) | Part::Offered(_) => {}
        }
    }

    /// The session in use is gone: another one takes its place, or the link is down.
    fn down(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.held = None;
        let old = |known: &Known| matches!(known.part, Part::Old(_)).then_some(known.offer.id);
        for id in self.sessions.iter().filter_map(old).collect::<Vec<_>>() {
            self.forget(id);
            actions.push(Action::Close(id, Reason::Moved));
        }
        let candidate = self.sessions.iter().find(|known| matches!(known.part, Part::Candidate(_)));
        if let Some(id) = candidate.map(|known| known.offer.id) {
            return self.adopt(id, now, actions);
        }
        self.down_since = Some(now);
        (self.heard, self.sent, self.retry_at) = (None, None, None);
        // A search for a better Transport may be under way: it serves as the next attempt.
        if !self.dialling {
            self.retry_later(now);
        }
    }

    fn time(
        &mut self,
        heard: Option<Instant>,
        sent: Option<Instant>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        if let Some(id) = self.current() {
            self.heard = self.heard.max(heard);
            self.sent = self.sent.max(sent);
            if self.heard.is_some_and(|heard| now >= heard + self.silence()) {
                self.close_current(id, now, actions);
            } else if self.sent.is_some_and(|sent| now >= sent + self.rules.heartbeat) {
                self.sent = Some(now);
                actions.push(Action::Heartbeat(id));
            }
        }
        self.time_of_others(now, actions);
        if self.held.is_some_and(|until| now >= until) {
            self.release(actions);
        }
        if self.retry_at.is_some_and(|at| now >= at) {
            let above = self.in_use().map(|known| known.offer.priority);
            self.dial(above, actions);
        }
    }

    fn time_of_others(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for known in self.sessions.clone() {
            let id = known.offer.id;
            match known.part {
                Part::Candidate(until) if now >= until => {
                    if let Some(present) = self.current() {
                        self.close_current(present, now, actions);
                    }
                }
                Part::Offered(until) if now >= until => {
                    self.forget(id);
                    actions.push(Action::Close(id, Reason::Undecided));
                }
                Part::Old(since) if now >= since + LINGER => {
                    self.forget(id);
                    actions.push(Action::Close(id, Reason::Moved));
                }
                _ => {}
            }
        }
    }

    fn close_current(&mut self, id: SessionId, now: Instant, actions: &mut Vec<Action>) {
        actions.push(Action::Close(id, Reason::Silent));
        self.forget(id);
        self.down(now, actions);
    }

    fn stop(&mut self, actions: &mut Vec<Action>) {
        self.stopping = true;
        self.retry_at = None;
        if std::mem::take(&mut self.dialling) {
            actions.push(Action::StopDialling);
        }
        for known in &mut self.sessions {
            let id = known.offer.id;
            if matches!(known.part, Part::Current) {
                known.finish_said = true;
                actions.push(Action::Finish { id, drain: true });
            } else {
                actions.push(Action::Close(id, Reason::Stopping));
            }
        }
        self.sessions.retain(|known| matches!(known.part, Part::Current));
    }

    fn silence(&self) -> Duration {
        self.rules.heartbeat * SILENT_HEARTBEATS
    }

    fn in_use(&self) -> Option<&Known> {
        self.sessions.iter().find(|known| matches!(known.part, Part::Current))
    }

    fn in_use_mut(&mut self) -> Option<&mut Known> {
        self.sessions.iter_mut().find(|known| matches!(known.part, Part::Current))
    }

    fn known(&self, id: SessionId) -> Option<&Known> {
        self.sessions.iter().find(|known| known.offer.id == id)
    }

    fn forget(&mut self, id: SessionId) {
        self.sessions.retain(|known| known.offer.id != id);
    }
}
