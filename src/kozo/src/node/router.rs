//! The router: from whoever sends a Message to everybody who wants it.
//!
//! All state is behind one lock that is never held while waiting. A Message is encoded once, here;
//! whatever it is put into (Roles' inboxes, Peers' queues, taps) shares the same bytes. Nothing here
//! blocks: a queue without room drops its oldest.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{broadcast, watch};
use tracing::warn;

use super::complaints::Complaints;
use crate::class;
use crate::interest::{Interest, InterestIndex};
use crate::link::outgoing::Pushed;
use crate::link::{Exchange, Peer, PeerId};
use crate::message::{Draft, Message, Origin};
use crate::queue::Limits;
use crate::role::{Inbox, SendError, Sent};
use crate::transport::session::{Flow, SessionError};

/// Number of a Role in this run of the daemon.
pub(super) type RoleId = u64;

/// Changes that a slow listener may be behind.
const CHANGES: usize = 256;

/// Bounds of a tap.
const TAP: Limits = Limits { length: 1024, size: 4 * 1024 * 1024 };

/// Why the Node itself refused a Message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// A Peer sent it in another Node's name.
    Forged,
    /// It had come before.
    Duplicate,
    /// It is larger than the whole queue of a Role that wants it.
    TooLarge,
}

impl Refused {
    /// Its name in the status.
    pub fn name(self) -> &'static str {
        match self {
            Refused::Forged => "forged",
            Refused::Duplicate => "duplicate",
            Refused::TooLarge => "too_large",
        }
    }
}

/// Joins Roles and Peers.
pub struct Router {
    origin: Arc<Origin>,
    state: Mutex<State>,
    interests: watch::Sender<Arc<[Interest]>>,
    changes: broadcast::Sender<Change>,
    complaints: Complaints,
}

/// Something about the Node that others may want to know at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A Role is there that was not.
    RoleAdded(String),
    /// A Role is no longer there.
    RoleRemoved(String),
    /// A Role is doing something else than before.
    Role(String),
    /// A Peer is there that was not.
    PeerAdded(String),
    /// A Peer is no longer there.
    PeerRemoved(String),
    /// The link to a Peer is in another state.
    Peer(String),
    /// Another configuration holds.
    Configuration,
}

/// A Role as the router sees it.
struct Subscriber {
    name: String,
    inbox: Arc<Inbox>,
    interests: Vec<Interest>,
}

/// A view of the Messages that pass.
struct Tap {
    inbox: Weak<Inbox>,
    interests: Vec<Interest>,
    /// Whether Peers are to send what it wants even where no Role does.
    announced: bool,
}

#[derive(Default)]
struct State {
    counter: u64,
    roles: BTreeMap<RoleId, Subscriber>,
    peers: BTreeMap<PeerId, Arc<Peer>>,
    by_role: InterestIndex<RoleId>,
    by_peer: InterestIndex<PeerId>,
    taps: Vec<Tap>,
    /// The last Message of each Node: its boot and its counter.
    seen: HashMap<PeerId, (u64, u64)>,
    refused: BTreeMap<Refused, u64>,
    sent_by_role: BTreeMap<String, u64>,
    found_roles: Vec<RoleId>,
    found_peers: Vec<PeerId>,
}

impl Router {
    /// A router for nobody yet.
    pub fn new(origin: Arc<Origin>) -> Router {
        Router {
            origin,
            state: Mutex::default(),
            interests: watch::Sender::new(Arc::default()),
            changes: broadcast::Sender::new(CHANGES),
            complaints: Complaints::default(),
        }
    }

    /// This Node, in this run.
    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// Joins a Role with what it wants.
    pub(super) fn add_role(
        &self,
        id: RoleId,
        name: &str,
        inbox: Arc<Inbox>,
        interests: Vec<Interest>,
    ) {
        let mut state = self.lock();
        state.by_role.set(id, &interests);
        state.roles.insert(id, Subscriber { name: name.to_owned(), inbox, interests });
        self.announce(&state);
    }

    /// Parts with a Role.
    pub(super) fn remove_role(&self, id: RoleId) {
        let mut state = self.lock();
        state.by_role.remove(id);
        state.roles.remove(&id);
        self.announce(&state);
    }

    /// Joins a Peer, with what it is taken to want until it says so itself.
    pub fn add_peer(&self, peer: Arc<Peer>, assumed: &[Interest]) {
        let mut state = self.lock();
        state.by_peer.set(peer.id, assumed);
        state.peers.insert(peer.id, peer);
    }

    /// Parts with a Peer.
    pub fn remove_peer(&self, id: PeerId) {
        let mut state = self.lock();
        state.by_peer.remove(id);
        state.peers.remove(&id);
        state.seen.remove(&id);
    }

    /// Tells Peers what is wanted here, if that has changed.
    fn announce(&self, state: &State) {
        let of_roles = state.roles.values().flat_map(|role| &role.interests);
        let of_taps = state.taps.iter().filter(|tap| tap.announced).flat_map(|tap| &tap.interests);
        let mut all: Vec<Interest> = Vec::new();
        for interest in of_roles.chain(of_taps) {
            if !all.contains(interest) {
                all.push(interest.clone());
            }
        }
        self.interests.send_if_modified(|known| {
            let changed = **known != *all;
            if changed {
                *known = all.into();
            }
            changed
        });
    }

    /// Gets told of what changes from now on. Who is too slow misses some, and is told that.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Tells of a change.
    pub fn changed(&self, change: Change) {
        // Nobody may be listening.
        let _ = self.changes.send(change);
    }

    /// Sends a Message in the name of a Role to everybody who wants it.
    ///
    /// # Errors
    /// When it is not valid, or larger than the whole queue of somebody who wants it; then nobody
    /// is sent it.
    pub fn send(&self, role: &str, draft: &Draft<'_>) -> Result<Sent, SendError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let mut guard = self.lock();
        let state = &mut *guard;
        let counter = state.counter + 1;
        let message = Message::encode(Arc::clone(&self.origin), role, counter, timestamp, draft)?;
        state.by_role.find(&message, &mut state.found_roles);
        state.by_peer.find(&message, &mut state.found_peers);
        check_size(&message, state)?;
        state.counter = counter;
        match state.sent_by_role.get_mut(role) {
            Some(sent) => *sent += 1,
            None => drop(state.sent_by_role.insert(role.to_owned(), 1)),
        }
        let mut sent = Sent { counter, roles: 0, peers: 0, unreachable: 0, full: false };
        for role in state.found_roles.iter().filter_map(|id| state.roles.get(id)) {
            // Sizes were checked above.
            sent.full |= role.inbox.push(message.clone()).unwrap_or(false);
            sent.roles += 1;
        }
        for peer in state.found_peers.iter().filter_map(|id| state.peers.get(id)) {
            match peer.outgoing.push(message.clone()) {
                Ok(Pushed::Queued { full }) => {
                    sent.full |= full;
                    sent.peers += 1;
                }
                Ok(Pushed::Dropped(_)) | Err(_) => sent.unreachable += 1,
            }
        }
        state.tap(&message);
        Ok(sent)
    }

    /// Opens a view of the Messages that pass and match one of these; it is closed when the inbox is
    /// dropped. With `announced`, Peers are asked for such Messages even where no Role wants them.
    pub fn tap(&self, interests: Vec<Interest>, announced: bool) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox::new(TAP));
        let mut state = self.lock();
        state.taps.push(Tap { inbox: Arc::downgrade(&inbox), interests, announced });
        self.announce(&state);
        inbox
    }

    /// Forgets taps whose inbox was dropped, and no longer asks Peers for what they wanted.
    pub fn drop_closed_taps(&self) {
        let mut state = self.lock();
        state.taps.retain(|tap| tap.inbox.strong_count() > 0);
        self.announce(&state);
    }

    /// Messages that the Roles sent.
    pub fn sent(&self) -> u64 {
        self.lock().counter
    }

    /// Messages that the Role of this name sent.
    pub fn sent_by(&self, role: &str) -> u64 {
        self.lock().sent_by_role.get(role).copied().unwrap_or(0)
    }

    /// Messages that were refused, by reason.
    pub fn refused(&self) -> BTreeMap<Refused, u64> {
        self.lock().refused.clone()
    }

    /// Whether a line about this subject and cause may be logged now.
    pub fn may_say(&self, subject: &str, cause: &'static str) -> Option<u64> {
        self.complaints.may_say(subject, cause)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tap(&self, message: &Message) {
        for tap in &self.taps {
            if tap.interests.iter().any(|interest| interest.matches(message))
                && let Some(inbox) = tap.inbox.upgrade()
            {
                // What is too large for a tap is not shown.
                let _ = inbox.push(message.clone());
            }
        }
    }

    fn refuse(&mut self, reason: Refused) {
        *self.refused.entry(reason).or_default() += 1;
    }

    /// Whether this is a Message that its origin sent after all those seen.
    fn is_new(&mut self, peer: PeerId, message: &Message) -> bool {
        let (boot, counter) = self.seen.entry(peer).or_default();
        if *boot == message.origin().boot && message.counter() <= *counter {
            return false;
        }
        (*boot, *counter) = (message.origin().boot, message.counter());
        true
    }
}

/// Whether everybody who wants the Message has a queue that can hold it.
fn check_size(message: &Message, state: &State) -> Result<(), SendError> {
    let weight = message.body().len();
    let roles = state.found_roles.iter().filter_map(|id| state.roles.get(id));
    let roles = roles.map(|role| (role.inbox.limits(), "role", &*role.name));
    let peers = state.found_peers.iter().filter_map(|id| state.peers.get(id));
    let peers = peers.map(|peer| (peer.outgoing.limits(), "peer", peer.name()));
    match roles.chain(peers).find(|(limits, ..)| weight > limits.size) {
        None => Ok(()),
        Some((Limits { size, .. }, what, name)) => {
            Err(SendError::TooLarge { weight, size, subscriber: format!("{what} '{name}'") })
        }
    }
}

impl Exchange for Router {
    fn deliver(&self, peer: PeerId, message: Message) -> Flow {
        let mut guard = self.lock();
        let state = &mut *guard;
        if !state.is_new(peer, &message) {
            state.refuse(Refused::Duplicate);
            return Flow::Continue;
        }
        state.by_role.find(&message, &mut state.found_roles);
        let mut flow = Flow::Continue;
        for role in state.found_roles.iter().filter_map(|id| state.roles.get(id)) {
            match role.inbox.push(message.clone()) {
                Ok(false) => {}
                Ok(true) => flow = Flow::Yield,
                Err(_) => *state.refused.entry(Refused::TooLarge).or_default() += 1,
            }
        }
        state.tap(&message);
        flow
    }

    fn refuse_forged(&self, peer: &Peer, claimed: &str) {
        self.lock().refuse(Refused::Forged);
        if let Some(more) = self.complaints.may_say(peer.name(), "forged") {
            let claimed = claimed.escape_debug();
            warn!(
                class = class::FORGED,
                peer = peer.name(),
                "refused a message in the name of '{claimed}' ({more} more before)"
            );
        }
    }

    fn set_interest(&self, peer: PeerId, interests: &[Interest]) {
        self.lock().by_peer.set(peer, interests);
    }

    fn link_changed(&self, peer: &Peer) {
        self.changed(Change::Peer(peer.name().to_owned()));
    }

    fn complain(&self, peer: &str, error: &SessionError) {
        if let Some(more) = self.complaints.may_say(peer, error.cause()) {
            warn!(class = error.cause(), peer, "refused: {error} ({more} more before)");
        }
    }

    fn interests(&self) -> watch::Receiver<Arc<[Interest]>> {
        self.interests.subscribe()
    }
}
