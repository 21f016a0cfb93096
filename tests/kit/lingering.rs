//! Descriptors that a program can send so that closing them takes long.

use std::io::{ErrorKind, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::cmsg_space;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use socket2::SockRef;

/// How long the close(2) of one takes.
pub const LINGER: Duration = Duration::from_secs(10);

/// A TCP socket that waits when it is closed, and its other end, which does not read.
pub fn lingering() -> (OwnedFd, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    near.set_nonblocking(true).unwrap();
    let refused = loop {
        if let Err(error) = near.write(&[0; 65536]) {
            break error.kind();
        }
    };
    assert_eq!(refused, ErrorKind::WouldBlock);
    near.set_nonblocking(false).unwrap();
    SockRef::from(&near).set_linger(Some(LINGER)).unwrap();
    (near.into(), far)
}

/// A Unix socket in which this descriptor waits to be received.
pub fn inside(descriptor: &OwnedFd) -> OwnedFd {
    let (near, far) = UnixStream::pair().unwrap();
    send(&far, b" ", &[descriptor.as_fd()], SendFlags::empty());
    near.into()
}

/// Sends bytes, and descriptors with them.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>], flags: SendFlags) {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
    let sent = sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags).unwrap();
    assert_eq!(sent, bytes.len());
}
