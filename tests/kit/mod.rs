//! Nodes in one process, for tests: a System from a few words, a network between its Nodes (`memory`), and
//! Roles that tests send and receive with (`roles`).
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

pub mod client;
pub mod lingering;
pub mod log;
pub mod memory;
pub mod pulse;
pub mod roles;
pub mod transcript;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use kozo::config::{
    ConnectPolicy, LocalNode, NodeConfig, OptionValue, Options, RoleConfig, RootOptions, Runs,
    System, TransportConfig,
};
use kozo::interest::Interest;
use kozo::link::DialLimiter;
use kozo::message::{Draft, Message};
use kozo::node::{Node, NodeDeps, Types};
use kozo::queue::Limits;
use kozo::role::{Host, RoleType, SendError, Sent};
use kozo::status::{LinkState, PeerStatus, RoleStatus};
use kozo::transport::{Connection, Priority, Target, Transport};
use rmpv::Value;
use russh::keys::{Algorithm, PrivateKey};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::memory::Network;

/// How long anything may take that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a System of the kit is like.
#[derive(Clone)]
pub struct Plan {
    pub options: RootOptions,
    /// What the probes want.
    pub interests: Vec<Interest>,
    /// `selfToOthersConnectPolicy` and `othersToSelfConnectPolicy` of each Node.
    pub policy: fn(&str) -> (ConnectPolicy, ConnectPolicy),
    /// The Roles of each Node, by name: `probe`, `deaf`, `brief`, `steady`, or of `types`.
    pub roles: fn(&str) -> &'static [&'static str],
    /// More types of Roles.
    pub types: Vec<Arc<dyn RoleType>>,
    /// Bounds of the Roles' queues.
    pub queue: Limits,
    /// The Transport types of every Node.
    pub transports: &'static [(&'static str, Priority)],
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            options: RootOptions::default(),
            interests: vec![Interest::any()],
            policy: |_| (ConnectPolicy::Constant, ConnectPolicy::Constant),
            roles: |_| &["probe"],
            types: Vec::new(),
            queue: Limits { length: 100_000, size: 64 * 1024 * 1024 },
            transports: &[("memory", Priority::Best)],
        }
    }
}

impl Plan {
    /// Attempts to connect at most so many seconds apart.
    pub fn retry(mut self, seconds: u64) -> Plan {
        self.options.connection_retry = Duration::from_secs(seconds);
        self
    }

    /// Outgoing queues of so many Messages.
    pub fn outgoing(mut self, length: usize) -> Plan {
        self.options.outgoing_queue.length = length;
        self
    }
}

/// A System whose Nodes are joined by a network in memory.
pub struct TestSystem {
    pub network: Network,
    pub config: Arc<System>,
    pub plan: Plan,
    dial_limiter: Arc<DialLimiter>,
    keys: HashMap<String, Arc<PrivateKey>>,
}

/// A running Node and what its probe received.
pub struct Running {
    pub node: Node,
    pub name: String,
    pub received: mpsc::UnboundedReceiver<Message>,
}

pub fn new_key() -> Arc<PrivateKey> {
    Arc::new(PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap())
}

impl TestSystem {
    pub fn new(network: Network, names: &[&str], plan: Plan) -> TestSystem {
        let keys: HashMap<_, _> = names.iter().map(|name| (name.to_string(), new_key())).collect();
        let node = |name: &&str| Arc::new(node_config(name, &plan, &keys[*name]));
        let config = System { nodes: names.iter().map(node).collect() };
        TestSystem { network, config: Arc::new(config), plan, dial_limiter: Arc::default(), keys }
    }

    /// Gives all Transports of a Node other options than those of the kit.
    pub fn set_transports(&mut self, name: &str, transports: Vec<TransportConfig>) {
        let mut nodes = self.config.nodes.clone();
        let node = nodes.iter_mut().find(|node| node.name == name).unwrap();
        *node = Arc::new(NodeConfig { transports, ..NodeConfig::clone(node) });
        self.config = Arc::new(System { nodes });
    }

    /// Takes the keys of another one, whose Nodes have the same names.
    pub fn adopt(&mut self, other: &TestSystem) {
        self.keys.extend(other.keys.iter().map(|(name, key)| (name.clone(), Arc::clone(key))));
        let node = |node: &Arc<NodeConfig>| {
            let public_key = self.keys[&node.name].public_key().clone();
            Arc::new(NodeConfig { public_key, ..NodeConfig::clone(node) })
        };
        self.config = Arc::new(System { nodes: self.config.nodes.iter().map(node).collect() });
    }

    /// Gives a Node another key.
    pub fn set_key(&mut self, name: &str, key: PrivateKey) {
        let mut nodes = self.config.nodes.clone();
        let node = nodes.iter_mut().find(|node| node.name == name).unwrap();
        let public_key = key.public_key().clone();
        *node = Arc::new(NodeConfig { public_key, ..NodeConfig::clone(node) });
        self.config = Arc::new(System { nodes });
        self.keys.insert(name.to_owned(), Arc::new(key));
    }

    pub fn key(&self, name: &str) -> Arc<PrivateKey> {
        Arc::clone(&self.keys[name])
    }

    pub async fn start(&self, name: &str) -> Running {
        self.start_with(name, self.key(name), |_| {}).await
    }

    /// Starts a Node with this key instead of the configured one, and options changed on it alone.
    pub async fn start_with(
        &self,
        name: &str,
        private_key: Arc<PrivateKey>,
        change: impl FnOnce(&mut RootOptions),
    ) -> Running {
        let mut config = NodeConfig::clone(self.config.node(name).unwrap());
        change(&mut config.options);
        let (sender, received) = mpsc::unbounded_channel();
        let local =
            LocalNode { system: Arc::clone(&self.config), config: Arc::new(config), private_key };
        let deps = NodeDeps {
            types: self.types(name, &sender),
            print: Box::new(|_, _| {}),
            inherited: Default::default(),
            dial_limiter: Arc::clone(&self.dial_limiter),
            set_log_filter: Box::new(|_| Ok(())),
        };
        let node = Node::start(local, deps).await.unwrap();
        Running { node, name: name.to_owned(), received }
    }

    fn types(&self, node: &str, received: &mpsc::UnboundedSender<Message>) -> Types {
        let named = |&(name, priority): &(&str, Priority)| {
            self.network.transport_type(name, priority, node)
        };
        let memory = self.plan.transports.iter().map(named);
        Types {
            roles: [roles::types(&self.plan.interests, received), self.plan.types.clone()].concat(),
            transports: memory.chain(kozo::transport::built_in()).collect(),
            ..Types::built_in()
        }
    }

    /// A Transport of this Node, for a test that connects or listens by itself.
    pub fn transport(&self, node: &str) -> Arc<dyn Transport> {
        let (name, priority) = self.plan.transports[0];
        self.network.transport_type(name, priority, node).build(&self.transport_config(node))
    }

    fn transport_config(&self, node: &str) -> TransportConfig {
        self.config.node(node).unwrap().transports[0].clone()
    }

    /// A stream from this Node to another one, for a test that connects by itself.
    pub async fn connect(&self, node: &str, to: &str) -> io::Result<Connection> {
        let (peer, address) = (to.to_owned(), to.to_owned());
        let target = Target { peer, transport: Arc::new(self.transport_config(to)), address };
        self.transport(node).connect(&target, &|_| {}).await
    }

    /// Starts two Nodes and waits until both say that they are joined.
    pub async fn start_both(&self, a: &str, b: &str) -> (Running, Running) {
        let (a, b) = (self.start(a).await, self.start(b).await);
        a.until_up(&b.name).await;
        b.until_up(&a.name).await;
        (a, b)
    }
}

fn node_config(name: &str, plan: &Plan, key: &PrivateKey) -> NodeConfig {
    let (self_to_others, others_to_self) = (plan.policy)(name);
    let role = |role: &&str| RoleConfig {
        name: role.to_string(),
        role_type: role.to_string(),
        description: None,
        queue: plan.queue,
        runs: Runs::BuiltIn,
        options: Options::default(),
    };
    let transport = |(transport, _): &(&str, Priority)| TransportConfig {
        name: transport.to_string(),
        transport_type: transport.to_string(),
        runs: Runs::BuiltIn,
        options: Options([("address".to_owned(), OptionValue::List(vec![name.to_owned()]))].into()),
    };
    NodeConfig {
        name: name.to_owned(),
        private_key: "/nowhere".into(),
        public_key: key.public_key().clone(),
        role_storage: None,
        self_to_others,
        others_to_self,
        options: plan.options.clone(),
        roles: (plan.roles)(name).iter().map(role).collect(),
        transports: plan.transports.iter().map(transport).collect(),
    }
}

/// The number that [`Running::send`] or a Role of type `steady` put into a Message.
pub fn number(message: &Message) -> u64 {
    let value = message.value().unwrap();
    value.as_array().map_or(&value, |values| &values[0]).as_u64().unwrap()
}

impl Running {
    /// Sends a numbered event.
    pub fn send(&self, number: u64) -> Sent {
        self.try_send(&Draft::event("tick").data(&Value::from(number))).unwrap()
    }

    pub fn try_send(&self, draft: &Draft<'_>) -> Result<Sent, SendError> {
        self.node.send("probe", draft)
    }

    /// The next number that came from this Node, its own Messages aside.
    pub async fn next(&mut self) -> (String, u64) {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.received.recv()).await;
            let message = message.expect("a message comes in time").expect("the probe runs");
            if message.origin().node != self.name {
                return (message.origin().node.clone(), number(&message));
            }
        }
    }

    /// All numbers that have come from others so far.
    pub fn numbers(&mut self) -> Vec<u64> {
        let messages = std::iter::from_fn(|| self.received.try_recv().ok());
        let others = messages.filter(|message| message.origin().node != self.name);
        others.map(|message| number(&message)).collect()
    }

    pub fn peer(&self, name: &str) -> PeerStatus {
        self.node.status().peers.into_iter().find(|peer| peer.name == name).unwrap()
    }

    /// Random number of this run of the Node.
    pub fn boot(&self) -> u64 {
        self.node.status().boot
    }

    /// Messages that the Node has sent.
    pub fn sent(&self) -> u64 {
        self.node.status().sent
    }

    pub fn role(&self, name: &str) -> RoleStatus {
        self.node.status().roles.into_iter().find(|role| role.name == name).unwrap()
    }

    /// Messages for this Peer that were dropped for this reason.
    pub fn dropped(&self, peer: &str, reason: &str) -> u64 {
        self.peer(peer).dropped.get(reason).copied().unwrap_or(0)
    }

    pub fn refused(&self, reason: &str) -> u64 {
        self.node.status().refused.get(reason).copied().unwrap_or(0)
    }

    /// Waits until the condition holds; panics with the status when it does not come to that.
    pub async fn until(&self, what: &str, condition: impl Fn(&Running) -> bool) {
        let deadline = Instant::now() + PATIENCE * 5;
        while !condition(self) {
            assert!(Instant::now() < deadline, "not {what}: {:#?}", self.node.status());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub async fn until_up(&self, peer: &str) {
        self.until(&format!("up to {peer}"), |node| node.peer(peer).state == LinkState::Up).await;
    }

    pub async fn until_down(&self, peer: &str) {
        self.until(&format!("down to {peer}"), |node| node.peer(peer).state != LinkState::Up).await;
    }
}
