//! Bytes from a Unix socket, and all the descriptors that come with them.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// Descriptors that can come at once: with more, sendmsg(2) fails (`SCM_MAX_FD`).
const MOST: usize = 253;

/// What has come.
pub(super) struct Received {
    /// How many bytes.
    pub(super) bytes: usize,
    /// Whether more than bytes came: then there may be further bytes behind them, though there was room for these.
    pub(super) is_mixed: bool,
    /// Whether what came beside descriptors is known: an option that the other end has no business with makes the kernel send
    /// more, which may be a descriptor too (`SO_PASSPIDFD`).
    pub(super) is_known: bool,
}

impl From<usize> for Received {
    fn from(bytes: usize) -> Received {
        Received { bytes, is_mixed: false, is_known: true }
    }
}

impl Received {
    /// How many bytes have come, if nothing came that is not known.
    pub(super) fn whole(self) -> Result<usize, Errno> {
        if self.is_known { Ok(self.bytes) } else { Err(Errno::PROTO) }
    }
}

/// Receives without waiting. Each descriptor is given to `take`.
pub(super) fn receive(
    socket: impl AsFd,
    space: &mut [u8],
    mut take: impl FnMut(OwnedFd),
) -> Result<Received, Errno> {
    let mut control = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST), ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut control);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(socket, &mut [IoSliceMut::new(space)], &mut control, flags)?;
    let mut messages = control.drain();
    let is_mixed = messages.size_hint().1 != Some(0);
    let mut is_known = !is_mixed;
    for message in &mut messages {
        is_known = true;
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            rights.for_each(&mut take);
        }
    }
    Ok(Received { bytes: received.bytes, is_mixed, is_known })
}
