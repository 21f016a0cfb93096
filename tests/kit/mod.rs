//! Nodes in one process, for tests: a System from a few words, a network between its Nodes, and a
//! Role that tests send and receive with.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::sync::Arc;
use std::time::Duration;

use kozo::BoxFuture;
use kozo::config::{
    ConnectPolicy, LocalNode, NodeConfig, OptionValue, Options, RoleConfig, RootOptions, Schema,
    System, TransportConfig,
};
use kozo::interest::Interest;
use kozo::node::{Node, Surroundings, Types};
use kozo::queue::Limits;
use kozo::role::{Host, Role, RoleContext, RoleError, RoleType};
use kozo::transport::memory::Network;
use russh::keys::{Algorithm, PrivateKey};
use tokio::sync::mpsc;

/// A Role type `probe` that wants everything and hands what it receives to the test.
pub struct ProbeType {
    pub interests: Vec<Interest>,
    pub received: mpsc::UnboundedSender<kozo::message::Message>,
}

impl RoleType for ProbeType {
    fn schema(&self) -> Schema {
        Schema {
            name: "probe".into(),
            description: "Hands Messages to a test.".into(),
            options: Vec::new(),
            needs_storage: false,
        }
    }

    fn interests(&self, _: &RoleConfig) -> Vec<Interest> {
        self.interests.clone()
    }

    fn build(&self, _: &RoleConfig) -> Box<dyn Role> {
        Box::new(Probe(self.received.clone()))
    }
}

struct Probe(mpsc::UnboundedSender<kozo::message::Message>);

impl Role for Probe {
    fn run(self: Box<Self>, context: RoleContext) -> BoxFuture<'static, Result<(), RoleError>> {
        Box::pin(async move {
            while let Some(message) = context.receive().await {
                let _ = self.0.send(message);
            }
            Ok(())
        })
    }
}

/// What a System of the kit is like.
#[derive(Clone)]
pub struct Plan {
    pub options: RootOptions,
    pub interests: Vec<Interest>,
    pub policy: fn(&str) -> (ConnectPolicy, ConnectPolicy),
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            options: RootOptions::default(),
            interests: vec![Interest::any()],
            policy: |_| (ConnectPolicy::Constant, ConnectPolicy::Constant),
        }
    }
}

/// A System whose Nodes are joined by a network in memory.
pub struct Lab {
    pub network: Network,
    pub system: Arc<System>,
    pub plan: Plan,
    keys: Vec<Arc<PrivateKey>>,
}

/// A running Node and what its probe received.
pub struct Running {
    pub node: Node,
    pub received: mpsc::UnboundedReceiver<kozo::message::Message>,
}

impl Lab {
    pub fn new(network: Network, names: &[&str], plan: Plan) -> Lab {
        let keys: Vec<_> = names
            .iter()
            .map(|_| Arc::new(PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap()))
            .collect();
        let nodes = names.iter().zip(&keys).map(|(name, key)| {
            let (self_to_others, others_to_self) = (plan.policy)(name);
            Arc::new(NodeConfig {
                name: (*name).to_owned(),
                private_key: "/nowhere".into(),
                public_key: key.public_key().clone(),
                role_storage: None,
                self_to_others,
                others_to_self,
                options: plan.options.clone(),
                roles: vec![RoleConfig {
                    name: "probe".to_owned(),
                    role_type: "probe".to_owned(),
                    description: None,
                    queue: Limits { length: 4096, size: 4 * 1024 * 1024 },
                    options: Options::default(),
                }],
                transports: vec![TransportConfig {
                    name: "memory".to_owned(),
                    transport_type: "memory".to_owned(),
                    options: Options(
                        [("address".to_owned(), OptionValue::List(vec![(*name).to_owned()]))]
                            .into(),
                    ),
                }],
            })
        });
        Lab { network, system: Arc::new(System { nodes: nodes.collect() }), plan, keys }
    }

    pub async fn start(&self, name: &str) -> Running {
        let at = self.system.nodes.iter().position(|node| node.name == name).unwrap();
        let (sender, received) = mpsc::unbounded_channel();
        let probe = ProbeType { interests: self.plan.interests.clone(), received: sender };
        let types = Types {
            roles: vec![Arc::new(probe)],
            transports: vec![self.network.transport_type(name)],
        };
        let local = LocalNode {
            system: Arc::clone(&self.system),
            config: Arc::clone(&self.system.nodes[at]),
            private_key: Arc::clone(&self.keys[at]),
        };
        let surroundings = Surroundings {
            types,
            print: Box::new(|_, _| {}),
            set_log_filter: Box::new(|_| Ok(())),
        };
        Running { node: Node::start(local, surroundings).await.unwrap(), received }
    }
}

impl Running {
    pub fn peer(&self, name: &str) -> kozo::status::PeerStatus {
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

    /// Waits until the condition holds; panics with the status when it does not come to that.
    pub async fn until(&self, what: &str, condition: impl Fn(&Running) -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while !condition(self) {
            let now = tokio::time::Instant::now();
            assert!(now < deadline, "not {what}: {:#?}", self.node.status());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub async fn until_up(&self, peer: &str) {
        self.until(&format!("up to {peer}"), |node| node.peer(peer).state == "up").await;
    }
}
