//! The Node: Roles, router, links and Transports of one daemon, joined and kept running.
//!
//! [`Node::start`] brings all of it up from a checked configuration and returns once the Node listens;
//! [`Node::reload`] lets another configuration hold, [`Node::stop`] drains and ends it. Everything
//! runs on the one runtime that calls it.

mod acceptor;
mod admission;
mod attached;
mod links;
mod listening;
mod reload;
mod roles;
mod router;
mod supervisor;
mod types;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use indexmap::IndexMap;
use tokio::sync::{broadcast, oneshot, watch};
use tokio::time::timeout;
use tracing::info;

use crate::config::{LONGEST_NAME, LocalNode};
use crate::interest::Interest;
use crate::link::{DialLimiter, Handshaker, Peers};
use crate::message::{Draft, Origin};
use crate::process::{Launcher, Owner};
use crate::role::conversation::LineBudget;
use crate::role::{Host, Inbox, Offered, SendError, Sent, SystemFacts};
use crate::session::SessionError;
use crate::session::ssh::Ssh;
use crate::status::{NodeStatus, PeerStatus, RoleStatus};
use crate::transport::InheritedSockets;
pub use admission::Admission;
pub use attached::{ATTACHED, Attachment};
use links::LiveLink;
use listening::{Built, LiveAcceptor};
pub use reload::Reloaded;
use roles::LiveRole;
pub use router::{Change, Refused, Router};
pub use types::Types;

/// How long Roles, and then links, have to come to an end.
const STOP: Duration = Duration::from_secs(2);

/// How long first attempts to reach Peers may keep Roles from taking the links as ready.
const READY: Duration = Duration::from_secs(1);

/// Prints a line for people, given the Role that it comes from.
pub type Print = Box<dyn Fn(&str, &str) + Send + Sync>;

/// Changes what is logged, or says what is wrong with the filter.
pub type SetLogFilter = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// What surrounds a Node.
pub struct NodeDeps {
    /// The types it knows.
    pub types: Types,
    /// Where lines for people go.
    pub print: Print,
    /// How to change what is logged.
    pub set_log_filter: SetLogFilter,
    /// Sockets for its Transports to listen on.
    pub inherited: InheritedSockets,
    /// The turns of attempts to reach Peers, which Nodes that share a thread share.
    pub dial_limiter: Arc<DialLimiter>,
}

/// Why a Node did not start, or did not take another configuration.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A Transport cannot listen.
    #[error("transport '{transport}' cannot listen: {source}")]
    Listen {
        /// Name of the Transport.
        transport: String,
        /// Why.
        source: io::Error,
    },
    /// Sessions cannot be made as configured.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The type of a Role or Transport is not there.
    #[error("{0} has the type '{1}', which this machine does not have")]
    UnknownType(String, String),
    /// The other configuration is that of another Node.
    #[error("the configuration is that of node '{0}'")]
    OtherNode(String),
}

/// Why something was not done to a running Node.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no Role of this name.
    #[error("there is no role '{0}'")]
    NoSuchRole(String),
    /// There is a Role of this name already.
    #[error("there is a role '{0}' already")]
    RoleExists(String),
    /// It is no name of a Role, or of a type of Roles.
    #[error(
        "'{0}' is not a valid role name: it must have no control characters and at most {LONGEST_NAME} bytes"
    )]
    BadName(String),
    /// The Role is a program that has attached itself.
    #[error("the role '{0}' is an attached program: only the program itself can restart it")]
    IsAttached(String),
    /// There is no Peer of this name.
    #[error("there is no peer '{0}'")]
    NoSuchPeer(String),
    /// The connection policies forbid both directions.
    #[error("there is no connection with '{0}': the connection policies forbid both directions")]
    Forbidden(String),
    /// There is no link to the Peer now.
    #[error("there is no link to '{0}' now")]
    NotUp(String),
    /// The Peer did not answer in time.
    #[error("'{0}' did not answer in time")]
    NoAnswer(String),
    /// It could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// A running Node.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    router: Arc<Router>,
    deps: NodeDeps,
    started: SystemTime,
    admission: Arc<Admission>,
    reopen: watch::Sender<u64>,
    ready: watch::Sender<bool>,
    numbers: AtomicU64,
    is_stopping: AtomicBool,
    /// Held while Roles or links are exchanged: one after the other.
    operations: tokio::sync::Mutex<()>,
    live: Mutex<Live>,
}

/// What can be exchanged while the Node runs.
struct Live {
    local: LocalNode,
    handshaker: Arc<Handshaker>,
    transports: Vec<Built>,
    acceptors: Vec<LiveAcceptor>,
    roles: IndexMap<String, LiveRole>,
    links: IndexMap<String, LiveLink>,
}

/// Makes sessions as a configuration says, for no Peers yet.
fn handshaker(
    local: &LocalNode,
    router: &Arc<Router>,
    deps: &NodeDeps,
) -> Result<Arc<Handshaker>, StartError> {
    let config = &local.config;
    let ssh = Ssh::new(&config.name, Arc::clone(&local.private_key), &config.options)?;
    let peers = Arc::new(Peers::new(Arc::clone(router.origin())));
    let dial_limiter = Arc::clone(&deps.dial_limiter);
    Ok(Arc::new(Handshaker::new(ssh, peers, Arc::clone(router) as _, dial_limiter)))
}

impl Node {
    /// Starts a Node; it listens when this returns.
    ///
    /// # Errors
    /// When a Transport cannot listen, or a type does not exist.
    pub async fn start(local: LocalNode, deps: NodeDeps) -> Result<Node, StartError> {
        let config = Arc::clone(&local.config);
        let origin = Arc::new(Origin { node: config.name.clone(), boot: rand::random() });
        let router = Arc::new(Router::new(origin));
        let handshaker = handshaker(&local, &router, &deps)?;
        let own = local.clone();
        let others: Vec<_> =
            local.system.nodes.iter().filter(|node| node.name != config.name).cloned().collect();
        let node = Node {
            shared: Arc::new(Shared {
                name: config.name.clone(),
                router,
                deps,
                started: SystemTime::now(),
                admission: Arc::default(),
                reopen: watch::Sender::new(0),
                ready: watch::Sender::new(false),
                numbers: AtomicU64::new(1),
                is_stopping: AtomicBool::new(false),
                operations: tokio::sync::Mutex::default(),
                live: Mutex::new(Live {
                    local,
                    handshaker,
                    transports: Vec::new(),
                    acceptors: Vec::new(),
                    roles: IndexMap::new(),
                    links: IndexMap::new(),
                }),
            }),
        };
        for role in &config.roles {
            node.add_role(role)?;
        }
        let transports = node.build(&config.transports, &own)?;
        let mut listening = Vec::new();
        for built in &transports {
            listening.extend(node.listen(built).await?);
        }
        node.live().transports = transports;
        let getting_ready = others.iter().map(|other| node.add_link(other)).collect();
        for listens in listening {
            node.accept(listens);
        }
        for role in &config.roles {
            node.run_role(&role.name);
        }
        node.spawn_ready(getting_ready);
        Ok(node)
    }

    /// Tells the Roles once all links are ready, or enough time has passed.
    fn spawn_ready(&self, getting_ready: Vec<oneshot::Receiver<()>>) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            // A link that is ready drops its end.
            let _ = timeout(READY, join_all(getting_ready)).await;
            shared.ready.send_replace(true);
        });
    }

    /// Sends a Message in the name of a Role.
    ///
    /// # Errors
    /// As [`Router::send`].
    pub fn send(&self, role: &str, draft: &Draft<'_>) -> Result<Sent, SendError> {
        self.shared.router.send(role, draft)
    }

    /// Opens a view of the Messages that pass and match one of these, for which Peers are asked even
    /// where no Role wants them. [`close_taps`](Self::close_taps) is to be called when it is dropped.
    pub fn monitor(&self, interests: Vec<Interest>) -> Arc<Inbox> {
        self.shared.router.tap(interests, true)
    }

    /// No longer asks Peers for what dropped views wanted.
    pub fn close_taps(&self) {
        self.shared.router.drop_closed_taps();
    }

    /// Gets told of what changes from now on.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.shared.router.changes()
    }

    /// Returns when every Peer that can be reached at once has been, or enough time has passed.
    /// Cancel safe.
    pub async fn ready(&self) {
        let mut ready = self.shared.ready.subscribe();
        // An error cannot be: the sender is ours.
        let _ = ready.wait_for(|ready| *ready).await;
    }

    /// What the lines of programs may take of memory, all together.
    pub fn lines(&self) -> LineBudget {
        self.shared.deps.types.lines.clone()
    }

    /// The configuration that holds.
    pub fn local(&self) -> LocalNode {
        self.live().local.clone()
    }

    /// A Role at this moment.
    pub fn role_status(&self, name: &str) -> Option<RoleStatus> {
        let sent = self.shared.router.sent_by(name);
        self.live().roles.get(name).map(|role| RoleStatus { sent, ..role.status() })
    }

    /// A Peer at this moment.
    pub fn peer_status(&self, name: &str) -> Option<PeerStatus> {
        self.live().links.get(name).map(|link| link.peer.status())
    }

    /// Lets Roles open their files anew.
    pub fn reopen(&self) {
        self.shared.reopen.send_modify(|times| *times += 1);
    }

    /// Stops: no new connections, then the Roles, then the links once they have sent what was queued.
    /// Takes no longer than about six seconds, whatever hangs.
    pub async fn stop(&self) {
        let _one_at_a_time = self.shared.operations.lock().await;
        self.shared.is_stopping.store(true, Ordering::Release);
        let acceptors = std::mem::take(&mut self.live().acceptors);
        join_all(acceptors.into_iter().map(LiveAcceptor::end)).await;
        let roles: Vec<_> = self.live().roles.keys().cloned().collect();
        self.halt_roles(&roles).await;
        let links: Vec<_> = self.live().links.keys().cloned().collect();
        join_all(links.iter().map(|link| self.end_link(link))).await;
        let transports = self.live().transports.clone();
        join_all(transports.iter().map(|built| built.transport.stop())).await;
        info!("stopped");
    }

    fn number(&self) -> u64 {
        self.shared.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.shared.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host for Node {
    fn node_name(&self) -> &str {
        &self.shared.name
    }

    fn send(&self, role: &str, draft: &Draft<'_>) -> Result<Sent, SendError> {
        self.shared.router.send(role, draft)
    }

    fn offer(&self, role: &str, draft: &Draft<'_>) -> Result<Offered, SendError> {
        self.shared.router.offer(role, draft)
    }

    fn status(&self) -> NodeStatus {
        let router = &self.shared.router;
        let refused = router.refused().into_iter();
        let live = self.live();
        let of_role = |role: &LiveRole| RoleStatus {
            sent: router.sent_by(&role.config().name),
            ..role.status()
        };
        NodeStatus {
            name: self.shared.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot: router.origin().boot,
            started: kozo_core::status::micros(self.shared.started),
            sent: router.sent(),
            refused: refused.map(|(reason, count)| (reason.name().to_owned(), count)).collect(),
            roles: live.roles.values().map(of_role).collect(),
            transports: live.transports.iter().map(Built::status).collect(),
            peers: live.links.values().map(|link| link.peer.status()).collect(),
        }
    }

    fn is_stopping(&self) -> bool {
        self.shared.is_stopping.load(Ordering::Acquire)
    }

    fn peers(&self) -> Vec<PeerStatus> {
        self.live().links.values().map(|link| link.peer.status()).collect()
    }

    fn peers_changed(&self) -> watch::Receiver<()> {
        self.shared.router.peers_changed()
    }

    fn tap(&self, interests: Vec<Interest>) -> Arc<Inbox> {
        self.shared.router.tap(interests, false)
    }

    fn system(&self) -> SystemFacts {
        let live = self.live();
        let (node, system) = (Arc::clone(&live.local.config), Arc::clone(&live.local.system));
        drop(live);
        SystemFacts { config: node.options.to_json(), keys: system.keys() }
    }

    fn launcher(&self, role: &str) -> Launcher {
        let live = self.live();
        Launcher::new(&live.local.system, &live.local.config, Owner::Role(role.into()))
    }

    fn print(&self, role: &str, line: &str) {
        (self.shared.deps.print)(role, line);
    }

    fn set_log_filter(&self, filter: &str) -> Result<(), String> {
        (self.shared.deps.set_log_filter)(filter)
    }
}
