//! The sockets that systemd has opened for the Node, by their names (`FileDescriptorName=`).

use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::net::UnixListener;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::transport::InheritedSockets;
use kozo_core::places;

/// Name of the control socket. Listeners have the names of their Transports, see
/// [`crate::transport::inherited`].
pub const CONTROL: &str = "bus";

/// Takes over what was passed to this process. To be called once, before anything is opened.
///
/// # Errors
/// When the variables that speak of it make no sense, or there is less than they say.
pub fn take_over() -> io::Result<InheritedSockets> {
    let received = sd_listen_fds::get()
        .map_err(|_| io::Error::other("LISTEN_FDS or LISTEN_PID is not a number"))?;
    let mut inherited = InheritedSockets::default();
    for (name, socket) in received {
        inherited.add(name.unwrap_or_default(), own(socket.into_std())?);
    }
    Ok(inherited)
}

/// The control socket, and the one at which programs attach themselves. Both have the same name, as systemd has one
/// for all sockets of a unit; the paths tell them apart.
pub fn control(inherited: &mut InheritedSockets) -> (Option<UnixListener>, Option<UnixListener>) {
    let (mut bus, mut role) = (None, None);
    for socket in inherited.take(CONTROL).into_iter().map(UnixListener::from) {
        let address = socket.local_addr().ok();
        let path = address.as_ref().and_then(|address| address.as_pathname());
        let is_role = path.is_some_and(|path| path.ends_with(places::ROLE_SOCKET));
        *(if is_role { &mut role } else { &mut bus }) = Some(socket);
    }
    (bus, role)
}

/// Keeps a socket from the programs that this one starts.
fn own(socket: OwnedFd) -> io::Result<OwnedFd> {
    match fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)) {
        Ok(_) => Ok(socket),
        Err(error) => {
            // What is not open must not be closed.
            let _ = socket.into_raw_fd();
            Err(io::Error::other(format!("a passed socket is not open: {error}")))
        }
    }
}
