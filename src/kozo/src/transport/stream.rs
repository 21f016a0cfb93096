//! Streams of bytes of any Transport, and the means to end one at once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Anything that bytes can be read from and written to.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A stream, boxed.
pub type BoxStream = Box<dyn Stream>;

/// Ends an [`Abortable`] stream from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct AbortHandle {
    shared: Arc<Aborted>,
}

#[derive(Debug, Default)]
struct Aborted {
    aborted: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl AbortHandle {
    /// For a stream that is still to be wrapped.
    pub fn new() -> AbortHandle {
        AbortHandle::default()
    }

    /// Whether it has aborted the stream.
    pub fn is_aborted(&self) -> bool {
        self.shared.aborted.load(Ordering::Acquire)
    }

    /// Whether a stream that it could end still exists.
    pub fn in_use(&self) -> bool {
        Arc::strong_count(&self.shared) > 1
    }

    /// Makes every further read and write of the stream fail, also those under way.
    pub fn abort(&self) {
        self.shared.aborted.store(true, Ordering::Release);
        self.shared.reader.wake();
        self.shared.writer.wake();
    }
}

/// A stream that an [`AbortHandle`] can end: SSH sessions own their streams, and only this reaches in.
#[derive(Debug)]
pub struct Abortable<S> {
    inner: S,
    shared: Arc<Aborted>,
}

impl<S> Abortable<S> {
    /// Wraps a stream.
    pub fn new(inner: S, abort_handle: &AbortHandle) -> Abortable<S> {
        Abortable { inner, shared: Arc::clone(&abort_handle.shared) }
    }

    fn check(&self, waker: &AtomicWaker, context: &Context<'_>) -> io::Result<()> {
        waker.register(context.waker());
        if self.shared.aborted.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Abortable<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(&self.shared.reader, context)?;
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Abortable<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(&self.shared.writer, context)?;
        Pin::new(&mut self.inner).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(&self.shared.writer, context)?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
