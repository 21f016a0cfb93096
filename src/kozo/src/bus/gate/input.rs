//! Bytes from a Unix socket, without the file descriptors that others may have put in.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;
use zbus::connection::socket::ReadHalf;
use zbus::export::async_trait::async_trait;
use zbus::fdo::ConnectionCredentials;

/// What is skipped is read in pieces of this size.
const PIECE: usize = 16 * 1024;

/// The half of a socket that is read.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) socket: Arc<UnixStream>,
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
        loop {
            // A client that never stops writing must not keep the loop.
            tokio::task::coop::consume_budget().await;
            self.socket.readable().await?;
            // Descriptors that came with the bytes are closed by the kernel: nothing here takes any.
            match self.socket.try_read(buffer) {
                Err(problem) if problem.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                done => return done,
            }
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
pub(super) fn credentials(socket: &UnixStream) -> io::Result<ConnectionCredentials> {
    let creds = socket.peer_cred()?;
    let known = ConnectionCredentials::default().set_unix_user_id(creds.uid());
    let pid = creds.pid().and_then(|pid| u32::try_from(pid).ok());
    Ok(match pid {
        Some(pid) => known.set_process_id(pid),
        None => known,
    })
}
