//! A descriptor that is closed elsewhere.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::closer;

/// A descriptor whose close(2) may take long. Dropped, it is closed on another thread.
#[derive(Debug)]
pub(crate) struct Descriptor {
    /// There until it is dropped.
    descriptor: Option<OwnedFd>,
    /// Whether it is a Unix socket that the Node alone has.
    is_own: bool,
}

impl Descriptor {
    /// A Unix socket that the Node has made or accepted, and that no other program has.
    pub(super) fn own(socket: OwnedFd) -> Descriptor {
        Descriptor { descriptor: Some(socket), is_own: true }
    }
}

/// What another program has sent or handed over.
impl From<OwnedFd> for Descriptor {
    fn from(descriptor: OwnedFd) -> Self {
        Descriptor { descriptor: Some(descriptor), is_own: false }
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.descriptor {
            Some(descriptor) => descriptor.as_fd(),
            None => unreachable!("only drop takes it"),
        }
    }
}

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        match self.descriptor.take() {
            Some(socket) if self.is_own => closer::close_own(socket),
            Some(descriptor) => closer::close(descriptor),
            None => {}
        }
    }
}
