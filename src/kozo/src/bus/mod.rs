//! The D-Bus control plane: the Node, its Roles and its Peers as objects that tools see and drive.
//!
//! The same objects are served on the system bus, if there is one, and peer to peer on the Node's own
//! control socket, always. [`system`] and [`socket`] make the connections; [`publish`] puts the objects on one and
//! announces their changes. The objects are thin ([`node_object`], [`role_object`], [`peer_object`], and [`object`]
//! with what they share); a method that does more than look asks [`access`] first. [`accounts`] bounds what the Node
//! keeps for its callers, before zbus reads a call ([`gate`]). Monitored Messages do not go over the bus: [`monitor`]
//! writes them to a descriptor. Programs attach themselves as Roles at a socket beside the control socket ([`attach`]), where D-Bus
//! is not spoken. What the introspection does not tell stands in `dbus/`.

mod access;
mod accounts;
mod attach;
mod data;
mod error;
mod gate;
mod monitor;
mod node_object;
mod object;
mod options;
mod peer_object;
mod polkit;
mod publish;
mod role_object;
mod socket;
mod system;

use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::warn;

use crate::control::Control;
use crate::role::Host as _;

/// How long the start of the Node waits for the system bus.
const READY: Duration = Duration::from_secs(5);

/// Where clients reach a Node.
#[derive(Default)]
pub struct Endpoints {
    /// The control socket that systemd has passed, to be used instead of one of its own.
    pub socket: Option<UnixListener>,
    /// The socket at which programs attach themselves, likewise.
    pub role_socket: Option<UnixListener>,
    /// Address of the system bus; the usual one, if none is given.
    pub system_bus: Option<String>,
}

/// The control plane of a Node; gone when dropped.
pub struct Bus {
    // Ends its tasks when dropped.
    _tasks: JoinSet<()>,
    _socket: Option<socket::SocketGuard>,
}

/// Serves the control plane of a Node, on its control socket and on the system bus. When this returns,
/// both are up, or the log says why one is not. The Node itself needs neither.
pub async fn start(control: Control, endpoints: Endpoints) -> Bus {
    let control = Arc::new(control);
    let accounts = Arc::new(accounts::Accounts::new());
    let mut tasks = JoinSet::new();
    let listening = match endpoints.socket {
        Some(listener) => socket::adopt(listener).map(|listener| (listener, None)),
        None => socket::bind(control.node.node_name()),
    };
    let guard = match listening {
        Ok((listener, guard)) => {
            tasks.spawn(socket::serve(listener, Arc::clone(&control), Arc::clone(&accounts)));
            match attach::listen(endpoints.role_socket, guard.as_ref()) {
                Ok(listener) => {
                    tasks.spawn(attach::serve(
                        listener,
                        control.node.clone(),
                        Arc::clone(&accounts),
                    ));
                }
                Err(problem) => warn!("programs cannot attach: {problem}"),
            }
            guard
        }
        Err(problem) => {
            warn!("no control socket: {problem}");
            None
        }
    };
    let (ready, is_ready) = oneshot::channel();
    tasks.spawn(system::serve(control, accounts, endpoints.system_bus, ready));
    // The task drops its end when it gives up.
    let _ = timeout(READY, is_ready).await;
    Bus { _tasks: tasks, _socket: guard }
}
