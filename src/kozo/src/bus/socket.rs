//! The Node's control socket: the same objects, peer to peer, where there is no bus or none is wanted.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::geteuid;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};
use zbus::Guid;
use zbus::connection::Builder;

use super::accounts::{Accounts, Share};
use super::gate::{Authenticator, Gate};
use super::publish::publish;
use crate::control::Control;
use crate::local::{Listener, Stream};
use crate::process::descent;
use crate::rate_limiter::RateLimiter;
use kozo_core::places;

/// The daemon that owns the socket beside it holds its lock.
const LOCK: &str = "lock";

/// How long a client has to authenticate.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Pause after a failed accept, for instance when there are no file descriptors left.
const PAUSE: Duration = Duration::from_secs(1);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    #[error("the name '{0}' cannot be used as the name of a folder")]
    Name(String),
    #[error("{path}: {source}")]
    Path { path: String, source: io::Error },
    #[error("{0}: another daemon with the same node name has its socket there")]
    Taken(String),
    #[error("{0}: it belongs to another user, or other users may write there")]
    Untrusted(String),
    #[error("the sockets from systemd: {0}")]
    Inherited(io::Error),
    #[error("systemd passed the control socket, and none for it")]
    NotInherited,
}

/// Removes the sockets of a Node when dropped.
pub(super) struct SocketGuard {
    folder: PathBuf,
    // Released with the sockets.
    _lock: File,
}

impl SocketGuard {
    /// Makes a socket in the folder.
    pub(super) fn bind(&self, name: &str) -> Result<Listener, SocketError> {
        let path = self.folder.join(name);
        let failed = |source| SocketError::Path { path: path.display().to_string(), source };
        // The daemon that left it there is gone, or it would hold the lock.
        match fs::remove_file(&path) {
            Err(problem) if problem.kind() != io::ErrorKind::NotFound => {
                return Err(failed(problem));
            }
            _ => {}
        }
        let listener = UnixListener::bind(&path).and_then(Listener::own).map_err(failed)?;
        // As systemd makes it too; the Node looks at who exactly is calling.
        let mode = if self.folder.starts_with(places::SYSTEM) { 0o660 } else { 0o600 };
        fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(failed)?;
        Ok(listener)
    }
}

impl Drop for SocketGuard {
    fn drop(&mut self) {
        for name in [places::SOCKET, places::ROLE_SOCKET] {
            // It may be gone already.
            let _ = fs::remove_file(self.folder.join(name));
        }
    }
}

/// Takes over a socket that listens already, and outlives the daemon.
pub(super) fn adopt(listener: UnixListener) -> Result<Listener, SocketError> {
    Listener::shared(listener).map_err(SocketError::Inherited)
}

/// Makes the socket of a Node in its own folder.
pub(super) fn bind(node: &str) -> Result<(Listener, Option<SocketGuard>), SocketError> {
    let folder = places::own_folder(node).ok_or_else(|| SocketError::Name(node.to_owned()))?;
    let at = |path: &Path| {
        let path = path.display().to_string();
        move |source| SocketError::Path { path, source }
    };
    make_folder(&folder)?;
    let lock = folder.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&lock);
    let file = file.map_err(at(&lock))?;
    // A process that can open it, even for reading, can lock it.
    file.set_permissions(Permissions::from_mode(0o600)).map_err(at(&lock))?;
    // The system releases it when its owner ends, even by a crash.
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            return Err(SocketError::Taken(folder.display().to_string()));
        }
        Err(fs::TryLockError::Error(problem)) => return Err(at(&lock)(problem)),
    }
    let guard = SocketGuard { folder, _lock: file };
    let listener = guard.bind(places::SOCKET)?;
    Ok((listener, Some(guard)))
}

/// Makes a folder that only this user can enter, in one that others may not put anything into either.
fn make_folder(folder: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Path { path: folder.display().to_string(), source };
    // The folder above is ours too where it is in /tmp, where any user may make one of that name.
    for folder in [folder.parent().filter(|parent| *parent == places::temporary()), Some(folder)] {
        let Some(folder) = folder else { continue };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let found = fs::symlink_metadata(folder).map_err(failed)?;
        let ours = found.is_dir() && found.uid() == geteuid().as_raw();
        if !ours || found.mode() & 0o022 != 0 {
            return Err(SocketError::Untrusted(folder.display().to_string()));
        }
    }
    Ok(())
}

/// Serves the control socket until aborted; its connections end with it.
pub(super) async fn serve(listener: Listener, control: Arc<Control>, accounts: Arc<Accounts>) {
    let mut clients = tokio::task::JoinSet::new();
    let mut limiter = RateLimiter::<()>::default();
    loop {
        while clients.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok(stream) => stream,
            Err(problem) => {
                warn!("cannot accept on the control socket: {problem}");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(user) = stream.peer().map(|creds| creds.uid()) else { continue };
        if descent::is_peer_program(&stream) {
            if limiter.allow(()).is_some() {
                warn!("refused a program that a node started at the control socket");
            }
            continue;
        }
        let Some(held) = accounts.try_take(user, Share::Connections, 1) else { continue };
        let (control, accounts) = (Arc::clone(&control), Arc::clone(&accounts));
        clients.spawn(async move {
            let _held = held;
            if let Err(problem) = client(stream, user, &control, &accounts).await {
                debug!("a client of the control socket failed: {problem}");
            }
        });
    }
}

async fn client(
    stream: Stream,
    user: u32,
    control: &Arc<Control>,
    accounts: &Arc<Accounts>,
) -> zbus::Result<()> {
    let (gate, to_send) = Gate::new(stream, Authenticator::Socket { user }, accounts);
    let builder = Builder::socket(gate).server(Guid::generate()).p2p();
    match timeout(HANDSHAKE, publish(builder, control, accounts)).await {
        Ok(published) => published?.follow(to_send).await,
        Err(_) => debug!("a client of the control socket did not identify itself"),
    }
    Ok(())
}
