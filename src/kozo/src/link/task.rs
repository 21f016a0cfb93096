//! The task of a link: tells its state machine what happens, and carries out what that says.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info};

use super::command::LinkCommand;
use super::dial::{Candidate, dial};
use super::established::Established;
use super::handshake::Handshaker;
use super::machine::{Action, End, Event, Machine, Reason, Rules, SessionId, State};
use super::peer::Peer;
use super::pings::Pings;
use super::report::Report;
use super::sessions::{OpenSession, Sessions, turn_away};
use super::signals::ToLink;
use crate::BoxFuture;
use crate::config::RootOptions;
use crate::session::SessionError;
use crate::transport::Priority;

/// First attempts are spread over a millisecond for each Peer but one.
const SPREAD: Duration = Duration::from_millis(1);

/// How long a Peer that is started at the same time as this Node may take until it listens.
const START: Duration = Duration::from_millis(100);

/// How long Messages wait for a link that has taken the place of one that was up.
const HANDOVER: Duration = Duration::from_secs(3);

/// Everything that a link needs.
pub struct Link {
    /// The Peer.
    pub peer: Arc<Peer>,
    /// Makes sessions.
    pub handshaker: Arc<Handshaker>,
    /// All ways to the Peer, best first.
    pub candidates: Vec<Candidate>,
    /// What happens to the link.
    pub commands: mpsc::Receiver<LinkCommand>,
    /// Dropped once the first attempts to reach the Peer are over, or none is to be made.
    pub ready: Option<oneshot::Sender<()>>,
}

impl Link {
    /// Runs until it is to end and all its sessions have.
    pub async fn run(self, options: &RootOptions) {
        let peers = u32::try_from(self.handshaker.peers.len()).unwrap_or(u32::MAX);
        let rules = Rules {
            decider: *self.handshaker.peers.origin.node < *self.peer.config.name,
            outward: self.peer.outward,
            heartbeat: options.heartbeat,
            retry: options.connection_retry,
            best: self.candidates.first().map(|candidate| candidate.transport.priority()),
            spread: SPREAD.saturating_mul(peers.saturating_sub(1)),
        };
        let Link { peer, handshaker, candidates, commands, ready } = self;
        let running = Running {
            report: Report::new(Arc::clone(&peer), Arc::clone(&handshaker.dispatch), ready),
            peer,
            handshaker,
            candidates,
            machine: Machine::new(rules, rand::random::<f64>),
            state: State::Disabled,
            sessions: Sessions::default(),
            pings: Pings::default(),
            dialling: None,
            begun: Instant::now(),
        };
        running.run(commands).await;
    }
}

/// How the link is to end, whenever that is said anew.
async fn next(end: &mut watch::Receiver<Option<End>>) -> Option<End> {
    loop {
        end.changed().await.ok()?;
        let how = *end.borrow_and_update();
        if how.is_some() {
            return how;
        }
    }
}

/// An attempt to reach the Peer.
type Dialling = BoxFuture<'static, Result<Established, SessionError>>;

/// Waits for what comes of the attempt under way, if there is one.
async fn outcome(dialling: &mut Option<Dialling>) -> Option<Result<Established, SessionError>> {
    Some(dialling.as_mut()?.await)
}

struct Running {
    peer: Arc<Peer>,
    handshaker: Arc<Handshaker>,
    candidates: Vec<Candidate>,
    report: Report,
    machine: Machine,
    /// What the machine was doing after the last event.
    state: State,
    sessions: Sessions,
    pings: Pings,
    dialling: Option<Dialling>,
    /// When the link began.
    begun: Instant,
}

impl Running {
    async fn run(mut self, mut commands: mpsc::Receiver<LinkCommand>) {
        self.begin();
        if self.state == State::Disabled {
            // The link whose place it takes may have been anything.
            self.changed(State::Disabled, State::Disabled);
        }
        // What is due at once would wait a millisecond or two for a timer.
        if self.machine.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
            self.time();
        }
        if matches!(self.state, State::Disabled | State::Idle) {
            self.report.ready();
        }
        let handover = sleep(HANDOVER);
        tokio::pin!(handover);
        let mut end = self.peer.ends();
        end.mark_changed();
        let mut ending = None;
        while !(ending.is_some() && self.sessions.is_empty() && self.dialling.is_none()) {
            let deadline = self.machine.deadline();
            tokio::select! {
                biased;
                // First: what came on a session goes before what another task says of it.
                told = self.peer.pending.told() => {
                    told.into_iter().for_each(|id| self.read(id));
                }
                Some(command) = commands.recv() => self.obey(command),
                Some(result) = outcome(&mut self.dialling) => {
                    self.dialling = None;
                    self.dialled(result);
                }
                () = self.peer.outgoing.wanted.notified() => self.handle(Event::Wanted),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    self.time();
                }
                () = &mut handover, if self.is_handover() => self.peer.end_handover(),
                Some(how) = next(&mut end) => {
                    ending = Some(how);
                    self.end(how);
                }
            }
        }
    }

    /// Whether Messages wait because this link, and not one that takes its place, took that of another.
    fn is_handover(&self) -> bool {
        self.peer.check_end().is_ok() && self.peer.is_handover()
    }

    fn begin(&mut self) {
        let peer = &self.peer;
        let left_by_another = if !peer.is_wanted() {
            Some(Event::Disconnect)
        } else {
            peer.outgoing.has_messages().then_some(Event::Wanted)
        };
        match left_by_another {
            None => self.handle(Event::Start),
            Some(event) => {
                // Both together are one change. Nothing is to be done about the first.
                let _ = self.machine.handle(Event::Start, Instant::now());
                self.handle(event);
            }
        }
    }

    fn end(&mut self, how: End) {
        if how == End::Revoke && !self.sessions.is_empty() {
            self.report.revoked();
        }
        self.handle(Event::Stop(how));
    }

    fn obey(&mut self, command: LinkCommand) {
        match command {
            LinkCommand::Ready(established) => self.established(*established),
            LinkCommand::Connect => {
                info!(peer = self.peer.name(), "connecting, as asked");
                self.handle(Event::Connect);
            }
            LinkCommand::Disconnect => {
                info!(peer = self.peer.name(), "closing the link, as asked");
                self.peer.set_error(Reason::Asked.text().to_owned());
                self.handle(Event::Disconnect);
            }
            LinkCommand::Ping { padding, answer } => self.ping(padding, answer),
            LinkCommand::Ended(id, reason) => self.ended(id, &reason),
        }
    }

    fn ended(&mut self, id: SessionId, reason: &SessionError) {
        // What the Peer said last may still be there.
        self.read(id);
        self.pings.forget(id);
        debug!(peer = self.peer.name(), session = id, "session ended: {reason}");
        self.sessions.remove(id);
        if self.machine.current() == Some(id) {
            self.peer.set_error(reason.to_string());
        }
        self.handle(match reason {
            SessionError::TurnedAway(_) => Event::TurnedAway(id),
            _ => Event::Ended(id),
        });
    }

    /// Acts upon what the reader of a session left in the signals.
    fn read(&mut self, id: SessionId) {
        let Some(open) = self.sessions.get(id) else { return };
        let ToLink { chosen, echo, finish, finished } = open.signals.take_for_link();
        let padded = open.signals.padded();
        if chosen {
            self.handle(Event::Use(id));
        }
        if self.machine.current() == Some(id) {
            self.hear_interest();
        }
        if let Some(measured) = echo {
            self.peer.set_round_trip(measured);
            self.pings.answer(id, measured, padded);
            self.handle(Event::Echo(id));
        }
        if finish {
            self.handle(Event::Finish(id));
        }
        if finished {
            self.handle(Event::Finished(id));
        }
    }

    /// Sends a heartbeat to measure the round trip, behind so much padding; if it cannot, drops the ping.
    fn ping(&mut self, padding: usize, answer: oneshot::Sender<u64>) {
        let Some(open) = self.machine.current().and_then(|id| self.sessions.get(id)) else {
            return;
        };
        if self.pings.ask(open.offer.id, open.signals.now(), padding > 0, answer) {
            open.signals.tell_writer(|say| match padding {
                // Padding that another ping asked for is still to be written.
                0 => say.heartbeat = true,
                padding => say.padding = padding,
            });
        }
    }

    fn dialled(&mut self, result: Result<Established, SessionError>) {
        let error = match result {
            Ok(established) => return self.established(established),
            Err(_) if self.peer.check_end().is_err() => return,
            Err(error) => error,
        };
        self.report.dial_failed(self.state, &error);
        self.peer.end_handover();
        let refused = error.is_refusal();
        // A Peer that is being started at the same moment is reached by one of the next attempts.
        let nowhere = self.candidates.is_empty();
        if refused || nowhere || self.begun.elapsed() >= START {
            self.report.ready();
        }
        self.handle(if refused { Event::DialRefused } else { Event::DialFailed });
    }

    fn established(&mut self, established: Established) {
        if self.state == State::Up && self.peer.ledger().is_twin(established.hello.boot) {
            return self.turn_twin_away(established);
        }
        let own_boot = self.handshaker.peers.origin.boot;
        let open = OpenSession::open(established, Arc::clone(&self.peer), own_boot);
        let offer = open.offer;
        self.sessions.insert(open);
        self.handle(Event::Ready(offer));
        // The Peer may have gone on before the link knew of the session.
        self.read(offer.id);
        if let Some(open) = self.sessions.get(offer.id) {
            open.confirm();
        }
    }

    fn turn_twin_away(&mut self, established: Established) {
        self.report.twin();
        let dialled = established.dialled;
        turn_away(established, Arc::clone(&self.peer), Reason::Twin);
        if dialled {
            self.handle(Event::DialRefused);
        }
    }

    fn time(&mut self) {
        let heard = self.current().map(|open| open.signals.heard());
        self.handle(Event::Time { heard });
    }

    /// The session in use.
    fn current(&self) -> Option<&OpenSession> {
        self.machine.current().and_then(|id| self.sessions.get(id))
    }

    /// Tells the machine what happened, and does what it says.
    fn handle(&mut self, event: Event) {
        let before = self.machine.current();
        let actions = self.machine.handle(event, Instant::now());
        let was = std::mem::replace(&mut self.state, self.machine.state());
        if self.peer.set_in_use(self.machine.current()) {
            self.meet();
        }
        // Before anything is sent on the session that is taken into use.
        let was = self.reconcile(was, before);
        for action in actions {
            self.act(action);
        }
        if self.state != was {
            self.changed(was, self.state);
        }
    }

    /// Learns from the session that is taken into use what the Peer is.
    fn meet(&self) {
        let Some(open) = self.current() else { return };
        self.peer.set_boot(open.offer.boot);
        self.hear_interest();
    }

    /// Learns from the session in use what the Peer wants. Another one may be older than it, or lead to a
    /// run that is not wanted.
    fn hear_interest(&self) {
        if let Some(interests) = self.current().and_then(|open| open.signals.interests()) {
            self.handshaker.dispatch.set_interest(self.peer.id, &interests);
        }
    }

    /// Counts what was lost, if the link is up but was not, or not with the run of the Peer or the live session that
    /// it has now. Returns what the link was doing before: `was`, but for a change of runs.
    fn reconcile(&mut self, mut was: State, before: Option<SessionId>) -> State {
        let Some(open) = self.current() else { return was };
        let (boot, received) = (open.offer.boot, open.received);
        if was == State::Up && self.peer.ledger().is_other_run(boot) {
            // The link was down, and this side has not noticed: what waited was for the run before.
            self.peer.ledger().replace_run();
            self.peer.set_error(Reason::Restarted.text().to_owned());
            was = State::Waiting;
            self.changed(State::Up, was);
        }
        if was != State::Up || self.sessions.has_died(before, self.machine.current()) {
            self.peer.ledger().reconcile(boot, received);
        }
        was
    }

    fn changed(&mut self, was: State, state: State) {
        let in_use = self.machine.current().and_then(|id| self.sessions.get(id));
        self.report.changed(was, state, in_use);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Dial(above) => self.dial(above),
            // One whose link ends stops by itself, and tells the other side why.
            Action::StopDialling if self.peer.check_end().is_err() => {}
            Action::StopDialling => self.dialling = None,
            Action::SayUse(id) => self.sessions.tell_writer(id, |say| say.say_use = true),
            Action::Heartbeat(id) => self.sessions.tell_writer(id, |say| say.heartbeat = true),
            Action::Finish { id, drain } => {
                if let Some(open) = self.sessions.get(id) {
                    open.signals.finish(drain);
                }
            }
            Action::Activate(id) => self.activate(id),
            Action::Close(id, reason) => self.close(id, reason),
        }
    }

    fn activate(&self, id: SessionId) {
        if let Some(open) = self.sessions.get(id) {
            self.report.carried_by(open);
            open.signals.set_active(true);
        }
    }

    fn close(&mut self, id: SessionId, reason: Reason) {
        if self.machine.current().is_none() {
            self.peer.set_error(reason.text().to_owned());
        }
        self.sessions.close(id, reason);
    }

    fn dial(&mut self, above: Option<Priority>) {
        let handshaker = Arc::clone(&self.handshaker);
        let peer = Arc::clone(&self.peer);
        let candidates = self.candidates.clone();
        self.dialling =
            Some(Box::pin(async move { dial(&handshaker, &peer, &candidates, above).await }));
    }
}
