//! The control plane: a Node over its control socket and over a bus.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod announcements;
mod descriptors;
#[path = "../kit/mod.rs"]
mod kit;
mod limits;
mod messages;
mod namesakes;
mod objects;
mod permission;
mod private_bus;
mod service;

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

use kit::{Running, TestSystem};
use kozo::bus::{Bus, Endpoints};
use kozo::control::Control;
use kozo::node::Types;
use kozo_client::{Client, Lookup};
use tempfile::TempDir;
use tokio::time::timeout;

/// Long enough for the slowest machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// A Node in this process with its control plane.
struct Served {
    running: Running,
    socket: PathBuf,
    role_socket: PathBuf,
    bus: Option<Bus>,
    _folder: TempDir,
}

impl Served {
    /// With a control socket and one for Roles, and on the bus at this address.
    async fn start(system: &TestSystem, name: &str, system_bus: &str) -> Served {
        let running = system.start(name).await;
        let folder = tempfile::tempdir().unwrap();
        let [socket, role_socket] = ["bus", "role"].map(|name| folder.path().join(name));
        let control = Control {
            node: running.node.clone(),
            config: "/etc/kozo/kozo.yml".into(),
            types: Types::built_in(),
        };
        let entrances = Endpoints {
            role_socket: Some(UnixListener::bind(&role_socket).unwrap()),
            socket: Some(UnixListener::bind(&socket).unwrap()),
            system_bus: Some(system_bus.to_owned()),
        };
        let bus = kozo::bus::start(control, entrances).await;
        Served { running, socket, role_socket, bus: Some(bus), _folder: folder }
    }

    /// With its sockets only.
    async fn alone(system: &TestSystem, name: &str) -> Served {
        Served::start(system, name, NO_BUS).await
    }

    async fn client(&self) -> Client {
        Client::at_socket(&self.socket).await.unwrap()
    }
}

/// The address of a bus that is not there.
const NO_BUS: &str = "unix:path=/nonexistent/bus";

/// Looks for Nodes on this bus only.
fn on_bus(address: &str) -> Lookup {
    Lookup { system_bus: Some(address.to_owned()), folders: Vec::new() }
}

/// The result of what must not take long.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("it takes too long")
}
