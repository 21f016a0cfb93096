//! What a program has handed over, and may still have itself: it can change how such a socket behaves at any time, so neither
//! reading, nor writing, nor closing it may wait, whatever is set.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use socket2::SockRef;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A descriptor that a program has handed over.
#[derive(Debug)]
pub(super) struct Descriptor(OwnedFd);

impl From<OwnedFd> for Descriptor {
    fn from(descriptor: OwnedFd) -> Self {
        Descriptor(descriptor)
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // A socket that lingers makes close(2) wait until the other end has everything. What is no socket has no such option.
        let _ = SockRef::from(&self.0).set_linger(None);
    }
}

/// The stream of a connected socket.
pub(super) struct HandedStream(AsyncFd<Descriptor>);

impl HandedStream {
    /// Of a connected stream socket.
    // What has taken its place is unsafe, for types that do not keep their descriptor open; this one does. A `TcpStream` will not
    // do: it panics where the program lets the socket block just then.
    #[allow(deprecated)]
    pub(super) fn new(descriptor: Descriptor) -> io::Result<HandedStream> {
        AsyncFd::new(descriptor).map(HandedStream)
    }
}

/// What a system call has done, if the socket was ready for it. One that did less than was asked for was the last for now: so
/// it does not take another call to learn that.
fn outcome(
    guard: &mut AsyncFdReadyGuard<'_, Descriptor>,
    result: Result<usize, Errno>,
    wanted: usize,
) -> Option<io::Result<usize>> {
    match result {
        Ok(count) => {
            if count > 0 && count < wanted {
                guard.clear_ready();
            }
            Some(Ok(count))
        }
        Err(Errno::AGAIN) => {
            guard.clear_ready();
            None
        }
        Err(Errno::INTR) => None,
        Err(error) => Some(Err(error.into())),
    }
}

impl AsyncRead for HandedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        loop {
            let mut guard = ready!(stream.0.poll_read_ready(context))?;
            let space = buffer.initialize_unfilled();
            let wanted = space.len();
            let result =
                recv(guard.get_inner(), space, RecvFlags::DONTWAIT).map(|(count, _)| count);
            if let Some(read) = outcome(&mut guard, result, wanted) {
                return Poll::Ready(read.map(|count| buffer.advance(count)));
            }
        }
    }
}

impl AsyncWrite for HandedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        loop {
            let mut guard = ready!(stream.0.poll_write_ready(context))?;
            let result = send(guard.get_inner(), bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
            if let Some(written) = outcome(&mut guard, result, bytes.len()) {
                return Poll::Ready(written);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match shutdown(self.0.get_ref(), Shutdown::Write) {
            Ok(()) | Err(Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;

    use super::*;

    /// A socket that was handed over, the program's own copy, and its other end.
    fn handed() -> (HandedStream, TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let kept = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let descriptor = Descriptor::from(OwnedFd::from(kept.try_clone().unwrap()));
        (HandedStream::new(descriptor).unwrap(), kept, listener.accept().unwrap().0)
    }

    #[tokio::test]
    async fn a_socket_that_the_program_lets_block_does_not_hold_up_the_node() {
        const SHORT: Duration = Duration::from_millis(50);
        let (mut stream, kept, other) = handed();
        let begun = Instant::now();
        for blocks in [true, false, true] {
            kept.set_nonblocking(!blocks).unwrap();
            assert!(timeout(SHORT, stream.read_u8()).await.is_err());
        }
        // More than the system takes.
        let much = vec![0; 1024 * 1024];
        let endless = async {
            loop {
                stream.write_all(&much).await.unwrap();
            }
        };
        assert!(timeout(SHORT, endless).await.is_err());
        // Nothing of that has arrived, and this end waits for it.
        SockRef::from(&kept).set_linger(Some(Duration::from_secs(60))).unwrap();
        drop(kept);
        drop(stream);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        drop(other);
    }

    #[tokio::test]
    async fn bytes_go_both_ways_until_either_side_closes() {
        let (mut stream, kept, other) = handed();
        other.set_nonblocking(true).unwrap();
        let mut other = tokio::net::TcpStream::from_std(other).unwrap();
        let sent: Vec<u8> = (0..4_000_000_u32).map(|n| n.to_be_bytes()[3]).collect();
        let mut echoed = Vec::new();
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        let echo = async {
            let (mut from, mut to) = other.split();
            tokio::io::copy(&mut from, &mut to).await.unwrap();
            to.shutdown().await.unwrap();
        };
        let write = async {
            writer.write_all(&sent).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let read = async { reader.read_to_end(&mut echoed).await.unwrap() };
        tokio::join!(echo, write, read);
        assert!(sent == echoed);
        drop(kept);
    }
}
