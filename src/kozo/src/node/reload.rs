//! Reload: another configuration, while the Node runs.
//!
//! What can fail is done first; then only what has changed is touched. Roles whose configuration is
//! the same run on, and links stay up unless what they depend on has changed. Each of those is replaced by
//! itself, and what was counted for its Peer goes on.

use std::sync::Arc;

use futures_util::future::join_all;
use tracing::info;

use super::listening::Built;
use super::router::Change;
use super::{Node, StartError, handshaker};
use crate::class;
use crate::config::{LocalNode, NodeConfig, TransportConfig};

/// What a reload has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Roles that were started, stopped or started again.
    pub roles: Vec<String>,
    /// Peers whose links were begun, ended or begun again.
    pub peers: Vec<String>,
    /// Transports that began or ceased to listen.
    pub transports: Vec<String>,
}

impl Node {
    /// Lets another configuration of the same Node hold from now on.
    ///
    /// # Errors
    /// When it cannot be applied; then the one before holds.
    pub async fn reload(&self, local: LocalNode) -> Result<Reloaded, StartError> {
        let _one_at_a_time = self.shared.operations.lock().await;
        let before = self.live().local.clone();
        let (old, new) = (Arc::clone(&before.config), Arc::clone(&local.config));
        if new.name != old.name {
            return Err(StartError::OtherNode(new.name.clone()));
        }
        let mut done = Reloaded::default();
        for role in &new.roles {
            if self.shared.deps.types.role(role).is_none() {
                let what = format!("role '{}'", role.name);
                return Err(StartError::UnknownType(what, role.role_type.clone()));
            }
        }
        // All links depend on who we are, on the options for links, and on the ways out of here.
        let same_self = new.public_key.key_data() == old.public_key.key_data()
            && new.options.suit_the_same_links(&old.options)
            && new.transports == old.transports
            && new.self_to_others == old.self_to_others
            && new.others_to_self == old.others_to_self;
        if !same_self {
            let transports = self.build(&new.transports, &local)?;
            let handshaker = handshaker(&local, &self.shared.router, &self.shared.deps)?;
            self.exchange_listeners(&transports, &before, &mut done).await?;
            let mut live = self.live();
            (live.transports, live.handshaker) = (transports, handshaker);
        }
        self.live().local = local.clone();
        let transports = self.live().transports.clone();
        join_all(transports.iter().map(|built| built.transport.renew(&local))).await;
        self.exchange_links(&before, &local, same_self, &mut done);
        self.exchange_roles(&old, &new, &mut done).await?;
        self.shared.router.changed(Change::Configuration);
        let changed = |names: &[String]| match names {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        info!(
            class = class::RELOADED,
            "reloaded; changed roles: {}; changed peers: {}; changed transports: {}",
            changed(&done.roles),
            changed(&done.peers),
            changed(&done.transports)
        );
        Ok(done)
    }

    /// Ceases to listen where that is not wanted any more, and begins where it is new. When it cannot
    /// begin, it listens as before.
    async fn exchange_listeners(
        &self,
        transports: &[Built],
        before: &LocalNode,
        done: &mut Reloaded,
    ) -> Result<(), StartError> {
        let wanted = |config: &TransportConfig| transports.iter().any(|new| new.config == *config);
        let all = std::mem::take(&mut self.live().acceptors);
        let (kept, ended): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|acceptor| wanted(&acceptor.config));
        self.live().acceptors = kept;
        let mut old = Vec::new();
        for acceptor in ended {
            old.push(acceptor.config.clone());
            acceptor.end().await;
        }
        let there = self.live().transports.clone();
        let gone = there.iter().filter(|built| !wanted(&built.config));
        join_all(gone.map(|built| built.transport.stop())).await;
        let listens = |built: &&Built| {
            !self.live().acceptors.iter().any(|acceptor| acceptor.config == built.config)
        };
        let new: Vec<_> = transports.iter().filter(listens).collect();
        let mut listening = Vec::new();
        for built in &new {
            match self.listen(built).await {
                Ok(listens) => listening.extend(listens),
                Err(error) => {
                    drop(listening);
                    join_all(new.iter().map(|built| built.transport.stop())).await;
                    join_all(there.iter().map(|built| built.transport.resume())).await;
                    for built in self.build(&old, before)? {
                        self.listen(&built).await?.into_iter().for_each(|old| self.accept(old));
                    }
                    return Err(error);
                }
            }
        }
        listening.into_iter().for_each(|new| self.accept(new));
        // One that nothing can connect to has no acceptor, and may be there as it was.
        let is_new = |built: &&&Built| !there.iter().any(|old| old.config == built.config);
        let names = old.iter().chain(new.iter().filter(is_new).map(|built| &built.config));
        done.transports = names.map(|config| config.name.clone()).collect();
        done.transports.sort();
        done.transports.dedup();
        Ok(())
    }

    fn exchange_links(
        &self,
        before: &LocalNode,
        now: &LocalNode,
        same_self: bool,
        done: &mut Reloaded,
    ) {
        let peers = |local: &LocalNode| -> Vec<Arc<NodeConfig>> {
            let others = local.system.nodes.iter().filter(|node| node.name != local.config.name);
            others.cloned().collect()
        };
        let (old, new) = (peers(before), peers(now));
        let same = |a: &NodeConfig, b: &NodeConfig| {
            a.name == b.name
                && a.public_key.key_data() == b.public_key.key_data()
                && a.transports == b.transports
                && a.self_to_others == b.self_to_others
                && a.others_to_self == b.others_to_self
        };
        for peer in &old {
            match new.iter().find(|other| other.name == peer.name) {
                Some(other) if same_self && same(other, peer) => continue,
                Some(other) => self.replace_link(other),
                None => {
                    self.drop_link(&peer.name);
                    self.shared.router.changed(Change::PeerRemoved(peer.name.clone()));
                }
            }
            done.peers.push(peer.name.clone());
        }
        for peer in &new {
            if old.iter().any(|other| other.name == peer.name) {
                continue;
            }
            // A Role may not wait for it: the Node is ready long ago.
            drop(self.add_link(peer));
            done.peers.push(peer.name.clone());
            self.shared.router.changed(Change::PeerAdded(peer.name.clone()));
        }
        let place = |name: &String| new.iter().position(|peer| peer.name == *name);
        self.live().links.sort_by_cached_key(|name, _| place(name));
    }

    async fn exchange_roles(
        &self,
        old: &NodeConfig,
        new: &NodeConfig,
        done: &mut Reloaded,
    ) -> Result<(), StartError> {
        let moved = old.role_storage != new.role_storage;
        let ended: Vec<_> =
            old.roles.iter().filter(|role| moved || !new.roles.contains(role)).collect();
        let names: Vec<_> = ended.iter().map(|role| role.name.clone()).collect();
        self.end_roles(&names).await;
        for role in ended {
            done.roles.push(role.name.clone());
            if !new.roles.iter().any(|other| other.name == role.name) {
                self.live().roles.shift_remove(&role.name);
                self.shared.router.changed(Change::RoleRemoved(role.name.clone()));
            }
        }
        for role in new.roles.iter().filter(|role| moved || !old.roles.contains(role)) {
            self.detach(&role.name).await;
            self.add_role(role)?;
            self.run_role(&role.name);
            if !old.roles.iter().any(|other| other.name == role.name) {
                done.roles.push(role.name.clone());
                self.shared.router.changed(Change::RoleAdded(role.name.clone()));
            }
        }
        // Behind them those that have attached themselves.
        let place = |name: &String| {
            new.roles.iter().position(|role| role.name == *name).unwrap_or(usize::MAX)
        };
        self.live().roles.sort_by_cached_key(|name, _| place(name));
        Ok(())
    }
}
