//! The router: from the Role or Peer that sends a Message to every Role and Peer that wants it.
//!
//! All state is behind one lock that is never held while waiting. A Message is encoded once, here;
//! whatever it is put into (Roles' inboxes, Peers' queues, taps) shares the same bytes. Nothing here
//! blocks: a queue without room drops its oldest, or the sender is told what to wait for.
//!
//! The state has parts, and the parts do not know the router: [`directory`], who is there and who wants
//! what; [`routes`], where Messages go; [`ingress`], which Messages from outside are taken, with [`seen`], what
//! has come before; [`taps`], the views of monitors.

mod directory;
mod ingress;
mod routes;
mod seen;
mod taps;

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use tokio::sync::{broadcast, watch};
use tracing::warn;

use crate::interest::Interest;
use crate::link::dispatch::Source;
use crate::link::outgoing::Pushed;
use crate::link::turn::Turn;
use crate::link::{Dispatch, Peer, PeerId};
use crate::message::{Draft, Message, Origin};
use crate::rate_limiter::{RateLimiter, Suppressed};
use crate::role::{Inbox, Offered, SendError, Sent};
use crate::session::{Flow, SessionError};
use crate::wire::{Messages, WireError};
pub(super) use directory::RoleId;
use directory::{Directory, Subscriber};
use ingress::Ingress;
pub use ingress::Refused;
use routes::{Route, Routes};
use taps::Taps;

/// Changes that a slow listener may be behind.
const CHANGES: usize = 256;

/// Joins Roles and Peers.
pub struct Router {
    origin: Arc<Origin>,
    state: Mutex<State>,
    interests: watch::Sender<Arc<[Interest]>>,
    /// Bytes of the largest Message that a Role or a tap could take.
    largest: AtomicUsize,
    changes: broadcast::Sender<Change>,
    peers_changed: watch::Sender<()>,
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

#[derive(Default)]
struct State {
    sequence: u64,
    directory: Directory,
    /// Routes of what the Roles send.
    own: Routes,
    hasher: RandomState,
    /// Room for the data of the next Messages: many share one piece of memory.
    room: BytesMut,
    ingress: Ingress,
    taps: Taps,
}

/// Bytes of data that share one piece of memory at most: small, because a Message that waits in some
/// queue keeps all of the piece.
const SHARED: usize = 4096;

impl Router {
    /// A router without Roles and Peers.
    pub fn new(origin: Arc<Origin>) -> Router {
        Router {
            origin,
            state: Mutex::default(),
            interests: watch::Sender::new(Arc::default()),
            largest: AtomicUsize::new(0),
            changes: broadcast::Sender::new(CHANGES),
            peers_changed: watch::Sender::new(()),
            warnings: Mutex::default(),
        }
    }

    /// This Node, in this run.
    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// Adds a Role with what it wants.
    pub(super) fn add_role(
        &self,
        id: RoleId,
        name: &str,
        inbox: Arc<Inbox>,
        interests: Vec<Interest>,
        is_attached: bool,
    ) {
        let mut state = self.lock();
        let subscriber = Subscriber { name: name.to_owned(), inbox, interests, is_attached };
        state.change_directory().add_role(id, subscriber);
        self.announce(&state);
    }

    /// Lets a Role that is there want something else.
    pub(super) fn set_interests(&self, id: RoleId, interests: Vec<Interest>) {
        let mut state = self.lock();
        if state.change_directory().set_interests(id, interests) {
            self.announce(&state);
        }
    }

    /// Removes a Role.
    pub(super) fn remove_role(&self, id: RoleId) {
        let mut state = self.lock();
        state.change_directory().remove_role(id);
        self.announce(&state);
    }

    /// Forgets what the Role of this name did: another one that takes the name has done nothing yet.
    pub(super) fn forget_role(&self, name: &str) {
        self.lock().change_directory().forget_sent(name);
    }

    /// Adds a Peer, with what it is taken to want until it says so itself.
    pub fn add_peer(&self, peer: Arc<Peer>, assumed: &[Interest]) {
        self.lock().change_directory().add_peer(peer, assumed);
    }

    /// Puts another configuration of a Peer in the place of the one that is there. The Peer wants what it wanted.
    pub fn replace_peer(&self, peer: Arc<Peer>) {
        self.lock().change_directory().replace_peer(peer);
    }

    /// Removes a Peer.
    pub fn remove_peer(&self, id: PeerId) {
        let mut state = self.lock();
        state.change_directory().remove_peer(id);
        state.ingress.forget(id);
    }

    /// Tells Peers what is wanted here, if that has changed, and the readers of sessions how large it may be.
    fn announce(&self, state: &State) {
        let State { directory, taps, .. } = state;
        let largest = directory.roles().map(|role| role.inbox.limits().size).max().unwrap_or(0);
        self.largest.store(largest.max(taps.largest()), Ordering::Relaxed);
        let of_roles = directory.roles().flat_map(|role| &role.interests);
        let mut seen = HashSet::new();
        let all = of_roles.chain(taps.announced()).filter(|interest| seen.insert(*interest));
        let all: Vec<Interest> = all.cloned().collect();
        self.interests.send_if_modified(|known| {
            let changed = **known != *all;
            if changed {
                *known = all.into();
            }
            changed
        });
    }

    /// Gets told of what changes from now on. A receiver that is too slow misses some, and is told that.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Changes when something about the Peers may have. Who is slow misses nothing of how they stand in the end.
    pub(super) fn peers_changed(&self) -> watch::Receiver<()> {
        self.peers_changed.subscribe()
    }

    /// Tells of a change.
    pub fn changed(&self, change: Change) {
        if matches!(change, Change::PeerAdded(_) | Change::PeerRemoved(_) | Change::Peer(_)) {
            self.peers_changed.send_replace(());
        }
        // An error: there is no receiver.
        let _ = self.changes.send(change);
    }

    /// Sends a Message in the name of a Role to every Role and Peer that wants it.
    ///
    /// # Errors
    /// When it is not valid, or larger than the whole queue of a Role or Peer that wants it; then it goes to none.
    pub fn send(&self, role: &str, draft: &Draft<'_>) -> Result<Sent, SendError> {
        self.route(role, draft, false).map(|routed| match routed {
            Offered::Sent(sent) => sent,
            Offered::Full(_) => Sent::default(),
        })
    }

    /// Sends a Message as [`send`](Self::send) does, but only if nothing is dropped for it (in the
    /// sender's own queue aside: the sender would wait for itself).
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
            || draft.head(Arc::clone(&self.origin), role).map(|head| Route::own(directory, head)),
        )?;
        let Some(route) = own.get(at) else { return Ok(Offered::Sent(Sent::default())) };
        let weight = route.head.weight() + draft.data_len();
        route.check_size(weight)?;
        if wait && let Some(room) = route.wait_for_room(role, weight) {
            return Ok(Offered::Full(room));
        }
        let data = encode(draft, room);
        let message = Message::new(Arc::clone(&route.head), *sequence + 1, clock(), data)?;
        *sequence += 1;
        route.sent.fetch_add(1, Ordering::Relaxed);
        taps.show(&message);
        let mut sent = Sent { sequence: *sequence, ..Sent::default() };
        for role in &route.roles {
            sent.full |= role.inbox.push(message.clone()).unwrap_or_else(|_| {
                role.inbox.miss();
                false
            });
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
        let mut state = self.lock();
        let inbox = state.taps.open(interests, announced);
        self.announce(&state);
        inbox
    }

    /// Forgets taps whose inbox was dropped, and no longer asks Peers for what they wanted.
    pub fn drop_closed_taps(&self) {
        let mut state = self.lock();
        state.taps.forget_closed();
        self.announce(&state);
    }

    /// Messages that the Roles sent.
    pub fn sent(&self) -> u64 {
        self.lock().sequence
    }

    /// Messages that the Role of this name sent.
    pub fn sent_by(&self, role: &str) -> u64 {
        self.lock().directory.sent_by(role)
    }

    /// Messages that were refused, by reason.
    pub fn refused(&self) -> BTreeMap<Refused, u64> {
        self.lock().ingress.refused().clone()
    }

    /// Whether a line about this subject and cause may be logged now; if so, how many were not since the last one.
    pub fn may_warn(&self, subject: &str, cause: &'static str) -> Option<Suppressed> {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.allow((subject.to_owned(), cause))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The directory, to be changed: routes that were found in it before no longer hold.
    fn change_directory(&mut self) -> &mut Directory {
        self.own.clear();
        self.ingress.forget_routes();
        &mut self.directory
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

impl Dispatch for Router {
    fn receive(
        &self,
        source: &Source<'_>,
        messages: &mut Messages,
        turn: &mut Turn,
    ) -> Result<(Flow, u64), WireError> {
        let received = {
            let mut guard = self.lock();
            let State { directory, ingress, taps, .. } = &mut *guard;
            ingress.receive(source, messages, turn, directory, taps)?
        };
        if let Some(refusal) = received.refusal {
            refusal.log(source, messages.origin(), |peer, class| self.may_warn(peer, class));
        }
        Ok((received.flow, received.taken))
    }

    fn receive_too_large(&self, source: &Source<'_>) -> u64 {
        self.lock().ingress.receive_too_large(source)
    }

    fn largest(&self) -> usize {
        self.largest.load(Ordering::Relaxed)
    }

    fn set_interest(&self, peer: PeerId, interests: &[Interest]) {
        let mut state = self.lock();
        // A session may outlive its Peer, and then what it announces would stay for ever.
        if state.directory.has_peer(peer) {
            state.change_directory().set_interest(peer, interests);
        }
    }

    fn link_changed(&self, peer: &Peer) {
        self.changed(Change::Peer(peer.name().to_owned()));
    }

    fn complain(&self, peer: &str, error: &SessionError) {
        if let Some(more) = self.may_warn(peer, error.cause()) {
            warn!(class = error.cause(), peer, "refused: {error}{more}");
        }
    }

    fn interests(&self) -> watch::Receiver<Arc<[Interest]>> {
        self.interests.subscribe()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::ingress::tests::node;
    use super::*;
    use crate::config::{ConnectPolicy, Limits};
    use crate::message::Kind;

    #[test]
    fn a_peer_that_is_not_there_wants_nothing() {
        let origin = Arc::new(Origin { node: "clock".to_owned(), boot: 1 });
        let head = Draft::event("tick").head(Arc::clone(&origin), "timer").unwrap();
        let router = Router::new(origin);
        router.set_interest(1, &[Interest::any()]);
        assert!(router.lock().directory.peers_for(&head).is_empty());
    }

    #[test]
    fn a_message_goes_to_those_who_want_it_until_they_are_gone() {
        let origin = Arc::new(Origin { node: "clock".to_owned(), boot: 1 });
        let router = Router::new(origin);
        let inbox = Arc::new(Inbox::new(Limits::default()));
        let ticks = || vec![Interest::exactly(Kind::Event, "tick")];
        router.add_role(1, "bell", Arc::clone(&inbox), ticks(), false);
        let [own, other] = ["clock", "scribe"].map(|name| node(name, ConnectPolicy::OnDemand));
        let (peer, _commands) = Peer::new(7, &own, Arc::new(other), Limits::default());
        let peer = Arc::new(peer);
        router.add_peer(Arc::clone(&peer), &[]);
        let send = |message_type| router.send("timer", &Draft::event(message_type)).unwrap();

        let sent = send("tick");
        assert_eq!((sent.sequence, sent.roles, sent.peers, sent.unreachable), (1, 1, 0, 0));
        router.set_interest(7, &ticks());
        assert_eq!((send("tick").peers, send("tock").peers), (1, 0));
        assert_eq!((router.sent(), router.sent_by("timer"), router.sent_by("bell")), (3, 3, 0));
        router.remove_role(1);
        router.remove_peer(7);
        let sent = send("tick");
        assert_eq!((sent.sequence, sent.roles, sent.peers), (4, 0, 0));
        assert!(router.interests().borrow().is_empty());
        assert_eq!(inbox.counters().received, 2);
    }

    #[test]
    fn what_is_attached_misses_what_is_too_large_for_it_and_leaves_nothing_behind() {
        let router = Router::new(Arc::new(Origin { node: "clock".to_owned(), boot: 1 }));
        let inbox = |size| Arc::new(Inbox::new(Limits { length: 8, size }));
        let (large, small) = (inbox(1 << 20), inbox(1000));
        router.add_role(1, "archive", Arc::clone(&large), vec![Interest::any()], false);
        router.add_role(2, "guest", Arc::clone(&small), vec![Interest::any()], true);
        let data = "x".repeat(5000);
        router.send("guest", &Draft::event("t").data(&data.into())).unwrap();
        assert_eq!((large.counters().received, large.counters().dropped), (1, 0));
        assert_eq!((small.counters().received, small.counters().dropped), (1, 1));
        assert_eq!(router.sent_by("guest"), 1);
        router.remove_role(2);
        router.forget_role("guest");
        assert_eq!(router.sent_by("guest"), 0);
    }

    #[test]
    fn a_link_that_changes_is_announced_by_the_name_of_its_peer() {
        let router = Router::new(Arc::new(Origin { node: "clock".to_owned(), boot: 1 }));
        let [own, other] = ["clock", "scribe"].map(|name| node(name, ConnectPolicy::Constant));
        let (peer, _commands) = Peer::new(7, &own, Arc::new(other), Limits::default());
        let mut changes = router.changes();
        router.link_changed(&peer);
        assert!(matches!(changes.try_recv(), Ok(Change::Peer(name)) if name == "scribe"));
    }
}
