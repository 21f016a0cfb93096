//! A Unix socket at which programs connect.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::net::{SocketFlags, accept_with};
use tokio::io::unix::AsyncFd;

use super::{Descriptor, Stream};

/// A Unix socket that listens.
#[derive(Debug)]
pub(crate) struct Listener(AsyncFd<Socket>);

#[derive(Debug)]
enum Socket {
    /// The Node's own. Connections that were not accepted are closed with it, and what is in them.
    Own(Descriptor),
    /// Another process has it too, and it goes on listening.
    Shared(OwnedFd),
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Own(socket) => socket.as_fd(),
            Socket::Shared(socket) => socket.as_fd(),
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Listener {
    /// Of a socket that the Node has made.
    ///
    /// # Errors
    /// When the loop cannot watch it.
    pub(crate) fn own(socket: UnixListener) -> io::Result<Listener> {
        socket.set_nonblocking(true)?;
        Listener::new(Socket::Own(Descriptor::own(socket.into())))
    }

    /// Of one that was made by another process, and outlives the Node.
    ///
    /// # Errors
    /// When the loop cannot watch it.
    pub(crate) fn shared(socket: UnixListener) -> io::Result<Listener> {
        socket.set_nonblocking(true)?;
        Listener::new(Socket::Shared(socket.into()))
    }

    // As for `Stream`: what has taken its place is unsafe.
    #[allow(deprecated)]
    fn new(socket: Socket) -> io::Result<Listener> {
        Ok(Listener(AsyncFd::new(socket)?))
    }

    /// The next connection.
    ///
    /// # Errors
    /// As accept(2): for instance when there are no file descriptors left.
    pub(crate) async fn accept(&self) -> io::Result<Stream> {
        loop {
            // Who connects again and again does not keep the loop for itself.
            tokio::task::coop::consume_budget().await;
            let mut guard = self.0.readable().await?;
            let accept =
                |socket: &AsyncFd<Socket>| Ok(accept_with(socket.get_ref(), SocketFlags::CLOEXEC)?);
            if let Ok(accepted) = guard.try_io(accept) {
                return Stream::of(UnixStream::from(accepted?));
            }
        }
    }
}
