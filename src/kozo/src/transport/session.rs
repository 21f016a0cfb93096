//! Sessions: one authenticated, encrypted connection between two Nodes, whatever encrypts it.
//!
//! What comes in goes to a [`Sink`], called from the task that reads the stream. That task must never
//! wait for a write on the same session: when both directions are full it would wait for ever. So a
//! sink cannot write at all; it leaves notes for the task that owns the [`Session`], the only writer.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use russh::keys::PublicKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::ssh::{self, Backlog};
use super::stream::{BoxStream, Cuttable, Cutter};
use crate::BoxFuture;

/// Characters of what the other side says that are shown to people.
const MOST_SHOWN: usize = 255;

/// What the reading task is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on reading.
    Continue,
    /// Give others a turn, then go on with what came.
    Yield,
    /// Wait for [`Sink::ready`], then go on with what came.
    Wait,
}

/// Takes the bytes of a session as they come. Dropped when the session has ended.
pub trait Sink: Send {
    /// Takes some bytes. To be called again, without any, for as long as it does not say
    /// [`Flow::Continue`]: it has stopped in the middle of what came.
    ///
    /// # Errors
    /// When they make no sense; the session is then closed.
    fn data(&mut self, bytes: &[u8]) -> Result<Flow, SessionError>;

    /// Returns when what stopped at [`Flow::Wait`] can go on. It may not depend on anything that is still
    /// to be written on the session.
    fn ready(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Decides who may have a session with this Node, for one connection that came in.
pub trait Gate: Send {
    /// Whether this user may come in with this key. Asked before the key is proven.
    ///
    /// # Errors
    /// Why not.
    fn admit(&mut self, user: &str, key: &PublicKey) -> Result<(), SessionError>;

    /// The sink for a session with whom was admitted last, now authenticated.
    ///
    /// # Errors
    /// Why there is to be none, after all.
    fn open(&mut self) -> Result<Box<dyn Sink>, SessionError>;
}

/// Why there is no session, or no longer one.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The stream failed or ended.
    #[error("{0}")]
    Stream(String),
    /// The handshake took too long.
    #[error("no answer within {0} seconds")]
    Timeout(u64),
    /// The other side has none of the algorithms that this side would use.
    #[error("no common {kind}: here {ours}, there {theirs}")]
    NoCommonAlgorithm {
        /// `cipher`, `MAC`…
        kind: &'static str,
        /// What this side offers.
        ours: String,
        /// What the other side offers.
        theirs: String,
    },
    /// A signature with SHA-1, which is forgeable.
    #[error(
        "it signs with its RSA key by SHA-1 (`ssh-rsa`), not by `rsa-sha2-256` or `rsa-sha2-512`"
    )]
    Sha1,
    /// A stranger where too many want something already.
    #[error("too many others want a session now")]
    Crowded,
    /// The host key is not the Peer's.
    #[error("its host key is {found}, but the configuration says {expected}")]
    HostKey {
        /// Fingerprint of the key that it has.
        found: String,
        /// Fingerprint of the key that it should have.
        expected: String,
    },
    /// The other side does not accept this Node's key.
    #[error(
        "it refused our key {0}: its configuration has another one for us, or does not know us"
    )]
    KeyRefused(String),
    /// Somebody whose key belongs to no Node.
    #[error("key {key}, which belongs to no Node, was presented for '{user}'")]
    Stranger {
        /// The name that was given.
        user: String,
        /// Fingerprint of the key.
        key: String,
    },
    /// A Node that gave another's name.
    #[error("the key of '{owner}' was presented for '{user}'")]
    WrongName {
        /// The name that was given.
        user: String,
        /// The Node that the key belongs to.
        owner: String,
    },
    /// Two daemons with the same name and key.
    #[error("two machines run as '{0}' with the same key: one of them was turned away")]
    Twin(String),
    /// The other side has the link with another daemon of this Node's name and key.
    #[error("closed by the peer: {0}")]
    TurnedAway(String),
    /// A policy forbids it.
    #[error("no session with '{0}': the connection policies forbid both directions")]
    Policy(String),
    /// The link is kept closed, because whoever looks after this Node said so.
    #[error("the link to '{0}' is kept closed by request")]
    Closed(String),
    /// Another configuration holds, or none: the session is to be begun anew, if it can be.
    #[error("{0}")]
    Withdrawn(&'static str),
    /// Another configuration no longer admits what was admitted.
    #[error("the configuration no longer allows the session that '{0}' has begun")]
    Revoked(String),
    /// What came is not the protocol.
    #[error("{0}")]
    Protocol(String),
}

impl SessionError {
    /// The other side has closed the session without a word.
    pub(crate) fn closed() -> SessionError {
        SessionError::Stream("closed by the peer".to_owned())
    }

    /// The other side has closed the session and said why.
    pub(crate) fn closed_for(reason: &str) -> SessionError {
        SessionError::Stream(format!("closed by the peer: {}", shown(reason)))
    }

    /// A word for the cause, the same for all errors of that cause: what log lines are limited by.
    pub fn cause(&self) -> &'static str {
        match self {
            SessionError::Stream(_) => "stream",
            SessionError::Timeout(_) => "timeout",
            SessionError::NoCommonAlgorithm { .. } | SessionError::Sha1 => "algorithm",
            SessionError::Crowded => "crowded",
            SessionError::HostKey { .. } => "host-key",
            SessionError::KeyRefused(_) => "key-refused",
            SessionError::Stranger { .. } => "stranger",
            SessionError::WrongName { .. } => "wrong-name",
            SessionError::Twin(_) => "twin",
            SessionError::TurnedAway(_) => "turned-away",
            SessionError::Policy(_) => "policy",
            SessionError::Closed(_) => "closed",
            SessionError::Withdrawn(_) => "withdrawn",
            SessionError::Revoked(_) => "revoked",
            SessionError::Protocol(_) => "protocol",
        }
    }

    /// Whether somebody has to look at it, unlike a Peer that is merely not there.
    pub fn is_refusal(&self) -> bool {
        let expected = matches!(
            self,
            SessionError::Stream(_)
                | SessionError::Timeout(_)
                | SessionError::TurnedAway(_)
                | SessionError::Closed(_)
                | SessionError::Withdrawn(_)
        );
        !expected
    }
}

/// What the other side says, for a line that people read: on one line, and not too long.
pub(super) fn shown(said: &str) -> String {
    let short: String = said.chars().take(MOST_SHOWN).collect();
    short.escape_debug().to_string()
}

impl From<std::io::Error> for SessionError {
    fn from(error: std::io::Error) -> Self {
        SessionError::Stream(error.to_string())
    }
}

impl From<crate::wire::WireError> for SessionError {
    fn from(error: crate::wire::WireError) -> Self {
        SessionError::Protocol(error.to_string())
    }
}

/// The writing end of a session. Bytes written are on their way, not yet there.
pub enum Writer {
    /// SSH, this Node being the client.
    Client(russh::ChannelWriteHalf<russh::client::Msg>, Backlog),
    /// SSH, this Node being the server.
    Server(russh::ChannelWriteHalf<russh::server::Msg>, Backlog),
    /// A stream that needs no session of its own.
    Plain(WriteHalf<Cuttable<BoxStream>>),
}

/// An authenticated, encrypted connection to a Peer. Dropping it ends it.
pub struct Session {
    /// The Peer at its other end.
    pub peer: String,
    /// Its writing end.
    pub writer: Writer,
    /// How it ends.
    pub end: End,
    /// Ends it at once.
    pub cutter: Cutter,
}

/// The end of a session. To be waited for, or the session may not end.
pub struct End(Pin<Box<dyn Stream<Item = SessionError> + Send>>);

impl End {
    /// Comes with the first of these reasons, and again with each further one.
    pub(super) fn new(reasons: impl Stream<Item = SessionError> + Send + 'static) -> End {
        End(Box::pin(reasons))
    }

    /// Returns why the session is over: it has ended, or something came on it that makes no sense. In that case
    /// a goodbye can still be written, and this returns once more when it has really ended. Cancel safe.
    pub async fn reason(&mut self) -> SessionError {
        self.0.next().await.unwrap_or_else(SessionError::closed)
    }
}

/// What carries a session goes on by itself, whoever else has forgotten it.
impl Drop for Session {
    fn drop(&mut self) {
        self.cutter.cut();
    }
}

impl Writer {
    /// Writes all of these bytes; waits while the other side takes none. The first poll hands
    /// over as much as there is room for.
    ///
    /// # Errors
    /// When the session has ended.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), SessionError> {
        match self {
            Writer::Client(channel, backlog) => ssh::write(channel, backlog, bytes).await,
            Writer::Server(channel, backlog) => ssh::write(channel, backlog, bytes).await,
            Writer::Plain(stream) => {
                stream.write_all(&bytes).await?;
                Ok(stream.flush().await?)
            }
        }
    }
}

/// Hands bytes to a sink, and gives others a turn, or waits, where it says so.
pub(super) async fn feed(sink: &mut dyn Sink, bytes: &[u8]) -> Result<(), SessionError> {
    let mut flow = sink.data(bytes)?;
    loop {
        match flow {
            Flow::Continue => return Ok(()),
            Flow::Yield => tokio::task::yield_now().await,
            Flow::Wait => {
                let ready = sink.ready();
                ready.await;
            }
        }
        flow = sink.data(&[])?;
    }
}

/// A session over a stream that the Transport itself has authenticated and encrypts; `cutter` will
/// end it.
pub fn plain(stream: BoxStream, peer: String, sink: Box<dyn Sink>, cutter: Cutter) -> Session {
    let (reader, writer) = tokio::io::split(Cuttable::new(stream, &cutter));
    let end = tokio::spawn(read_plain(reader, sink));
    Session {
        peer,
        writer: Writer::Plain(writer),
        end: End::new(stream::once(async move {
            match end.await {
                Ok(Ok(())) => SessionError::closed(),
                Ok(Err(error)) => error,
                Err(panic) => SessionError::Stream(panic.to_string()),
            }
        })),
        cutter,
    }
}

async fn read_plain(
    mut reader: ReadHalf<Cuttable<BoxStream>>,
    mut sink: Box<dyn Sink>,
) -> Result<(), SessionError> {
    let mut buffer = bytes::BytesMut::with_capacity(16 * 1024);
    loop {
        buffer.clear();
        if reader.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        feed(&mut *sink, &buffer).await?;
    }
}
