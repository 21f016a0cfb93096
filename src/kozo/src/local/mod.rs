//! Sockets between the Node and other programs of its machine, and what those send or hand over.
//!
//! A program can put file descriptors into a Unix socket (`SCM_RIGHTS`) that nothing asked for. The last close(2) of one takes
//! as long as its owner likes: a TCP socket that lingers, a file whose server does not answer. The kernel closes what was not
//! received in the thread that reads the bytes with which it came, or closes the socket in which it still waits. So what
//! comes is always received here ([`receive`]), and no descriptor that is another program's, nor a socket that may have
//! some in it, is closed on the loop of the Node ([`closer`], which [`Descriptor`] hands them to when dropped).

mod closer;
mod descriptor;
mod discard;
mod halves;
#[cfg(test)]
#[path = "../../../../tests/kit/lingering.rs"]
#[allow(unreachable_pub, clippy::unwrap_used)]
mod lingering;
mod listener;
mod receive;
mod stream;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

pub(crate) use descriptor::Descriptor;
pub(crate) use halves::{ReadHalf, WriteHalf};
pub(crate) use listener::Listener;
pub(crate) use stream::Stream;

/// A family of sockets that `socket2` does not name. They have one end for both directions, and shutdown(2) may wait too.
pub(crate) const BLUETOOTH: i32 = nix::libc::AF_BLUETOOTH;

/// Two sockets that are connected: one to be used here, and one to be handed over.
pub(crate) fn pair() -> io::Result<(Stream, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair()?;
    Ok((Stream::of(ours)?, theirs.into()))
}
