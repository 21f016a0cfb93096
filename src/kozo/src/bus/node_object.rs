//! The object of the Node itself, `org.kozo.Node1`.

use std::collections::HashMap;
use std::sync::OnceLock;

use kozo_core::names::ROOT;
use zbus::message::Header;
use zbus::{Connection, OwnedFd, fdo, interface};

use super::access::{self, Action};
use super::accounts::Share;
use super::attach;
use super::data::{Data, Encoding};
use super::error::Error;
use super::monitor;
use super::object::{Object, Status};
use super::options::{self, Options};
use crate::message::{Draft, Kind, MessageError};
use crate::node::Node;
use crate::role::Host as _;
use crate::status::NodeStatus;

/// The Role that injected Messages come from.
const SENDER: &str = "inject";

impl Status for NodeStatus {
    const KIND: &'static str = "node";

    fn announced() -> &'static OnceLock<Vec<String>> {
        static ANNOUNCED: OnceLock<Vec<String>> = OnceLock::new();
        &ANNOUNCED
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn path(_: &str) -> String {
        ROOT.to_owned()
    }

    fn current(node: &Node, _: &str) -> Option<NodeStatus> {
        Some(node.status())
    }
}

fn encoding(options: &Options) -> Result<Encoding, Error> {
    let Some(value) = options::one(options, "encoding")? else { return Ok(Encoding::DBus) };
    match <&str>::try_from(value) {
        Ok("json") => Ok(Encoding::Json),
        Ok("msgpack") => Ok(Encoding::MessagePack),
        _ => {
            let text = "the option encoding must be the text json or msgpack";
            Err(Error::InvalidArgument(text.to_owned()))
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A Node of a Kōzō System. Its Roles are the objects below role/, its Peers those below peer/; all
/// texts that are names stand there encoded as sd_bus_path_encode(3) does.
// The arguments are those of the D-Bus methods, and what zbus knows of the call.
#[allow(clippy::too_many_arguments)]
#[interface(name = "org.kozo.Node1")]
impl Object<NodeStatus> {
    /// Send a Message as the Role "inject" of this Node. Requires org.kozo.inject.
    ///
    /// kind: event, order, log or reply. type: such as tick. channel: empty for none.
    ///
    /// data: arrays of bytes (ay) become bytes, other arrays and structures become lists, dictionaries
    /// become maps; integers keep their value, and variants become the value that they hold. Nothing is
    /// lost or rounded.
    ///
    /// options: "encoding" (s): "json" when data is a text (s) with JSON, "msgpack" when it is bytes (ay)
    /// with one MessagePack value; both can express what D-Bus has no types for, such as null.
    ///
    /// id: the Message's number in this run of the Node; together with the Node's name and the
    /// property Boot it is unique. roles, peers: how many it was queued for. unreachable: Peers
    /// that want it but are not connected, or may not be by policy.
    ///
    /// A call of more than 256 KiB requires org.kozo.inject without a password prompt.
    ///
    /// Errors: InvalidArgument, MessageTooLarge, NotAllowed.
    #[zbus(out_args("id", "roles", "peers", "unreachable"))]
    #[allow(clippy::too_many_arguments)] // D-Bus has no others, and two are not the caller's.
    async fn inject(
        &self,
        kind: &str,
        r#type: &str,
        channel: &str,
        data: Data,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(u64, u32, u32, u32), Error> {
        self.check(Action::Inject, connection, &header).await?;
        let data = data.read(encoding(&options)?)?;
        let invalid = |error: MessageError| Error::InvalidArgument(error.to_string());
        let kind: Kind = kind.parse().map_err(invalid)?;
        let channel = Some(channel).filter(|channel| !channel.is_empty());
        let draft = Draft::new(kind, r#type).channel(channel).encoded(&data);
        let sent = self.control.node.send(SENDER, &draft)?;
        Ok((sent.sequence, count(sent.roles), count(sent.peers), count(sent.unreachable)))
    }

    /// Watch the Messages that pass through this Node: those that it sends and those that it receives.
    /// The Node asks its Peers for matching Messages even if no Role wants them. Requires org.kozo.monitor.
    ///
    /// filter: only Messages that match all given of "kind" (s), "type" (s), "channel" (s), "role" (s) and
    /// "node" (s); all but kind are patterns, in which * matches any characters and ? matches one.
    ///
    /// lines: a descriptor to read from, one JSON object per line, with the keys time (microseconds since
    /// 1970), node, boot (as a text), id, role, kind, type, channel and data, in which bytes are
    /// {"$base64": "AAEC"}, and msgpack (Base64) if JSON cannot express all of the data. A reader that is too slow gets
    /// {"skipped": N} in place of N Messages. Closing the descriptor ends the monitor.
    ///
    /// A user can have 16 monitors at a time.
    ///
    /// Errors: InvalidArgument, NotAllowed, org.freedesktop.DBus.Error.LimitsExceeded, Failed.
    #[zbus(out_args("lines"))]
    async fn monitor(
        &self,
        filter: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedFd, Error> {
        self.check(Action::Monitor, connection, &header).await?;
        let interest = monitor::interest(&filter)?;
        let user = access::caller(connection, &header).await?;
        let held = self.accounts.try_take(user, Share::Monitors, 1).ok_or_else(|| {
            Error::LimitsExceeded("you have too many monitors open, or all users have".to_owned())
        })?;
        let opened = monitor::open(&self.control.node, interest, held);
        Ok(opened.map_err(|error| Error::Failed(error.to_string()))?.into())
    }

    /// Open a connection on which a program attaches itself as a Role, for programs that cannot open the socket "role" of
    /// the Node. Requires both org.kozo.inject and org.kozo.monitor.
    ///
    /// options: none yet.
    ///
    /// connection: a descriptor on which the program speaks kozo-role(7), starting with the request "attach" within 10 s.
    /// Closing it ends the Role.
    ///
    /// A user can have 64 connections at a time, including those to the socket "role".
    ///
    /// Errors: InvalidArgument, NotAllowed, org.freedesktop.DBus.Error.LimitsExceeded, Failed.
    #[zbus(out_args("connection"))]
    async fn attach(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedFd, Error> {
        self.check(Action::Inject, connection, &header).await?;
        self.check(Action::Monitor, connection, &header).await?;
        options::none(&options)?;
        let user = access::caller(connection, &header).await?;
        let held = self.accounts.try_take(user, Share::Attached, 1).ok_or_else(|| {
            Error::LimitsExceeded(
                "you have too many programs attached, or all users have".to_owned(),
            )
        })?;
        let process = access::process(connection, &header).await;
        let opened = attach::open(self.control.node.clone(), user, process, held).await;
        Ok(opened.map_err(|error| Error::Failed(error.to_string()))?.into())
    }

    /// Reload the configuration file and apply what has changed. Unchanged Roles and links keep running.
    /// Requires org.kozo.manage.
    ///
    /// options: none yet.
    ///
    /// roles, peers, transports: the names of those that were started, stopped or restarted.
    ///
    /// Errors: InvalidConfiguration, with every mistake and its place; nothing changes then.
    /// NotAllowed, Failed.
    #[zbus(out_args("roles", "peers", "transports"))]
    async fn reload(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(Vec<String>, Vec<String>, Vec<String>), Error> {
        self.manage(&options, connection, &header).await?;
        let done = self.control.reload().await?;
        Ok((done.roles, done.peers, done.transports))
    }

    /// A snapshot of the Node, its Roles and its Peers as one JSON object. Later versions may add keys, but
    /// not remove any.
    #[zbus(out_args("json"))]
    fn describe(&self) -> String {
        // What is given here has texts as keys; then nothing fails.
        serde_json::to_string(&self.control.node.status()).unwrap_or_default()
    }

    /// The Node's name.
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> String {
        self.name.clone()
    }

    /// Version of the daemon.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> fdo::Result<String> {
        Ok(self.status()?.version.clone())
    }

    /// Random number of this run of the daemon.
    #[zbus(property(emits_changed_signal = "const"))]
    fn boot(&self) -> fdo::Result<u64> {
        Ok(self.status()?.boot)
    }

    /// When this run began, in microseconds since 1970.
    #[zbus(property(emits_changed_signal = "const"))]
    fn started(&self) -> fdo::Result<u64> {
        Ok(self.status()?.started)
    }

    /// Path of the configuration file.
    #[zbus(property(emits_changed_signal = "const"))]
    fn config(&self) -> String {
        self.control.config.to_string_lossy().into_owned()
    }

    /// Names of its Roles, in the order of the configuration.
    #[zbus(property)]
    fn roles(&self) -> fdo::Result<Vec<String>> {
        Ok(self.status()?.roles.iter().map(|role| role.name.clone()).collect())
    }

    /// Names of the other Nodes of the System, in the order of the configuration.
    #[zbus(property)]
    fn peers(&self) -> fdo::Result<Vec<String>> {
        Ok(self.status()?.peers.iter().map(|peer| peer.name.clone()).collect())
    }

    /// Messages that its Roles sent, and those that were injected.
    #[zbus(property(emits_changed_signal = "false"))]
    fn sent(&self) -> fdo::Result<u64> {
        Ok(self.status()?.sent)
    }

    /// Messages that the Node itself refused or dropped, by reason.
    #[zbus(property(emits_changed_signal = "false"))]
    fn refused(&self) -> fdo::Result<HashMap<String, u64>> {
        Ok(self.status()?.refused.clone().into_iter().collect())
    }
}
