//! A connected stream socket whose other end is another program, or that another program has handed over.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use nix::sys::socket::{UnixCredentials, getsockopt, sockopt};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use socket2::{Domain, SockRef};
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::receive::{Received, receive};
use super::{BLUETOOTH, Descriptor, ReadHalf, WriteHalf, closer};

/// A connected stream socket. It never waits, whatever its other end does, or who else has it: it reads and writes with
/// `MSG_DONTWAIT` instead of trusting `O_NONBLOCK`, and is closed elsewhere.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: AsyncFd<Descriptor>,
    domain: Domain,
}

impl Stream {
    /// Of one end of a connection that the Node has made or accepted.
    ///
    /// # Errors
    /// When the loop cannot watch it.
    pub(crate) fn of(socket: UnixStream) -> io::Result<Stream> {
        Stream::handed(Descriptor::own(socket.into()))
    }

    /// Of a connected stream socket that a program has handed over, and may still have itself: it can change how that behaves at
    /// any time.
    ///
    /// # Errors
    /// When it is no socket, or the loop cannot watch it.
    // What has taken the place of `AsyncFd::new` is unsafe, for types that do not keep their descriptor open; this one does. A
    // `TcpStream` will not do: it panics where the program lets the socket block just then.
    #[allow(deprecated)]
    pub(crate) fn handed(descriptor: Descriptor) -> io::Result<Stream> {
        let socket = SockRef::from(&descriptor);
        let domain = socket.domain()?;
        if domain == Domain::UNIX {
            // Else the kernel skips what is sent out of band, and closes the descriptors that came with it, on this thread.
            socket.set_out_of_band_inline(true)?;
        }
        Ok(Stream { socket: AsyncFd::new(descriptor)?, domain })
    }

    /// Who is at the other end.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub(crate) fn peer(&self) -> io::Result<UnixCredentials> {
        Ok(getsockopt(self, sockopt::PeerCredentials)?)
    }

    /// Two halves, for a reader and a writer. With the one that writes the other end learns that there is no more.
    pub(crate) fn into_split(self) -> (ReadHalf, WriteHalf) {
        let stream = Arc::new(self);
        (ReadHalf(Arc::clone(&stream)), WriteHalf(stream))
    }

    /// Waits until it can be written to. Only one task may do so.
    ///
    /// # Errors
    /// When the loop ends.
    pub(crate) async fn writable(&self) -> io::Result<AsyncFdReadyGuard<'_, Descriptor>> {
        self.socket.writable().await
    }

    /// Writes what there is room for.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there is none; as send(2) else.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(self, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
    }

    /// Reads what is there, or waits for something. Descriptors that come with it are given to `take`. Only one task may do so.
    ///
    /// # Errors
    /// As recvmsg(2); and when a program that has the socket too makes the kernel send what nothing here knows.
    pub(crate) fn poll_receive(
        &self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        mut take: impl FnMut(Descriptor),
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.socket.poll_read_ready(context))?;
            let space = buffer.initialize_unfilled();
            let wanted = space.len();
            let result = if self.domain == Domain::UNIX {
                receive(guard.get_inner(), space, |descriptor| take(descriptor.into()))
            } else {
                recv(guard.get_inner(), space, RecvFlags::DONTWAIT).map(|(bytes, _)| bytes.into())
            };
            // The kernel stops where descriptors came with the bytes, though there may be more.
            let wanted =
                if result.as_ref().is_ok_and(|received| received.is_mixed) { 0 } else { wanted };
            let received = result.and_then(Received::whole);
            if let Some(read) = outcome(&mut guard, received, wanted) {
                return Poll::Ready(read.map(|bytes| buffer.advance(bytes)));
            }
        }
    }

    pub(super) fn poll_send(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.socket.poll_write_ready(context))?;
            let result = send(guard.get_inner(), bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
            if let Some(written) = outcome(&mut guard, result, bytes.len()) {
                return Poll::Ready(written);
            }
        }
    }

    /// Says to the other end that there is no more to be read.
    pub(super) fn end(&self) -> io::Result<()> {
        if self.domain == BLUETOOTH.into() {
            // A copy is shut down on a thread that may wait.
            closer::close(self.as_fd().try_clone_to_owned()?);
            return Ok(());
        }
        match shutdown(self, Shutdown::Write) {
            Ok(()) | Err(Errno::NOTCONN) => Ok(()),
            Err(error) => Err(error.into()),
        }
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

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().as_fd()
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.domain == Domain::UNIX {
            // The other end does not wait for this until the socket is closed.
            let _ = shutdown(&*self, Shutdown::Both);
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_receive(context, buffer, drop)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.end())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::OwnedFd;
    use std::time::{Duration, Instant};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;

    use super::*;

    /// A socket that was handed over, the program's own copy, and its other end.
    fn handed() -> (Stream, TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let kept = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let descriptor = Descriptor::from(OwnedFd::from(kept.try_clone().unwrap()));
        (Stream::handed(descriptor).unwrap(), kept, listener.accept().unwrap().0)
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
