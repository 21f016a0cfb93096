//! Transports.

mod channel;
mod program;
mod protocol;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::description::Common;
use crate::{Error, Failure, Level, Setting};
use channel::{Channel, cut};

/// Bytes of the most data that a Node signs, and of the longest signature.
const LONGEST_SIGNED: usize = 16 * 1024;

/// Bytes of the longest name of a Node.
const LONGEST_NAME: usize = 255;

/// How good a Transport is, where two Nodes are joined by several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Only if there is no other one.
    Worst,
    /// Slow, or dear.
    Bad,
    /// Neither good nor bad.
    #[default]
    Meh,
    /// Better than most.
    Good,
    /// Before all others.
    Best,
}

impl Priority {
    fn name(self) -> &'static str {
        match self {
            Priority::Worst => "worst",
            Priority::Bad => "bad",
            Priority::Meh => "meh",
            Priority::Good => "good",
            Priority::Best => "best",
        }
    }
}

/// What a type of Transports is: what it does and takes, and what it can do.
#[derive(Clone, Debug, PartialEq)]
pub struct TransportDescription {
    common: Common,
    priority: Priority,
    can_accept: bool,
    authenticates: bool,
    connects_to: Option<Vec<String>>,
    connect_timeout: Option<Duration>,
}

impl TransportDescription {
    /// Of a type that does this. It accepts connections, and its streams carry SSH.
    pub fn new(description: &str) -> TransportDescription {
        TransportDescription {
            common: Common::new(description),
            priority: Priority::Meh,
            can_accept: true,
            authenticates: false,
            connects_to: None,
            connect_timeout: None,
        }
    }

    /// Who wrote it.
    pub fn author(mut self, author: &str) -> TransportDescription {
        self.common.author = Some(author.to_owned());
        self
    }

    /// Which version it is.
    pub fn version(mut self, version: &str) -> TransportDescription {
        self.common.version = Some(version.to_owned());
        self
    }

    /// It has this option.
    pub fn option(mut self, name: &str, setting: Setting) -> TransportDescription {
        self.common.settings.push((name.to_owned(), setting));
        self
    }

    /// How good it is.
    pub fn priority(mut self, priority: Priority) -> TransportDescription {
        self.priority = priority;
        self
    }

    /// It only connects.
    pub fn cannot_accept(mut self) -> TransportDescription {
        self.can_accept = false;
        self
    }

    /// It says who the Peer is, and encrypts: the streams carry no SSH.
    pub fn authenticates(mut self) -> TransportDescription {
        self.authenticates = true;
        self
    }

    /// The types whose Transports it can connect to, `*` for all, where that is not its own alone.
    pub fn connects_to(mut self, types: &[&str]) -> TransportDescription {
        self.connects_to = Some(types.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    /// How long an attempt to connect may take, where that is not 30 s.
    pub fn connect_timeout(mut self, time: Duration) -> TransportDescription {
        self.connect_timeout = Some(time);
        self
    }

    /// The description as JSON, as `--describe` prints it.
    pub fn to_json(&self) -> Value {
        let mut said = self.common.said();
        let mut put = |name: &str, value: Value| said.insert(name.to_owned(), value);
        put("kind", "transport".into());
        put("priority", self.priority.name().into());
        put("canAccept", self.can_accept.into());
        put("authenticates", self.authenticates.into());
        if let Some(types) = &self.connects_to {
            put("connectsTo", json!(types));
        }
        if let Some(time) = self.connect_timeout {
            put("connectTimeout", time.as_secs_f64().into());
        }
        Value::Object(said)
    }
}

/// A Transport of a Peer, which is to be connected to.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Target {
    /// The Peer.
    pub node: String,
    /// The name of its Transport.
    pub transport: String,
    /// The type of its Transport.
    #[serde(rename = "type")]
    pub transport_type: String,
    /// The options of its Transport.
    #[serde(default)]
    pub options: Map<String, Value>,
}

/// A stream to a Peer, as it is handed over to the Node. The Node reads and writes it itself, so it goes on when the program ends.
#[derive(Debug)]
pub struct Stream {
    socket: OwnedFd,
    address: Option<String>,
    peer: Option<String>,
}

impl Stream {
    /// This connected socket for a stream: of the standard library, of tokio by `into_std`, or any other descriptor of one.
    pub fn new(socket: impl Into<OwnedFd>) -> Stream {
        Stream { socket: socket.into(), address: None, peer: None }
    }

    /// Where it leads or comes from, for people and for limits.
    pub fn address(mut self, address: &str) -> Stream {
        self.address = Some(address.to_owned());
        self
    }

    /// Who the Peer is; of a Transport that authenticates.
    pub fn peer(mut self, peer: &str) -> Stream {
        self.peer = Some(peer.to_owned());
        self
    }

    /// What is said of it, and its socket.
    fn into_parts(self) -> (Value, OwnedFd) {
        let address = self.address.map(|address| cut(&address).to_owned());
        let texts = [("address", address), ("peer", self.peer)];
        let there =
            texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into())));
        (Value::Object(there.collect()), self.socket)
    }
}

/// How a Peer is reached.
#[derive(Debug)]
pub enum Connection {
    /// By a stream.
    Stream(Stream),
    /// By a command that the Node runs, as OpenSSH's ProxyCommand: its standard input and output are the stream.
    Command(Vec<String>),
    /// By a command that hands over a socket on its standard output and ends, as OpenSSH's ProxyUseFdpass.
    FdpassCommand(Vec<String>),
}

impl From<Stream> for Connection {
    fn from(stream: Stream) -> Connection {
        Connection::Stream(stream)
    }
}

/// A Transport: how a Node's streams come about. See [`describe`](Transport::describe) for how a program becomes one.
///
/// ```no_run
/// use std::net::TcpListener;
/// use std::process::ExitCode;
/// use kozo_role::{Connection, Failure, Node, Stream, Target, Transport, TransportDescription};
/// use kozo_role::serde_json::Value;
///
/// struct Local;
///
/// impl Transport for Local {
///     async fn listen(&self, _: &Node) -> Result<Option<String>, Failure> {
///         Err("nothing comes in here".into())
///     }
///
///     async fn connect(&self, _: &Node, to: &Target, _: &Value) -> Result<Connection, Failure> {
///         let path = format!("/run/local/{}", to.node);
///         let socket = tokio::net::UnixStream::connect(&path).await?.into_std()?;
///         Ok(Stream::new(socket).address(&path).into())
///     }
/// }
///
/// fn main() -> ExitCode {
///     let local = TransportDescription::new("Streams within a machine.").cannot_accept();
///     Local::describe(local).run(async |_| Ok(Local))
/// }
/// ```
///
/// All methods run on one thread, several at a time; what an answer is not wanted of any more is dropped where it waits.
#[allow(async_fn_in_trait, reason = "all of it runs on one thread")]
pub trait Transport: Sized + 'static {
    /// A program that is such a Transport.
    fn describe(description: TransportDescription) -> TransportProgram {
        TransportProgram { description }
    }

    /// Makes it accept connections, once, from its start on, and says where, for people. Each goes to the Node by
    /// [`Node::accepted`], from a task of its own (`tokio::task::spawn_local`). It has 30 s.
    ///
    /// # Errors
    /// When it cannot: the program is started again after a pause.
    async fn listen(&self, node: &Node) -> Result<Option<String>, Failure>;

    /// Whether it can connect to this Transport of a Peer. It has 5 s.
    ///
    /// # Errors
    /// When that cannot be known now.
    async fn can_connect(&self, node: &Node, to: &Target) -> Result<bool, Failure> {
        let _ = (node, to);
        Ok(true)
    }

    /// Where this Transport of a Peer may be: each is tried in turn, at most 64. It has 5 s.
    ///
    /// # Errors
    /// When that cannot be known now.
    async fn addresses(&self, node: &Node, to: &Target) -> Result<Vec<Value>, Failure> {
        let _ = (node, to);
        Ok(vec![Value::Null])
    }

    /// Connects to this Transport of a Peer at one of its addresses.
    ///
    /// # Errors
    /// When this address does not lead to the Peer now: the next one is tried.
    async fn connect(
        &self,
        node: &Node,
        to: &Target,
        address: &Value,
    ) -> Result<Connection, Failure>;

    /// Ends it, in less than a second. Streams that were handed over go on.
    async fn stop(&self) {}
}

/// A program that is a type of Transports.
#[derive(Debug)]
pub struct TransportProgram {
    description: TransportDescription,
}

/// A Transport of a Node, as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ConfiguredTransport {
    /// Its type.
    #[serde(rename = "type")]
    pub transport_type: String,
    /// Its options.
    #[serde(default)]
    pub options: Map<String, Value>,
}

/// A Node of the System, as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfiguredNode {
    /// Its public key, in OpenSSH's format.
    #[serde(default)]
    pub public_key: String,
    /// Its Transports, by their names.
    #[serde(default)]
    pub transports: BTreeMap<String, ConfiguredTransport>,
}

/// What a Transport is told when it starts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Start {
    node: String,
    transport: String,
    #[serde(rename = "type")]
    transport_type: String,
    options: Map<String, Value>,
    accept: Option<PathBuf>,
    nodes: BTreeMap<String, ConfiguredNode>,
    #[serde(rename = "config")]
    configuration: Map<String, Value>,
}

/// The Node that a Transport is of. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Node {
    start: Rc<Start>,
    channel: Rc<Channel>,
}

impl Node {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.start.node
    }

    /// The name of the Transport.
    pub fn transport(&self) -> &str {
        &self.start.transport
    }

    /// The type of the Transport.
    pub fn transport_type(&self) -> &str {
        &self.start.transport_type
    }

    /// The options of the Transport, with the defaults of those that the configuration does not have: a struct, or a map.
    ///
    /// # Errors
    /// When they do not fit: the description says something else.
    pub fn options<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let options = Value::Object(self.start.options.clone());
        serde_json::from_value(options)
            .map_err(|error| Error::Decode(format!("the options: {error}")))
    }

    /// A Unix socket that takes streams which came in, for what cannot hand over descriptors.
    pub fn accept_socket(&self) -> Option<&std::path::Path> {
        self.start.accept.as_deref()
    }

    /// All Nodes of the System, this one too, by their names.
    pub fn nodes(&self) -> &BTreeMap<String, ConfiguredNode> {
        &self.start.nodes
    }

    /// The options of the top level of the configuration.
    pub fn configuration(&self) -> &Map<String, Value> {
        &self.start.configuration
    }

    /// Hands over a stream that came in. Waits while many others wait to be handed over. Where the kernel allows no more streams
    /// that the Node has not taken yet, this one is dropped, and the journal says so.
    ///
    /// # Errors
    /// When the name of its Peer does not fit into a line, or the Node is gone.
    pub async fn accepted(&self, stream: Stream) -> Result<(), Error> {
        let (params, socket) = stream.into_parts();
        self.channel.tell("accepted", params, Some(socket)).await
    }

    /// Writes a line to the journal, with the name of the Transport: its first 8192 characters.
    ///
    /// # Errors
    /// When the Node is gone.
    pub async fn log(&self, level: Level, text: &str) -> Result<(), Error> {
        self.channel.tell("log", json!({"level": level.name(), "text": cut(text)}), None).await
    }

    /// Sets what people see of the Transport, at most 8192 characters; an empty text takes it away.
    ///
    /// # Errors
    /// When the Node is gone.
    pub async fn status(&self, text: &str) -> Result<(), Error> {
        self.channel.tell("status", json!({"text": cut(text)}), None).await
    }

    /// Signs data, of at most 16 KiB, with the key of the Node: a signature as `ssh-keygen -Y sign` makes it, for the namespace
    /// `kozo-transport`. For Transports that authenticate.
    ///
    /// # Errors
    /// When there is more data, or the Node refuses.
    pub async fn sign(&self, data: &[u8]) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Signed {
            signature: String,
        }
        let params = json!({"data": encoded(data)?});
        let Signed { signature } = self.channel.ask("sign", params).await?;
        Ok(signature)
    }

    /// Whether a signature of this data, of at most 16 KiB, is one of this Node of the System. Names and signatures that there
    /// cannot be are none.
    ///
    /// # Errors
    /// When there is more data, or the Node refuses.
    pub async fn verify(&self, node: &str, data: &[u8], signature: &str) -> Result<bool, Error> {
        let data = encoded(data)?;
        // Both come from a Peer, and the Node refuses to look at such ones.
        if node.len() > LONGEST_NAME || !is_signature(signature) {
            return Ok(false);
        }
        let params = json!({"node": node, "data": data, "signature": signature});
        self.channel.ask("verify", params).await
    }
}

/// Data that is signed, as the Node reads it.
fn encoded(data: &[u8]) -> Result<String, Error> {
    if data.len() > LONGEST_SIGNED {
        let text =
            format!("data to sign has {} bytes; at most {LONGEST_SIGNED} are allowed", data.len());
        return Err(Error::Encode(text));
    }
    Ok(Base64::encode_string(data))
}

fn is_signature(text: &str) -> bool {
    text.len() <= LONGEST_SIGNED && !text.chars().any(|c| c.is_control() && c != '\n')
}
