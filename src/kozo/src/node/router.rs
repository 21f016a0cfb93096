//! The router: from whoever sends a Message to everybody who wants it.
//!
//! All state is behind one lock that is never held while waiting. A Message is encoded once, here;
//! whatever it is put into (Roles' inboxes, Peers' queues, taps) shares the same bytes. Nothing here
//! blocks: a queue without room drops its oldest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tracing::warn;

use super::complaints::Complaints;
use crate::interest::{Interest, InterestIndex};
use crate::link::outgoing::Pushed;
use crate::link::{Exchange, Peer, PeerId};
use crate::message::{Draft, Message, Origin};
use crate::queue::Limits;
use crate::role::{Inbox, SendError, Sent};
use crate::transport::session::{Flow, SessionError};

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
    peers: Vec<Arc<Peer>>,
    roles: Vec<(String, Arc<Inbox>)>,
    state: Mutex<State>,
    interests: watch::Sender<Arc<[Interest]>>,
    complaints: Complaints,
}

#[derive(Default)]
struct State {
    counter: u64,
    by_role: InterestIndex<usize>,
    by_peer: InterestIndex<PeerId>,
    taps: Vec<(Weak<Inbox>, Vec<Interest>)>,
    /// The last Message of each Peer: its boot and its counter.
    seen: Vec<(u64, u64)>,
    refused: BTreeMap<Refused, u64>,
    sent_by_role: BTreeMap<String, u64>,
    found_roles: Vec<usize>,
    found_peers: Vec<PeerId>,
}

impl Router {
    /// Joins these Roles, with what they want, and these Peers, with what they are taken to want
    /// until they say so themselves.
    pub fn new(
        origin: Arc<Origin>,
        roles: Vec<(String, Arc<Inbox>, Vec<Interest>)>,
        peers: Vec<(Arc<Peer>, Vec<Interest>)>,
    ) -> Router {
        let mut state = State { seen: vec![(0, 0); peers.len()], ..State::default() };
        let mut all = Vec::new();
        for (number, (_, _, interests)) in roles.iter().enumerate() {
            state.by_role.set(number, interests);
            all.extend(
                interests.iter().filter(|new| !all.contains(*new)).cloned().collect::<Vec<_>>(),
            );
        }
        for (peer, assumed) in &peers {
            state.by_peer.set(peer.id, assumed);
        }
        Router {
            origin,
            peers: peers.into_iter().map(|(peer, _)| peer).collect(),
            roles: roles.into_iter().map(|(name, inbox, _)| (name, inbox)).collect(),
            state: Mutex::new(state),
            interests: watch::Sender::new(all.into()),
            complaints: Complaints::default(),
        }
    }

    /// This Node, in this run.
    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// All Peers, in the order of the configuration.
    pub fn peers(&self) -> &[Arc<Peer>] {
        &self.peers
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
        self.check_size(&message, state)?;
        state.counter = counter;
        match state.sent_by_role.get_mut(role) {
            Some(sent) => *sent += 1,
            None => drop(state.sent_by_role.insert(role.to_owned(), 1)),
        }
        let mut sent = Sent { counter, roles: 0, peers: 0, unreachable: 0, full: false };
        for inbox in state.found_roles.iter().filter_map(|number| self.inbox(*number)) {
            // Sizes were checked above.
            sent.full |= inbox.push(message.clone()).unwrap_or(false);
            sent.roles += 1;
        }
        for peer in state.found_peers.iter().filter_map(|id| self.peer(*id)) {
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

    fn check_size(&self, message: &Message, state: &State) -> Result<(), SendError> {
        let weight = message.body().len();
        let too_large = |limits: Limits, subscriber: String| {
            let size = limits.size;
            if weight > size {
                Err(SendError::TooLarge { weight, size, subscriber })
            } else {
                Ok(())
            }
        };
        for (name, inbox) in state.found_roles.iter().filter_map(|number| self.roles.get(*number)) {
            too_large(inbox.limits(), format!("role '{name}'"))?;
        }
        for peer in state.found_peers.iter().filter_map(|id| self.peer(*id)) {
            too_large(peer.outgoing.limits(), format!("peer '{}'", peer.name()))?;
        }
        Ok(())
    }

    /// Opens a view of the Messages that pass and match one of these.
    pub fn tap(&self, interests: Vec<Interest>) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox::new(TAP));
        self.lock().taps.push((Arc::downgrade(&inbox), interests));
        inbox
    }

    /// Closes all inboxes: Roles receive what is in them, and then nothing more.
    pub fn close_inboxes(&self) {
        for (_, inbox) in &self.roles {
            inbox.close();
        }
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

    fn inbox(&self, number: usize) -> Option<&Arc<Inbox>> {
        self.roles.get(number).map(|(_, inbox)| inbox)
    }

    fn peer(&self, id: PeerId) -> Option<&Arc<Peer>> {
        self.peers.get(usize::try_from(id).ok()?)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tap(&mut self, message: &Message) {
        self.taps.retain(|(tap, interests)| {
            let Some(tap) = tap.upgrade() else { return false };
            if interests.iter().any(|interest| interest.matches(message)) {
                // What is too large for a tap is not shown.
                let _ = tap.push(message.clone());
            }
            true
        });
    }

    fn refuse(&mut self, reason: Refused) {
        *self.refused.entry(reason).or_default() += 1;
    }

    /// Whether this is a Message that its origin sent after all those seen.
    fn is_new(&mut self, peer: PeerId, message: &Message) -> bool {
        let seen = usize::try_from(peer).ok().and_then(|peer| self.seen.get_mut(peer));
        let Some((boot, counter)) = seen else { return false };
        if *boot == message.origin().boot && message.counter() <= *counter {
            return false;
        }
        (*boot, *counter) = (message.origin().boot, message.counter());
        true
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
        for inbox in state.found_roles.iter().filter_map(|number| self.inbox(*number)) {
            match inbox.push(message.clone()) {
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
                peer = peer.name(),
                "refused a message in the name of '{claimed}' ({more} more before)"
            );
        }
    }

    fn set_interest(&self, peer: PeerId, interests: &[Interest]) {
        self.lock().by_peer.set(peer, interests);
    }

    fn complain(&self, peer: &str, error: &SessionError) {
        if let Some(more) = self.complaints.may_say(peer, error.cause()) {
            warn!(peer, "refused: {error} ({more} more before)");
        }
    }

    fn interests(&self) -> watch::Receiver<Arc<[Interest]>> {
        self.interests.subscribe()
    }
}
