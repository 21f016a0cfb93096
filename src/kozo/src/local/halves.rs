//! A stream in two halves, which different tasks can have.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Descriptor, Stream};

/// The half that reads.
#[derive(Debug)]
pub(crate) struct ReadHalf(pub(super) Arc<Stream>);

impl ReadHalf {
    /// As [`Stream::poll_receive`].
    pub(crate) fn poll_receive(
        &self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        take: impl FnMut(Descriptor),
    ) -> Poll<io::Result<()>> {
        self.0.poll_receive(context, buffer, take)
    }
}

impl AsyncRead for ReadHalf {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.poll_receive(context, buffer, drop)
    }
}

/// The half that writes. Dropped, it ends what the other end reads.
#[derive(Debug)]
pub(crate) struct WriteHalf(pub(super) Arc<Stream>);

impl Drop for WriteHalf {
    fn drop(&mut self) {
        // It may be over already.
        let _ = self.0.end();
    }
}

impl AsyncWrite for WriteHalf {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_send(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.end())
    }
}
