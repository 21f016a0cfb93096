//! A client that has connected and not yet authenticated: what it may cost, and how far it has come.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::budget::{Budget, Claim, Turn};
use crate::BoxFuture;
use crate::transport::network::Network;
use crate::transport::stream::AbortHandle;

/// Bytes that it may say: keys of every size, and three attempts, take less.
const MOST: usize = 16 * 1024;

/// Bytes of it that are worked on in one turn.
const AT_ONCE: usize = 1024;

/// Answers to it that count as progress: a handshake takes no more, and a client can ask for more.
const STEPS: u32 = 8;

/// A newcomer. Clones are of the same.
#[derive(Clone, Debug)]
pub struct Newcomer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    budget: Arc<Budget>,
    network: Network,
    known: bool,
    abort_handle: AbortHandle,
    admitted: AtomicBool,
    turn: Mutex<Option<Turn>>,
    progress: Mutex<Progress>,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    steps: u32,
    last: Instant,
}

impl Newcomer {
    /// A client from this network, at an address that is known as that of a Peer or not. What it makes the
    /// loop compute goes to this account.
    pub fn new(budget: Arc<Budget>, network: Network, known: bool) -> Newcomer {
        let progress = Mutex::new(Progress { steps: 0, last: Instant::now() });
        let (abort_handle, admitted, turn) =
            (AbortHandle::new(), AtomicBool::new(false), Mutex::default());
        let shared = Shared { budget, network, known, abort_handle, admitted, turn, progress };
        Newcomer { shared: Arc::new(shared) }
    }

    /// Ends its stream.
    pub fn abort_handle(&self) -> &AbortHandle {
        &self.shared.abort_handle
    }

    /// Whether it comes from an address that is known as that of a Peer.
    pub fn is_known(&self) -> bool {
        self.shared.known
    }

    /// It has authenticated as a Peer: nothing it does is charged any more.
    pub fn admit(&self) {
        self.shared.admitted.store(true, Ordering::Relaxed);
        self.rest();
    }

    /// How much it deserves its place: a Peer most, then the one whose handshake advanced last.
    pub fn merit(&self) -> (bool, Instant) {
        (self.is_admitted(), self.progress().last)
    }

    /// Nothing is computed for it until more comes.
    pub fn rest(&self) {
        drop(self.turn().take());
    }

    /// It got an answer.
    pub(crate) fn advance(&self) {
        let mut progress = self.progress();
        if progress.steps < STEPS {
            *progress = Progress { steps: progress.steps + 1, last: Instant::now() };
        }
    }

    fn claim(&self) -> Claim {
        let network = self.shared.network.clone();
        Claim { network, known: self.shared.known, steps: self.progress().steps }
    }

    fn is_admitted(&self) -> bool {
        self.shared.admitted.load(Ordering::Relaxed)
    }

    fn turn(&self) -> MutexGuard<'_, Option<Turn>> {
        self.shared.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Its stream: what comes on it waits for a turn until the client is admitted. From the moment that some of it
/// is handed over until more is asked for and is not there, the time that passes is charged.
pub(super) struct Metered<S> {
    inner: S,
    newcomer: Newcomer,
    /// The client was admitted: there is nothing more to do.
    open: bool,
    /// What has come and waits for the turn.
    came: BytesMut,
    turn: Option<BoxFuture<'static, Turn>>,
    in_turn: usize,
    said: usize,
    answered: bool,
}

impl<S> Metered<S> {
    pub(super) fn new(inner: S, newcomer: Newcomer) -> Metered<S> {
        Metered {
            inner,
            newcomer,
            open: false,
            came: BytesMut::new(),
            turn: None,
            in_turn: 0,
            said: 0,
            // The first thing that is said to it is no answer.
            answered: true,
        }
    }
}

fn too_much() -> io::Error {
    io::Error::other("it sends too much before it authenticates")
}

impl<S> Drop for Metered<S> {
    fn drop(&mut self) {
        self.newcomer.rest();
    }
}

impl<S: AsyncRead + Unpin> Metered<S> {
    fn read_in_turn(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.in_turn >= AT_ONCE {
            self.newcomer.rest();
        }
        // russh makes room for a packet as soon as it reads how long that is to be, and asks for all of it.
        if buffer.remaining() > MOST && !self.newcomer.is_admitted() {
            return Poll::Ready(Err(too_much()));
        }
        let has_turn = self.newcomer.turn().is_some();
        if self.came.is_empty() {
            let room = buffer.remaining().min(AT_ONCE);
            self.came.resize(room, 0);
            let mut came = ReadBuf::new(&mut self.came);
            let read = Pin::new(&mut self.inner).poll_read(context, &mut came);
            let length = came.filled().len();
            self.came.truncate(length);
            if read.is_pending() {
                self.newcomer.rest();
            }
            ready!(read)?;
            if length == 0 {
                return Poll::Ready(Ok(()));
            }
            self.said += length;
            if self.said > MOST {
                return Poll::Ready(Err(too_much()));
            }
        }
        if !has_turn && !self.newcomer.is_admitted() {
            if self.newcomer.abort_handle().is_aborted() {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            let newcomer = &self.newcomer;
            let wait = || -> BoxFuture<'static, Turn> {
                Box::pin(Arc::clone(&newcomer.shared.budget).turn(newcomer.claim()))
            };
            let turn = ready!(self.turn.get_or_insert_with(wait).as_mut().poll(context));
            (self.turn, self.in_turn) = (None, 0);
            *self.newcomer.turn() = Some(turn);
        }
        let length = buffer.remaining().min(self.came.len());
        buffer.put_slice(self.came.get(..length).unwrap_or_default());
        self.came.advance(length);
        (self.in_turn, self.answered) = (self.in_turn + length, false);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.open {
            return Pin::new(&mut self.inner).poll_read(context, buffer);
        }
        if self.came.is_empty() && self.newcomer.is_admitted() {
            (self.open, self.came, self.turn) = (true, BytesMut::new(), None);
            self.newcomer.rest();
            return Pin::new(&mut self.inner).poll_read(context, buffer);
        }
        self.read_in_turn(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.answered {
            self.answered = true;
            self.newcomer.advance();
        }
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::transport::stream::Abortable;

    const SECOND: Duration = Duration::from_secs(1);

    /// The stream of a newcomer, and its own end of it.
    fn connected() -> (Newcomer, Metered<Abortable<DuplexStream>>, DuplexStream) {
        let newcomer = Newcomer::new(Arc::default(), Network::of("10.0.0.1:1"), false);
        let (far, near) = duplex(100_000);
        let near = Abortable::new(near, newcomer.abort_handle());
        (newcomer.clone(), Metered::new(near, newcomer), far)
    }

    #[tokio::test]
    async fn it_may_say_only_so_much_until_it_is_admitted() {
        for admitted in [false, true] {
            let (newcomer, mut near, mut far) = connected();
            far.write_all(&[7; 2 * MOST]).await.unwrap();
            near.read_exact(&mut [0; MOST]).await.unwrap();
            if admitted {
                newcomer.admit();
            }
            let more = near.read_exact(&mut [0; MOST]).await;
            assert_eq!(more.is_ok(), admitted, "{more:?}");
        }
    }

    /// It need not say it: what reads has made room for it already.
    #[tokio::test]
    async fn it_may_not_announce_more_than_that_either() {
        let (_, mut near, mut far) = connected();
        far.write_u8(7).await.unwrap();
        let announced = timeout(SECOND, near.read_exact(&mut [0; MOST + 1])).await.unwrap();
        assert!(announced.unwrap_err().to_string().contains("too much"));

        let (newcomer, mut near, mut far) = connected();
        far.write_all(&[7; 2 * MOST]).await.unwrap();
        // Some of it waits here already when the client is admitted.
        near.read_u8().await.unwrap();
        newcomer.admit();
        near.read_exact(&mut [0; MOST + 1]).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_until_more_is_asked_for_is_charged() {
        let (newcomer, mut near, mut far) = connected();
        let (budget, begun) = (Arc::clone(&newcomer.shared.budget), Instant::now());
        let idle = timeout(SECOND, near.read_u8()).await;
        assert!(idle.is_err(), "waiting costs it nothing");
        for _ in 0..3 {
            far.write_u8(7).await.unwrap();
            near.read_u8().await.unwrap();
            sleep(SECOND).await;
            assert!(timeout(SECOND, near.read_u8()).await.is_err());
        }
        drop(Arc::clone(&budget).turn(newcomer.claim()).await);
        // Three seconds of work; almost all of four times as long have to pass.
        assert!(begun.elapsed() > SECOND * 12, "{:?}", begun.elapsed());
        newcomer.admit();
        budget.charge(SECOND * 100);
        far.write_u8(7).await.unwrap();
        timeout(SECOND, near.read_u8()).await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_for_its_turn_can_be_aborted() {
        let (newcomer, mut near, mut far) = connected();
        newcomer.shared.budget.charge(SECOND * 100);
        far.write_u8(7).await.unwrap();
        let reading = async { timeout(SECOND, near.read_u8()).await };
        let cutting = async {
            tokio::task::yield_now().await;
            newcomer.abort_handle().abort();
        };
        let (read, ()) = tokio::join!(reading, cutting);
        assert_eq!(read.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
}
