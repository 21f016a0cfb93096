//! Bytes from a Unix socket, without the file descriptors that others may have put in.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::time::timeout;
use zbus::connection::socket::ReadHalf;
use zbus::export::async_trait::async_trait;
use zbus::fdo::ConnectionCredentials;

use crate::local::Stream;

/// What is skipped is read in pieces of this size.
const PIECE: usize = 16 * 1024;

/// The half of a socket that is read.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) socket: Arc<Stream>,
    /// How long the rest of a message may keep us waiting; for ever if none.
    pub(super) patience: Option<Duration>,
    /// Bytes that were read before their turn.
    pub(super) ahead: Vec<u8>,
}

impl Input {
    /// Puts bytes before all others.
    pub(super) fn put_back(&mut self, mut bytes: Vec<u8>) {
        bytes.append(&mut self.ahead);
        self.ahead = bytes;
    }

    /// What comes next, as much of it as there is.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.ahead.is_empty() {
            let length = buffer.len().min(self.ahead.len());
            for (to, from) in buffer.iter_mut().zip(self.ahead.drain(..length)) {
                *to = from;
            }
            return Ok(length);
        }
        let mut space = ReadBuf::new(buffer);
        poll_fn(|context| self.socket.poll_receive(context, &mut space, drop)).await?;
        match space.filled().len() {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }

    /// The rest of what has begun to come.
    async fn go_on(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.patience {
            Some(patience) => timeout(patience, self.read(buffer)).await?,
            None => self.read(buffer).await,
        }
    }

    /// Fills the buffer.
    pub(super) async fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let mut done = self.read(buffer).await?;
        while let Some(left) = buffer.get_mut(done..).filter(|left| !left.is_empty()) {
            done += self.go_on(left).await?;
        }
        Ok(())
    }

    /// Reads so many bytes and discards them.
    pub(super) async fn skip(&mut self, mut count: usize) -> io::Result<()> {
        let mut piece = vec![0; PIECE.min(count)];
        while count > 0 {
            let length = piece.len().min(count);
            count -= self.go_on(piece.get_mut(..length).unwrap_or_default()).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl ReadHalf for Input {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        Ok((self.go_on(buffer).await?, Vec::new()))
    }

    async fn peer_credentials(&mut self) -> io::Result<ConnectionCredentials> {
        credentials(&self.socket)
    }
}

/// Who is at the other end.
pub(super) fn credentials(socket: &Stream) -> io::Result<ConnectionCredentials> {
    let creds = socket.peer()?;
    let known = ConnectionCredentials::default().set_unix_user_id(creds.uid());
    Ok(match u32::try_from(creds.pid()) {
        Ok(pid) => known.set_process_id(pid),
        Err(_) => known,
    })
}
