//! A Peer as the rest of the Node sees it: its queue, its counters, the state of its link.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::SystemTime;

use ssh_key::PublicKey;
use tokio::sync::{mpsc, oneshot, watch};

use super::established::Established;
use super::machine::{End, LinkState, SessionId, State};
use super::outgoing::{Disposition, Outgoing};
use super::policy;
use super::signals::{PendingSessions, RoundTrip};
use super::traffic::{Carried, Traffic};
use crate::config::{ConnectPolicy, NodeConfig};
use crate::message::Origin;
use crate::queue::Limits;
use crate::session::SessionError;
use crate::status::PeerStatus;

/// Notices that wait for a link.
const COMMANDS: usize = 64;

/// Number of a Peer on this Node, which no other Peer or Role gets in this run of the daemon.
pub type PeerId = u32;

/// What happens to a link from outside.
pub enum LinkCommand {
    /// A session was made.
    Ready(Box<Established>),
    /// A session is over, and why. (In a box, as every link has room for many commands.)
    Ended(SessionId, Box<SessionError>),
    /// Somebody wants the link to be tried at once, and no longer kept closed.
    Connect,
    /// Somebody wants the link closed, and kept so.
    Disconnect,
    /// Somebody wants to know the round-trip time as it is now, in microseconds. The question is dropped
    /// when the link is not up, or no longer.
    Ping {
        /// Bytes of nothing to be sent first; the time is then that of what follows them.
        padding: usize,
        /// Where the answer goes.
        answer: oneshot::Sender<u64>,
    },
}

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
    /// Whether the link is to be, or is kept closed because somebody said so.
    wanted: AtomicBool,
    /// How its link ends, once it does: then another configuration holds, and no session is begun with this.
    end: watch::Sender<Option<End>>,
    seen: Arc<Mutex<Seen>>,
}

/// What the link has come to. Like the queue, it goes on when another link takes the place of this one.
struct Seen {
    state: State,
    link_state: LinkState,
    /// Since when it stands so.
    since: SystemTime,
    transport: Option<String>,
    address: Option<String>,
    last_error: Option<String>,
    round_trip: Option<u64>,
    skew: Option<i64>,
    sessions: u64,
    in_use: Option<SessionId>,
    run: Run,
    /// Another run of it that came before, or is about to.
    other_run: Run,
    received_before: u64,
    /// The run for which what it received is counted.
    reconciled: Option<u64>,
    /// Whether Messages wait although the link is not up, because it was until another one took its place.
    handover: bool,
}

/// A run of the Peer, and how many Messages came from it.
#[derive(Clone, Copy, Default)]
struct Run {
    boot: u64,
    received: u64,
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
        let outgoing = Arc::new(Outgoing::new(limits, disposition_while_closed(outward)));
        let seen = Arc::new(Mutex::new(Seen {
            state: State::Disabled,
            link_state: LinkState::Disabled,
            since: SystemTime::now(),
            transport: None,
            address: None,
            last_error: None,
            round_trip: None,
            skew: None,
            sessions: 0,
            in_use: None,
            run: Run::default(),
            other_run: Run::default(),
            received_before: 0,
            reconciled: None,
            handover: false,
        }));
        Peer::with(id, own, config, outgoing, seen)
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
        {
            let mut seen = self.lock();
            seen.handover |= seen.link_state == LinkState::Up;
        }
        let (outgoing, seen) = (Arc::clone(&self.outgoing), Arc::clone(&self.seen));
        let (peer, commands) = Peer::with(self.id, own, config, outgoing, seen);
        peer.set_wanted(self.is_wanted());
        (peer, commands)
    }

    fn with(
        id: PeerId,
        own: &NodeConfig,
        config: Arc<NodeConfig>,
        outgoing: Arc<Outgoing>,
        seen: Arc<Mutex<Seen>>,
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
            seen,
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
        // An error cannot be: the sender is ours.
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

    /// Whether sessions are to be had with it, as far as whoever looks after the Node says.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Sets [`is_wanted`](Self::is_wanted); the link is to be told by a [`LinkCommand`].
    pub fn set_wanted(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    /// The run of the Peer that is known, and how many Messages came from that run.
    pub fn received(&self) -> (u64, u64) {
        let seen = self.lock();
        (seen.run.boot, seen.run.received)
    }

    /// The session in use.
    pub fn in_use(&self) -> Option<SessionId> {
        self.lock().in_use
    }

    /// Remembers which session is in use; whether it is another one than before.
    pub fn set_in_use(&self, session: Option<SessionId>) -> bool {
        let changed = std::mem::replace(&mut self.lock().in_use, session) != session;
        if changed {
            self.traffic.clear();
        }
        changed
    }

    /// Counts Messages that came from this run of the Peer.
    pub fn count_received(&self, boot: u64, messages: u64) {
        let mut seen = self.lock();
        if seen.run.boot == boot {
            seen.run.received += messages;
            return;
        }
        if seen.other_run.boot != boot {
            seen.received_before += seen.other_run.received;
            seen.other_run = Run { boot, received: 0 };
        }
        seen.other_run.received += messages;
    }

    /// The link leads to this run of the Peer. If that is another one than before, what has already come
    /// from it counts, and nothing else.
    pub fn set_boot(&self, boot: u64) {
        let mut guard = self.lock();
        let Seen { run, other_run, received_before, .. } = &mut *guard;
        if run.boot == boot {
            return;
        }
        std::mem::swap(run, other_run);
        if run.boot != boot {
            *received_before += run.received;
            *run = Run { boot, received: 0 };
        }
    }

    /// The Peer says how many Messages came from here, on a session with this run of it.
    pub fn acknowledge(&self, boot: u64, received: u64) {
        // What an earlier run still says is not about the Messages that are counted now.
        if self.lock().run.boot == boot {
            self.outgoing.acknowledge(received);
        }
    }

    /// The run for which what it received is counted.
    pub fn reconciled(&self) -> Option<u64> {
        self.lock().reconciled
    }

    /// The link comes up after it was down, with this run of the Peer, which says how many Messages came from
    /// here, if it knows: the rest of what was sent is lost.
    pub fn reconcile(&self, boot: u64, received: Option<u64>) {
        self.lock().reconciled = Some(boot);
        self.outgoing.reconcile(received);
    }

    /// Remembers a measurement.
    pub fn set_round_trip(&self, measured: RoundTrip) {
        let mut seen = self.lock();
        (seen.round_trip, seen.skew) = (Some(measured.time), Some(measured.skew));
    }

    /// Remembers why there is no session, or no longer.
    pub fn set_error(&self, error: String) {
        self.lock().last_error = Some(error);
    }

    /// Remembers what the link is doing, and lets Messages pass accordingly. True if the link stands
    /// differently now.
    pub fn set_state(&self, state: State) -> bool {
        let changed = {
            let mut seen = self.lock();
            seen.state = state;
            let before = seen.link_state;
            seen.link_state = state.link_state(before);
            let changed = seen.link_state != before;
            if changed {
                seen.since = SystemTime::now();
            }
            if state == State::Up {
                seen.sessions += 1;
                seen.last_error = None;
                seen.handover = false;
            } else {
                (seen.transport, seen.address) = (None, None);
            }
            changed
        };
        self.set_disposition();
        changed
    }

    fn set_disposition(&self) {
        let (state, handover) = {
            let seen = self.lock();
            (seen.state, seen.handover)
        };
        self.outgoing.set_disposition(match (self.outward, state) {
            (ConnectPolicy::Never, _) => Disposition::Forbidden,
            (_, State::Up) => Disposition::Open,
            // Somebody keeps it closed: what would wait for it now would go out stale, or never.
            (_, State::Disabled) => Disposition::Down,
            _ if handover => Disposition::Hold,
            (outward, _) => disposition_while_closed(outward),
        });
    }

    /// Whether Messages wait for this link as they would not for one that is down, because it took the place
    /// of one that was up.
    pub fn is_handover(&self) -> bool {
        self.lock().handover
    }

    /// They have waited for long enough, or in vain.
    pub fn end_handover(&self) {
        if std::mem::take(&mut self.lock().handover) {
            self.set_disposition();
        }
    }

    /// Remembers what carries the Messages of this side. True if that is another session than before,
    /// of a link that is up already.
    pub fn set_carrier(&self, transport: &str, address: &str) -> bool {
        let mut seen = self.lock();
        let now = (Some(transport.to_owned()), Some(address.to_owned()));
        let before = (seen.transport.take(), seen.address.take());
        let moved = seen.state == State::Up && before != now;
        (seen.transport, seen.address) = now;
        moved
    }

    /// The Peer at this moment.
    pub fn status(&self) -> PeerStatus {
        let counters = self.outgoing.counters();
        let seen = self.lock();
        let carried = if seen.state == State::Up { self.traffic.now() } else { Carried::default() };
        PeerStatus {
            name: self.name().to_owned(),
            state: seen.link_state,
            sub_state: seen.state,
            since: seen
                .since
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            policy_out: self.outward.into(),
            policy_in: self.inward.into(),
            transport: seen.transport.clone(),
            address: seen.address.clone(),
            last_error: seen.last_error.clone(),
            round_trip_time: seen.round_trip,
            rate: carried.rate,
            backlog: carried.unacknowledged,
            age: carried.age,
            clock_skew: seen.skew,
            sessions: seen.sessions,
            sent: counters.sent,
            received: seen.received_before + seen.other_run.received + seen.run.received,
            dropped: counters.dropped.into_iter().map(|(name, n)| (name.to_owned(), n)).collect(),
            queue_length: counters.length,
            queue_size: counters.size,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What happens to Messages while the link is not up.
fn disposition_while_closed(outward: ConnectPolicy) -> Disposition {
    match outward {
        ConnectPolicy::Constant => Disposition::Down,
        ConnectPolicy::OnDemand => Disposition::Hold,
        ConnectPolicy::Never => Disposition::Forbidden,
    }
}

/// All other Nodes of the System.
pub struct Peers {
    /// This Node, in this run.
    pub origin: Arc<Origin>,
    by_name: RwLock<HashMap<String, Arc<Peer>>>,
}

impl Peers {
    /// For this Node, with no Peers yet.
    pub fn new(origin: Arc<Origin>) -> Peers {
        Peers { origin, by_name: RwLock::default() }
    }

    /// Adds a Peer, in place of one of the same name.
    pub fn insert(&self, peer: Arc<Peer>) {
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        by_name.insert(peer.name().to_owned(), peer);
    }

    /// Forgets the Peer of this name.
    pub fn remove(&self, name: &str) {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The Peer of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Peer>> {
        self.read().get(name).cloned()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether the System has no other Node.
    pub fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    /// The Peer with this key, if there is one.
    pub fn owner(&self, key: &PublicKey) -> Option<Arc<Peer>> {
        let has = |peer: &&Arc<Peer>| peer.config.public_key.key_data() == key.key_data();
        self.read().values().find(has).cloned()
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, Arc<Peer>>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner)
    }
}
