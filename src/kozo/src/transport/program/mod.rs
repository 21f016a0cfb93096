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

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rmpv::Value;
use ssh_key::PrivateKey;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep_until};

use super::{Connection, Found, Listener, Priority, Target, Transport};
use crate::BoxFuture;
use crate::config::programs::TransportTraits;
use crate::config::{LocalNode, System, TransportConfig};
use crate::process::Launcher;
use crate::rpc::output::object;
use crate::status::TransportStatus;
use requests::{Connected, Requests};
use shared::{Run, Shared, shown};
use supervision::Supervisor;

/// Version of the protocol that is spoken here.
pub const PROTOCOL: u32 = 1;

/// Addresses of a Peer's Transport that have time to be tried, each as long as it may take.
const TRIED: u32 = 3;

/// How long the program may take besides: until it has started, and to say where it connects to.
const BESIDES: Duration = Duration::from_secs(15);

/// Streams that came in and wait to be accepted: as many as admission has places for, which is who chooses.
const BACKLOG: usize = 256;

/// Least time from one attempt to connect to a Peer's Transport to the next. An attempt may start a process.
const PACE: Duration = Duration::from_secs(1);

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
    /// Memory that each of its processes may use, in bytes.
    pub memory_limit: u64,
    /// What it knows of the System.
    pub knowledge: Knowledge,
}

/// What a Transport knows of the System, as it is configured now.
#[derive(Clone, Debug)]
pub struct Knowledge {
    /// What `start` says, but for `accept`, `protocol` and `features`.
    pub start: serde_json::Map<String, serde_json::Value>,
    /// The Node's key, for signatures.
    pub key: Arc<PrivateKey>,
    /// The System, for the keys of other Nodes.
    pub system: Arc<System>,
    /// What starts it.
    pub launcher: Arc<Launcher>,
    /// Where its accept socket is made, if there is a place for it.
    pub accept: Option<PathBuf>,
}

impl Knowledge {
    /// Whether a program that knows this knows that too, and may reach the same. All that it can ask about the System is in
    /// `start`.
    fn is_same(&self, other: &Knowledge) -> bool {
        self.start == other.start
            && self.key.public_key() == other.key.public_key()
            && self.launcher.confines_as(&other.launcher)
    }
}

/// A Transport that is a program. Dropped, it ends the program at once.
pub struct ProgramTransport {
    shared: Arc<Shared>,
    /// Held while one run ends, so that no other begins before that.
    supervisor: Mutex<Supervision>,
    /// When the next attempt to connect to each Peer's Transport is due.
    due: std::sync::Mutex<HashMap<(String, String), Instant>>,
}

/// What keeps the program running.
enum Supervision {
    /// Nothing yet.
    Idle,
    /// This.
    Running(Supervisor),
    /// Nothing any more: others may still try to connect.
    Stopped,
}

impl ProgramTransport {
    /// Not yet running: the program is started when it is first used.
    pub fn new(setup: Setup) -> Arc<ProgramTransport> {
        let shared = Arc::new(Shared::new(setup));
        let (supervisor, due) = (Mutex::new(Supervision::Idle), std::sync::Mutex::default());
        Arc::new(ProgramTransport { shared, supervisor, due })
    }

    /// Lets the program run from now on, if it does not yet and was not stopped.
    async fn begin(&self) {
        let mut supervisor = self.supervisor.lock().await;
        if let Supervision::Idle = &*supervisor {
            *supervisor = Supervision::Running(Supervisor::begin(&self.shared));
        }
    }

    /// Ends the program, and says whether there was one. `after` is what holds then.
    async fn halt(&self, after: Supervision) -> bool {
        let mut supervisor = self.supervisor.lock().await;
        match std::mem::replace(&mut *supervisor, after) {
            Supervision::Running(running) => {
                running.stop().await;
                true
            }
            Supervision::Idle | Supervision::Stopped => false,
        }
    }

    /// Waits until an attempt to connect to this is due, and keeps when the next one is.
    async fn take_turn(&self, target: &Target) {
        let to = (target.peer.clone(), target.transport.name.clone());
        let now = Instant::now();
        let due = {
            let mut all = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, due| *due > now);
            let due = all.get(&to).copied().unwrap_or(now);
            all.insert(to, due + PACE);
            due
        };
        sleep_until(due).await;
    }

    /// The program, once it runs.
    async fn requests(&self) -> io::Result<Arc<Requests>> {
        self.begin().await;
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
        self.take_turn(target).await;
        let requests = self.requests().await?;
        let told = told(target)?;
        if !requests.can_connect(object(told.clone())).await? {
            return Err(io::Error::other("its program cannot connect to this Transport"));
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
        problems.dedup();
        Err(io::Error::other(match problems.is_empty() {
            true => "its program knows no address of this Transport".to_owned(),
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
                let name = shown(&command.words.join(" "));
                let connecting = proxy::connect(&self.shared, command, &target.address);
                let connected = tokio::time::timeout(limit, connecting).await;
                let connected =
                    connected.unwrap_or_else(|_| Err(io::Error::other("it took too long")));
                connected.map_err(|problem| {
                    io::Error::other(format!("the proxyCommand '{name}': {problem}"))
                })
            }
        }
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
            self.begin().await;
            let listener = Incoming { shared: Arc::clone(&self.shared), incoming };
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }

    fn status(&self) -> TransportStatus {
        self.shared.status()
    }

    fn renew<'a>(&'a self, local: &'a LocalNode) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let named = |config: &&TransportConfig| config.name == self.shared.setup.name;
            let Some(config) = local.config.transports.iter().find(named) else { return };
            let is_news = self.shared.learn(Knowledge::of(config, local));
            if is_news && self.halt(Supervision::Idle).await {
                self.begin().await;
            }
        })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.halt(Supervision::Stopped).await;
            self.shared.stopped();
        })
    }

    fn resume(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut supervisor = self.supervisor.lock().await;
            if let Supervision::Stopped = &*supervisor {
                *supervisor = Supervision::Idle;
            }
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
