//! Who is there, and who wants what.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::interest::{Interest, InterestIndex};
use crate::link::{Peer, PeerId};
use crate::message::Head;
use crate::role::Inbox;

/// Number of a Role in this run of the daemon.
pub(in crate::node) type RoleId = u64;

/// A Role as the router sees it.
pub(super) struct Subscriber {
    pub(super) name: String,
    pub(super) inbox: Arc<Inbox>,
    pub(super) interests: Vec<Interest>,
    /// Whether it has attached itself. What is too large for its queue it misses: no configuration says what it must get.
    pub(super) is_attached: bool,
}

/// The Roles of this Node and its Peers.
#[derive(Default)]
pub(super) struct Directory {
    roles: BTreeMap<RoleId, Arc<Subscriber>>,
    peers: BTreeMap<PeerId, Arc<Peer>>,
    by_role: InterestIndex<RoleId>,
    by_peer: InterestIndex<PeerId>,
    sent_by_role: BTreeMap<String, Arc<AtomicU64>>,
}

impl Directory {
    /// Adds a Role with what it wants.
    pub(super) fn add_role(&mut self, id: RoleId, subscriber: Subscriber) {
        self.by_role.set(id, &subscriber.interests);
        self.roles.insert(id, Arc::new(subscriber));
    }

    /// Sets what a Role wants; says no if it is not there, or wanted just that.
    pub(super) fn set_interests(&mut self, id: RoleId, interests: Vec<Interest>) -> bool {
        let Some(role) = self.roles.get_mut(&id).filter(|role| role.interests != interests) else {
            return false;
        };
        self.by_role.set(id, &interests);
        let Subscriber { name, inbox, is_attached, .. } = &**role;
        *role = Arc::new(Subscriber {
            name: name.clone(),
            inbox: Arc::clone(inbox),
            interests,
            is_attached: *is_attached,
        });
        true
    }

    /// Removes a Role.
    pub(super) fn remove_role(&mut self, id: RoleId) {
        self.by_role.remove(id);
        self.roles.remove(&id);
    }

    /// Forgets how many Messages the Role of this name sent.
    pub(super) fn forget_sent(&mut self, role: &str) {
        self.sent_by_role.remove(role);
    }

    /// Adds a Peer, with what it is taken to want until it says so itself.
    pub(super) fn add_peer(&mut self, peer: Arc<Peer>, assumed: &[Interest]) {
        self.by_peer.set(peer.id, assumed);
        self.peers.insert(peer.id, peer);
    }

    /// Puts another configuration of a Peer in the place of the one that is there. The Peer wants what it wanted.
    pub(super) fn replace_peer(&mut self, peer: Arc<Peer>) {
        self.peers.insert(peer.id, peer);
    }

    /// Removes a Peer.
    pub(super) fn remove_peer(&mut self, id: PeerId) {
        self.by_peer.remove(id);
        self.peers.remove(&id);
    }

    /// Whether the Peer is there.
    pub(super) fn has_peer(&self, id: PeerId) -> bool {
        self.peers.contains_key(&id)
    }

    /// Sets what a Peer wants.
    pub(super) fn set_interest(&mut self, peer: PeerId, interests: &[Interest]) {
        self.by_peer.set(peer, interests);
    }

    /// All Roles.
    pub(super) fn roles(&self) -> impl Iterator<Item = &Subscriber> {
        self.roles.values().map(|role| &**role)
    }

    /// The Roles that want Messages with this head.
    pub(super) fn roles_for(&self, head: &Head) -> Vec<Arc<Subscriber>> {
        let mut found = Vec::new();
        self.by_role.find(head, &mut found);
        found.iter().filter_map(|id| self.roles.get(id)).cloned().collect()
    }

    /// The Peers that want Messages with this head.
    pub(super) fn peers_for(&self, head: &Head) -> Vec<Arc<Peer>> {
        let mut found = Vec::new();
        self.by_peer.find(head, &mut found);
        found.iter().filter_map(|id| self.peers.get(id)).cloned().collect()
    }

    /// Where the Messages are counted that the Role of this name sends.
    pub(super) fn sent_counter(&mut self, role: &str) -> Arc<AtomicU64> {
        match self.sent_by_role.get(role) {
            Some(sent) => Arc::clone(sent),
            None => Arc::clone(self.sent_by_role.entry(role.to_owned()).or_default()),
        }
    }

    /// Messages that the Role of this name sent.
    pub(super) fn sent_by(&self, role: &str) -> u64 {
        self.sent_by_role.get(role).map_or(0, |sent| sent.load(Ordering::Relaxed))
    }
}
