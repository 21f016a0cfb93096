//! The Node on the system bus.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tracing::{error, info, warn};
use zbus::fdo::{self, DBusProxy, RequestNameFlags, RequestNameReply};
use zbus::names::WellKnownName;
use zbus::{Address, Connection, Message};

use super::accounts::Accounts;
use super::gate::{self, Authenticator, Callers};
use super::publish::{Published, publish};
use crate::control::Control;
use crate::role::Host as _;
use kozo_core::names::{SHARED_NAME, bus_name};
use kozo_core::pauses::Pauses;

/// Pauses before a bus that was lost is tried again.
const PAUSES: Pauses = Pauses::new(Duration::from_secs(1), Duration::from_secs(60));

/// Serves the Node on the system bus, at this address or the usual one, for as long as there is a bus. Drops
/// `ready` once it knows whether there is one.
pub(super) async fn serve(
    control: Arc<Control>,
    accounts: Arc<Accounts>,
    address: Option<String>,
    ready: oneshot::Sender<()>,
) {
    let mut ready = Some(ready);
    let mut pauses = PAUSES;
    loop {
        match connect(&control, &accounts, address.as_deref()).await {
            Ok(On { published, to_send, asker }) => {
                // The objects are there: now they may be found.
                if !take_name(&published.connection, control.node.node_name()).await {
                    return;
                }
                ready = None;
                pauses.reset();
                tokio::select! {
                    () = published.follow(to_send) => {}
                    () = asker.closed() => {}
                }
                warn!("lost the system bus; reconnecting");
            }
            Err(problem) if ready.is_some() => {
                info!("no system bus; reachable by the control socket only: {problem}");
                return;
            }
            // It was there once, and comes back when it does.
            Err(_) => {}
        }
        sleep(pauses.after_failure()).await;
    }
}

/// What there is of a Node on the bus.
struct On {
    published: Published,
    to_send: mpsc::Receiver<Message>,
    asker: Connection,
}

/// Makes two connections to the bus: one with the objects, and one to ask about those who call them.
async fn connect(
    control: &Arc<Control>,
    accounts: &Arc<Accounts>,
    address: Option<&str>,
) -> zbus::Result<On> {
    let address = address.map_or_else(Address::system, Address::try_from)?;
    let (asker, _) = gate::connect(&address, Authenticator::Closed, accounts).await?;
    let asker = asker.build().await?;
    let authenticator = Authenticator::Bus(Callers::new(asker.clone()));
    let (builder, to_send) = gate::connect(&address, authenticator, accounts).await?;
    Ok(On { published: publish(builder, control, accounts).await?, to_send, asker })
}

/// Asks for the Node's names; whether it makes sense to stay on the bus.
async fn take_name(connection: &Connection, node: &str) -> bool {
    let name = bus_name(node);
    // First, so that every client that finds the Node may speak to it.
    let shared = join_shared_name(connection).await;
    // Without the flag not to queue: when its owner goes, the bus gives the name to the next in the queue.
    let reply = connection.request_name_with_flags(&*name, RequestNameFlags::empty());
    match reply.await {
        Ok(RequestNameReply::InQueue | RequestNameReply::Exists) => {
            error!(
                "another program owns the name {name} on the system bus, probably another \
                 daemon of node '{node}': until it ends, this one is reachable by its control socket only"
            );
            true
        }
        Ok(_) => {
            info!("on the system bus as {name}");
            if let Err(problem) = shared {
                warn!(
                    "the system bus does not let this user own the name {SHARED_NAME}, so its policy \
                     may keep other users from querying this node: {problem}"
                );
            }
            true
        }
        Err(zbus::Error::FDO(problem)) if matches!(*problem, fdo::Error::AccessDenied(_)) => {
            info!("not on the system bus: its policy does not let this user own the name {name}");
            false
        }
        Err(problem) => {
            warn!("not on the system bus, which refuses the name {name}: {problem}");
            false
        }
    }
}

/// Queues for the name that all Nodes share.
async fn join_shared_name(connection: &Connection) -> zbus::Result<()> {
    // Not through the connection, which would follow who has it: that makes no difference.
    let bus = DBusProxy::new(connection).await?;
    let name = WellKnownName::from_static_str(SHARED_NAME)?;
    bus.request_name(name, RequestNameFlags::empty()).await?;
    Ok(())
}
