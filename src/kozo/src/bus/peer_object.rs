//! The object of a Peer, `org.kozo.Peer1`.

use std::collections::HashMap;
use std::sync::Arc;

use zbus::message::Header;
use zbus::{Connection, Variant, fdo, interface};

use super::access::{self, Action};
use super::accounts::Accounts;
use super::error::Error;
use super::node_object::{Options, no_options};
use super::values::Values;
use crate::node::Node;
use crate::status::PeerStatus;

/// The interface's name.
pub(super) const INTERFACE: &str = "org.kozo.Peer1";

pub(super) struct PeerObject {
    pub(super) node: Node,
    pub(super) accounts: Arc<Accounts>,
    pub(super) name: String,
}

impl PeerObject {
    /// A reload may have taken the Peer away a moment ago.
    fn status(&self) -> fdo::Result<PeerStatus> {
        let gone =
            || fdo::Error::UnknownObject(format!("there is no peer '{}' any more", self.name));
        self.node.peer_status(&self.name).ok_or_else(gone)
    }
}

/// Most bytes of padding.
const MOST_PADDING: u64 = 64 * 1024 * 1024;

/// The option of Ping.
fn padding(options: &Options) -> Result<usize, Error> {
    let mut padding = 0;
    for (key, value) in options {
        if key != "padding" {
            return Err(Error::InvalidArgument(format!(
                "there is no option '{key}': the one option is padding"
            )));
        }
        let number = u64::try_from(value).ok().filter(|bytes| *bytes <= MOST_PADDING);
        let number = number.and_then(|bytes| usize::try_from(bytes).ok());
        padding = number.ok_or_else(|| {
            Error::InvalidArgument(format!("padding is a number (t) of at most {MOST_PADDING}"))
        })?;
    }
    Ok(padding)
}

/// The properties that others are told of when the link stands differently.
pub(super) fn values(status: &PeerStatus) -> Values {
    vec![
        ("State", Variant::from(status.state.name())),
        ("Since", Variant::from(status.since)),
        ("PolicyOut", Variant::from(status.policy_out.clone())),
        ("PolicyIn", Variant::from(status.policy_in.clone())),
        ("Transport", Variant::from(status.transport.clone().unwrap_or_default())),
        ("Address", Variant::from(status.address.clone().unwrap_or_default())),
        ("LastError", Variant::from(status.last_error.clone().unwrap_or_default())),
        ("Sessions", Variant::from(status.sessions)),
    ]
}

/// A Peer: another Node of the System, and this Node's link to it.
#[interface(name = "org.kozo.Peer1")]
impl PeerObject {
    /// Try to reach the Peer at once, without waiting for the next attempt, and end what Disconnect
    /// began. Does nothing if the link is up. Returns at once: State tells what comes of it. A Peer to
    /// which this side may not connect by policy can connect again, but is not tried. Takes
    /// org.kozo.manage.
    ///
    /// options: none yet.
    ///
    /// Errors: NoSuchPeer, NotAllowed, Failed when the policies forbid both directions.
    async fn connect(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        access::check(Action::Manage, &self.accounts, connection, &header).await?;
        no_options(&options)?;
        Ok(self.node.connect_peer(&self.name).await?)
    }

    /// Send what is queued, close the link and keep it closed, whoever tries, until Connect, or until
    /// the Node is started again. Returns at once: State becomes disabled. Takes org.kozo.manage.
    ///
    /// options: none yet.
    ///
    /// Errors: NoSuchPeer, NotAllowed.
    async fn disconnect(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        access::check(Action::Manage, &self.accounts, connection, &header).await?;
        no_options(&options)?;
        Ok(self.node.disconnect_peer(&self.name).await?)
    }

    /// Send the Peer a heartbeat now and measure the time until its answer comes, at most five seconds.
    /// Takes org.kozo.monitor, and with padding org.kozo.manage.
    ///
    /// options: padding (t): so many bytes are sent before the heartbeat, at most 64 MiB, whenever there is
    /// nothing else to send; the time is then from the first of them until the answer: what the link
    /// carries.
    /// round_trip_time: in microseconds.
    ///
    /// Errors: NoSuchPeer, NotAllowed, TimedOut, Failed when the link is not up.
    #[zbus(out_args("round_trip_time"))]
    async fn ping(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<u64, Error> {
        let padding = padding(&options)?;
        let action = if padding > 0 { Action::Manage } else { Action::Monitor };
        access::check(action, &self.accounts, connection, &header).await?;
        Ok(self.node.ping_peer(&self.name, padding).await?)
    }

    /// The Peer's name.
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> String {
        self.name.clone()
    }

    /// disabled (this side does not connect), idle (it connects when there is something to send), down (the
    /// Peer is tried again and again) or up.
    #[zbus(property)]
    fn state(&self) -> fdo::Result<String> {
        Ok(self.status()?.state.to_string())
    }

    /// What the link is doing, in detail: disabled, idle, connecting, waiting (for the next attempt) or up.
    #[zbus(property(emits_changed_signal = "false"))]
    fn sub_state(&self) -> fdo::Result<String> {
        Ok(self.status()?.sub_state.to_string())
    }

    /// When the link entered State, in seconds since 1970, however often it was tried since.
    #[zbus(property)]
    fn since(&self) -> fdo::Result<u64> {
        Ok(self.status()?.since)
    }

    /// Policy for Messages from here to there: constant, ondemand or never.
    #[zbus(property)]
    fn policy_out(&self) -> fdo::Result<String> {
        Ok(self.status()?.policy_out)
    }

    /// Policy for Messages from there to here.
    #[zbus(property)]
    fn policy_in(&self) -> fdo::Result<String> {
        Ok(self.status()?.policy_in)
    }

    /// Type of the Transport that carries the link; empty while it is not up. While the link moves to a
    /// better one it is the old one, until nothing of this side is on its way there any more.
    #[zbus(property)]
    fn transport(&self) -> fdo::Result<String> {
        Ok(self.status()?.transport.unwrap_or_default())
    }

    /// Where the session goes to or comes from; empty while the link is not up.
    #[zbus(property)]
    fn address(&self) -> fdo::Result<String> {
        Ok(self.status()?.address.unwrap_or_default())
    }

    /// Why the link is not up; empty while it is, or if nothing is known. It comes with the signal that
    /// State has changed; what later attempts come to changes it without a signal.
    #[zbus(property(emits_changed_signal = "false"))]
    fn last_error(&self) -> fdo::Result<String> {
        Ok(self.status()?.last_error.unwrap_or_default())
    }

    /// How often the link has come up.
    #[zbus(property)]
    fn sessions(&self) -> fdo::Result<u64> {
        Ok(self.status()?.sessions)
    }

    /// Last measured time there and back, in microseconds; 0 if it was never measured.
    #[zbus(property(emits_changed_signal = "false"))]
    fn round_trip_time(&self) -> fdo::Result<u64> {
        Ok(self.status()?.round_trip_time.unwrap_or_default())
    }

    /// Bytes a second that the line to the Peer carries, as far as it was made to; 0 if that was never measured. It is
    /// measured under load, and kept until there is load again.
    #[zbus(property(emits_changed_signal = "false"))]
    fn rate(&self) -> fdo::Result<u64> {
        Ok(self.status()?.rate)
    }

    /// Bytes that were written for the Peer and that it has not acknowledged.
    #[zbus(property(emits_changed_signal = "false"))]
    fn backlog(&self) -> fdo::Result<u64> {
        Ok(self.status()?.backlog)
    }

    /// How old a Message was when the Peer had it, in microseconds, as last measured; 0 if it never was.
    #[zbus(property(emits_changed_signal = "false"))]
    fn age(&self) -> fdo::Result<u64> {
        Ok(self.status()?.age)
    }

    /// By how much the Peer's clock is ahead of ours, in microseconds, as last measured together with
    /// RoundTripTime.
    #[zbus(property(emits_changed_signal = "false"))]
    fn clock_skew(&self) -> fdo::Result<i64> {
        Ok(self.status()?.clock_skew.unwrap_or_default())
    }

    /// Messages for the Peer that were handed to a session.
    #[zbus(property(emits_changed_signal = "false"))]
    fn sent(&self) -> fdo::Result<u64> {
        Ok(self.status()?.sent)
    }

    /// Messages that came from the Peer.
    #[zbus(property(emits_changed_signal = "false"))]
    fn received(&self) -> fdo::Result<u64> {
        Ok(self.status()?.received)
    }

    /// Messages for the Peer that were dropped, by reason.
    #[zbus(property(emits_changed_signal = "false"))]
    fn dropped(&self) -> fdo::Result<HashMap<String, u64>> {
        Ok(self.status()?.dropped.into_iter().collect())
    }

    /// Messages in the queue for the Peer now.
    #[zbus(property(emits_changed_signal = "false"))]
    fn queue_length(&self) -> fdo::Result<u64> {
        Ok(self.status()?.queue_length as u64)
    }

    /// Bytes in the queue for the Peer now.
    #[zbus(property(emits_changed_signal = "false"))]
    fn queue_size(&self) -> fdo::Result<u64> {
        Ok(self.status()?.queue_size as u64)
    }
}
