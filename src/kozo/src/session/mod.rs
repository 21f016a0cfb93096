//! Sessions: one authenticated, encrypted connection between two Nodes, made over a stream of any Transport.
//!
//! [`ssh`] authenticates and encrypts by itself; [`plain`] is for Transports that have done so. [`newcomer`] and
//! [`budget`] bound what a stranger can have this Node compute before it has authenticated.
//!
//! What comes in goes to a [`Sink`], called from the task that reads the stream. That task must never
//! wait for a write on the same session: when both directions are full it would wait for ever. So a
//! sink cannot write at all; it leaves signals for the task that owns the [`Session`], the only writer.

pub mod budget;
mod error;
pub mod newcomer;
pub mod plain;
pub mod ssh;

use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt};
use ssh_key::PublicKey;

use crate::BoxFuture;
use crate::transport::stream::AbortHandle;
pub use error::SessionError;
use error::shown;

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
pub trait Authenticator: Send {
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

/// The writing end of a session. Bytes written are on their way, not yet there.
pub trait Writer: Send {
    /// Writes all of these bytes; waits while the other side takes none. The first poll hands
    /// over as much as there is room for.
    ///
    /// # Errors
    /// When the session has ended.
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), SessionError>>;
}

/// An authenticated, encrypted connection to a Peer. Dropping it ends it.
pub struct Session {
    /// The Peer at its other end.
    pub peer: String,
    /// Its writing end.
    pub writer: Box<dyn Writer>,
    /// How it ends.
    pub end: End,
    /// Ends it at once.
    pub abort_handle: AbortHandle,
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

/// What carries a session would go on by itself.
impl Drop for Session {
    fn drop(&mut self) {
        self.abort_handle.abort();
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
