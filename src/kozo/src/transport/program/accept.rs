//! The socket at which a program that hands over no descriptors gives the streams that come in: each connection is one.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kozo_core::pauses::Pauses;
use tokio::net::UnixListener;
use tokio::time::sleep;
use tracing::warn;

use super::shared::Shared;
use crate::transport::Connection;

/// Pauses after failed accepts, for instance when there are no file descriptors left.
const PAUSES: Pauses = Pauses::new(Duration::from_millis(10), Duration::from_secs(1));

/// The socket. Dropped, its file is gone.
pub(super) struct AcceptSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AcceptSocket {
    /// Makes it. What a run before has left there is removed.
    pub(super) fn bind(path: &Path) -> io::Result<AcceptSocket> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = AcceptSocket { listener: UnixListener::bind(path)?, path: path.to_owned() };
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(socket)
    }

    /// Takes what comes.
    pub(super) async fn accept(self, shared: Arc<Shared>) {
        let mut pauses = PAUSES;
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
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
        // It may be gone already.
        let _ = fs::remove_file(&self.path);
    }
}
