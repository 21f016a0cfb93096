//! A Node, as its clients drive it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use nix::unistd::geteuid;
use serde::Serialize;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use zbus::message::Type;
use zbus::proxy::{Builder, CacheProperties, MethodFlags};
use zbus::wire::DynamicDeserialize;
use zbus::{
    Connection, DynamicType, MatchRule, MessageStream, OwnedFd, OwnedVariant, Proxy, Variant,
};

use crate::agent::Agent;
use crate::error::Error;
use crate::find::{self, Connected, Lookup};
use crate::found::Way;
use crate::monitor::{Filter, Monitor};
use crate::names;
use crate::options::Options;
use crate::status::NodeStatus;

/// How long a Node has to answer; a Role that does not want to stop takes it two seconds.
const ANSWER: Duration = Duration::from_secs(30);

/// How long it has when the user may be asked for a password first.
const PASSWORD: Duration = Duration::from_secs(300);

/// What became of an injected Message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injected {
    /// Its number among the Messages of this run of the Node.
    pub id: u64,
    /// Local Roles that it was queued for.
    pub roles: u32,
    /// Peers that it was queued for.
    pub peers: u32,
    /// Peers that want it and cannot be reached now.
    pub unreachable: u32,
}

/// What a reload has touched, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Roles that were started, stopped or started again.
    pub roles: Vec<String>,
    /// Peers whose links were begun, ended or begun again.
    pub peers: Vec<String>,
    /// Transports that began or ceased to listen.
    pub transports: Vec<String>,
}

/// A connection to a running Node.
#[derive(Clone, Debug)]
pub struct Client {
    connection: Connection,
    node: String,
    destination: String,
    way: Way,
    /// What asks the user for a password, once there is something to ask for; none where there is no user.
    agent: Option<Arc<OnceCell<Option<Agent>>>>,
}

/// Methods that every user may call.
const OPEN: [&str; 2] = ["Describe", "Get"];

impl Client {
    /// Connects to the Node of this name, or to the only one that runs here, over the system bus or
    /// its control socket. A name on the bus means the Node that has it, and a path the one with its control
    /// socket there.
    ///
    /// # Errors
    /// [`Error::NoDaemon`], [`Error::Ambiguous`], [`Error::Namesakes`], or [`Error::NotAllowed`].
    pub async fn connect(node: Option<&str>) -> Result<Client, Error> {
        Client::find(&Lookup::default(), node).await
    }

    /// As [`connect`](Self::connect), looking elsewhere than usual.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn find(lookup: &Lookup, node: Option<&str>) -> Result<Client, Error> {
        if let Some(path) = node.filter(|node| node.contains('/')) {
            return Client::at_socket(Path::new(path)).await;
        }
        let Connected { connection, node, way } = lookup.connect(node).await?;
        let destination = names::bus_name(&node);
        Ok(Client { connection, node, destination, way, agent: None })
    }

    /// Connects to the Node that has its control socket at this path.
    ///
    /// # Errors
    /// [`Error::NoDaemon`] or [`Error::NotAllowed`].
    pub async fn at_socket(path: &Path) -> Result<Client, Error> {
        let connection =
            find::peer_to_peer(path).await.map_err(|problem| match problem.kind() {
                io::ErrorKind::PermissionDenied => find::not_allowed(path, &problem),
                _ => {
                    let attempts = vec![find::attempt(path, &problem.to_string())];
                    Error::NoDaemon { node: None, attempts }
                }
            })?;
        let way = Way::Socket(path.to_owned());
        // On the socket any name will do.
        let destination = names::bus_name("_");
        let mut client = Client { connection, node: String::new(), destination, way, agent: None };
        client.node = client.name().await?;
        client.destination = names::bus_name(&client.node);
        Ok(client)
    }

    /// The Node's name.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Lets polkit ask the user for a password where an action takes one. Not by default: a user must
    /// be there to be asked.
    #[must_use]
    pub fn may_ask(mut self, may_ask: bool) -> Client {
        // polkit is not asked on the socket, nor about root.
        let can_ask = may_ask && self.way == Way::SystemBus && !geteuid().is_root();
        self.agent = can_ask.then(Arc::default);
        self
    }

    /// How the Node is reached.
    pub fn way(&self) -> &Way {
        &self.way
    }

    /// The connection, for what this crate has no method for. The Node is spoken to under
    /// [`names::bus_name`], on the bus and on the socket.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The Node at this moment.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn describe(&self) -> Result<NodeStatus, Error> {
        let text = self.describe_json().await?;
        serde_json::from_str(&text)
            .map_err(|error| Error::Failed(format!("the node's description is not JSON: {error}")))
    }

    /// The Node at this moment as the JSON that it gave: with everything that it knows to say.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn describe_json(&self) -> Result<String, Error> {
        self.root().call("Describe", &()).await
    }

    /// Sends a Message of this kind and type, whose data is given as JSON.
    ///
    /// # Errors
    /// When it is not valid, too large or not allowed.
    pub async fn inject_json(
        &self,
        kind: &str,
        message_type: &str,
        channel: Option<&str>,
        data: &str,
    ) -> Result<Injected, Error> {
        let options = Options::from([("encoding", Variant::from("json"))]);
        self.inject(kind, message_type, channel, &Variant::from(data), options).await
    }

    /// Sends a Message of this kind and type, whose data is one MessagePack value.
    ///
    /// # Errors
    /// When it is not valid, too large or not allowed.
    pub async fn inject_msgpack(
        &self,
        kind: &str,
        message_type: &str,
        channel: Option<&str>,
        data: &[u8],
    ) -> Result<Injected, Error> {
        let options = Options::from([("encoding", Variant::from("msgpack"))]);
        self.inject(kind, message_type, channel, &Variant::from(data), options).await
    }

    /// Sends a Message of this kind and type, whose data is a D-Bus value, or what the option
    /// `encoding` says it is.
    ///
    /// # Errors
    /// When it is not valid, too large or not allowed.
    pub async fn inject(
        &self,
        kind: &str,
        message_type: &str,
        channel: Option<&str>,
        data: &Variant<'_>,
        options: Options<'_>,
    ) -> Result<Injected, Error> {
        let arguments = (kind, message_type, channel.unwrap_or_default(), data, options);
        let answer = self.root().call("Inject", &arguments).await?;
        let (id, roles, peers, unreachable): (u64, u32, u32, u32) = answer;
        Ok(Injected { id, roles, peers, unreachable })
    }

    /// Opens a view of the Messages that pass the Node and match.
    ///
    /// # Errors
    /// When the filter makes no sense, or it is not allowed.
    pub async fn monitor(&self, filter: &Filter) -> Result<Monitor, Error> {
        let descriptor: OwnedFd = self.root().call("Monitor", &filter.options()).await?;
        Monitor::new(descriptor.into()).map_err(|error| {
            Error::Failed(format!("the node passed no file descriptor to read from: {error}"))
        })
    }

    /// Opens a connection on which a program attaches itself as a Role, where the Node's socket for that is not open to
    /// this user: what kozo-role(7) is spoken on, from the request `attach` on.
    ///
    /// # Errors
    /// When it is not allowed, or too many are attached.
    pub async fn attach(&self) -> Result<std::os::fd::OwnedFd, Error> {
        let descriptor: OwnedFd = self.root().call("Attach", &Options::new()).await?;
        Ok(descriptor.into())
    }

    /// Lets the Node read its configuration file again and apply what has changed.
    ///
    /// # Errors
    /// [`Error::InvalidConfiguration`] with everything that is wrong with the file, or
    /// [`Error::NotAllowed`]; then everything runs on as it was.
    pub async fn reload(&self) -> Result<Reloaded, Error> {
        let answer = self.root().call("Reload", &Options::new()).await?;
        let (roles, peers, transports): (Vec<String>, Vec<String>, Vec<String>) = answer;
        Ok(Reloaded { roles, peers, transports })
    }

    /// The Role of this name.
    pub fn role(&self, name: &str) -> Role<'_> {
        Role { client: self, name: name.to_owned() }
    }

    /// The Peer of this name.
    pub fn peer(&self, name: &str) -> Peer<'_> {
        Peer { client: self, name: name.to_owned() }
    }

    /// Gets told whenever the Node, a Role or a link is in another state.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn changes(&self) -> Result<Changes, Error> {
        let rule = MatchRule::builder().msg_type(Type::Signal).path_namespace(names::ROOT);
        let rule = match self.way {
            Way::SystemBus => rule.sender(&*self.destination),
            Way::Socket(_) => rule,
        };
        Ok(Changes(MessageStream::for_match_rule(rule.build()?, &self.connection, None).await?))
    }

    async fn name(&self) -> Result<String, Error> {
        let object = self.object(names::ROOT.to_owned(), "org.freedesktop.DBus.Properties");
        let name: OwnedVariant = object.call("Get", &(names::INTERFACE, "Name")).await?;
        String::try_from(name).map_err(|error| Error::Failed(error.to_string()))
    }

    fn root(&self) -> Object<'_> {
        self.object(names::ROOT.to_owned(), names::INTERFACE)
    }

    fn object(&self, path: String, interface: &'static str) -> Object<'_> {
        Object { client: self, path, interface }
    }
}

/// An object of the Node, as one of its interfaces.
struct Object<'a> {
    client: &'a Client,
    path: String,
    interface: &'static str,
}

impl Object<'_> {
    /// Calls a method and waits for the Node's answer, but not for ever.
    async fn call<A, R>(&self, method: &str, arguments: &A) -> Result<R, Error>
    where
        A: Serialize + DynamicType,
        R: for<'d> DynamicDeserialize<'d>,
    {
        let (patience, flags) = match &self.client.agent {
            Some(agent) if !OPEN.contains(&method) => {
                agent.get_or_init(Agent::start).await;
                (PASSWORD, MethodFlags::ALLOW_INTERACTIVE_AUTH)
            }
            _ => (ANSWER, MethodFlags::empty()),
        };
        let proxy: Proxy<'_> = Builder::new(&self.client.connection)
            .destination(&*self.client.destination)
            .path(&*self.path)
            .interface(self.interface)
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        match timeout(patience, proxy.call_with_flags(method, flags, arguments)).await {
            Ok(answer) => {
                answer?.ok_or_else(|| Error::Failed("the node did not answer".to_owned()))
            }
            Err(_) => Err(Error::Gone(format!("no answer within {} s", patience.as_secs()))),
        }
    }
}

/// A Role of the Node.
pub struct Role<'a> {
    client: &'a Client,
    name: String,
}

impl Role<'_> {
    /// Starts it, if it does not run.
    ///
    /// # Errors
    /// [`Error::NoSuchRole`] or [`Error::NotAllowed`], as for the others.
    pub async fn start(&self) -> Result<(), Error> {
        self.known(self.object().call("Start", &Options::new()).await)
    }

    /// Stops it, if it runs, until it is started or the Node is.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn stop(&self) -> Result<(), Error> {
        self.known(self.object().call("Stop", &Options::new()).await)
    }

    /// Stops it, if it runs, and starts it.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn restart(&self) -> Result<(), Error> {
        self.known(self.object().call("Restart", &Options::new()).await)
    }

    fn object(&self) -> Object<'_> {
        self.client.object(names::role_path(&self.name), "org.kozo.Role1")
    }

    fn known(&self, result: Result<(), Error>) -> Result<(), Error> {
        let gone = || Error::NoSuchRole(format!("there is no role '{}'", self.name));
        result.map_err(|error| if error == Error::NoObject { gone() } else { error })
    }
}

/// A Peer of the Node.
pub struct Peer<'a> {
    client: &'a Client,
    name: String,
}

impl Peer<'_> {
    /// Tries to reach it at once, and ends what [`disconnect`](Self::disconnect) began.
    ///
    /// # Errors
    /// [`Error::NoSuchPeer`] or [`Error::NotAllowed`].
    pub async fn connect(&self) -> Result<(), Error> {
        self.known(self.object().call("Connect", &Options::new()).await)
    }

    /// Closes the link and keeps it closed until [`connect`](Self::connect).
    ///
    /// # Errors
    /// [`Error::NoSuchPeer`] or [`Error::NotAllowed`].
    pub async fn disconnect(&self) -> Result<(), Error> {
        self.known(self.object().call("Disconnect", &Options::new()).await)
    }

    /// Measures the round trip to it, in microseconds, with a heartbeat that is sent now.
    ///
    /// # Errors
    /// [`Error::NoSuchPeer`], [`Error::NotAllowed`], [`Error::TimedOut`], or [`Error::Failed`] when
    /// there is no link to it.
    pub async fn ping(&self) -> Result<u64, Error> {
        self.known(self.object().call("Ping", &Options::new()).await)
    }

    /// Sends it so many bytes of nothing, at most 64 MiB, whenever there is nothing else to send, and
    /// measures how long they take until it has answered that all have come, in microseconds.
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    pub async fn fill(&self, bytes: u64) -> Result<u64, Error> {
        let options = Options::from([("padding", bytes.into())]);
        self.known(self.object().call("Ping", &options).await)
    }

    fn object(&self) -> Object<'_> {
        self.client.object(names::peer_path(&self.name), "org.kozo.Peer1")
    }

    fn known<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        let gone = || Error::NoSuchPeer(format!("there is no peer '{}'", self.name));
        result.map_err(|error| if error == Error::NoObject { gone() } else { error })
    }
}

/// Tells of changes.
pub struct Changes(MessageStream);

impl Changes {
    /// Returns when something has changed; false when the Node is gone. Cancel safe. Several changes
    /// may be told of as one.
    pub async fn next(&mut self) -> bool {
        matches!(self.0.next().await, Some(Ok(_)))
    }
}
