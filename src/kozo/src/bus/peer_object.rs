//! The object of a Peer, `org.kozo.Peer1`.

use std::collections::HashMap;
use std::sync::OnceLock;

use kozo_core::names::peer_path;
use zbus::message::Header;
use zbus::{Connection, fdo, interface};

use super::access::Action;
use super::error::Error;
use super::object::{Listed, Object, Status};
use super::options::{self, Options};
use crate::node::Node;
use crate::status::{Direction, NodeStatus, PeerStatus};

impl Status for PeerStatus {
    const KIND: &'static str = "peer";

    /// It comes with a new State, and changes with each attempt in between.
    const UNPROMISED: &'static [&'static str] = &["LastError"];

    fn announced() -> &'static OnceLock<Vec<String>> {
        static ANNOUNCED: OnceLock<Vec<String>> = OnceLock::new();
        &ANNOUNCED
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn path(name: &str) -> String {
        peer_path(name)
    }

    fn current(node: &Node, name: &str) -> Option<PeerStatus> {
        node.peer_status(name)
    }
}

impl Listed for PeerStatus {
    fn list(node: &NodeStatus) -> &[PeerStatus] {
        &node.peers
    }

    fn list_mut(node: &mut NodeStatus) -> &mut [PeerStatus] {
        &mut node.peers
    }
}

/// Most bytes of padding.
const MOST_PADDING: u64 = 64 * 1024 * 1024;

/// The option of Ping.
fn padding(options: &Options) -> Result<usize, Error> {
    let Some(value) = options::one(options, "padding")? else { return Ok(0) };
    let bytes = u64::try_from(value).ok().filter(|bytes| *bytes <= MOST_PADDING);
    bytes.and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(|| {
        Error::InvalidArgument(format!("padding must be a number (t) of at most {MOST_PADDING}"))
    })
}

/// A Peer: another Node of the System, and this Node's link to it.
#[interface(name = "org.kozo.Peer1")]
impl Object<PeerStatus> {
    /// Connect to the Peer now instead of at the next attempt, and undo Disconnect. Does nothing if the
    /// link is up. Returns at once; State shows the result. If the policies do not let this side connect,
    /// the Peer may connect again, but this side does not try. Requires org.kozo.manage.
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
        let node = self.manage(&options, connection, &header).await?;
        Ok(node.connect_peer(&self.name).await?)
    }

    /// Send the queued Messages, close the link and keep it closed, even if the Peer tries to connect, until
    /// a call of Connect or a restart of the Node. Returns at once; State becomes disabled. Requires org.kozo.manage.
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
        let node = self.manage(&options, connection, &header).await?;
        Ok(node.disconnect_peer(&self.name).await?)
    }

    /// Send the Peer a heartbeat now and measure the time until its answer, at most five seconds.
    /// Requires org.kozo.monitor, and with padding org.kozo.manage.
    ///
    /// options: padding (t): the number of bytes to send before the heartbeat, at most 64 MiB; Messages go
    /// first. The time then runs from the first byte to the answer and shows the throughput of the link.
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
        self.check(action, connection, &header).await?;
        Ok(self.control.node.ping_peer(&self.name, padding).await?)
    }

    /// The Peer's name.
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> String {
        self.name.clone()
    }

    /// disabled (this side does not connect), idle (it connects when there is something to send), down (it
    /// keeps trying to connect) or up.
    #[zbus(property)]
    fn state(&self) -> fdo::Result<String> {
        Ok(self.status()?.state.to_string())
    }

    /// What the link is doing, in detail: disabled, idle, connecting, waiting (for the next attempt) or up.
    #[zbus(property(emits_changed_signal = "false"))]
    fn sub_state(&self) -> fdo::Result<String> {
        Ok(self.status()?.sub_state.to_string())
    }

    /// When the link entered State, in microseconds since 1970. Further attempts do not change it.
    #[zbus(property)]
    fn since(&self) -> fdo::Result<u64> {
        Ok(self.status()?.since)
    }

    /// Policy for Messages from this Node to the Peer: constant, ondemand or never.
    #[zbus(property)]
    fn policy_out(&self) -> fdo::Result<String> {
        Ok(self.status()?.policy_out.to_string())
    }

    /// Policy for Messages from the Peer to this Node.
    #[zbus(property)]
    fn policy_in(&self) -> fdo::Result<String> {
        Ok(self.status()?.policy_in.to_string())
    }

    /// Type of the Transport that carries the link; empty while the link is not up. While the link moves to a
    /// better one, this is the old one, until the Peer has received everything that this side sent over it.
    #[zbus(property)]
    fn transport(&self) -> fdo::Result<String> {
        Ok(self.status()?.transport.clone().unwrap_or_default())
    }

    /// The remote address of the session; empty while the link is not up.
    #[zbus(property)]
    fn address(&self) -> fdo::Result<String> {
        Ok(self.status()?.address.clone().unwrap_or_default())
    }

    /// Which side opened the session: out (this one) or in; empty while the link is not up.
    #[zbus(property)]
    fn direction(&self) -> fdo::Result<String> {
        Ok(self.status()?.direction.map(Direction::name).unwrap_or_default().to_owned())
    }

    /// Why the link is not up; empty while it is up or if the reason is unknown. The signal for a change of State
    /// carries it; later attempts change it without a signal.
    #[zbus(property(emits_changed_signal = "false"))]
    fn last_error(&self) -> fdo::Result<String> {
        Ok(self.status()?.last_error.clone().unwrap_or_default())
    }

    /// How often the link has come up.
    #[zbus(property)]
    fn sessions(&self) -> fdo::Result<u64> {
        Ok(self.status()?.sessions)
    }

    /// Round trip as last measured, in microseconds; 0 if it was never measured.
    #[zbus(property(emits_changed_signal = "false"))]
    fn round_trip_time(&self) -> fdo::Result<u64> {
        Ok(self.status()?.round_trip_time.unwrap_or_default())
    }

    /// Bytes per second that the line to the Peer carried when it was last under load; 0 if it was never measured.
    #[zbus(property(emits_changed_signal = "false"))]
    fn rate(&self) -> fdo::Result<u64> {
        Ok(self.status()?.rate)
    }

    /// Bytes sent to the Peer that it has not acknowledged yet.
    #[zbus(property(emits_changed_signal = "false"))]
    fn backlog(&self) -> fdo::Result<u64> {
        Ok(self.status()?.backlog)
    }

    /// Age of a Message when the Peer received it, in microseconds, as last measured; 0 if it was never measured.
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

    /// Messages for the Peer that were passed to a session.
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
        Ok(self.status()?.dropped.clone().into_iter().collect())
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
