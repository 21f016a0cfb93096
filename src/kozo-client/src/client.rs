//! A Node, as its clients drive it.

use std::io;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::timeout;
use zbus::message::Type;
use zbus::proxy::CacheProperties;
use zbus::{Connection, MatchRule, MessageStream, Variant};

use crate::error::{Error, Place};
use crate::find::{self, Connected, Lookup, Way};
use crate::monitor::{Filter, Monitor};
use crate::names;
use crate::proxies::{Node1Proxy, Options, Peer1Proxy, Role1Proxy};
use crate::status::NodeStatus;

/// How long a Node has to answer; a Role that does not want to stop takes it two seconds.
const ANSWER: Duration = Duration::from_secs(30);

/// What became of an injected Message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injected {
    /// The how-manieth Message of this run of the Node it is.
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
}

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
        Ok(Client { connection, node, destination, way })
    }

    /// Connects to the Node that has its control socket at this path.
    ///
    /// # Errors
    /// [`Error::NoDaemon`] or [`Error::NotAllowed`].
    pub async fn at_socket(path: &Path) -> Result<Client, Error> {
        let connection = find::peer_to_peer(path).await.map_err(|problem| {
            let place = Place { place: path.display().to_string(), problem: problem.to_string() };
            match problem.kind() {
                io::ErrorKind::PermissionDenied => Error::NotAllowed(place.to_string()),
                _ => Error::NoDaemon { node: None, places: vec![place] },
            }
        })?;
        let way = Way::Socket(path.to_owned());
        // On the socket nobody minds under which name it is spoken to.
        let mut client =
            Client { connection, node: String::new(), destination: names::bus_name("_"), way };
        client.node = answer(client.root().await?.name()).await?;
        client.destination = names::bus_name(&client.node);
        Ok(client)
    }

    /// The Node's name.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// How the Node is reached.
    pub fn way(&self) -> &Way {
        &self.way
    }

    /// The connection, for what this crate has no method for. The Node is spoken to under
    /// [`names::bus_name`], whichever way it leads.
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
            .map_err(|error| Error::Failed(format!("the node's description is no JSON: {error}")))
    }

    /// The Node at this moment as the JSON that it gave: with everything that it knows to say.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn describe_json(&self) -> Result<String, Error> {
        answer(self.root().await?.describe()).await
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
        let root = self.root().await?;
        let channel = channel.unwrap_or_default();
        let call = root.inject(kind, message_type, channel, data, options);
        let (id, roles, peers, unreachable) = answer(call).await?;
        Ok(Injected { id, roles, peers, unreachable })
    }

    /// Opens a view of the Messages that pass the Node and match.
    ///
    /// # Errors
    /// When the filter makes no sense, or it is not allowed.
    pub async fn monitor(&self, filter: &Filter) -> Result<Monitor, Error> {
        let root = self.root().await?;
        let descriptor = answer(root.monitor(filter.options())).await?;
        Monitor::new(descriptor.into())
            .map_err(|error| Error::Failed(format!("the node gave nothing to read from: {error}")))
    }

    /// Lets the Node read its configuration file again and apply what has changed.
    ///
    /// # Errors
    /// [`Error::InvalidConfiguration`] with everything that is wrong with the file, or
    /// [`Error::NotAllowed`]; then everything runs on as it was.
    pub async fn reload(&self) -> Result<Reloaded, Error> {
        let root = self.root().await?;
        let (roles, peers, transports) = answer(root.reload(Options::new())).await?;
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

    async fn root(&self) -> Result<Node1Proxy<'_>, Error> {
        let builder = Node1Proxy::builder(&self.connection).destination(&*self.destination);
        Ok(builder.cache_properties(CacheProperties::No).build().await?)
    }
}

/// Waits for the Node's answer, but not for ever.
async fn answer<T>(call: impl Future<Output = zbus::Result<T>>) -> Result<T, Error> {
    match timeout(ANSWER, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Error::Gone(format!("no answer within {} s", ANSWER.as_secs()))),
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
        let proxy = self.proxy().await?;
        self.known(answer(proxy.start(Options::new())).await)
    }

    /// Stops it, if it runs, until it is started or the Node is.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn stop(&self) -> Result<(), Error> {
        let proxy = self.proxy().await?;
        self.known(answer(proxy.stop(Options::new())).await)
    }

    /// Stops it, if it runs, and starts it.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn restart(&self) -> Result<(), Error> {
        let proxy = self.proxy().await?;
        self.known(answer(proxy.restart(Options::new())).await)
    }

    async fn proxy(&self) -> Result<Role1Proxy<'_>, Error> {
        let builder = Role1Proxy::builder(&self.client.connection)
            .destination(&*self.client.destination)
            .path(names::role_path(&self.name));
        Ok(builder.cache_properties(CacheProperties::No).build().await?)
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
        let proxy = self.proxy().await?;
        self.known(answer(proxy.connect(Options::new())).await)
    }

    /// Closes the link and keeps it closed until [`connect`](Self::connect).
    ///
    /// # Errors
    /// [`Error::NoSuchPeer`] or [`Error::NotAllowed`].
    pub async fn disconnect(&self) -> Result<(), Error> {
        let proxy = self.proxy().await?;
        self.known(answer(proxy.disconnect(Options::new())).await)
    }

    /// Measures the round trip to it, in microseconds, with a heartbeat that is sent now.
    ///
    /// # Errors
    /// [`Error::NoSuchPeer`], [`Error::NotAllowed`], [`Error::TimedOut`], or [`Error::Failed`] when
    /// there is no link to it.
    pub async fn ping(&self) -> Result<u64, Error> {
        let proxy = self.proxy().await?;
        self.known(answer(proxy.ping(Options::new())).await)
    }

    /// Sends it so many bytes of nothing, at most 64 MiB, whenever there is nothing else to send, and
    /// measures how long they take until it has answered that all have come, in microseconds.
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    pub async fn fill(&self, bytes: u64) -> Result<u64, Error> {
        let proxy = self.proxy().await?;
        let options = Options::from([("padding", bytes.into())]);
        self.known(answer(proxy.ping(options)).await)
    }

    async fn proxy(&self) -> Result<Peer1Proxy<'_>, Error> {
        let builder = Peer1Proxy::builder(&self.client.connection)
            .destination(&*self.client.destination)
            .path(names::peer_path(&self.name));
        Ok(builder.cache_properties(CacheProperties::No).build().await?)
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
