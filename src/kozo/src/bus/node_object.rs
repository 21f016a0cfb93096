//! The object of the Node itself, `org.kozo.Node1`.

use std::collections::HashMap;
use std::sync::Arc;

use zbus::message::Header;
use zbus::{Connection, OwnedFd, OwnedVariant, Variant, interface};

use super::access::{self, Action};
use super::accounts::{Accounts, Share};
use super::data::{Data, Encoding};
use super::error::Error;
use super::monitor;
use super::values::Values;
use crate::control::Control;
use crate::message::{Draft, Kind};
use crate::role::Host as _;
use crate::status::NodeStatus;

/// The Role that injected Messages come from.
const SENDER: &str = "inject";

/// The interface's name.
pub(super) const INTERFACE: &str = "org.kozo.Node1";

/// Trailing options of a method.
pub(super) type Options = HashMap<String, OwnedVariant>;

pub(super) struct NodeObject {
    pub(super) control: Arc<Control>,
    pub(super) accounts: Arc<Accounts>,
}

impl NodeObject {
    fn status(&self) -> NodeStatus {
        self.control.node.status()
    }
}

/// The properties that others are told of when they change.
pub(super) fn values(status: &NodeStatus) -> Values {
    vec![("Roles", Variant::from(role_names(status))), ("Peers", Variant::from(peer_names(status)))]
}

fn role_names(status: &NodeStatus) -> Vec<String> {
    status.roles.iter().map(|role| role.name.clone()).collect()
}

fn peer_names(status: &NodeStatus) -> Vec<String> {
    status.peers.iter().map(|peer| peer.name.clone()).collect()
}

/// Refuses options that this daemon does not know: they would be silently without effect.
pub(super) fn no_options(options: &Options) -> Result<(), Error> {
    match options.keys().next() {
        None => Ok(()),
        Some(key) => Err(Error::InvalidArgument(format!("there is no option '{key}'"))),
    }
}

fn encoding(options: &Options) -> Result<Encoding, Error> {
    let mut encoding = Encoding::DBus;
    for (key, value) in options {
        if key != "encoding" {
            return Err(Error::InvalidArgument(format!(
                "there is no option '{key}': the one option is encoding"
            )));
        }
        encoding = match <&str>::try_from(value) {
            Ok("json") => Encoding::Json,
            Ok("msgpack") => Encoding::MessagePack,
            _ => {
                let text = "the option encoding is the text json or msgpack";
                return Err(Error::InvalidArgument(text.to_owned()));
            }
        };
    }
    Ok(encoding)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A Node of a Kōzō System. Its Roles are the objects below role/, its Peers those below peer/; all
/// texts that are names stand there encoded as sd_bus_path_encode(3) does.
// The arguments are those of the D-Bus methods, and what zbus knows of the call.
#[allow(clippy::too_many_arguments)]
#[interface(name = "org.kozo.Node1")]
impl NodeObject {
    /// Send a Message, in the name of a Role "inject" of this Node. Takes org.kozo.inject.
    ///
    /// kind: event, order, log or reply. type: what it is called, for instance tick. channel: empty
    /// for none.
    ///
    /// data: arrays of bytes (ay) become bytes, other arrays and structures become lists, dictionaries
    /// become maps; integers keep their value, and variants within are what they hold. Nothing else is
    /// lost or rounded.
    ///
    /// options: "encoding" (s): "json" when data is a text (s) with JSON, "msgpack" when it is bytes (ay)
    /// with one MessagePack value; either can say what D-Bus has no types for, null for instance.
    ///
    /// id: the how-manieth Message of this run of the Node it is; with the Node's name and the
    /// property Boot nothing else has it. roles, peers: how many it was queued for. unreachable: Peers
    /// that want it but are not connected, or cannot be by policy.
    ///
    /// A call of more than 256 KiB takes org.kozo.inject without being asked for a password.
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
        access::check(Action::Inject, &self.accounts, connection, &header).await?;
        let data = data.read(encoding(&options)?)?;
        let kind: Kind = kind.parse().map_err(|error: crate::message::MessageError| {
            Error::InvalidArgument(error.to_string())
        })?;
        let channel = Some(channel).filter(|channel| !channel.is_empty());
        let draft = Draft::new(kind, r#type).channel(channel).encoded(&data);
        let sent = self.control.node.send(SENDER, &draft)?;
        Ok((sent.sequence, count(sent.roles), count(sent.peers), count(sent.unreachable)))
    }

    /// Open a view of the Messages that pass this Node: those that it sends and those that come to it.
    /// Peers are asked for such Messages even if no Role wants them. Takes org.kozo.monitor.
    ///
    /// filter: only Messages that match all of "kind" (s), "type" (s), "channel" (s), "role" (s) and
    /// "node" (s), as far as they are given; all but kind are patterns, in which * stands for any
    /// characters and ? for any one.
    ///
    /// lines: where to read them from, one JSON object a line, with the keys time (microseconds since
    /// 1970), node, boot, id, role, kind, type, channel and data, and msgpack (Base64) where JSON
    /// cannot say all of the data. Whoever reads too slowly gets {"skipped": N} in the place of N
    /// Messages. Closing it closes the view.
    ///
    /// A user can have sixteen of them at a time.
    ///
    /// Errors: InvalidArgument, NotAllowed, org.freedesktop.DBus.Error.LimitsExceeded, Failed.
    #[zbus(out_args("lines"))]
    async fn monitor(
        &self,
        filter: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedFd, Error> {
        access::check(Action::Monitor, &self.accounts, connection, &header).await?;
        let interest = monitor::interest(&filter)?;
        let user = access::caller(connection, &header).await?;
        let held = self.accounts.try_take(user, Share::Monitors, 1).ok_or_else(|| {
            Error::LimitsExceeded("you have too many monitors open, or all users have".to_owned())
        })?;
        let opened = monitor::open(&self.control.node, interest, held);
        Ok(opened.map_err(|error| Error::Failed(error.to_string()))?.into())
    }

    /// Read the configuration file again and apply what has changed. Roles and links whose part of it
    /// is the same run on. Takes org.kozo.manage.
    ///
    /// options: none yet.
    ///
    /// roles, peers, transports: the names of those that were begun, ended or begun anew.
    ///
    /// Errors: InvalidConfiguration, with all that is wrong and where; then everything is as it was.
    /// NotAllowed, Failed.
    #[zbus(out_args("roles", "peers", "transports"))]
    async fn reload(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(Vec<String>, Vec<String>, Vec<String>), Error> {
        access::check(Action::Manage, &self.accounts, connection, &header).await?;
        no_options(&options)?;
        let done = self.control.reload().await?;
        Ok((done.roles, done.peers, done.transports))
    }

    /// All about the Node, its Roles and its Peers at one moment, as one JSON object. It only ever
    /// gains keys.
    #[zbus(out_args("json"))]
    fn describe(&self) -> String {
        // What is given here has texts as keys; then nothing fails.
        serde_json::to_string(&self.status()).unwrap_or_default()
    }

    /// The Node's name.
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> String {
        self.control.node.node_name().to_owned()
    }

    /// Version of the daemon.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> String {
        self.status().version
    }

    /// Random number of this run of the daemon.
    #[zbus(property(emits_changed_signal = "const"))]
    fn boot(&self) -> u64 {
        self.status().boot
    }

    /// When this run began, in seconds since 1970.
    #[zbus(property(emits_changed_signal = "const"))]
    fn started(&self) -> u64 {
        self.status().started
    }

    /// Path of the configuration file.
    #[zbus(property(emits_changed_signal = "const"))]
    fn config(&self) -> String {
        self.control.config.to_string_lossy().into_owned()
    }

    /// Names of its Roles, in the order of the configuration.
    #[zbus(property)]
    fn roles(&self) -> Vec<String> {
        role_names(&self.status())
    }

    /// Names of the other Nodes of the System, in the order of the configuration.
    #[zbus(property)]
    fn peers(&self) -> Vec<String> {
        peer_names(&self.status())
    }

    /// Messages that its Roles sent, and those that were injected.
    #[zbus(property(emits_changed_signal = "false"))]
    fn sent(&self) -> u64 {
        self.status().sent
    }

    /// Messages that the Node itself refused or dropped, by reason.
    #[zbus(property(emits_changed_signal = "false"))]
    fn refused(&self) -> HashMap<String, u64> {
        self.status().refused.into_iter().collect()
    }
}
