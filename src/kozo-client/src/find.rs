//! Finding the Nodes that run here: on the system bus, and by their control sockets.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;
use zbus::connection::{Builder, Connection};
use zbus::fdo::DBusProxy;
use zbus::names::BusName;
use zbus::proxy::{self, CacheProperties, Proxy};

use crate::error::{Attempt, Error};
use crate::found::{Found, Way};
use crate::{names, places};

/// How long a bus or a Node has to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Where Nodes are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// Address of the system bus; the usual one, if none is given.
    pub system_bus: Option<String>,
    /// Folders with a folder for each Node.
    pub folders: Vec<PathBuf>,
}

impl Default for Lookup {
    /// Where Nodes usually are on this machine, as far as this user can reach them.
    fn default() -> Lookup {
        Lookup { system_bus: None, folders: places::parents() }
    }
}

/// The Nodes that run here, as [`Lookup::running`] finds them where Nodes usually are.
pub async fn running() -> Vec<Found> {
    Lookup::default().running().await
}

/// A connection to a Node, to be spoken to under its name on the bus, on the socket too.
pub(crate) struct Connected {
    pub(crate) connection: Connection,
    pub(crate) node: String,
    pub(crate) way: Way,
}

impl Lookup {
    /// The Nodes that run here, and those that a connection to their socket starts, by
    /// name. What can be reached over the system bus is given so. Each daemon is there once.
    pub async fn running(&self) -> Vec<Found> {
        let mut attempts = Vec::new();
        let bus = self.connect_to_bus(&mut attempts).await;
        self.look(bus.as_ref(), &mut attempts).await
    }

    /// Connects to the Node of this name, or to the only one there is.
    pub(crate) async fn connect(&self, node: Option<&str>) -> Result<Connected, Error> {
        let mut attempts = Vec::new();
        let bus = self.connect_to_bus(&mut attempts).await;
        let found = match node {
            Some(node) => {
                let found = self.named(bus.as_ref(), node, &mut attempts).await;
                check_names(tell_apart(bus.as_ref(), &found).await)?;
                found
            }
            None => {
                let found = self.look(bus.as_ref(), &mut attempts).await;
                check_names(found.clone())?;
                found
            }
        };
        let mut forbidden = None;
        for Found { node, way } in found {
            let path = match (&way, &bus) {
                (Way::SystemBus, Some(bus)) => {
                    return Ok(Connected { connection: bus.clone(), node, way });
                }
                (Way::SystemBus, None) => continue,
                (Way::Socket(path), _) => path.clone(),
            };
            match peer_to_peer(&path).await {
                Ok(connection) => return Ok(Connected { connection, node, way }),
                Err(problem) => {
                    if problem.kind() == io::ErrorKind::PermissionDenied {
                        forbidden = Some(not_allowed(&path, &problem));
                    }
                    attempts.push(attempt(&path, &problem.to_string()));
                }
            }
        }
        match forbidden {
            Some(problem) => Err(problem),
            None => {
                let name = |node| names::node_of_bus_name(node).unwrap_or_else(|| node.to_owned());
                Err(Error::NoDaemon { node: node.map(name), attempts })
            }
        }
    }

    /// Everywhere a Node of this name is, best first.
    async fn named(
        &self,
        bus: Option<&Connection>,
        node: &str,
        attempts: &mut Vec<Attempt>,
    ) -> Vec<Found> {
        let mut found = Vec::new();
        let on_bus = names::node_of_bus_name(node);
        let (node, folders) = match &on_bus {
            Some(node) => (&**node, &[][..]),
            None => (node, &*self.folders),
        };
        let known = |way| Found { node: node.to_owned(), way };
        if let Some(bus) = bus {
            let name = names::bus_name(node);
            if has_owner(bus, &name).await {
                found.push(known(Way::SystemBus));
            } else {
                let problem = "no program owns this name on the system bus".to_owned();
                attempts.push(Attempt { place: name, problem });
            }
        }
        for parent in folders {
            let path = parent.join(node).join(places::SOCKET);
            match is_socket(&path) {
                Ok(true)
                    if names::check_node_name(node).is_ok() && places::is_trustworthy(parent) =>
                {
                    found.push(known(Way::Socket(path)));
                }
                Ok(true) => attempts.push(untrusted(parent)),
                Ok(false) => attempts.push(attempt(&path, "not a socket")),
                // There is something that this user may not see: trying it says so.
                Err(problem) if problem.kind() == io::ErrorKind::PermissionDenied => {
                    found.push(known(Way::Socket(path)));
                }
                Err(problem) => attempts.push(attempt(&path, &problem.to_string())),
            }
        }
        found
    }

    /// All Nodes, each daemon once.
    async fn look(&self, bus: Option<&Connection>, attempts: &mut Vec<Attempt>) -> Vec<Found> {
        let mut found: BTreeMap<String, Vec<Found>> = BTreeMap::new();
        let mut add = |node: String, way| {
            let known = found.entry(node.clone()).or_default();
            known.push(Found { node, way });
        };
        if let Some(bus) = bus {
            let mut here = false;
            for name in bus_names(bus).await {
                if let Some(node) = names::node_of_bus_name(&name) {
                    here = true;
                    add(node, Way::SystemBus);
                }
            }
            if !here {
                attempts.push(Attempt {
                    place: format!("{}*", names::BUS_NAME_PREFIX),
                    problem: "no node is on the system bus".to_owned(),
                });
            }
        }
        for parent in &self.folders {
            let folders = match std::fs::read_dir(parent) {
                Ok(folders) => folders,
                Err(problem) => {
                    attempts.push(attempt(parent, &problem.to_string()));
                    continue;
                }
            };
            if !places::is_trustworthy(parent) {
                attempts.push(untrusted(parent));
                continue;
            }
            let mut here = false;
            for folder in folders.filter_map(Result::ok) {
                let path = folder.path().join(places::SOCKET);
                let Ok(node) = folder.file_name().into_string() else { continue };
                let there = match is_socket(&path) {
                    Ok(is_socket) => is_socket && is_listened_on(parent, &path).await,
                    // A Node that this user may not reach is one all the same.
                    Err(problem) => problem.kind() == io::ErrorKind::PermissionDenied,
                };
                if there {
                    here = true;
                    add(node, Way::Socket(path));
                }
            }
            if !here {
                attempts.push(attempt(parent, "no node has a socket there"));
            }
        }
        let mut apart = Vec::new();
        for ways in found.into_values() {
            apart.extend(tell_apart(bus, &ways).await);
        }
        apart
    }

    async fn connect_to_bus(&self, attempts: &mut Vec<Attempt>) -> Option<Connection> {
        let builder = self.system_bus.as_deref().map_or_else(Builder::system, Builder::address);
        let problem = match timeout(ANSWER, builder.build()).await {
            Ok(Ok(connection)) => return Some(connection),
            Ok(Err(problem)) => problem.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        attempts.push(Attempt { place: "system bus".to_owned(), problem });
        None
    }
}

/// Whether these are at most one daemon.
fn check_names(found: Vec<Found>) -> Result<(), Error> {
    let mut names: Vec<_> = found.iter().map(|found| found.node.clone()).collect();
    names.dedup();
    match (names.len(), found.len()) {
        (_, 0 | 1) => Ok(()),
        (1, _) => Err(Error::Namesakes(found)),
        _ => Err(Error::Ambiguous(names)),
    }
}

/// Of several ways to Nodes of one name, the first to each daemon.
async fn tell_apart(bus: Option<&Connection>, found: &[Found]) -> Vec<Found> {
    if found.len() < 2 {
        return found.to_vec();
    }
    let is_service = |found: &Found| match &found.way {
        Way::SystemBus => true,
        Way::Socket(path) => path.starts_with(places::SYSTEM),
    };
    let (services, others): (Vec<_>, Vec<_>) = found.iter().partition(|found| is_service(found));
    let mut apart: Vec<Found> = Vec::new();
    let mut runs = Vec::new();
    for found in others {
        let Way::Socket(path) = &found.way else { continue };
        // Nothing listens there any more if that fails.
        let Ok(connection) = peer_to_peer(path).await else { continue };
        let run = boot(&connection, &found.node).await;
        if run.is_none() || !runs.contains(&run) {
            runs.push(run);
            apart.push(found.clone());
        }
    }
    if apart.is_empty() {
        // On the bus and by the socket that systemd has made: both are the service.
        return found.first().cloned().into_iter().collect();
    }
    let mut is_known = false;
    for service in services {
        match (&service.way, bus) {
            (Way::SystemBus, Some(bus)) => {
                let run = boot(bus, &service.node).await;
                match runs.iter().position(|known| run.is_some() && *known == run) {
                    // A daemon that was started by hand has a name on the bus too, if it may.
                    Some(at) => {
                        if let Some(known) = apart.get_mut(at) {
                            known.way = Way::SystemBus;
                        }
                    }
                    None => {
                        is_known = true;
                        apart.insert(0, service.clone());
                    }
                }
            }
            _ if is_known => {}
            // To ask there might start it.
            _ => apart.insert(0, service.clone()),
        }
    }
    apart
}

/// Whether a socket is more than what a Node left behind. Those of systemd are not tried: it takes
/// them away by itself, and a connection would start the Node.
async fn is_listened_on(parent: &Path, socket: &Path) -> bool {
    if parent == Path::new(places::SYSTEM) {
        return true;
    }
    match UnixStream::connect(socket).await {
        Ok(_) => true,
        Err(problem) => problem.kind() != io::ErrorKind::ConnectionRefused,
    }
}

fn is_socket(path: &Path) -> io::Result<bool> {
    Ok(std::fs::symlink_metadata(path)?.file_type().is_socket())
}

pub(crate) fn attempt(path: &Path, problem: &str) -> Attempt {
    Attempt { place: path.display().to_string(), problem: problem.to_owned() }
}

/// That this user may not use the control socket there, and who may.
pub(crate) fn not_allowed(socket: &Path, problem: &io::Error) -> Error {
    let who = if socket.starts_with(places::SYSTEM) {
        "; only root and members of the group 'kozo' may use it: try sudo"
    } else {
        ""
    };
    Error::NotAllowed(format!("{}: {problem}{who}", socket.display()))
}

fn untrusted(parent: &Path) -> Attempt {
    attempt(parent, "not trusted: other users may write there")
}

async fn has_owner(bus: &Connection, name: &str) -> bool {
    let (Ok(proxy), Ok(name)) = (DBusProxy::new(bus).await, BusName::try_from(name)) else {
        return false;
    };
    timeout(ANSWER, proxy.name_has_owner(name)).await.is_ok_and(|answer| answer.unwrap_or(false))
}

/// Random number of the run of the daemon behind this connection.
async fn boot(connection: &Connection, node: &str) -> Option<u64> {
    let proxy: proxy::Builder<'_, Proxy<'_>> = proxy::Builder::new(connection);
    let proxy = proxy
        .destination(names::bus_name(node))
        .path(names::ROOT)
        .interface(names::INTERFACE)
        .cache_properties(CacheProperties::No)
        .build();
    let boot = async { proxy.await?.get_property("Boot").await };
    timeout(ANSWER, boot).await.ok()?.ok()
}

async fn bus_names(bus: &Connection) -> Vec<String> {
    let Ok(proxy) = DBusProxy::new(bus).await else { return Vec::new() };
    match timeout(ANSWER, proxy.list_names()).await {
        Ok(Ok(names)) => names.into_iter().map(|name| name.to_string()).collect(),
        _ => Vec::new(),
    }
}

pub(crate) async fn peer_to_peer(path: &Path) -> io::Result<Connection> {
    let stream = UnixStream::connect(path).await?.into_std()?;
    match timeout(ANSWER, Builder::unix_stream(stream).p2p().build()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(problem)) => Err(io::Error::other(problem.to_string())),
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
    }
}
