//! A stream that takes what is written to it at once.
//!
//! The loop of a russh session does not read while it waits for a write. Two of them, joined by a
//! stream that is full in both directions, would wait for each other until the heartbeats give up. So
//! what the stream does not take yet is kept here, and goes out while the loop reads. A task that has
//! something to say on the session waits by the [`Backlog`] while too much is kept: so the stream itself
//! holds back the sender, and the session's windows can be as large as any distance needs. [`MOST`]
//! bounds what is kept if a task does not wait.
//!
//! While keys are renewed, russh writes nothing, takes little of what there is to say, and keeps its answers to
//! what it is asked. So a session is over on which the other side goes on and on instead of renewing the keys.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// Bytes that are kept at most.
const MOST: usize = 4 * 1024 * 1024;

/// Bytes that may be kept while more is said.
const HIGH: usize = 128 * 1024;

/// Bytes that may come while the session has something to write and writes nothing: far more than can be under way
/// from one who has not heard yet that keys are to be renewed. (Of any others, the session writes that half of the
/// window is free again.)
const UNHEARD: usize = super::WINDOW as usize;

/// How much a stream has not taken yet.
#[derive(Clone, Default)]
pub(super) struct Backlog {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Bytes that the stream has not taken.
    bytes: AtomicUsize,
    /// Bytes that the session was given and has not written, at most.
    given: AtomicUsize,
    ebbed: Notify,
}

impl Backlog {
    /// Returns when little enough waits for more to be said. Cancel safe. For one who waits.
    pub(super) async fn drained(&self) {
        while self.shared.bytes.load(Ordering::Relaxed) > HIGH {
            self.shared.ebbed.notified().await;
        }
    }

    /// The session is given so many bytes to write. To be said before it has them.
    pub(super) fn give(&self, bytes: usize) {
        self.shared.given.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The session has written so many bytes. They are more than it was given for them.
    fn written(&self, bytes: usize) {
        let less = |given: usize| Some(given.saturating_sub(bytes));
        let order = Ordering::Relaxed;
        // It always gives a number.
        let _ = self.shared.given.fetch_update(order, order, less);
    }

    fn set(&self, bytes: usize) {
        let before = self.shared.bytes.swap(bytes, Ordering::Relaxed);
        if before > HIGH && bytes <= HIGH {
            self.shared.ebbed.notify_one();
        }
    }
}

/// The stream. Both directions are to be used from the same task.
pub(super) struct WriteBuffer<S> {
    inner: S,
    waiting: BytesMut,
    backlog: Backlog,
    /// Bytes that have come since the session last wrote something.
    unheard: usize,
}

/// No task is to wait for a stream that is gone.
impl<S> Drop for WriteBuffer<S> {
    fn drop(&mut self) {
        self.backlog.set(0);
    }
}

impl<S: AsyncWrite + Unpin> WriteBuffer<S> {
    pub(super) fn new(inner: S) -> (WriteBuffer<S>, Backlog) {
        let backlog = Backlog::default();
        let waiting = BytesMut::new();
        (WriteBuffer { inner, waiting, backlog: backlog.clone(), unheard: 0 }, backlog)
    }

    /// The session has written so many bytes.
    fn written(&mut self, bytes: usize) -> Poll<io::Result<usize>> {
        self.unheard = 0;
        self.backlog.written(bytes);
        Poll::Ready(Ok(bytes))
    }

    /// Hands on what waits, as far as the stream takes it.
    fn drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waiting.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.waiting.is_empty() {
            let polled = Pin::new(&mut self.inner).poll_write(context, &self.waiting);
            match ready!(polled)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.waiting.advance(written),
            }
            self.backlog.set(self.waiting.len());
        }
        // An idle link keeps no room for it.
        self.waiting = BytesMut::new();
        Pin::new(&mut self.inner).poll_flush(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WriteBuffer<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // An error of the writing direction shows in the next write.
        let _ = self.drain(context);
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        self.unheard += buffer.filled().len() - before;
        if self.unheard > UNHEARD && self.backlog.shared.given.load(Ordering::Relaxed) > 0 {
            return Poll::Ready(Err(io::Error::other(
                "it does not renew the keys but keeps sending",
            )));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteBuffer<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let drained = self.drain(context)?;
        if drained.is_ready()
            && let Poll::Ready(written) = Pin::new(&mut self.inner).poll_write(context, bytes)
        {
            return self.written(written?);
        }
        let room = MOST.saturating_sub(self.waiting.len());
        let Some(taken) = bytes.get(..bytes.len().min(room)).filter(|taken| !taken.is_empty())
        else {
            return Poll::Pending;
        };
        self.waiting.extend_from_slice(taken);
        self.backlog.set(self.waiting.len());
        self.written(taken.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.drain(context)?.is_pending() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(context))?;
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_the_stream_does_not_take_goes_out_while_reading() {
        let (near, mut far) = duplex(1000);
        let (mut near, _) = WriteBuffer::new(near);
        let sent: Vec<u8> = (0..100_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        for piece in sent.chunks(777) {
            near.write_all(piece).await.unwrap();
            near.flush().await.unwrap();
        }
        let mut came = vec![0; sent.len()];
        let read_far = async {
            far.read_exact(&mut came).await.unwrap();
            far.write_all(b"thanks").await.unwrap();
        };
        let mut answer = [0; 6];
        let (_, read) = tokio::join!(read_far, near.read_exact(&mut answer));
        read.unwrap();
        assert_eq!((&came, &answer), (&sent, b"thanks"));
        assert_eq!(near.waiting.capacity(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_a_bound() {
        let (near, _far) = duplex(1000);
        let (mut near, _) = WriteBuffer::new(near);
        let all = vec![0; 2 * MOST];
        let written = tokio::time::timeout(std::time::Duration::from_secs(1), near.write_all(&all));
        assert!(written.await.is_err());
        assert_eq!(near.waiting.len(), MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_ebb_goes_on_when_enough_has_gone_out_or_the_stream_is_gone() {
        let (near, mut far) = duplex(1000);
        let (mut near, backlog) = WriteBuffer::new(near);
        backlog.drained().await;
        near.write_all(&vec![0; 2 * HIGH]).await.unwrap();
        let second = std::time::Duration::from_secs(1);
        assert!(tokio::time::timeout(second, backlog.drained()).await.is_err());
        let (mut some, mut end) = (vec![0; HIGH + 1], [0]);
        tokio::join!(
            async { tokio::time::timeout(second, backlog.drained()).await.unwrap() },
            async { far.read_exact(&mut some).await.unwrap() },
            async { tokio::time::timeout(second, near.read_exact(&mut end)).await.unwrap_err() },
        );
        near.write_all(&vec![0; 2 * HIGH]).await.unwrap();
        tokio::join!(backlog.drained(), async { drop(near) });
    }

    #[tokio::test]
    async fn everything_is_out_before_the_end() {
        let (near, mut far) = duplex(10);
        let (mut near, _) = WriteBuffer::new(near);
        near.write_all(&[7; 1000]).await.unwrap();
        let mut came = Vec::new();
        let (shut, read) = tokio::join!(near.shutdown(), far.read_to_end(&mut came));
        shut.unwrap();
        assert_eq!((read.unwrap(), came), (1000, vec![7; 1000]));
    }

    #[tokio::test]
    async fn a_broken_stream_is_noticed() {
        let (near, far) = duplex(10);
        let (mut near, _) = WriteBuffer::new(near);
        near.write_all(&[7; 1000]).await.unwrap();
        drop(far);
        assert!(near.write_all(&[7; 10]).await.is_err());
    }
}
