//! Where Messages go: found once for each head, and remembered until the directory changes.
//!
//! A Role that sends the same thing over and over, or a Peer that does, costs one comparison for each
//! Message; another head that was seen before, one look into a table.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::directory::{Directory, Subscriber};
use crate::link::Peer;
use crate::message::Head;
use crate::queue::{Limits, Room};
use crate::role::SendError;

/// Heads that are remembered at most. Peers choose them, so there is a bound; at it all are forgotten.
const MOST: usize = 1024;

/// Where Messages with one head go.
pub(super) struct Route {
    pub(super) head: Arc<Head>,
    /// Roles of this Node.
    pub(super) roles: Vec<Arc<Subscriber>>,
    /// Peers. Messages that came from a Peer go to none.
    pub(super) peers: Vec<Arc<Peer>>,
    /// Messages that the Role has sent whose name is in the head, if it is one of this Node.
    pub(super) sent: Arc<AtomicU64>,
}

impl Route {
    /// Where Messages with this head go that a Role of this Node sends.
    pub(super) fn own(directory: &mut Directory, head: Head) -> Route {
        let (peers, sent) = (directory.peers_for(&head), directory.sent_counter(head.role()));
        Route { peers, sent, ..Route::foreign(directory, Arc::new(head)) }
    }

    /// Where Messages with this head go that came from a Peer.
    pub(super) fn foreign(directory: &Directory, head: Arc<Head>) -> Route {
        let roles = directory.roles_for(&head);
        Route { head, roles, peers: Vec::new(), sent: Arc::default() }
    }

    /// Refuses a Message of this weight if it is larger than the whole queue of a Role or Peer that wants it; what has
    /// attached itself does not count.
    pub(super) fn check_size(&self, weight: usize) -> Result<(), SendError> {
        if weight <= self.most() {
            return Ok(());
        }
        let roles = self.strict().map(|role| (role.inbox.limits(), "role", &*role.name));
        let peers = self.peers.iter().map(|peer| (peer.outgoing.limits(), "peer", peer.name()));
        match roles.chain(peers).find(|(limits, ..)| weight > limits.size) {
            None => Ok(()),
            Some((Limits { size, .. }, what, name)) => {
                Err(SendError::TooLarge { weight, size, subscriber: format!("{what} '{name}'") })
            }
        }
    }

    /// The Roles whose queues are to have room for each Message that they want.
    fn strict(&self) -> impl Iterator<Item = &Subscriber> {
        self.roles.iter().map(|role| &**role).filter(|role| !role.is_attached)
    }

    /// Bytes that a Message may count for: the bound of the smallest queue.
    fn most(&self) -> usize {
        let roles = self.strict().map(|role| role.inbox.limits().size);
        let peers = self.peers.iter().map(|peer| peer.outgoing.limits().size);
        roles.chain(peers).min().unwrap_or(usize::MAX)
    }

    /// What to wait for before no queue has to drop another Message for one of this weight. That of the sender
    /// does not count.
    pub(super) fn wait_for_room(&self, sender: &str, weight: usize) -> Option<Room> {
        let mut roles = self.roles.iter().filter(|role| role.name != sender);
        roles
            .find_map(|role| role.inbox.wait_for_room(weight))
            .or_else(|| self.peers.iter().find_map(|peer| peer.outgoing.wait_for_room(weight)))
    }
}

/// The routes that were found since the directory changed.
#[derive(Default)]
pub(super) struct Routes {
    routes: Vec<Route>,
    /// By the hash of what they are for. Two with the same one take turns.
    by_hash: HashMap<u64, usize>,
    /// The one that was used last.
    last: usize,
}

impl Routes {
    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.routes.clear();
        self.by_hash.clear();
    }

    /// The place of the route that `fits`, made if it is not known. `hash` is that of what it is for.
    pub(super) fn find<E>(
        &mut self,
        fits: impl Fn(&Route) -> bool,
        hash: impl FnOnce() -> u64,
        make: impl FnOnce() -> Result<Route, E>,
    ) -> Result<usize, E> {
        if self.routes.get(self.last).is_some_and(&fits) {
            return Ok(self.last);
        }
        let hash = hash();
        let known = self.by_hash.get(&hash).copied();
        if let Some(at) = known.filter(|at| self.routes.get(*at).is_some_and(&fits)) {
            self.last = at;
            return Ok(at);
        }
        let route = make()?;
        if self.routes.len() >= MOST {
            self.clear();
        }
        self.last = self.routes.len();
        self.routes.push(route);
        self.by_hash.insert(hash, self.last);
        Ok(self.last)
    }

    /// The route at this place.
    pub(super) fn get(&self, at: usize) -> Option<&Route> {
        self.routes.get(at)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::message::{Draft, Origin};

    fn route(message_type: &str) -> Route {
        let origin = Arc::new(Origin { node: "clock".to_owned(), boot: 1 });
        let head = Arc::new(Draft::event(message_type).head(origin, "timer").unwrap());
        Route { head, roles: Vec::new(), peers: Vec::new(), sent: Arc::default() }
    }

    fn find(routes: &mut Routes, message_type: &str, hash: u64, made: &mut usize) -> String {
        let make = || {
            *made += 1;
            Ok::<_, ()>(route(message_type))
        };
        let fits = |route: &Route| route.head.message_type() == message_type;
        let at = routes.find(fits, || hash, make).unwrap();
        routes.get(at).unwrap().head.message_type().to_owned()
    }

    #[test]
    fn each_is_made_once_and_those_with_one_hash_are_told_apart() {
        let (mut routes, mut made) = (Routes::default(), 0);
        for (message_type, hash) in [("a", 1), ("a", 1), ("b", 2), ("a", 1), ("b", 2)] {
            assert_eq!(find(&mut routes, message_type, hash, &mut made), message_type);
        }
        assert_eq!(made, 2);
        assert_eq!(find(&mut routes, "c", 1, &mut made), "c");
        assert_eq!(find(&mut routes, "a", 1, &mut made), "a");
        assert_eq!(made, 4);
        routes.clear();
        assert_eq!(find(&mut routes, "b", 2, &mut made), "b");
        assert_eq!(made, 5);
    }

    #[test]
    fn there_is_a_bound() {
        let (mut routes, mut made) = (Routes::default(), 0);
        for number in 0..3 * MOST as u64 {
            find(&mut routes, &number.to_string(), number, &mut made);
            assert!(routes.routes.len() <= MOST && routes.by_hash.len() <= MOST);
        }
    }
}
