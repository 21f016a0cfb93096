//! The objects of one connection: made, kept as the Node is, and told of.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tracing::debug;
use zbus::Message;
use zbus::connection::{Builder, Connection};
use zbus::fdo::ObjectManager;
use zbus::object_server::SignalEmitter;

use super::accounts::Accounts;
use super::node_object::{self, NodeObject};
use super::peer_object::{self, PeerObject};
use super::role_object::{self, RoleObject};
use super::values::{self, Values};
use crate::control::Control;
use crate::node::Change;
use crate::role::Host as _;
use crate::status::{PeerStatus, RoleStatus};
use kozo_core::names::{ROOT, peer_path, role_path};

/// A connection with all objects on it.
pub(super) struct Published {
    pub(super) connection: Connection,
    control: Arc<Control>,
    accounts: Arc<Accounts>,
    changes: broadcast::Receiver<Change>,
    node: Values,
    roles: BTreeMap<String, Values>,
    peers: BTreeMap<String, Values>,
}

/// Makes a connection; all objects are there before anybody can call them.
pub(super) async fn publish(
    builder: Builder<'_>,
    control: &Arc<Control>,
    accounts: &Arc<Accounts>,
) -> zbus::Result<Published> {
    // Before the Node is looked at, so that no change falls between.
    let changes = control.node.changes();
    let status = control.node.status();
    let node_object = NodeObject { control: Arc::clone(control), accounts: Arc::clone(accounts) };
    let mut builder = builder.serve_at(ROOT, node_object).serve_at(ROOT, ObjectManager);
    let (mut roles, mut peers) = (BTreeMap::new(), BTreeMap::new());
    for role in &status.roles {
        builder =
            builder.serve_at(role_path(&role.name), role_object(control, accounts, &role.name));
        roles.insert(role.name.clone(), role_object::values(role));
    }
    for peer in &status.peers {
        builder =
            builder.serve_at(peer_path(&peer.name), peer_object(control, accounts, &peer.name));
        peers.insert(peer.name.clone(), peer_object::values(peer));
    }
    Ok(Published {
        connection: builder.build().await?,
        control: Arc::clone(control),
        accounts: Arc::clone(accounts),
        changes,
        node: node_object::values(&status),
        roles,
        peers,
    })
}

fn role_object(control: &Control, accounts: &Arc<Accounts>, name: &str) -> RoleObject {
    RoleObject { node: control.node.clone(), accounts: Arc::clone(accounts), name: name.to_owned() }
}

fn peer_object(control: &Control, accounts: &Arc<Accounts>, name: &str) -> PeerObject {
    PeerObject { node: control.node.clone(), accounts: Arc::clone(accounts), name: name.to_owned() }
}

/// Sends until that fails.
async fn send(connection: &Connection, mut to_send: mpsc::Receiver<Message>) {
    while let Some(message) = to_send.recv().await {
        if connection.send(&message).await.is_err() {
            return;
        }
    }
}

impl Published {
    /// Keeps the objects as the Node is until the connection is closed, and sends what else is to be sent.
    pub(super) async fn follow(mut self, to_send: mpsc::Receiver<Message>) {
        let connection = self.connection.clone();
        tokio::select! {
            () = connection.closed() => {}
            () = send(&connection, to_send) => {}
            problem = self.tell() => debug!("nobody can be told of changes: {problem}"),
        }
    }

    /// Tells of changes until that fails.
    async fn tell(&mut self) -> zbus::Error {
        loop {
            let done = match self.changes.recv().await {
                Ok(Change::Role(name)) => match self.control.node.role_status(&name) {
                    Some(role) => self.role(&role).await,
                    None => Ok(()),
                },
                Ok(Change::Peer(name)) => match self.control.node.peer_status(&name) {
                    Some(peer) => self.peer(&peer).await,
                    None => Ok(()),
                },
                // Whatever else it is, and whatever was missed: look at everything.
                Ok(_) | Err(RecvError::Lagged(_)) => self.everything().await,
                // The Node keeps the other end; it is gone.
                Err(RecvError::Closed) => return zbus::Error::Failure("no node".to_owned()),
            };
            if let Err(problem) = done {
                return problem;
            }
        }
    }

    async fn everything(&mut self) -> zbus::Result<()> {
        let status = self.control.node.status();
        let server = self.connection.object_server();
        let gone = |known: &BTreeMap<String, Values>, is_there: &dyn Fn(&str) -> bool| {
            known.keys().filter(|name| !is_there(name)).cloned().collect::<Vec<_>>()
        };
        let is_role = |name: &str| status.roles.iter().any(|role| role.name == name);
        for name in gone(&self.roles, &is_role) {
            server.remove::<RoleObject, _>(role_path(&name)).await?;
            self.roles.remove(&name);
        }
        let is_peer = |name: &str| status.peers.iter().any(|peer| peer.name == name);
        for name in gone(&self.peers, &is_peer) {
            server.remove::<PeerObject, _>(peer_path(&name)).await?;
            self.peers.remove(&name);
        }
        for role in &status.roles {
            self.role(role).await?;
        }
        for peer in &status.peers {
            self.peer(peer).await?;
        }
        let now = node_object::values(&status);
        let emitter = SignalEmitter::new(&self.connection, ROOT)?;
        values::tell(&emitter, node_object::INTERFACE, &self.node, &now).await?;
        self.node = now;
        Ok(())
    }

    async fn role(&mut self, status: &RoleStatus) -> zbus::Result<()> {
        let (path, now) = (role_path(&status.name), role_object::values(status));
        match self.roles.get(&status.name) {
            Some(before) => {
                let emitter = SignalEmitter::new(&self.connection, path)?;
                values::tell(&emitter, role_object::INTERFACE, before, &now).await?;
            }
            None => {
                let object = role_object(&self.control, &self.accounts, &status.name);
                self.connection.object_server().at(path, object).await?;
            }
        }
        self.roles.insert(status.name.clone(), now);
        Ok(())
    }

    async fn peer(&mut self, status: &PeerStatus) -> zbus::Result<()> {
        let (path, now) = (peer_path(&status.name), peer_object::values(status));
        match self.peers.get(&status.name) {
            Some(before) => {
                let emitter = SignalEmitter::new(&self.connection, path)?;
                values::tell(&emitter, peer_object::INTERFACE, before, &now).await?;
            }
            None => {
                let object = peer_object(&self.control, &self.accounts, &status.name);
                self.connection.object_server().at(path, object).await?;
            }
        }
        self.peers.insert(status.name.clone(), now);
        Ok(())
    }
}
