//! The System that a file describes: what a configuration comes to once it is checked.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use ssh_key::{PrivateKey, PublicKey};

use super::policy::ConnectPolicy;
use super::programs::Program;
use super::schema::{OptionValue, Options, with_defaults};
use super::tables;
use crate::queue::Limits;

/// The root-level options, as they hold for one Node (`overrideMainConfiguration` applied).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootOptions {
    /// Interval of heartbeats.
    pub heartbeat: Duration,
    /// Longest delay between two attempts to connect.
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

impl RootOptions {
    /// What is given, and by default what is not.
    pub(super) fn new(given: &Options) -> RootOptions {
        let options = with_defaults(tables::overridable(), given);
        let paths = |name: &str| options.list(name).iter().map(Into::into).collect();
        let read = options.size("maxBufferReadSize").map(usize::try_from);
        RootOptions {
            heartbeat: options.duration("heartbeat").unwrap_or_default(),
            connection_retry: options.duration("connectionRetry").unwrap_or_default(),
            outgoing_queue: limits(&options, "outgoingQueueLength", "outgoingQueueSize"),
            max_buffer_read_size: read.and_then(Result::ok).unwrap_or_default(),
            cipher: options.text("cipher").map(str::to_owned),
            hmac: options.text("hmac").map(str::to_owned),
            role_path: paths("rolePath"),
            transport_path: paths("transportPath"),
            import_path: paths("importPath"),
        }
    }

    /// Whether links run alike with both: they do not depend on where programs are.
    pub fn suit_the_same_links(&self, other: &RootOptions) -> bool {
        let without_folders = |options: &RootOptions| RootOptions {
            role_path: Vec::new(),
            transport_path: Vec::new(),
            import_path: Vec::new(),
            ..options.clone()
        };
        without_folders(self) == without_folders(other)
    }

    /// As a program is told them, by their names in the file: durations are seconds, sizes are bytes.
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        let number = |number: usize| OptionValue::Size(u64::try_from(number).unwrap_or(u64::MAX));
        let texts = |paths: &[PathBuf]| {
            OptionValue::List(paths.iter().map(|path| path.to_string_lossy().into()).collect())
        };
        let text = |text: &Option<String>| text.clone().map(OptionValue::Text);
        let options = [
            ("heartbeat", Some(OptionValue::Duration(self.heartbeat))),
            ("connectionRetry", Some(OptionValue::Duration(self.connection_retry))),
            ("outgoingQueueLength", Some(number(self.outgoing_queue.length))),
            ("outgoingQueueSize", Some(number(self.outgoing_queue.size))),
            ("maxBufferReadSize", Some(number(self.max_buffer_read_size))),
            ("cipher", text(&self.cipher)),
            ("hmac", text(&self.hmac)),
            ("rolePath", Some(texts(&self.role_path))),
            ("transportPath", Some(texts(&self.transport_path))),
            ("importPath", Some(texts(&self.import_path))),
        ];
        let said =
            |value: Option<OptionValue>| value.map_or_else(Default::default, |it| it.to_json());
        options.into_iter().map(|(name, value)| (name.to_owned(), said(value))).collect()
    }
}

impl Default for RootOptions {
    fn default() -> Self {
        RootOptions::new(&Options::default())
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
    /// What runs it.
    pub runs: Runs,
    /// The options of its type, defaults filled in. Unchecked text for a type unknown here.
    pub options: Options,
}

/// What runs a Role or Transport.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Runs {
    /// The daemon itself.
    #[default]
    BuiltIn,
    /// A program.
    Program(ProgramConfig),
    /// A program that has attached itself to the Node. No configuration has such a Role.
    Attached,
    /// Nothing: its type is not there on this machine, or cannot be used. Why, for people.
    Nothing(String),
}

/// How a Role or Transport runs its program.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgramConfig {
    /// The program.
    pub program: Arc<Program>,
    /// Environment variables for the program.
    pub environment: IndexMap<String, String>,
    /// Memory that each of its processes may use, in bytes.
    pub memory_limit: u64,
}

impl ProgramConfig {
    /// What the options of every program say.
    pub(super) fn new(program: Arc<Program>, options: &Options) -> ProgramConfig {
        let environment = match options.0.get("environment") {
            Some(OptionValue::Variables(variables)) => variables.clone(),
            _ => IndexMap::new(),
        };
        let memory_limit = options.size("memoryLimit").unwrap_or(u64::MAX);
        ProgramConfig { program, environment, memory_limit }
    }
}

/// A Transport of a Node, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct TransportConfig {
    /// Its name, unique on its Node.
    pub name: String,
    /// The type of Transport it is.
    pub transport_type: String,
    /// What runs it, or would if it were one of this Node.
    pub runs: Runs,
    /// The options of its type, defaults filled in. Unchecked text for a type unknown here.
    pub options: Options,
}

impl TransportConfig {
    /// As a program is told of it: its type and its options.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "type": self.transport_type, "options": self.options.to_json() })
    }
}

/// A Node of the System, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeConfig {
    /// Its name.
    pub name: String,
    /// Where its private key is, on its own machine.
    pub private_key: PathBuf,
    /// Its public key: who it is. Without the comment, so that two of them can be compared.
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

impl NodeConfig {
    /// Its public key, as OpenSSH writes it.
    fn key_line(&self) -> String {
        // One that was read can be written.
        self.public_key.to_openssh().unwrap_or_default()
    }
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

    /// All Nodes, as a program is told of them: the public key of each and its Transports, by their names.
    pub fn to_json(&self) -> serde_json::Value {
        let node = |node: &Arc<NodeConfig>| {
            let transport =
                |transport: &TransportConfig| (transport.name.clone(), transport.to_json());
            let transports: serde_json::Map<_, _> = node.transports.iter().map(transport).collect();
            let said =
                serde_json::json!({ "publicKey": node.key_line(), "transports": transports });
            (node.name.clone(), said)
        };
        self.nodes.iter().map(node).collect::<serde_json::Map<_, _>>().into()
    }

    /// The public key of each Node, as OpenSSH writes it.
    pub fn keys(&self) -> serde_json::Map<String, serde_json::Value> {
        self.nodes.iter().map(|node| (node.name.clone(), node.key_line().into())).collect()
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

/// The bounds of a queue from its two options.
pub(super) fn limits(options: &Options, length: &str, size: &str) -> Limits {
    let default = Limits::default();
    let length = options.integer(length).and_then(|length| usize::try_from(length).ok());
    let size = options.size(size).and_then(|size| usize::try_from(size).ok());
    Limits { length: length.unwrap_or(default.length), size: size.unwrap_or(default.size) }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn nothing_given_is_what_the_table_says() {
        let options = RootOptions::default();
        assert_eq!(options.heartbeat, Duration::from_secs(10));
        assert_eq!(options.connection_retry, Duration::from_secs(60));
        assert_eq!(options.outgoing_queue, Limits::default());
        assert_eq!(options.max_buffer_read_size, 64 * 1024);
    }

    #[test]
    fn programs_are_told_every_option() {
        let told = RootOptions::default().to_json();
        for spec in tables::overridable() {
            assert!(told.contains_key(&*spec.name), "{}", spec.name);
        }
        assert_eq!((&told["heartbeat"], &told["cipher"]), (&10.into(), &serde_json::Value::Null));
    }
}
