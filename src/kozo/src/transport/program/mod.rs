//! Transports that are programs: the protocol of kozo-transport(7), and what keeps such a program running.
//!
//! A [`ProgramTransport`] has one process, from the first time that it is used on. [`supervision`] starts it, again and again
//! with pauses; [`session`] is one run of it: what the Node asks ([`requests`]), what the program says ([`reading`]), with the
//! descriptors that come with that ([`descriptors`]). Streams are handed over as sockets ([`socket`]), come in over a socket of
//! the Node ([`accept`]), or are made by a command ([`proxy`]); the Node reads and writes them itself, so they go on when the
//! program ends.

mod accept;
mod descriptors;
mod keys;
mod proxy;
mod reading;
mod requests;
mod session;
mod setup;
mod shared;
mod socket;
mod supervision;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rmpv::Value;
use ssh_key::PrivateKey;
use tokio::sync::mpsc;

use super::{Connection, Found, Listener, Priority, Target, Transport};
use crate::BoxFuture;
use crate::config::programs::TransportTraits;
use crate::config::{System, TransportConfig};
use crate::process::Launcher;
use crate::rpc::output::object;
use crate::status::TransportStatus;
use requests::{Connected, Requests};
use shared::{Run, Shared};
use supervision::Supervisor;

/// Version of the protocol that is spoken here.
pub const PROTOCOL: u32 = 1;

/// Addresses of a Peer's Transport that have time to be tried, each as long as it may take.
const TRIED: u32 = 3;

/// How long the program may take besides: until it has started, and to say where it connects to.
const BESIDES: Duration = Duration::from_secs(15);

/// Streams that came in and wait to be accepted.
const BACKLOG: usize = 16;

/// All that a Transport has to know to be one.
#[derive(Debug)]
pub struct Setup {
    /// Its name.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// How much it is to be preferred.
    pub priority: Priority,
    /// Whether it can be connected to.
    pub can_accept: bool,
    /// Whether it says itself who the Peer is, and encrypts.
    pub authenticates: bool,
    /// The types of Transports that it can connect to; `*` is all.
    pub connects_to: Vec<String>,
    /// How long it may take to connect to one address.
    pub connect_timeout: Duration,
    /// Variables of its environment besides the usual ones.
    pub environment: Vec<(OsString, OsString)>,
    /// Bytes of memory that each of its processes may take.
    pub memory_limit: u64,
    /// What starts it.
    pub launcher: Launcher,
    /// What `start` says, as an object, but for `accept`, `protocol` and `features`.
    pub start: serde_json::Map<String, serde_json::Value>,
    /// The Node's key, for signatures.
    pub key: Arc<PrivateKey>,
    /// The System, for the keys of other Nodes.
    pub system: Arc<System>,
    /// Where its accept socket is made, if it is to have one: the path of a file that is not there.
    pub accept: Option<PathBuf>,
}

/// A Transport that is a program. Dropped, it ends the program at once.
pub struct ProgramTransport {
    shared: Arc<Shared>,
    supervisor: Mutex<Option<Supervisor>>,
}

impl ProgramTransport {
    /// Not yet running: the program is started when it is first used.
    pub fn new(setup: Setup) -> Arc<ProgramTransport> {
        let shared = Arc::new(Shared::new(setup));
        Arc::new(ProgramTransport { shared, supervisor: Mutex::default() })
    }

    /// Lets the program run from now on, if it does not yet.
    fn begin(&self) {
        let mut supervisor = self.lock();
        if supervisor.is_none() {
            *supervisor = Some(Supervisor::begin(&self.shared));
        }
    }

    /// The program, once it runs.
    async fn requests(&self) -> io::Result<Arc<Requests>> {
        self.begin();
        let mut run = self.shared.run.subscribe();
        loop {
            match &*run.borrow_and_update() {
                Run::Starting => {}
                Run::Running(requests) => return Ok(Arc::clone(requests)),
                Run::Failed(problem) => {
                    return Err(io::Error::other(format!("its program has failed: {problem}")));
                }
                Run::Stopped => return Err(io::Error::other("its program was stopped")),
            }
            run.changed().await.map_err(io::Error::other)?;
        }
    }

    async fn connect_to(&self, target: &Target) -> io::Result<Connection> {
        let requests = self.requests().await?;
        let told = told(target)?;
        if !requests.can_connect(object(told.clone())).await? {
            return Err(io::Error::other("its program cannot connect to that"));
        }
        let addresses = requests.addresses(object(told.clone())).await?;
        let mut problems = Vec::new();
        for (index, address) in addresses.into_iter().enumerate() {
            let params =
                told.iter().cloned().chain([("address", address), ("index", index.into())]);
            match self.connect_at(&requests, object(params), target).await {
                Ok(connection) => return Ok(connection),
                Err(problem) => problems.push(problem.to_string()),
            }
        }
        Err(io::Error::other(match problems.is_empty() {
            true => "its program knows no address of that".to_owned(),
            false => problems.join("; "),
        }))
    }

    async fn connect_at(
        &self,
        requests: &Requests,
        params: Value,
        target: &Target,
    ) -> io::Result<Connection> {
        let limit = self.shared.setup.connect_timeout;
        match requests.connect(params, limit).await? {
            Connected::Stream(described) => self.shared.connection(described, &target.address),
            Connected::Proxy(command) => {
                // A command does not say who is at the other end.
                self.shared.vouched(None)?;
                let connecting = proxy::connect(&self.shared, command, &target.address);
                let timed_out = || io::Error::other("the proxyCommand took too long");
                tokio::time::timeout(limit, connecting).await.map_err(|_| timed_out())?
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Supervisor>> {
        self.supervisor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a program is told of where it is to connect to.
fn told(target: &Target) -> io::Result<Vec<(&'static str, Value)>> {
    let TransportConfig { name, transport_type, options, .. } = &*target.transport;
    let options = rmpv::ext::to_value(options.to_json()).map_err(io::Error::other)?;
    Ok(vec![
        ("node", target.peer.as_str().into()),
        ("transport", name.as_str().into()),
        ("type", transport_type.as_str().into()),
        ("options", options),
    ])
}

impl Transport for ProgramTransport {
    fn priority(&self) -> Priority {
        self.shared.setup.priority
    }

    fn can_connect(&self, other: &TransportConfig) -> bool {
        let known = &self.shared.setup.connects_to;
        known.iter().any(|known| known == "*" || *known == other.transport_type)
    }

    /// One, for people: the program has its own, once it is asked. Two Transports of one type are two ways.
    fn addresses(&self, other: &TransportConfig) -> Vec<String> {
        let own = &self.shared.setup.name;
        vec![if other.name == *own {
            other.name.clone()
        } else {
            format!("{own} to {}", other.name)
        }]
    }

    fn connect<'a>(
        &'a self,
        target: &'a Target,
        _: &'a Found,
    ) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(self.connect_to(target))
    }

    fn connect_timeout(&self) -> Duration {
        BESIDES.saturating_add(self.shared.setup.connect_timeout.saturating_mul(TRIED))
    }

    fn can_accept(&self) -> bool {
        self.shared.setup.can_accept
    }

    /// Sockets that others have opened are not for programs. Never fails: the program is started again until it listens.
    fn listen(&self, _: Vec<OwnedFd>) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let (sender, incoming) = mpsc::channel(BACKLOG);
            self.shared.accept_into(sender);
            self.begin();
            let listener = Incoming { shared: Arc::clone(&self.shared), incoming };
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }

    fn status(&self) -> TransportStatus {
        self.shared.status()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let supervisor = self.lock().take();
            if let Some(supervisor) = supervisor {
                supervisor.stop().await;
            }
            self.shared.stopped();
        })
    }
}

/// The streams that came in by a program.
struct Incoming {
    shared: Arc<Shared>,
    incoming: mpsc::Receiver<Connection>,
}

impl Listener for Incoming {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async move {
            match self.incoming.recv().await {
                Some(connection) => Ok(connection),
                // Another listener has taken its place.
                None => std::future::pending().await,
            }
        })
    }

    fn address(&self) -> String {
        let program = self.shared.setup.command.last().cloned().unwrap_or_default();
        self.shared.status().address.unwrap_or_else(|| program.to_string_lossy().into_owned())
    }
}
