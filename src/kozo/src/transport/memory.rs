//! A Transport that joins the Nodes of one process: for tests, and for programs that hold several.
//!
//! A [`Network`] is the air between them: any pair of Nodes can be cut apart and healed. Its streams
//! need no session of their own when it vouches for both ends, or run SSH like any other.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::stream::{Cuttable, Cutter};
use super::{Connection, Listener, Priority, Transport, TransportType};
use crate::BoxFuture;
use crate::config::{OptionKind, OptionSpec, Presence, Schema, TransportConfig};

/// Bytes that a stream holds between its ends.
const STREAM_BUFFER: usize = 64 * 1024;
/// Streams that wait to be accepted.
const BACKLOG: usize = 256;

/// What joins the Nodes.
#[derive(Clone, Default)]
pub struct Network {
    shared: Arc<Mutex<Shared>>,
    vouches: bool,
}

#[derive(Default)]
struct Shared {
    listening: HashMap<String, mpsc::Sender<Connection>>,
    apart: HashSet<(String, String)>,
    streams: Vec<(String, String, Cutter)>,
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

    /// The type `memory`, as the Node of this name has it.
    pub fn transport_type(&self, node: &str) -> Arc<dyn TransportType> {
        Arc::new(MemoryType { network: self.clone(), node: node.to_owned() })
    }

    /// Cuts two Nodes apart: their streams break, and no new ones can be made.
    pub fn cut(&self, a: &str, b: &str) {
        let mut shared = self.lock();
        shared.apart.insert(pair(a, b));
        shared.streams.retain(|(from, to, cutter)| {
            let hit = pair(from, to) == pair(a, b);
            if hit {
                cutter.cut();
            }
            !hit
        });
    }

    /// Lets two Nodes reach each other again.
    pub fn heal(&self, a: &str, b: &str) {
        self.lock().apart.remove(&pair(a, b));
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self, from: &str, to: &str) -> io::Result<Connection> {
        let mut shared = self.lock();
        if shared.apart.contains(&pair(from, to)) {
            return Err(io::ErrorKind::HostUnreachable.into());
        }
        let listening = shared.listening.get(to).ok_or(io::ErrorKind::ConnectionRefused)?;
        let (near, far) = tokio::io::duplex(STREAM_BUFFER);
        let cutter = Cutter::new();
        let end = |stream, other: &str| Connection {
            stream: Box::new(Cuttable::new(stream, &cutter)),
            address: format!("memory:{other}"),
            peer: self.vouches.then(|| other.to_owned()),
        };
        listening
            .try_send(end(far, from))
            .map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        let connection = end(near, to);
        shared.streams.retain(|(.., cutter)| cutter.in_use());
        shared.streams.push((from.to_owned(), to.to_owned(), cutter));
        Ok(connection)
    }
}

fn pair(a: &str, b: &str) -> (String, String) {
    if a < b { (a.to_owned(), b.to_owned()) } else { (b.to_owned(), a.to_owned()) }
}

struct MemoryType {
    network: Network,
    node: String,
}

impl TransportType for MemoryType {
    fn schema(&self) -> Schema {
        Schema {
            name: "memory".into(),
            description: "Joins the Nodes of one process.".into(),
            options: vec![OptionSpec {
                name: "address".into(),
                kind: OptionKind::Addresses,
                presence: Presence::Required,
                description: "The Node's own name.".into(),
            }],
            needs_storage: false,
        }
    }

    fn build(&self, _: &TransportConfig) -> Arc<dyn Transport> {
        Arc::new(Memory { network: self.network.clone(), node: self.node.clone() })
    }
}

struct Memory {
    network: Network,
    node: String,
}

impl Transport for Memory {
    fn priority(&self) -> Priority {
        Priority::Best
    }

    fn can_connect(&self, other: &TransportConfig) -> bool {
        other.transport_type == "memory"
    }

    fn addresses(&self, other: &TransportConfig) -> Vec<String> {
        other.options.list("address").to_vec()
    }

    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move { self.network.connect(&self.node, address) })
    }

    fn can_accept(&self) -> bool {
        true
    }

    fn listen(&self, _: Vec<OwnedFd>) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let (sender, receiver) = mpsc::channel(BACKLOG);
            self.network.lock().listening.insert(self.node.clone(), sender);
            let listener = MemoryListener { node: self.node.clone(), receiver };
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }
}

struct MemoryListener {
    node: String,
    receiver: mpsc::Receiver<Connection>,
}

impl Listener for MemoryListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async move {
            self.receiver.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into())
        })
    }

    fn address(&self) -> String {
        format!("memory:{}", self.node)
    }
}
