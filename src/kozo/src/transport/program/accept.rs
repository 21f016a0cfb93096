//! The socket at which a program that hands over no descriptors gives the streams that come in: each connection is one.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kozo_core::pauses::Pauses;
use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::time::sleep;
use tracing::warn;

use super::shared::Shared;
use crate::local::Listener;
use crate::transport::Connection;

/// Pauses after failed accepts, for instance when there are no file descriptors left.
const PAUSES: Pauses = Pauses::new(Duration::from_millis(10), Duration::from_secs(1));

/// Connections that wait to be taken.
const BACKLOG: i32 = 128;

/// The socket. Dropped, its file is gone, unless another has taken its place.
pub(super) struct AcceptSocket {
    listener: Listener,
    path: PathBuf,
    /// Which file it is: device and number.
    file: (u64, u64),
}

impl AcceptSocket {
    /// Makes it. What a run before has left there is removed.
    pub(super) fn bind(path: &Path) -> io::Result<AcceptSocket> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // The file gets the mode of the socket: so it is never there with another one.
        fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
        socket.bind(&SockAddr::unix(path)?)?;
        socket.listen(BACKLOG)?;
        let listener = Listener::own(OwnedFd::from(socket).into())?;
        Ok(AcceptSocket { listener, path: path.to_owned(), file: file(path)? })
    }

    /// Takes what comes.
    pub(super) async fn accept(self, shared: Arc<Shared>) {
        let mut pauses = PAUSES;
        loop {
            match self.listener.accept().await {
                Ok(stream) => {
                    pauses.reset();
                    let address = shared.setup.name.clone();
                    shared.deliver(Connection { stream: Box::new(stream), address, peer: None });
                }
                Err(problem) => {
                    if shared.may_complain("accept").is_some() {
                        let transport = &*shared.setup.name;
                        warn!(transport, "cannot accept at {}: {problem}", self.path.display());
                    }
                    sleep(pauses.after_failure()).await;
                }
            }
        }
    }
}

impl Drop for AcceptSocket {
    fn drop(&mut self) {
        if file(&self.path).is_ok_and(|there| there == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Which file is there.
fn file(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}
