//! How a descriptor is closed on a thread that may wait, but not for ever if that can be avoided.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{Shutdown, SocketFlags, accept_with, shutdown};
use socket2::{Domain, SockRef, Type};

use super::receive::receive;
use super::{BLUETOOTH, closer};

/// Bytes that are read at once of what is thrown away.
const PIECE: usize = 16 * 1024;

/// Times in a row that a socket may seem empty. One of datagrams can have empty ones in it, as many as the kernel lets wait; of
/// some, those cannot be told from its end.
const EMPTY: usize = 1024;

/// A Unix socket that is being emptied.
struct Emptied {
    socket: OwnedFd,
    is_listener: bool,
    /// How often in a row it may still seem empty.
    patience: usize,
}

/// Closes a Unix socket of the Node, which does not wait once it is empty. What others have put into it is closed elsewhere.
pub(super) fn own(socket: OwnedFd) {
    let Some(mut socket) = begin(socket) else { return };
    let mut taken = Vec::new();
    while socket.take(&mut taken) {
        taken.drain(..).for_each(closer::close);
    }
    taken.into_iter().for_each(closer::close);
}

/// Closes a descriptor. What waits in a Unix socket is taken out and closed in the same way before it is closed: the kernel would
/// close it too, but wait for sockets that linger.
pub(super) fn foreign(descriptor: OwnedFd) {
    let mut nested: Vec<Emptied> = begin(descriptor).into_iter().collect();
    while let Some(mut last) = nested.pop() {
        let mut taken = Vec::new();
        if last.take(&mut taken) {
            // What was in it goes first: so not much of it is open at a time.
            nested.push(last);
        }
        nested.extend(taken.into_iter().filter_map(begin));
    }
}

/// Closes a descriptor, unless it is a Unix socket, which has to be emptied before.
fn begin(descriptor: OwnedFd) -> Option<Emptied> {
    let socket = SockRef::from(&descriptor);
    let domain = socket.domain().ok()?;
    // A socket that lingers makes close(2) wait until the other end has everything.
    let _ = socket.set_linger(None);
    if ![Domain::UNIX, Domain::from(BLUETOOTH)].contains(&domain) {
        return None;
    }
    // Nothing can be put into it any more; and the other end of this one learns that it is over, whoever else holds it.
    let _ = shutdown(&descriptor, Shutdown::Both);
    if domain != Domain::UNIX {
        return None;
    }
    // Else the kernel skips what was sent out of band, and closes what came with it.
    let _ = socket.set_out_of_band_inline(true);
    let is_stream = socket.r#type().is_ok_and(|kind| kind == Type::STREAM);
    let is_listener = socket.is_listener().unwrap_or(false);
    let patience = if is_stream { 0 } else { EMPTY };
    Some(Emptied { socket: descriptor, is_listener, patience })
}

impl Emptied {
    /// Takes out what comes first; whether there may be more.
    fn take(&mut self, taken: &mut Vec<OwnedFd>) -> bool {
        if self.is_listener {
            // Does not wait for a connection, now that it is shut down.
            let accepted = accept_with(&self.socket, SocketFlags::CLOEXEC);
            let is_one = accepted.is_ok();
            taken.extend(accepted);
            return is_one;
        }
        match receive(&self.socket, &mut [0; PIECE], |descriptor| taken.push(descriptor)) {
            Ok(received) if received.bytes > 0 || received.is_mixed => true,
            Ok(_) if self.patience > 0 => {
                self.patience -= 1;
                true
            }
            Ok(_) => false,
            Err(error) => error == Errno::INTR,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
    use std::time::Instant;

    use rustix::net::{AddressFamily, SendFlags, SocketType, socketpair};

    use super::*;

    use crate::local::lingering::{LINGER, inside, lingering, send};

    /// Closes a descriptor in which one waits that was put there by this.
    fn discarded(what: &str, put: impl FnOnce(OwnedFd) -> OwnedFd) {
        let (near, mut far) = lingering();
        let begun = Instant::now();
        foreign(put(near));
        assert!(begun.elapsed() < LINGER / 4, "{what}: {:?}", begun.elapsed());
        // It is closed, not kept.
        far.set_read_timeout(Some(LINGER)).unwrap();
        std::io::copy(&mut far, &mut std::io::sink()).unwrap();
    }

    #[test]
    fn nothing_that_lingers_is_waited_for() {
        discarded("itself", |near| near);
        discarded("in a stream", |near| inside(&near));
        discarded("in one in one in one", |near| inside(&inside(&inside(&near))));
    }

    #[test]
    fn what_was_sent_out_of_band_is_not_waited_for() {
        discarded("out of band", |near| {
            let (socket, other) = UnixStream::pair().unwrap();
            send(&other, b" ", &[near.as_fd()], SendFlags::OOB);
            socket.into()
        });
    }

    #[test]
    fn what_comes_after_empty_datagrams_is_not_waited_for() {
        for kind in [SocketType::DGRAM, SocketType::SEQPACKET] {
            discarded(&format!("{kind:?}"), |near| {
                let (socket, other) =
                    socketpair(AddressFamily::UNIX, kind, SocketFlags::empty(), None).unwrap();
                for _ in 0..5 {
                    rustix::net::send(&other, &[], SendFlags::empty()).unwrap();
                }
                send(&other, b" ", &[near.as_fd()], SendFlags::empty());
                socket
            });
        }
    }

    #[test]
    fn what_waits_in_connections_that_were_not_accepted_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        discarded("in a listener", |near| {
            let listener = UnixListener::bind(&path).unwrap();
            let client = UnixStream::connect(&path).unwrap();
            send(&client, b" ", &[near.as_fd()], SendFlags::empty());
            listener.into()
        });
    }

    #[test]
    fn what_is_no_socket_is_closed() {
        let (reader, writer) = std::io::pipe().unwrap();
        foreign(writer.into());
        assert_eq!(std::io::copy(&mut &reader, &mut std::io::sink()).unwrap(), 0);
        // Nor does one that is not connected hold up anything.
        foreign(UnixDatagram::unbound().unwrap().into());
    }
}
