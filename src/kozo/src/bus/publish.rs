//! The objects of one connection: made, kept as the Node is, their changes announced.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use kozo_core::names::ROOT;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tracing::debug;
use zbus::Message;
use zbus::connection::{Builder, Connection};
use zbus::fdo::ObjectManager;
use zbus::object_server::Interface;

use super::accounts::Accounts;
use super::object::{self, Listed, Object, Status};
use crate::control::Control;
use crate::node::Change;
use crate::role::Host as _;
use crate::status::{NodeStatus, PeerStatus, RoleStatus};

/// A connection with all objects on it.
pub(super) struct Published {
    pub(super) connection: Connection,
    objects: Objects,
    changes: broadcast::Receiver<Change>,
    /// The Node as the other end of the connection knows it.
    known: Arc<NodeStatus>,
}

/// What objects are made of.
struct Objects {
    control: Arc<Control>,
    accounts: Arc<Accounts>,
}

impl Objects {
    fn live<S: Status>(&self, name: &str) -> Object<S> {
        Object::live(&self.control, &self.accounts, name)
    }

    fn snapshot<S: Status>(&self, status: Arc<S>) -> Object<S> {
        Object::snapshot(&self.control, &self.accounts, status)
    }

    fn serve<'b, S: Listed>(&self, builder: Builder<'b>, node: &NodeStatus) -> Builder<'b>
    where
        Object<S>: Interface,
    {
        let serve = |builder: Builder<'b>, status: &S| {
            builder.serve_at(S::path(status.name()), self.live::<S>(status.name()))
        };
        S::list(node).iter().fold(builder, serve)
    }
}

/// Makes a connection; all objects are there before a client can call them.
pub(super) async fn publish(
    builder: Builder<'_>,
    control: &Arc<Control>,
    accounts: &Arc<Accounts>,
) -> zbus::Result<Published> {
    // Before the Node is looked at, so that no change falls between.
    let changes = control.node.changes();
    let known = Arc::new(control.node.status());
    let objects = Objects { control: Arc::clone(control), accounts: Arc::clone(accounts) };
    let builder = builder.serve_at(ROOT, objects.live::<NodeStatus>(&known.name));
    let builder = builder.serve_at(ROOT, ObjectManager);
    let builder = objects.serve::<RoleStatus>(builder, &known);
    let builder = objects.serve::<PeerStatus>(builder, &known);
    Ok(Published { connection: builder.build().await?, objects, changes, known })
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
            problem = self.announce_changes() => debug!("changes cannot be announced: {problem}"),
        }
    }

    /// Announces changes until that fails.
    async fn announce_changes(&mut self) -> zbus::Error {
        loop {
            let done = match self.changes.recv().await {
                Ok(Change::Role(name)) => self.refresh::<RoleStatus>(&name).await,
                Ok(Change::Peer(name)) => self.refresh::<PeerStatus>(&name).await,
                // Any other change, or some were missed: look at everything.
                Ok(_) | Err(RecvError::Lagged(_)) => self.refresh_all().await,
                // The Node keeps the other end; it is gone.
                Err(RecvError::Closed) => return zbus::Error::Failure("no node".to_owned()),
            };
            if let Err(problem) = done {
                return problem;
            }
        }
    }

    /// Announces how a Role or a Peer changed.
    async fn refresh<S: Listed>(&mut self, name: &str) -> zbus::Result<()>
    where
        Object<S>: Interface,
    {
        // If it is gone, the change that says so is on its way.
        let Some(now) = S::current(&self.objects.control.node, name) else { return Ok(()) };
        let list = S::list_mut(Arc::make_mut(&mut self.known));
        let Some(known) = list.iter_mut().find(|known| known.name() == name) else {
            return self.refresh_all().await;
        };
        let before = mem::replace(known, now.clone());
        self.announce(Arc::new(before), Arc::new(now)).await
    }

    async fn refresh_all(&mut self) -> zbus::Result<()> {
        let now = Arc::new(self.objects.control.node.status());
        self.replace::<RoleStatus>(&now).await?;
        self.replace::<PeerStatus>(&now).await?;
        let before = mem::replace(&mut self.known, Arc::clone(&now));
        self.announce(before, now).await
    }

    /// Takes away the objects of Roles or Peers that are gone, makes those of new ones, announces how the others changed.
    async fn replace<S: Listed>(&self, now: &NodeStatus) -> zbus::Result<()>
    where
        Object<S>: Interface,
    {
        let server = self.connection.object_server();
        let (known, there) = (by_name::<S>(&self.known), by_name::<S>(now));
        for name in known.keys().filter(|name| !there.contains_key(*name)) {
            server.remove::<Object<S>, _>(S::path(name)).await?;
        }
        for status in S::list(now) {
            let name = status.name();
            match known.get(name) {
                Some(before) if *before == status => {}
                Some(before) => {
                    let (before, status) = (S::clone(before), S::clone(status));
                    self.announce(Arc::new(before), Arc::new(status)).await?;
                }
                None => {
                    server.at(S::path(name), self.objects.live::<S>(name)).await?;
                }
            }
        }
        Ok(())
    }

    async fn announce<S: Status>(&self, before: Arc<S>, now: Arc<S>) -> zbus::Result<()>
    where
        Object<S>: Interface,
    {
        let (before, now) = (self.objects.snapshot(before), self.objects.snapshot(now));
        object::announce(&self.connection, &before, &now).await
    }
}

fn by_name<S: Listed>(node: &NodeStatus) -> HashMap<&str, &S> {
    S::list(node).iter().map(|status| (status.name(), status)).collect()
}
