//! Transports: ways for Nodes to reach each other. They move bytes, nothing more.
//!
//! A [`TransportType`] says what options its Transports take and builds [`Transport`]s. A Transport
//! opens streams to a Peer's Transport and accepts streams from others; a [`session`](crate::session)
//! authenticates and encrypts what runs over them, unless the Transport says that it did that by
//! itself. `tcp` is built in.

pub mod inherited;
pub mod missing;
pub mod network;
pub mod program;
pub mod stream;
pub mod tcp;

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::BoxFuture;
pub use crate::config::programs::Priority;
use crate::config::{LocalNode, Schema, TransportConfig};
use crate::status::TransportStatus;
pub use inherited::InheritedSockets;
pub use stream::BoxStream;

/// A stream to or from another Node.
pub struct Connection {
    /// The bytes.
    pub stream: BoxStream,
    /// Where it goes to or comes from, for people and for limits.
    pub address: String,
    /// The Peer at its other end, where the Transport itself has authenticated it and encrypts.
    pub peer: Option<String>,
}

/// Where a Transport is to connect to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The Peer.
    pub peer: String,
    /// The Peer's Transport.
    pub transport: Arc<TransportConfig>,
    /// One of its [`addresses`](Transport::addresses).
    pub address: String,
}

/// Told where an address leads.
pub type Found = dyn Fn(&[IpAddr]) + Send + Sync;

/// A kind of Transport: its options, how to make one.
pub trait TransportType: Send + Sync {
    /// Name, options.
    fn schema(&self) -> Schema;

    /// Makes a Transport, not yet listening.
    fn build(&self, config: &TransportConfig) -> Arc<dyn Transport>;
}

/// A way to reach other Nodes and be reached by them.
pub trait Transport: Send + Sync {
    /// How much it is to be preferred.
    fn priority(&self) -> Priority;

    /// Whether it can be used to connect to this Transport of a Peer, as far as its type tells.
    fn can_connect(&self, other: &TransportConfig) -> bool;

    /// The addresses at which this Transport of a Peer can be tried, in order of preference. Transports of one type that
    /// have the same address lead to the same place.
    fn addresses(&self, other: &TransportConfig) -> Vec<String>;

    /// Opens a stream to this target. Says to `found` which those of IP are that it leads to, as
    /// soon as that is known, whether one of them answers or not. Cancel safe.
    fn connect<'a>(
        &'a self,
        target: &'a Target,
        found: &'a Found,
    ) -> BoxFuture<'a, io::Result<Connection>>;

    /// How long [`connect`](Self::connect) may take.
    fn connect_timeout(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// Whether it can be connected to.
    fn can_accept(&self) -> bool;

    /// Starts to accept streams: on these sockets, which others have opened for it, as far as they
    /// are what it would open itself.
    fn listen(&self, inherited: Vec<OwnedFd>) -> BoxFuture<'_, io::Result<Box<dyn Listener>>>;

    /// What it does at this moment, for people.
    fn status(&self) -> TransportStatus;

    /// Lets it know the System as it is now, when another configuration holds in which it is the same itself. If that
    /// is news to what it runs, that begins anew; streams that were handed over go on.
    fn renew<'a>(&'a self, _local: &'a LocalNode) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }

    /// Ends what it runs, when the Node stops or a reload has another in its place, though links may still try to connect.
    /// Streams that were handed over go on.
    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    /// It is to be used again after [`stop`](Self::stop): the configuration that had another in its place was refused.
    fn resume(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// The accepting end of a Transport.
pub trait Listener: Send {
    /// The next stream. Cancel safe.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>>;

    /// Where it listens, for people.
    fn address(&self) -> String;
}

/// The Transport types that are part of the daemon.
pub fn built_in() -> Vec<Arc<dyn TransportType>> {
    vec![Arc::new(tcp::TcpType)]
}
