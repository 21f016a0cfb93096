//! The Node: Roles, router, links and Transports of one daemon, joined and kept running.
//!
//! [`Node::start`] brings all of it up from a checked configuration and returns once the Node listens;
//! [`Node::stop`] drains and ends it. Everything runs on the one runtime that calls it.

mod acceptor;
mod admission;
mod complaints;
mod router;
mod supervisor;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::info;

use crate::config::{LocalNode, NodeConfig, Registry};
use crate::interest::Interest;
use crate::link::task::Link;
use crate::link::{Candidate, Greeter, Peer, Peers};
use crate::message::{Draft, Origin};
use crate::role::{self, Host, Inbox, RoleContext, RoleType, SendError, Sent};
use crate::status::{NodeStatus, RoleStatus};
use crate::storage::Storage;
use crate::transport::session::SessionError;
use crate::transport::ssh::Ssh;
use crate::transport::{self, Transport, TransportType};
use acceptor::Acceptor;
pub use admission::Admission;
pub use router::{Refused, Router};
pub use supervisor::Supervised;

/// How long Roles, and then links, have to come to an end.
const STOP: Duration = Duration::from_secs(2);

/// How long first attempts to reach Peers may keep Roles from taking the links as settled.
const SETTLE: Duration = Duration::from_secs(1);

/// The Role and Transport types that a Node knows.
#[derive(Clone)]
pub struct Types {
    /// Types of Roles.
    pub roles: Vec<Arc<dyn RoleType>>,
    /// Types of Transports.
    pub transports: Vec<Arc<dyn TransportType>>,
}

impl Types {
    /// Those that are part of the daemon.
    pub fn built_in() -> Types {
        Types { roles: role::built_in(), transports: transport::built_in() }
    }

    /// Their options, for the configuration.
    pub fn registry(&self) -> Registry {
        Registry {
            roles: role::schemas(&self.roles),
            transports: self.transports.iter().map(|transport| transport.schema()).collect(),
        }
    }

    fn role(&self, name: &str) -> Option<&Arc<dyn RoleType>> {
        self.roles.iter().find(|role_type| role_type.schema().name == name)
    }

    /// What a Node wants as far as its configuration tells; everything where it does not.
    fn interests_of(&self, node: &NodeConfig) -> Vec<Interest> {
        let of_role = |role: &crate::config::RoleConfig| match self.role(&role.role_type) {
            Some(role_type) => role_type.interests(role),
            None => vec![Interest::any()],
        };
        node.roles.iter().flat_map(of_role).collect()
    }
}

/// Prints a line for people, given the Role that it comes from.
pub type Print = Box<dyn Fn(&str, &str) + Send + Sync>;

/// Changes what is logged, or says what is wrong with the filter.
pub type SetLogFilter = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// What surrounds a Node.
pub struct Surroundings {
    /// The types it knows.
    pub types: Types,
    /// Where lines for people go.
    pub print: Print,
    /// How to change what is logged.
    pub set_log_filter: SetLogFilter,
}

/// Why a Node did not start.
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
    #[error("{0} is of type '{1}', which does not exist here")]
    UnknownType(String, String),
}

/// A running Node.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

struct Shared {
    local: LocalNode,
    router: Arc<Router>,
    roles: Vec<Arc<Supervised>>,
    surroundings: Surroundings,
    started: SystemTime,
    stop_roles: watch::Sender<bool>,
    stop_links: watch::Sender<bool>,
    reopen: watch::Sender<u64>,
    settled: watch::Sender<bool>,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    roles: JoinSet<()>,
    links: JoinSet<()>,
    /// Acceptors, and whatever else ends without being waited for.
    acceptors: JoinSet<()>,
}

impl Node {
    /// Starts a Node; it listens when this returns.
    ///
    /// # Errors
    /// When a Transport cannot listen, or a type does not exist.
    pub async fn start(local: LocalNode, surroundings: Surroundings) -> Result<Node, StartError> {
        let types = surroundings.types.clone();
        let config = Arc::clone(&local.config);
        let origin = Arc::new(Origin { node: config.name.clone(), boot: rand::random() });
        let roles = supervised(&config, &types)?;
        let mut peers = Vec::new();
        let mut notices = Vec::new();
        for other in local.system.nodes.iter().filter(|other| other.name != config.name) {
            let id = u32::try_from(peers.len()).unwrap_or(u32::MAX);
            let limits = config.options.outgoing_queue;
            let (peer, taken) = Peer::new(id, &config, Arc::clone(other), limits);
            peers.push((Arc::new(peer), types.interests_of(other)));
            notices.push(taken);
        }
        let directory = peers.iter().map(|(peer, _)| Arc::clone(peer));
        let directory = Arc::new(Peers::new(Arc::clone(&origin), directory));
        let wants = |role: &Arc<Supervised>| {
            let interests = types.role(&role.config.role_type).map(|t| t.interests(&role.config));
            (role.config.name.clone(), Arc::clone(&role.inbox), interests.unwrap_or_default())
        };
        let router = Arc::new(Router::new(origin, roles.iter().map(wants).collect(), peers));
        let ssh = Ssh::new(&config.name, Arc::clone(&local.private_key), &config.options)?;
        let greeter = Arc::new(Greeter::new(ssh, directory, Arc::clone(&router) as _));
        let transports = built(&config, &types)?;
        let acceptors = acceptors(&transports, &greeter, &router).await?;

        let node = Node {
            shared: Arc::new(Shared {
                local,
                router,
                roles,
                surroundings,
                started: SystemTime::now(),
                stop_roles: watch::Sender::new(false),
                stop_links: watch::Sender::new(false),
                reopen: watch::Sender::new(0),
                settled: watch::Sender::new(false),
                tasks: Mutex::default(),
            }),
        };
        let settling = node.spawn_links(notices, &greeter, &transports);
        node.spawn_roles();
        node.spawn_settling(settling);
        let mut tasks = node.tasks();
        for acceptor in acceptors {
            tasks.acceptors.spawn(acceptor.run());
        }
        drop(tasks);
        Ok(node)
    }

    fn spawn_links(
        &self,
        notices: Vec<tokio::sync::mpsc::Receiver<crate::link::Notice>>,
        greeter: &Arc<Greeter>,
        transports: &[Built],
    ) -> Vec<oneshot::Receiver<()>> {
        let mut tasks = self.tasks();
        let mut settling = Vec::new();
        for (peer, notices) in self.shared.router.peers().iter().zip(notices) {
            let (settled, settles) = oneshot::channel();
            settling.push(settles);
            let link = Link {
                peer: Arc::clone(peer),
                greeter: Arc::clone(greeter),
                candidates: candidates(transports, peer),
                notices,
                stop: self.shared.stop_links.subscribe(),
                settled: Some(settled),
            };
            let config = Arc::clone(&self.shared.local.config);
            tasks.links.spawn(async move { link.run(&config.options).await });
        }
        settling
    }

    /// Tells the Roles once all links have settled, or enough time has passed.
    fn spawn_settling(&self, settling: Vec<oneshot::Receiver<()>>) {
        let shared = Arc::clone(&self.shared);
        self.tasks().acceptors.spawn(async move {
            // A link that has settled drops its end.
            let _ = timeout_at(Instant::now() + SETTLE, join_all(settling)).await;
            shared.settled.send_replace(true);
        });
    }

    fn spawn_roles(&self) {
        let mut tasks = self.tasks();
        for role in &self.shared.roles {
            let storage = self.shared.local.config.role_storage.as_deref();
            let context = RoleContext {
                host: Arc::new(self.clone()),
                name: role.config.name.as_str().into(),
                inbox: Arc::clone(&role.inbox),
                storage: storage.map(|folder| Storage::new(folder, &role.config.name)),
                stop: self.shared.stop_roles.subscribe(),
                reopen: self.shared.reopen.subscribe(),
                settled: self.shared.settled.subscribe(),
            };
            let role = Arc::clone(role);
            tasks.roles.spawn(async move { role.run(context).await });
        }
    }

    /// Sends a Message in the name of a Role.
    ///
    /// # Errors
    /// As [`Router::send`].
    pub fn send(&self, role: &str, draft: &Draft<'_>) -> Result<Sent, SendError> {
        self.shared.router.send(role, draft)
    }

    /// Lets Roles open their files anew.
    pub fn reopen(&self) {
        self.shared.reopen.send_modify(|times| *times += 1);
    }

    /// Stops: no new connections, then the Roles, then the links once they have sent what was queued.
    /// Takes no longer than about four seconds, whatever hangs.
    pub async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks());
        tasks.acceptors.abort_all();
        self.shared.stop_roles.send_replace(true);
        self.shared.router.close_inboxes();
        join(&mut tasks.roles).await;
        self.shared.stop_links.send_replace(true);
        join(&mut tasks.links).await;
        info!("stopped");
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, Tasks> {
        self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn join(tasks: &mut JoinSet<()>) {
    let deadline = Instant::now() + STOP;
    while let Ok(Some(_)) = timeout_at(deadline, tasks.join_next()).await {}
    tasks.abort_all();
}

struct Built {
    name: String,
    transport_type: String,
    transport: Arc<dyn Transport>,
}

fn built(config: &NodeConfig, types: &Types) -> Result<Vec<Built>, StartError> {
    config
        .transports
        .iter()
        .map(|transport| {
            let wanted = &transport.transport_type;
            let known = types.transports.iter().find(|known| known.schema().name == *wanted);
            let known = known.ok_or_else(|| {
                StartError::UnknownType(format!("transport '{}'", transport.name), wanted.clone())
            })?;
            Ok(Built {
                name: transport.name.clone(),
                transport_type: wanted.clone(),
                transport: known.build(transport),
            })
        })
        .collect()
}

fn supervised(config: &NodeConfig, types: &Types) -> Result<Vec<Arc<Supervised>>, StartError> {
    config
        .roles
        .iter()
        .map(|role| {
            let role_type = types.role(&role.role_type).ok_or_else(|| {
                StartError::UnknownType(format!("role '{}'", role.name), role.role_type.clone())
            })?;
            Ok(Arc::new(Supervised::new(role.clone(), Arc::clone(role_type))))
        })
        .collect()
}

async fn acceptors(
    transports: &[Built],
    greeter: &Arc<Greeter>,
    router: &Arc<Router>,
) -> Result<Vec<Acceptor>, StartError> {
    let admission = Arc::new(Admission::default());
    let mut acceptors = Vec::new();
    for built in transports.iter().filter(|built| built.transport.can_accept()) {
        let listener = built
            .transport
            .listen()
            .await
            .map_err(|source| StartError::Listen { transport: built.name.clone(), source })?;
        info!(transport = built.name, "listening on {}", listener.address());
        acceptors.push(Acceptor {
            listener,
            transport_type: built.transport_type.clone(),
            priority: built.transport.priority(),
            greeter: Arc::clone(greeter),
            router: Arc::clone(router),
            admission: Arc::clone(&admission),
        });
    }
    Ok(acceptors)
}

/// All ways to a Peer, best first, each once.
fn candidates(transports: &[Built], peer: &Peer) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    for built in transports {
        for other in &peer.config.transports {
            if !built.transport.can_connect(other) {
                continue;
            }
            for address in built.transport.addresses(other) {
                let transport_type = built.transport_type.clone();
                let known = |known: &Candidate| {
                    known.transport_type == transport_type && known.address == address
                };
                if !found.iter().any(known) {
                    let transport = Arc::clone(&built.transport);
                    found.push(Candidate { transport, transport_type, address });
                }
            }
        }
    }
    found.sort_by_key(|candidate| std::cmp::Reverse(candidate.transport.priority()));
    found
}

impl Host for Node {
    fn node_name(&self) -> &str {
        &self.shared.local.config.name
    }

    fn send(&self, role: &str, draft: &Draft<'_>) -> Result<Sent, SendError> {
        self.shared.router.send(role, draft)
    }

    fn status(&self) -> NodeStatus {
        let router = &self.shared.router;
        let seconds =
            |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let of_role = |role: &Arc<Supervised>| RoleStatus {
            sent: router.sent_by(&role.config.name),
            ..role.status()
        };
        let refused = router.refused().into_iter();
        NodeStatus {
            name: self.node_name().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot: router.origin().boot,
            started: seconds(self.shared.started),
            sent: router.sent(),
            refused: refused.map(|(reason, count)| (reason.name().to_owned(), count)).collect(),
            roles: self.shared.roles.iter().map(of_role).collect(),
            peers: router.peers().iter().map(|peer| peer.status()).collect(),
        }
    }

    fn tap(&self, interests: Vec<Interest>) -> Arc<Inbox> {
        self.shared.router.tap(interests)
    }

    fn print(&self, role: &str, line: &str) {
        (self.shared.surroundings.print)(role, line);
    }

    fn set_log_filter(&self, filter: &str) -> Result<(), String> {
        (self.shared.surroundings.set_log_filter)(filter)
    }
}
