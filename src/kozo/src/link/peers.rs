//! All other Nodes of the System, by name.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use ssh_key::PublicKey;

use super::peer::Peer;
use crate::message::Origin;

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
