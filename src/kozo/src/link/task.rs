//! The task of a link: carries out what its state machine says.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::dial::{Candidate, dial};
use super::established::Established;
use super::handshake::Handshaker;
use super::machine::{Action, End, Event, Machine, Offer, Reason, Rules, SessionId, State};
use super::peer::{LinkCommand, Peer};
use super::signals::{RoundTrip, SessionSignals, ToLink};
use super::standing::Hold;
use super::writer;
use crate::BoxFuture;
use crate::class;
use crate::config::RootOptions;
use crate::session::SessionError;
use crate::transport::Priority;
use crate::transport::stream::AbortHandle;

/// First attempts are spread over a millisecond for each Peer but one.
const SPREAD: Duration = Duration::from_millis(1);

/// How long a Peer that is started at the same time as this Node may take until it listens.
const START: Duration = Duration::from_millis(100);

/// How long a session has for its goodbye, however full its stream is.
const GOODBYE: Duration = Duration::from_secs(2);

/// How long Messages wait for a link that has taken the place of one that was up.
const HANDOVER: Duration = Duration::from_secs(3);

/// Most questions for the round-trip time that wait for an answer.
const MOST_PINGS: usize = 1024;

/// Replaced runs of a Peer that are remembered.
const REPLACED: usize = 8;

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
    /// Says that the link is to end, and how.
    pub end: watch::Receiver<Option<End>>,
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
        let running = Running {
            machine: Machine::new(rules, rand::random::<f64>),
            state: State::Disabled,
            sessions: HashMap::new(),
            reconciled: self.peer.reconciled(),
            replaced: VecDeque::new(),
            dialling: None,
            unreachable: false,
            pings: Vec::new(),
            begun: Instant::now(),
            link: self,
        };
        running.run().await;
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

struct Open {
    signals: Arc<SessionSignals>,
    /// Until the session is given up.
    hold: Option<Hold>,
    abort_handle: AbortHandle,
    transport: String,
    priority: Priority,
    address: String,
    /// The Peer's run that it leads to.
    boot: u64,
    /// What the Peer said it received from this run, if it knows this run.
    received: Option<u64>,
}

/// A session is of no use without its link.
impl Drop for Open {
    fn drop(&mut self) {
        self.signals.set_active(false);
        self.abort_handle.abort();
    }
}

/// Somebody who waits for a round trip that begins after the question.
struct Ping {
    session: SessionId,
    /// When it was asked, by that session's clock.
    asked: u64,
    /// Whether it is about the heartbeat behind some padding.
    padded: bool,
    answer: oneshot::Sender<u64>,
}

struct Running {
    link: Link,
    machine: Machine,
    state: State,
    sessions: HashMap<SessionId, Open>,
    /// The Peer's run for which what it received is counted.
    reconciled: Option<u64>,
    /// Runs of the Peer that a later one has replaced.
    replaced: VecDeque<u64>,
    dialling: Option<BoxFuture<'static, Result<Established, SessionError>>>,
    /// The log says already that the Peer cannot be reached.
    unreachable: bool,
    /// Those who want to know the round-trip time.
    pings: Vec<Ping>,
    /// When the link began.
    begun: Instant,
}

impl Running {
    async fn run(mut self) {
        self.begin();
        if self.state == State::Disabled {
            // The link whose place it takes may have been anything.
            self.changed(State::Disabled, State::Disabled);
        }
        // A timer would take a millisecond or two for what is due at once.
        if self.machine.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
            self.time();
        }
        if matches!(self.state, State::Disabled | State::Idle) {
            self.link.ready = None;
        }
        let handover = sleep(HANDOVER);
        tokio::pin!(handover);
        let mut end = self.link.end.clone();
        end.mark_changed();
        let mut ending = None;
        while !(ending.is_some() && self.sessions.is_empty()) {
            let deadline = self.machine.deadline();
            tokio::select! {
                biased;
                // First: what a session said goes before what somebody else says of it.
                told = self.link.peer.pending.told() => {
                    told.into_iter().for_each(|id| self.read(id));
                }
                Some(notice) = self.link.commands.recv() => self.notice(notice),
                result = async { self.dialling.as_mut()?.await.into() }, if self.dialling.is_some() => {
                    self.dialling = None;
                    self.dialled(result);
                }
                () = self.link.peer.outgoing.wanted.notified() => self.handle(Event::Wanted),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    self.time();
                }
                () = &mut handover, if self.is_handover() => self.link.peer.end_handover(),
                Some(how) = next(&mut end) => {
                    ending = Some(how);
                    if how == End::Revoke && !self.sessions.is_empty() {
                        let peer = self.link.peer.name();
                        info!(class = class::REVOKED, peer, "ending all sessions: {}", how.reason().text());
                    }
                    self.handle(Event::Stop(how));
                }
            }
        }
    }

    /// Whether Messages wait because this link, and not one that takes its place, took that of another.
    fn is_handover(&self) -> bool {
        self.link.end.borrow().is_none() && self.link.peer.is_handover()
    }

    fn begin(&mut self) {
        let peer = &self.link.peer;
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

    fn notice(&mut self, notice: LinkCommand) {
        match notice {
            LinkCommand::Ready(established) => self.established(*established),
            LinkCommand::Connect => {
                info!(peer = self.link.peer.name(), "connecting, as asked");
                self.handle(Event::Connect);
            }
            LinkCommand::Disconnect => {
                info!(peer = self.link.peer.name(), "closing the link, as asked");
                self.link.peer.set_error(Reason::Asked.text().to_owned());
                self.handle(Event::Disconnect);
            }
            LinkCommand::Ping { padding, answer } => self.ping(padding, answer),
            LinkCommand::Ended(id, reason) => {
                // What the Peer said last may still be there.
                self.read(id);
                self.pings.retain(|ping| ping.session != id);
                debug!(peer = self.link.peer.name(), session = id, "session ended: {reason}");
                self.sessions.remove(&id);
                if self.machine.current() == Some(id) {
                    self.link.peer.set_error(reason.to_string());
                }
                self.handle(match *reason {
                    SessionError::TurnedAway(_) => Event::TurnedAway(id),
                    _ => Event::Ended(id),
                });
            }
        }
    }

    /// Acts upon what the reader of a session left in the signals.
    fn read(&mut self, id: SessionId) {
        let Some(open) = self.sessions.get(&id) else { return };
        let ToLink { chosen, echo, finish, finished } = open.signals.take_for_link();
        if chosen {
            self.handle(Event::Use(id));
        }
        if self.machine.current() == Some(id) {
            self.hear_interest();
        }
        if let Some(measured) = echo {
            self.link.peer.set_round_trip(measured);
            self.answer_pings(id, measured);
            self.handle(Event::Echo(id));
        }
        if finish {
            self.handle(Event::Finish(id));
        }
        if finished {
            self.handle(Event::Finished(id));
        }
    }

    /// Asks the Peer for a sign of life; what cannot be answered is dropped.
    fn ping(&mut self, padding: usize, answer: oneshot::Sender<u64>) {
        self.pings.retain(|ping| !ping.answer.is_closed());
        let Some(session) = self.machine.current() else { return };
        let Some(open) = self.sessions.get(&session) else { return };
        let padded = padding > 0;
        // One who is to wait for padding at a time: what another one adds would come before his answer.
        if self.pings.len() >= MOST_PINGS || padded && self.pings.iter().any(|ping| ping.padded) {
            return;
        }
        self.pings.push(Ping { session, asked: open.signals.now(), padded, answer });
        open.signals.tell_writer(|say| match padding {
            // What another one waits for is still to be written.
            0 => say.heartbeat = true,
            padding => say.padding = padding,
        });
    }

    fn answer_pings(&mut self, id: SessionId, measured: RoundTrip) {
        let padded = self.sessions.get(&id).map(|open| open.signals.padded());
        let answered = |ping: &mut Ping| {
            // A later heartbeat may have overtaken the echo of the one behind the padding: it is behind it too.
            let behind = |sent: u64| ping.asked <= sent && sent <= measured.sent;
            ping.session == id
                && if ping.padded { padded.is_some_and(behind) } else { behind(ping.asked) }
        };
        for ping in self.pings.extract_if(.., answered) {
            // Whoever asked may have gone.
            let _ = ping.answer.send(measured.time);
        }
    }

    fn dialled(&mut self, result: Option<Result<Established, SessionError>>) {
        match result {
            Some(Ok(established)) => self.established(established),
            Some(Err(error)) => {
                self.complain(&error);
                self.link.peer.set_error(error.to_string());
                self.link.peer.end_handover();
                let refused = error.is_refusal();
                // Whoever is being started at the same moment is reached by one of the next attempts.
                let nowhere = self.link.candidates.is_empty();
                if refused || nowhere || self.begun.elapsed() >= START {
                    self.link.ready = None;
                }
                self.handle(if refused { Event::DialRefused } else { Event::DialFailed });
            }
            None => {}
        }
    }

    /// Says once that a Peer cannot be reached, and a refusal as often as that is allowed.
    fn complain(&mut self, error: &SessionError) {
        let name = self.link.peer.name();
        if error.is_refusal() {
            self.link.handshaker.dispatch.complain(name, error);
        } else if self.machine.state() == State::Up || self.unreachable {
            debug!(peer = name, "cannot connect: {error}");
        } else {
            self.unreachable = true;
            info!(class = class::UNREACHABLE, peer = name, "cannot connect yet: {error}");
        }
    }

    /// Whether this leads to a run of the Peer that is still there though another one has replaced it:
    /// two daemons with one name and key would replace each other for ever.
    fn is_twin(&self, established: &Established) -> bool {
        self.state == State::Up && self.replaced.contains(&established.hello.boot)
    }

    fn turn_away(&mut self, mut established: Established) {
        established.hold = None;
        let peer = Arc::clone(&self.link.peer);
        let twin = SessionError::Twin(peer.name().to_owned());
        self.link.handshaker.dispatch.complain(peer.name(), &twin);
        let (dialled, abort_handle) =
            (established.dialled, established.session.abort_handle.clone());
        established.signals.tell_writer(|say| say.bye = Some(Reason::Twin.text()));
        tokio::spawn(async move {
            // However full its stream is, it ends.
            let _ = timeout(GOODBYE, writer::run(established, peer)).await;
            abort_handle.abort();
        });
        if dialled {
            self.handle(Event::DialRefused);
        }
    }

    fn established(&mut self, mut established: Established) {
        if self.is_twin(&established) {
            return self.turn_away(established);
        }
        let id = established.id;
        let own_boot = self.link.handshaker.peers.origin.boot;
        let offer = Offer {
            id,
            priority: established.priority,
            boot: established.hello.boot,
            dialled: established.dialled,
        };
        let open = Open {
            signals: Arc::clone(&established.signals),
            hold: established.hold.take(),
            abort_handle: established.session.abort_handle.clone(),
            transport: established.transport.clone(),
            priority: established.priority,
            address: established.address.clone(),
            boot: established.hello.boot,
            received: (established.hello.received_boot == own_boot)
                .then_some(established.hello.received),
        };
        self.sessions.insert(id, open);
        let peer = Arc::clone(&self.link.peer);
        tokio::spawn(async move {
            let reason = writer::run(established, Arc::clone(&peer)).await;
            // The link is gone when the Node has stopped.
            let _ = peer.commands.send(LinkCommand::Ended(id, Box::new(reason))).await;
        });
        self.handle(Event::Ready(offer));
        // The Peer may have gone on before the link knew of the session.
        self.read(id);
        if let Some(hold) = self.sessions.get(&id).and_then(|open| open.hold.as_ref()) {
            hold.confirm();
        }
    }

    fn time(&mut self) {
        let heard = self.current().map(|open| open.signals.heard());
        self.handle(Event::Time { heard });
    }

    fn current(&self) -> Option<&Open> {
        self.machine.current().and_then(|id| self.sessions.get(&id))
    }

    fn handle(&mut self, event: Event) {
        let before = self.machine.current();
        let actions = self.machine.handle(event, Instant::now());
        let state = self.machine.state();
        if self.link.peer.set_in_use(self.machine.current()) {
            self.meet();
        }
        let mut was = std::mem::replace(&mut self.state, state);
        if was == State::Up && self.leads_elsewhere() {
            // The link was down, only nobody noticed: what waited was for the run before.
            self.replaced.extend(self.reconciled);
            if self.replaced.len() > REPLACED {
                self.replaced.pop_front();
            }
            self.link.peer.set_error(Reason::Restarted.text().to_owned());
            was = State::Waiting;
            self.changed(State::Up, was);
        }
        if state == State::Up {
            // Before anything is sent on the session that is taken into use.
            self.reconcile(was != State::Up || self.is_replaced(before));
        }
        for action in actions {
            self.act(action);
        }
        if state != was {
            self.changed(was, state);
        }
    }

    /// Learns from the session that is taken into use what the Peer is: before anything is sent on it.
    fn meet(&self) {
        let Some(open) = self.current() else { return };
        let peer = &self.link.peer;
        peer.set_boot(open.boot);
        self.hear_interest();
    }

    /// Learns from the session in use what the Peer wants. Another one may be older than it, or lead to a
    /// run that is not wanted.
    fn hear_interest(&self) {
        if let Some(interests) = self.current().and_then(|open| open.signals.interests()) {
            self.link.handshaker.dispatch.set_interest(self.link.peer.id, &interests);
        }
    }

    /// Whether the session in use leads to another run of the Peer than the one before.
    fn leads_elsewhere(&self) -> bool {
        self.current().is_some_and(|open| self.reconciled.is_some_and(|boot| boot != open.boot))
    }

    /// Whether another session serves instead of this one, which was not finished but dead: that it was the
    /// other side may have noticed first.
    fn is_replaced(&self, before: Option<SessionId>) -> bool {
        let Some(before) = before.filter(|id| self.machine.current() != Some(*id)) else {
            return false;
        };
        let priority = |open: &Open| open.priority;
        let (before, now) = (self.sessions.get(&before), self.current());
        before.is_none() || before.map(priority) == now.map(priority)
    }

    /// Counts what was lost while the link was down.
    fn reconcile(&mut self, was_down: bool) {
        let Some((boot, received)) = self.current().map(|open| (open.boot, open.received)) else {
            return;
        };
        if was_down {
            // A run that was not reconciled with before has had nothing of what was sent to another, even
            // if it knows this one already from a session that came to nothing.
            let received = received.filter(|_| self.reconciled.is_none_or(|known| known == boot));
            self.reconciled = Some(boot);
            self.link.peer.reconcile(boot, received);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Dial(above) => self.dial(above),
            Action::StopDialling => self.dialling = None,
            Action::SayUse(id) => {
                self.note(id, |signals| signals.tell_writer(|say| say.say_use = true))
            }
            Action::Heartbeat(id) => {
                self.note(id, |signals| signals.tell_writer(|say| say.heartbeat = true))
            }
            Action::Finish { id, drain } => self.note(id, |signals| signals.finish(drain)),
            Action::Activate(id) => {
                if let Some(open) = self.sessions.get(&id) {
                    let peer = &self.link.peer;
                    if peer.set_carrier(&open.transport, &open.address) {
                        self.link.handshaker.dispatch.link_changed(peer);
                    }
                    open.signals.set_active(true);
                }
            }
            Action::Close(id, reason) => {
                if self.machine.current().is_none() {
                    self.link.peer.set_error(reason.text().to_owned());
                }
                let Some(open) = self.sessions.get_mut(&id) else { return };
                open.hold = None;
                open.signals.set_active(false);
                if reason == Reason::Silent {
                    // It would not hear a goodbye.
                    return open.abort_handle.abort();
                }
                open.signals.tell_writer(|say| say.bye = Some(reason.text()));
                let abort_handle = open.abort_handle.clone();
                tokio::spawn(async move {
                    sleep(GOODBYE).await;
                    abort_handle.abort();
                });
            }
        }
    }

    fn note(&self, id: SessionId, leave: impl FnOnce(&SessionSignals)) {
        if let Some(open) = self.sessions.get(&id) {
            leave(&open.signals);
        }
    }

    fn dial(&mut self, above: Option<Priority>) {
        let handshaker = Arc::clone(&self.link.handshaker);
        let peer = Arc::clone(&self.link.peer);
        let candidates = self.link.candidates.clone();
        self.dialling =
            Some(Box::pin(async move { dial(&handshaker, &peer, &candidates, above).await }));
    }

    fn changed(&mut self, was: State, state: State) {
        let peer = &self.link.peer;
        if state == State::Up {
            if let Some(open) = self.current() {
                peer.set_carrier(&open.transport, &open.address);
                info!(
                    class = class::LINK_UP,
                    peer = peer.name(),
                    transport = open.transport,
                    address = open.address,
                    "link up"
                );
            }
            self.unreachable = false;
        }
        let end = *self.link.end.borrow();
        let state = match end {
            Some(End::Replace | End::Revoke) if was == State::Up => State::Waiting,
            // What takes its place says how the link stands.
            Some(End::Replace | End::Revoke) => return,
            _ => state,
        };
        if peer.set_state(state) {
            self.link.handshaker.dispatch.link_changed(peer);
        }
        if state == State::Up {
            self.link.ready = None;
        }
        if was == State::Up {
            let reason = peer.status().last_error.unwrap_or_else(|| "no reason known".to_owned());
            if end.is_some() {
                debug!(peer = peer.name(), "link down: {reason}");
            } else {
                warn!(class = class::LINK_DOWN, peer = peer.name(), "link down: {reason}");
            }
            if peer.outgoing.has_messages() {
                peer.outgoing.wanted.notify_one();
            }
        }
    }
}
