//! The router: from whoever sends a Message to everybody who wants it.
//!
//! All state is behind one lock that is never held while waiting. A Message is encoded once, here;
//! whatever it is put into (Roles' inboxes, Peers' queues, taps) shares the same bytes. Nothing here
//! blocks: a queue without room drops its oldest, or the sender is told what to wait for. Where
//! Messages go is remembered, see `routes`.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use tokio::sync::{broadcast, watch};
use tracing::warn;

use super::routes::{Route, Routes};
use super::seen::Seen;
use crate::class;
use crate::interest::{Interest, InterestIndex};
use crate::link::outgoing::Pushed;
use crate::link::turn::Turn;
use crate::link::{Dispatch, Peer, PeerId};
use crate::message::{Draft, Head, Message, Origin};
use crate::queue::{Limits, Room};
use crate::rate_limiter::RateLimiter;
use crate::role::{Inbox, Offered, SendError, Sent};
use crate::session::{Flow, SessionError};
use crate::wire::{Messages, WireError};

/// Number of a Role in this run of the daemon.
pub(super) type RoleId = u64;

/// Changes that a slow listener may be behind.
const CHANGES: usize = 256;

/// Steps of a turn that it takes to find out who wants Messages with a head.
const SEARCH: usize = 32;

/// Bounds of a tap.
const TAP: Limits = Limits { length: 1024, size: 4 * 1024 * 1024 };

/// Why the Node itself refused a Message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// A Peer sent it in another Node's name.
    Forged,
    /// The policies forbid that its Peer sends any.
    Policy,
    /// It had come before.
    Duplicate,
    /// It is larger than the whole queue of a Role that wants it, or than that of any Role.
    TooLarge,
    /// It came on a session that its link had closed, or never took.
    Unlinked,
}

impl Refused {
    /// Its name in the status.
    pub fn name(self) -> &'static str {
        match self {
            Refused::Forged => "forged",
            Refused::Policy => "policy",
            Refused::Duplicate => "duplicate",
            Refused::TooLarge => "too_large",
            Refused::Unlinked => "unlinked",
        }
    }
}

/// Joins Roles and Peers.
pub struct Router {
    origin: Arc<Origin>,
    state: Mutex<State>,
    interests: watch::Sender<Arc<[Interest]>>,
    /// Bytes of the largest Message that a Role or a tap could take.
    largest: AtomicUsize,
    changes: broadcast::Sender<Change>,
    warnings: Mutex<RateLimiter<(String, &'static str)>>,
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
    /// The link to a Peer stands differently.
    Peer(String),
    /// Another configuration holds.
    Configuration,
}

/// A Role as the router sees it.
pub(super) struct Subscriber {
    pub(super) name: String,
    pub(super) inbox: Arc<Inbox>,
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
    sequence: u64,
    directory: Directory,
    /// Routes of what the Roles send.
    own: Routes,
    /// Routes of what comes from Peers.
    foreign: Routes,
    hasher: RandomState,
    /// Room for the data of the next Messages: many share one piece of memory.
    room: BytesMut,
    taps: Vec<Tap>,
    /// What has come from each Peer.
    seen: HashMap<PeerId, Seen>,
    refused: BTreeMap<Refused, u64>,
}

/// Who is there, and who wants what.
#[derive(Default)]
struct Directory {
    roles: BTreeMap<RoleId, Arc<Subscriber>>,
    peers: BTreeMap<PeerId, Arc<Peer>>,
    by_role: InterestIndex<RoleId>,
    by_peer: InterestIndex<PeerId>,
    sent_by_role: BTreeMap<String, Arc<AtomicU64>>,
}

/// Bytes of data that share one piece of memory at most: small, because a Message that waits in some
/// queue keeps all of the piece.
const SHARED: usize = 4096;

impl Directory {
    /// Where Messages with this head go that a Role of this Node sends.
    fn own_route(&mut self, head: Head) -> Route {
        let sent = match self.sent_by_role.get(head.role()) {
            Some(sent) => Arc::clone(sent),
            None => Arc::clone(self.sent_by_role.entry(head.role().to_owned()).or_default()),
        };
        let mut found = Vec::new();
        self.by_peer.find(&head, &mut found);
        let peers = found.iter().filter_map(|id| self.peers.get(id)).cloned().collect();
        Route { peers, sent, ..self.foreign_route(Arc::new(head)) }
    }

    /// Where Messages with this head go that came from a Peer.
    fn foreign_route(&self, head: Arc<Head>) -> Route {
        let mut found = Vec::new();
        self.by_role.find(&head, &mut found);
        let roles = found.iter().filter_map(|id| self.roles.get(id)).cloned().collect();
        Route { head, roles, peers: Vec::new(), sent: Arc::default() }
    }
}

impl Router {
    /// A router for nobody yet.
    pub fn new(origin: Arc<Origin>) -> Router {
        Router {
            origin,
            state: Mutex::default(),
            interests: watch::Sender::new(Arc::default()),
            largest: AtomicUsize::new(0),
            changes: broadcast::Sender::new(CHANGES),
            warnings: Mutex::default(),
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
        let directory = state.change_directory();
        directory.by_role.set(id, &interests);
        let subscriber = Subscriber { name: name.to_owned(), inbox, interests };
        directory.roles.insert(id, Arc::new(subscriber));
        self.announce(&state);
    }

    /// Parts with a Role.
    pub(super) fn remove_role(&self, id: RoleId) {
        let mut state = self.lock();
        let directory = state.change_directory();
        directory.by_role.remove(id);
        directory.roles.remove(&id);
        self.announce(&state);
    }

    /// Joins a Peer, with what it is taken to want until it says so itself.
    pub fn add_peer(&self, peer: Arc<Peer>, assumed: &[Interest]) {
        let mut state = self.lock();
        let directory = state.change_directory();
        directory.by_peer.set(peer.id, assumed);
        directory.peers.insert(peer.id, peer);
    }

    /// Lets another configuration of a Peer that is there hold. It wants what it wanted.
    pub fn replace_peer(&self, peer: Arc<Peer>) {
        self.lock().change_directory().peers.insert(peer.id, peer);
    }

    /// Parts with a Peer.
    pub fn remove_peer(&self, id: PeerId) {
        let mut state = self.lock();
        let directory = state.change_directory();
        directory.by_peer.remove(id);
        directory.peers.remove(&id);
        state.seen.remove(&id);
    }

    /// Tells Peers what is wanted here, if that has changed, and their pending how large it may be.
    fn announce(&self, state: &State) {
        let roles = state.directory.roles.values().map(|role| role.inbox.limits().size);
        let taps = state.taps.iter().map(|_| TAP.size);
        self.largest.store(roles.chain(taps).max().unwrap_or(0), Ordering::Relaxed);
        let of_roles = state.directory.roles.values().flat_map(|role| &role.interests);
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
        self.route(role, draft, false).map(|routed| match routed {
            Offered::Sent(sent) => sent,
            Offered::Full(_) => Sent::default(),
        })
    }

    /// Sends a Message as [`send`](Self::send) does, but only if nothing is dropped for it (in the
    /// sender's own queue aside: whoever waits there would wait for itself).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn offer(&self, role: &str, draft: &Draft<'_>) -> Result<Offered, SendError> {
        self.route(role, draft, true)
    }

    fn route(&self, role: &str, draft: &Draft<'_>, wait: bool) -> Result<Offered, SendError> {
        let mut guard = self.lock();
        let State { sequence, directory, own, hasher, room, taps, .. } = &mut *guard;
        let at = own.find(
            |route| draft.has_head(&route.head, role),
            || hasher.hash_one(draft.names(role)),
            || draft.head(Arc::clone(&self.origin), role).map(|head| directory.own_route(head)),
        )?;
        let Some(route) = own.get(at) else { return Ok(Offered::Sent(Sent::default())) };
        let weight = route.head.weight() + draft.data_len();
        check_size(weight, route)?;
        if wait && let Some(room) = wait_for_room(role, weight, route) {
            return Ok(Offered::Full(room));
        }
        let data = encode(draft, room);
        let message = Message::new(Arc::clone(&route.head), *sequence + 1, clock(), data)?;
        *sequence += 1;
        route.sent.fetch_add(1, Ordering::Relaxed);
        tap(taps, &message);
        let mut sent = Sent { sequence: *sequence, ..Sent::default() };
        for role in &route.roles {
            // Sizes were checked above.
            sent.full |= role.inbox.push(message.clone()).unwrap_or(false);
            sent.roles += 1;
        }
        let mut push = |peer: &Peer, message| match peer.outgoing.push(message) {
            Ok(Pushed::Queued { full }) => {
                sent.full |= full;
                sent.peers += 1;
            }
            Ok(Pushed::Dropped(_)) | Err(_) => sent.unreachable += 1,
        };
        if let Some((last, others)) = route.peers.split_last() {
            others.iter().for_each(|peer| push(peer, message.clone()));
            push(last, message);
        }
        Ok(Offered::Sent(sent))
    }

    /// Opens a view of the Messages that pass and match one of these; it is closed when the inbox is
    /// dropped. With `announced`, Peers are asked for such Messages even where no Role wants them.
    pub fn tap(&self, interests: Vec<Interest>, announced: bool) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox::new(TAP));
        let mut state = self.lock();
        // Not all who open one say when they close it.
        state.taps.retain(|tap| tap.inbox.strong_count() > 0);
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
        self.lock().sequence
    }

    /// Messages that the Role of this name sent.
    pub fn sent_by(&self, role: &str) -> u64 {
        let sent = self.lock().directory.sent_by_role.get(role).cloned();
        sent.map_or(0, |sent| sent.load(Ordering::Relaxed))
    }

    /// Messages that were refused, by reason.
    pub fn refused(&self) -> BTreeMap<Refused, u64> {
        self.lock().refused.clone()
    }

    /// Whether a line about this subject and cause may be logged now; if so, how many were not since the last one.
    pub fn may_warn(&self, subject: &str, cause: &'static str) -> Option<u64> {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.allow((subject.to_owned(), cause))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Who is there, to be changed: what was found there before no longer holds.
    fn change_directory(&mut self) -> &mut Directory {
        self.own.clear();
        self.foreign.clear();
        &mut self.directory
    }

    fn refuse(&mut self, reason: Refused, messages: u64) {
        if messages > 0 {
            *self.refused.entry(reason).or_default() += messages;
        }
    }
}

/// Microseconds since the Unix epoch.
fn clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

/// The data of a draft, encoded into a piece of memory that others share if it is small.
fn encode(draft: &Draft<'_>, room: &mut BytesMut) -> Bytes {
    let length = draft.data_len();
    if length > SHARED / 4 {
        let mut data = BytesMut::with_capacity(length);
        draft.put_data(&mut data);
        return data.freeze();
    }
    if room.capacity() < length {
        *room = BytesMut::with_capacity(SHARED);
    }
    draft.put_data(room);
    room.split().freeze()
}

/// Shows a Message to those who look on.
fn tap(taps: &[Tap], message: &Message) {
    for tap in taps {
        if tap.interests.iter().any(|interest| interest.matches(message))
            && let Some(inbox) = tap.inbox.upgrade()
        {
            // What is too large for a tap is not shown.
            let _ = inbox.push(message.clone());
        }
    }
}

/// What to wait for before nobody has to drop another Message for one of this weight.
fn wait_for_room(sender: &str, weight: usize, route: &Route) -> Option<Room> {
    let mut roles = route.roles.iter().filter(|role| role.name != sender);
    roles
        .find_map(|role| role.inbox.wait_for_room(weight))
        .or_else(|| route.peers.iter().find_map(|peer| peer.outgoing.wait_for_room(weight)))
}

/// Whether everybody who wants a Message of this weight has a queue that can hold it.
fn check_size(weight: usize, route: &Route) -> Result<(), SendError> {
    if weight <= route.most() {
        return Ok(());
    }
    let roles = route.roles.iter().map(|role| (role.inbox.limits(), "role", &*role.name));
    let peers = route.peers.iter().map(|peer| (peer.outgoing.limits(), "peer", peer.name()));
    match roles.chain(peers).find(|(limits, ..)| weight > limits.size) {
        None => Ok(()),
        Some((Limits { size, .. }, what, name)) => {
            Err(SendError::TooLarge { weight, size, subscriber: format!("{what} '{name}'") })
        }
    }
}

impl Dispatch for Router {
    fn deliver(
        &self,
        peer: PeerId,
        messages: &mut Messages,
        turn: &mut Turn,
    ) -> Result<(Flow, u64), WireError> {
        let mut guard = self.lock();
        let State { directory, foreign, hasher, taps, seen, refused, .. } = &mut *guard;
        let sequence = seen.entry(peer).or_default().sequence(messages.origin().boot);
        let mut taken = 0;
        while !turn.is_over() {
            let Some(message) = messages.next() else { return Ok((Flow::Continue, taken)) };
            if message.is_err() && taken > 0 {
                // Those before it are counted first.
                messages.put_back(message);
                return Ok((Flow::Yield, taken));
            }
            let message = message?;
            if message.sequence() <= *sequence {
                taken += 1;
                turn.step(1);
                *refused.entry(Refused::Duplicate).or_default() += 1;
                continue;
            }
            let head = message.head();
            let at = foreign.find(
                |route| Arc::ptr_eq(&route.head, head) || route.head == *head,
                || hasher.hash_one(head),
                || {
                    turn.step(SEARCH);
                    Ok::<_, WireError>(directory.foreign_route(Arc::clone(head)))
                },
            )?;
            let roles = foreign.get(at).map(|route| &*route.roles).unwrap_or_default();
            let weight = message.size();
            // All are asked: whoever had a turn is not given another one for nothing.
            if roles.iter().filter(|role| role.inbox.wants_turn(weight)).count() > 0 {
                messages.put_back(Ok(message));
                return Ok((Flow::Yield, taken));
            }
            taken += 1;
            turn.step(1 + roles.len() + taps.len());
            turn.read(weight);
            *sequence = message.sequence();
            tap(taps, &message);
            let mut push = |role: &Subscriber, message| {
                if role.inbox.push(message).is_err() {
                    *refused.entry(Refused::TooLarge).or_default() += 1;
                }
            };
            if let Some((last, others)) = roles.split_last() {
                others.iter().for_each(|role| push(role, message.clone()));
                push(last, message);
            }
        }
        Ok((Flow::Yield, taken))
    }

    fn largest(&self) -> usize {
        self.largest.load(Ordering::Relaxed)
    }

    fn refuse_forged(&self, peer: &Peer, claimed: &str, messages: u64) {
        self.lock().refuse(Refused::Forged, messages);
        if let Some(more) = self.may_warn(peer.name(), "forged") {
            let claimed = claimed.escape_debug();
            warn!(
                class = class::FORGED,
                peer = peer.name(),
                "refused a message in the name of '{claimed}' ({more} times more before)"
            );
        }
    }

    fn refuse_forbidden(&self, peer: &Peer, messages: u64) {
        self.lock().refuse(Refused::Policy, messages);
        if let Some(more) = self.may_warn(peer.name(), class::POLICY) {
            warn!(
                class = class::POLICY,
                peer = peer.name(),
                "refused a message that the connection policies forbid ({more} times more before)"
            );
        }
    }

    fn drop_unlinked(&self, messages: u64) {
        self.lock().refuse(Refused::Unlinked, messages);
    }

    fn drop_too_large(&self) {
        self.lock().refuse(Refused::TooLarge, 1);
    }

    fn set_interest(&self, peer: PeerId, interests: &[Interest]) {
        let mut state = self.lock();
        // A session may outlive its Peer; nobody would remove what it announces then.
        if state.directory.peers.contains_key(&peer) {
            state.change_directory().by_peer.set(peer, interests);
        }
    }

    fn link_changed(&self, peer: &Peer) {
        self.changed(Change::Peer(peer.name().to_owned()));
    }

    fn complain(&self, peer: &str, error: &SessionError) {
        if let Some(more) = self.may_warn(peer, error.cause()) {
            warn!(class = error.cause(), peer, "refused: {error} ({more} more before)");
        }
    }

    fn interests(&self) -> watch::Receiver<Arc<[Interest]>> {
        self.interests.subscribe()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn taps_that_nobody_looks_at_are_forgotten() {
        let router = Router::new(Arc::new(Origin { node: "clock".to_owned(), boot: 1 }));
        for _ in 0..100 {
            drop(router.tap(vec![Interest::any()], false));
        }
        assert!(router.lock().taps.len() <= 1);
    }

    #[test]
    fn a_peer_that_is_not_there_wants_nothing() {
        let origin = Arc::new(Origin { node: "clock".to_owned(), boot: 1 });
        let head = Draft::event("tick").head(Arc::clone(&origin), "timer").unwrap();
        let router = Router::new(origin);
        router.set_interest(1, &[Interest::any()]);
        let mut found = Vec::new();
        router.lock().directory.by_peer.find(&head, &mut found);
        assert!(found.is_empty(), "{found:?}");
    }
}
