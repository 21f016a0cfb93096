//! The configuration: one YAML file that describes the whole System, the same on every Node.
//!
//! [`load`] turns the file into a checked [`System`]; what it returns needs no further checks. Role
//! and Transport types declare their own options as data (a [`Schema`]), so that built-in and custom
//! ones are checked, documented and reported alike. Knows nobody: the types that exist are handed in
//! as a [`Registry`].

pub mod schema;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{PrivateKey, PublicKey};

pub use crate::queue::Limits;
pub use schema::{OptionKind, OptionSpec, OptionValue, Options, Presence, Registry, Schema};

/// When a Node connects to another, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectPolicy {
    /// The connection is kept at all times.
    Constant,
    /// The connection is made when there is a Message to send.
    OnDemand,
    /// No connection, and no Messages.
    Never,
}

/// The root-level options, as they hold for one Node (`overrideMainConfiguration` applied).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootOptions {
    /// Interval of heartbeats.
    pub heartbeat: Duration,
    /// Longest pause between two attempts to connect.
    pub connection_retry: Duration,
    /// Bounds of the outgoing queue towards each Peer.
    pub outgoing_queue: Limits,
    /// Bytes to read from a stream at a time.
    pub max_buffer_read_size: usize,
    /// The one cipher to use; negotiated when not given.
    pub cipher: Option<String>,
    /// The one MAC algorithm to use; negotiated when not given.
    pub hmac: Option<String>,
    /// Folders with custom Roles.
    pub role_path: Vec<PathBuf>,
    /// Folders with custom Transports.
    pub transport_path: Vec<PathBuf>,
    /// Folders put in front of the import path of custom Roles and Transports.
    pub import_path: Vec<PathBuf>,
}

impl Default for RootOptions {
    fn default() -> Self {
        RootOptions {
            heartbeat: Duration::from_secs(10),
            connection_retry: Duration::from_secs(60),
            outgoing_queue: Limits::default(),
            max_buffer_read_size: 64 * 1024,
            cipher: None,
            hmac: None,
            role_path: Vec::new(),
            transport_path: Vec::new(),
            import_path: Vec::new(),
        }
    }
}

/// A Role of a Node, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleConfig {
    /// Its name, unique on its Node.
    pub name: String,
    /// The type of Role it is.
    pub role_type: String,
    /// For people.
    pub description: Option<String>,
    /// Bounds of its queue of incoming Messages.
    pub queue: Limits,
    /// The options of its type, defaults filled in. Unchecked text for a type unknown here.
    pub options: Options,
}

/// A Transport of a Node, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct TransportConfig {
    /// Its name, unique on its Node.
    pub name: String,
    /// The type of Transport it is.
    pub transport_type: String,
    /// The options of its type, defaults filled in. Unchecked text for a type unknown here.
    pub options: Options,
}

/// A Node of the System, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeConfig {
    /// Its name.
    pub name: String,
    /// Where its private key is, on its own machine.
    pub private_key: PathBuf,
    /// Its public key: who it is.
    pub public_key: PublicKey,
    /// Folder of what its Roles store.
    pub role_storage: Option<PathBuf>,
    /// When it connects to others.
    pub self_to_others: ConnectPolicy,
    /// When others connect to it.
    pub others_to_self: ConnectPolicy,
    /// The root-level options as they hold for this Node.
    pub options: RootOptions,
    /// Its Roles, in the order of the file.
    pub roles: Vec<RoleConfig>,
    /// Its Transports, in the order of the file.
    pub transports: Vec<TransportConfig>,
}

/// Everything that the file describes, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct System {
    /// All Nodes, in the order of the file.
    pub nodes: Vec<Arc<NodeConfig>>,
}

impl System {
    /// The Node of this name.
    pub fn node(&self, name: &str) -> Option<&Arc<NodeConfig>> {
        self.nodes.iter().find(|node| node.name == name)
    }
}

/// The part of the System that runs here.
#[derive(Clone, Debug)]
pub struct LocalNode {
    /// The whole System.
    pub system: Arc<System>,
    /// This Node's own entry in it.
    pub config: Arc<NodeConfig>,
    /// This Node's private key.
    pub private_key: Arc<PrivateKey>,
}
