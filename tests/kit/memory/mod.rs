//! A Transport that joins the Nodes of one process.
//!
//! A [`Network`] is the air between them: any pair of Nodes can be cut apart, frozen and healed. Its
//! streams need no session of their own when it vouches for both ends, or run SSH like any other.

mod ice;
mod line;

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kozo::BoxFuture;
use kozo::config::{OptionKind, OptionSpec, Presence, Schema, TransportConfig};
use kozo::status::{TransportState, TransportStatus};
use kozo::transport::stream::{AbortHandle, Abortable};
use kozo::transport::{Connection, Found, Listener, Priority, Target, Transport, TransportType};
use tokio::sync::mpsc;

use self::ice::{Freezing, Ice};
use self::line::Line;

/// Bytes that a stream holds between its ends.
const STREAM_BUFFER: usize = 64 * 1024;
/// Streams that wait to be accepted.
const BACKLOG: usize = 256;

/// What joins the Nodes.
#[derive(Clone, Default)]
pub struct Network {
    shared: Arc<Mutex<Shared>>,
    vouches: bool,
    line: Option<Line>,
}

#[derive(Default)]
struct Shared {
    /// By Transport type and Node.
    listening: HashMap<(String, String), mpsc::Sender<Connection>>,
    apart: HashSet<(String, String)>,
    closed: HashSet<String>,
    /// By Transport type and pair of Nodes.
    ice: HashMap<(String, (String, String)), Ice>,
    /// By pair of Nodes: the type that made it, and how to end it.
    streams: HashMap<(String, String), Vec<(String, AbortHandle)>>,
}

impl Network {
    /// A network whose streams are authenticated and encrypted by SSH, like any other's.
    pub fn new() -> Network {
        Network::default()
    }

    /// A network that says itself who is at the ends of its streams.
    pub fn vouching() -> Network {
        Network { vouches: true, ..Network::default() }
    }

    /// A network like [`new`](Self::new)'s whose streams carry so many bytes a second each way, and take so long from one
    /// end to the other.
    pub fn slow(rate: u32, delay: Duration) -> Network {
        Network { line: Some(Line { rate, delay }), ..Network::default() }
    }

    /// A type of this name and priority, as the Node of that name has it. Transports of different types do
    /// not reach each other.
    pub fn transport_type(
        &self,
        name: &str,
        priority: Priority,
        node: &str,
    ) -> Arc<dyn TransportType> {
        let (name, node) = (name.to_owned(), node.to_owned());
        Arc::new(MemoryType(Memory { network: self.clone(), name, priority, node }))
    }

    /// Breaks the streams of Transports of this type, and lets no new ones be made.
    pub fn close(&self, transport_type: &str) {
        let mut shared = self.lock();
        shared.closed.insert(transport_type.to_owned());
        for (name, abort_handle) in shared.streams.values().flatten() {
            if name == transport_type {
                abort_handle.abort();
            }
        }
    }

    /// Lets Transports of this type make streams again.
    pub fn open(&self, transport_type: &str) {
        self.lock().closed.remove(transport_type);
    }

    /// From now on no byte passes between two Nodes, and neither is told; attempts to connect hang.
    pub fn freeze(&self, a: &str, b: &str) {
        let mut shared = self.lock();
        shared.types().iter().for_each(|name| shared.ice(name, a, b).set(true));
    }

    /// The same, of the Transports of one type.
    pub fn freeze_one(&self, transport_type: &str, a: &str, b: &str) {
        self.lock().ice(transport_type, a, b).set(true);
    }

    /// What was frozen goes on, with everything that was under way.
    pub fn thaw(&self, a: &str, b: &str) {
        let mut shared = self.lock();
        shared.types().iter().for_each(|name| shared.ice(name, a, b).set(false));
    }

    /// Cuts two Nodes apart: their streams break, and no new ones can be made.
    pub fn cut(&self, a: &str, b: &str) {
        let mut shared = self.lock();
        shared.apart.insert(pair(a, b));
        let streams = shared.streams.remove(&pair(a, b)).unwrap_or_default();
        streams.iter().for_each(|(_, abort_handle)| abort_handle.abort());
    }

    /// How many streams there are between two Nodes.
    pub fn streams(&self, a: &str, b: &str) -> usize {
        let shared = self.lock();
        let streams = shared.streams.get(&pair(a, b)).into_iter().flatten();
        streams.filter(|(_, abort_handle)| abort_handle.in_use()).count()
    }

    /// Lets two Nodes reach each other again.
    pub fn heal(&self, a: &str, b: &str) {
        self.lock().apart.remove(&pair(a, b));
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self, name: &str, from: &str, to: &str) -> io::Result<Connection> {
        let mut frozen = self.lock().ice(name, from, to).watch();
        // The network holds the other end as long as it exists.
        let _ = frozen.wait_for(|frozen| !frozen).await;
        self.connect_now(name, from, to)
    }

    fn connect_now(&self, name: &str, from: &str, to: &str) -> io::Result<Connection> {
        let mut shared = self.lock();
        if shared.apart.contains(&pair(from, to)) || shared.closed.contains(name) {
            return Err(io::ErrorKind::HostUnreachable.into());
        }
        let ice = shared.ice(name, from, to).clone();
        let place = (name.to_owned(), to.to_owned());
        let listening = shared.listening.get(&place).ok_or(io::ErrorKind::ConnectionRefused)?;
        let (near, far) = match self.line {
            None => tokio::io::duplex(STREAM_BUFFER),
            Some(line) => line.ends(),
        };
        let abort_handle = AbortHandle::new();
        let end = |stream, other: &str| Connection {
            stream: Box::new(Abortable::new(Freezing::new(stream, &ice), &abort_handle)),
            address: format!("{name}/{other}"),
            peer: self.vouches.then(|| other.to_owned()),
        };
        listening
            .try_send(end(far, from))
            .map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        let connection = end(near, to);
        let streams = shared.streams.entry(pair(from, to)).or_default();
        streams.retain(|(_, abort_handle)| abort_handle.in_use());
        streams.push((name.to_owned(), abort_handle));
        Ok(connection)
    }
}

fn pair(a: &str, b: &str) -> (String, String) {
    if a < b { (a.to_owned(), b.to_owned()) } else { (b.to_owned(), a.to_owned()) }
}

impl Shared {
    fn ice(&mut self, transport_type: &str, a: &str, b: &str) -> &Ice {
        self.ice.entry((transport_type.to_owned(), pair(a, b))).or_default()
    }

    /// The types with listeners.
    fn types(&self) -> HashSet<String> {
        self.listening.keys().map(|(name, _)| name.clone()).collect()
    }
}

struct MemoryType(Memory);

impl TransportType for MemoryType {
    fn schema(&self) -> Schema {
        Schema {
            name: self.0.name.clone().into(),
            description: "Joins the Nodes of one process.".into(),
            options: vec![OptionSpec {
                name: "address".into(),
                kind: OptionKind::Addresses,
                presence: Presence::Required,
                description: "The Node's own name.".into(),
            }],
            ..Schema::default()
        }
    }

    fn build(&self, _: &TransportConfig) -> Arc<dyn Transport> {
        Arc::new(self.0.clone())
    }
}

#[derive(Clone)]
struct Memory {
    network: Network,
    name: String,
    priority: Priority,
    node: String,
}

impl Transport for Memory {
    fn priority(&self) -> Priority {
        self.priority
    }

    fn can_connect(&self, other: &TransportConfig) -> bool {
        other.transport_type == self.name
    }

    fn addresses(&self, other: &TransportConfig) -> Vec<String> {
        other.options.list("address").to_vec()
    }

    fn connect<'a>(
        &'a self,
        target: &'a Target,
        _: &'a Found,
    ) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(self.network.connect(&self.name, &self.node, &target.address))
    }

    fn can_accept(&self) -> bool {
        true
    }

    fn listen(&self, _: Vec<OwnedFd>) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let (sender, receiver) = mpsc::channel(BACKLOG);
            let place = (self.name.clone(), self.node.clone());
            self.network.lock().listening.insert(place, sender);
            let address = self.address();
            let listener = MemoryListener { address, receiver };
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }

    fn status(&self) -> TransportStatus {
        let place = (self.name.clone(), self.node.clone());
        let listens = self.network.lock().listening.contains_key(&place);
        TransportStatus {
            state: if listens { TransportState::Running } else { TransportState::Stopped },
            address: listens.then(|| self.address()),
            ..TransportStatus::default()
        }
    }
}

impl Memory {
    fn address(&self) -> String {
        format!("{}/{}", self.name, self.node)
    }
}

struct MemoryListener {
    address: String,
    receiver: mpsc::Receiver<Connection>,
}

impl Listener for MemoryListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async move {
            self.receiver.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into())
        })
    }

    fn address(&self) -> String {
        self.address.clone()
    }
}
