//! The sockets that systemd has opened for the Node, by their names (`FileDescriptorName=`).

use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::transport::InheritedSockets;

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
