//! A Peer as the rest of the Node sees it: its queue, its counters, the state of its link.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::{mpsc, watch};

use super::command::LinkCommand;
use super::ledger::{self, Ledger};
use super::machine::{End, SessionId, State};
use super::outgoing::{Outgoing, OutgoingCounters};
use super::policy;
use super::signals::{PendingSessions, RoundTrip};
use super::status::{Carrier, LinkStatus};
use super::traffic::{Carried, Traffic};
use crate::config::{ConnectPolicy, NodeConfig};
use crate::message::Message;
use crate::queue::Limits;
use crate::session::SessionError;
use crate::status::PeerStatus;

/// Commands that wait for a link.
const COMMANDS: usize = 64;

/// Number of a Peer on this Node, which no other Peer or Role gets in this run of the daemon.
pub type PeerId = u32;

/// Another Node, and this Node's link to it.
pub struct Peer {
    /// Its number.
    pub id: PeerId,
    /// Its configuration.
    pub config: Arc<NodeConfig>,
    /// Policy for Messages from here to there.
    pub outward: ConnectPolicy,
    /// Policy for Messages from there to here.
    pub inward: ConnectPolicy,
    /// Messages on their way to it.
    pub outgoing: Arc<Outgoing>,
    /// Where its link takes commands.
    pub commands: mpsc::Sender<LinkCommand>,
    /// What the session in use carries.
    pub traffic: Traffic,
    /// Which sessions with it have signals for the link.
    pub pending: PendingSessions,
    /// Whether sessions are wanted, or the link is kept closed by request.
    wanted: AtomicBool,
    /// How its link ends, once it does: then another configuration holds, and no session is begun with this.
    end: watch::Sender<Option<End>>,
    record: Arc<Record>,
}

/// What is known of a Peer. Like its queue, it goes on when another link takes the place of this one. Neither lock is
/// taken while the other is held.
struct Record {
    ledger: Mutex<Ledger>,
    status: Mutex<LinkStatus>,
}

impl Peer {
    /// A Peer of this Node, and where its link will take commands.
    pub fn new(
        id: PeerId,
        own: &NodeConfig,
        config: Arc<NodeConfig>,
        limits: Limits,
    ) -> (Peer, mpsc::Receiver<LinkCommand>) {
        let outward = policy::direction(own.self_to_others, config.others_to_self);
        let outgoing = Outgoing::new(limits, policy::disposition_while_down(outward));
        let status = Mutex::new(LinkStatus::new(SystemTime::now()));
        let record = Record { ledger: Mutex::default(), status };
        Peer::with(id, own, config, Arc::new(outgoing), Arc::new(record))
    }

    /// The same Peer as another configuration has it, for a link that takes the place of this one's: what was
    /// counted goes on, and what waits for it goes there.
    pub fn succeed(
        &self,
        own: &NodeConfig,
        config: Arc<NodeConfig>,
        limits: Limits,
    ) -> (Peer, mpsc::Receiver<LinkCommand>) {
        self.outgoing.set_limits(limits);
        self.link_status().begin_handover();
        let (outgoing, record) = (Arc::clone(&self.outgoing), Arc::clone(&self.record));
        let (peer, commands) = Peer::with(self.id, own, config, outgoing, record);
        peer.set_wanted(self.is_wanted());
        (peer, commands)
    }

    fn with(
        id: PeerId,
        own: &NodeConfig,
        config: Arc<NodeConfig>,
        outgoing: Arc<Outgoing>,
        record: Arc<Record>,
    ) -> (Peer, mpsc::Receiver<LinkCommand>) {
        let outward = policy::direction(own.self_to_others, config.others_to_self);
        let inward = policy::direction(config.self_to_others, own.others_to_self);
        let (commands, taken) = mpsc::channel(COMMANDS);
        let peer = Peer {
            id,
            config,
            outward,
            inward,
            outgoing,
            commands,
            traffic: Traffic::default(),
            pending: PendingSessions::default(),
            wanted: AtomicBool::new(true),
            end: watch::Sender::new(None),
            record,
        };
        (peer, taken)
    }

    /// Ends its link, and all sessions with it that are being made.
    pub fn end(&self, how: End) {
        self.end.send_replace(Some(how));
    }

    /// How its link ends.
    pub fn ends(&self) -> watch::Receiver<Option<End>> {
        self.end.subscribe()
    }

    /// Returns why no session is to be made with it any more, once that is so. Cancel safe.
    pub async fn ended(&self) -> SessionError {
        let mut ends = self.ends();
        // No error can come: the sender is this Peer's.
        let end = ends.wait_for(Option::is_some).await.map_or(None, |end| *end);
        self.withdrawal(end.unwrap_or(End::Stop))
    }

    /// Refuses a session with it when no more is to be made.
    ///
    /// # Errors
    /// Why not.
    pub fn check_end(&self) -> Result<(), SessionError> {
        let end = *self.end.borrow();
        end.map_or(Ok(()), |end| Err(self.withdrawal(end)))
    }

    fn withdrawal(&self, end: End) -> SessionError {
        match end {
            End::Revoke => SessionError::Revoked(self.name().to_owned()),
            End::Stop | End::Replace => SessionError::Withdrawn(end.reason().text()),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Whether Messages may flow in at least one direction.
    pub fn is_allowed(&self) -> bool {
        (self.outward, self.inward) != (ConnectPolicy::Never, ConnectPolicy::Never)
    }

    /// Whether sessions with it are wanted: not while the link is kept closed by request.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Sets [`is_wanted`](Self::is_wanted); the link is to be told by a [`LinkCommand`].
    pub fn set_wanted(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    /// The run of it that the link leads to, and how many Messages came from that run.
    pub fn received(&self) -> (u64, u64) {
        self.ledger().received_from_current()
    }

    /// Counts Messages that came from this run of it.
    pub fn count_received(&self, boot: u64, messages: u64) {
        self.ledger().count_received(boot, messages);
    }

    /// The link leads to this run of it.
    pub fn set_boot(&self, boot: u64) {
        self.ledger().set_boot(boot);
    }

    /// It says how many Messages came from here, on a session with this run of it.
    pub fn acknowledge(&self, boot: u64, received: u64) {
        self.ledger().acknowledge(boot, received);
    }

    /// Moves Messages from the queue into `batch`, to be sent on the session in use, as [`Outgoing::take`] does.
    pub(super) fn take_messages(&self, batch: &mut Vec<Message>, bytes: usize) -> usize {
        let before = batch.len();
        let taken = self.outgoing.take(batch, bytes);
        let messages = u64::try_from(batch.len() - before).unwrap_or(u64::MAX);
        self.ledger().count_sent(messages);
        taken
    }

    /// What was sent to it and came from it.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.record.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session in use.
    pub fn in_use(&self) -> Option<SessionId> {
        self.link_status().in_use
    }

    /// Remembers which session is in use; whether it is another one than before.
    pub fn set_in_use(&self, session: Option<SessionId>) -> bool {
        let changed = std::mem::replace(&mut self.link_status().in_use, session) != session;
        if changed {
            self.traffic.clear();
        }
        changed
    }

    /// Remembers a measurement.
    pub fn set_round_trip(&self, measured: RoundTrip) {
        self.link_status().set_round_trip(measured);
    }

    /// Remembers why there is no session, or no longer.
    pub fn set_error(&self, error: String) {
        self.link_status().last_error = Some(error);
    }

    /// Why there is no session, or no longer.
    pub(super) fn last_error(&self) -> Option<String> {
        self.link_status().last_error.clone()
    }

    /// Remembers what the link is doing, and lets Messages pass accordingly. True if people are told something else
    /// of the link than before.
    pub fn set_state(&self, state: State) -> bool {
        let changed = self.link_status().set_state(state, SystemTime::now());
        self.set_disposition();
        changed
    }

    fn set_disposition(&self) {
        let (state, handover) = {
            let status = self.link_status();
            (status.state, status.handover)
        };
        self.outgoing.set_disposition(policy::disposition(self.outward, state, handover));
    }

    /// Whether Messages wait for this link as they would not for one that is down, because it took the place
    /// of one that was up.
    pub fn is_handover(&self) -> bool {
        self.link_status().handover
    }

    /// Messages have waited for that for long enough, or in vain.
    pub fn end_handover(&self) {
        if std::mem::take(&mut self.link_status().handover) {
            self.set_disposition();
        }
    }

    /// Remembers what carries the Messages of this side. True if that is another session than before,
    /// of a link that is up already.
    pub(super) fn set_carrier(&self, carrier: Carrier) -> bool {
        self.link_status().set_carrier(carrier)
    }

    /// The Peer at this moment.
    pub fn status(&self) -> PeerStatus {
        let OutgoingCounters { dropped, length, size } = self.outgoing.counters();
        let (sent, received, lost) = {
            let ledger = self.ledger();
            (ledger.sent(), ledger.received(), ledger.lost())
        };
        let lost = (lost > 0).then_some((ledger::LOST, lost));
        let link = self.link_status();
        let carried = if link.state == State::Up { self.traffic.now() } else { Carried::default() };
        PeerStatus {
            name: self.name().to_owned(),
            state: link.link_state,
            sub_state: link.state,
            since: link.since(),
            policy_out: self.outward.into(),
            policy_in: self.inward.into(),
            transport: link.carrier.as_ref().map(|carrier| carrier.transport.clone()),
            address: link.carrier.as_ref().map(|carrier| carrier.address.clone()),
            direction: link.carrier.as_ref().map(|carrier| carrier.direction),
            last_error: link.last_error.clone(),
            round_trip_time: link.round_trip,
            rate: carried.rate,
            backlog: carried.unacknowledged,
            age: carried.age,
            clock_skew: link.skew,
            sessions: link.sessions,
            sent,
            received,
            dropped: dropped
                .into_iter()
                .chain(lost)
                .map(|(name, n)| (name.to_owned(), n))
                .collect(),
            queue_length: length,
            queue_size: size,
        }
    }

    fn link_status(&self) -> MutexGuard<'_, LinkStatus> {
        self.record.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
