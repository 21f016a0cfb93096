//! Bytes and file descriptors into a Unix socket, whose other end may not read.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, Shutdown, sendmsg, shutdown};
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::time::timeout;
use zbus::connection::socket::WriteHalf;
use zbus::export::async_trait::async_trait;
use zbus::fdo::ConnectionCredentials;

use super::input::credentials;
use crate::local::{Descriptor, Stream};

/// The half of a socket that is written.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) socket: Arc<Stream>,
    /// How long the other end may leave everything unread before it is given up; for ever if none.
    pub(super) patience: Option<Duration>,
}

impl Output {
    async fn writable(&self) -> io::Result<AsyncFdReadyGuard<'_, Descriptor>> {
        let Some(patience) = self.patience else { return self.socket.writable().await };
        match timeout(patience, self.socket.writable()).await {
            Ok(ready) => ready,
            Err(_) => {
                // The half that reads fails too then, and the connection ends.
                let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }
}

#[async_trait]
impl WriteHalf for Output {
    async fn sendmsg(&mut self, buffer: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        let fds: Vec<RawFd> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
        loop {
            let mut guard = self.writable().await?;
            let send = |socket: &AsyncFd<Descriptor>| {
                let rights = [ControlMessage::ScmRights(&fds)];
                let rights = if fds.is_empty() { &[][..] } else { &rights[..] };
                let (to, flags) =
                    (socket.as_raw_fd(), MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT);
                Ok(sendmsg::<()>(to, &[IoSlice::new(buffer)], rights, flags, None)?)
            };
            if let Ok(done) = guard.try_io(send) {
                return done;
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        Ok(shutdown(self.socket.as_raw_fd(), Shutdown::Both)?)
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }

    async fn peer_credentials(&mut self) -> io::Result<ConnectionCredentials> {
        credentials(&self.socket)
    }
}
