//! What a program sends over a Unix socket: bytes, and with them file descriptors (`SCM_RIGHTS`).

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::local::{Descriptor, ReadHalf};

/// Descriptors that may have come and not been taken.
pub(super) const MOST: usize = 16;

/// Descriptors that have come with the bytes of a stream, until they are taken. Clones are the same ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Descriptors(Arc<Mutex<Received>>);

#[derive(Debug, Default)]
struct Received {
    /// In the order in which they came, each with how many bytes had come before those that it came with.
    untaken: VecDeque<(u64, Descriptor)>,
    /// How many bytes have come.
    position: u64,
}

impl Descriptors {
    /// Takes the first one, if it came before the stream had so many bytes: what belongs to a line came with its bytes, or with
    /// those of an earlier one.
    pub(super) fn take(&self, position: u64) -> Option<Descriptor> {
        let mut received = self.lock();
        let (before, _) = received.untaken.front()?;
        if *before >= position {
            return None;
        }
        received.untaken.pop_front().map(|(_, descriptor)| descriptor)
    }

    /// Keeps what came with so many bytes.
    fn put(&self, bytes: usize, descriptors: Vec<Descriptor>) -> io::Result<()> {
        let mut received = self.lock();
        let position = received.position;
        received.position += bytes as u64;
        received.untaken.extend(descriptors.into_iter().map(|descriptor| (position, descriptor)));
        if received.untaken.len() > MOST {
            return Err(too_many());
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Received> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many() -> io::Error {
    let text = format!("more than {MOST} descriptors arrived that belong to no line");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// The bytes that come over a Unix socket.
pub(super) struct Receiver {
    socket: ReadHalf,
    descriptors: Descriptors,
}

impl Receiver {
    /// Of a socket, and the descriptors that come with them.
    pub(super) fn new(socket: ReadHalf) -> (Receiver, Descriptors) {
        let descriptors = Descriptors::default();
        (Receiver { socket, descriptors: descriptors.clone() }, descriptors)
    }
}

impl AsyncRead for Receiver {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, mut come) = (buffer.filled().len(), Vec::new());
        ready!(self.socket.poll_receive(context, buffer, |descriptor| come.push(descriptor)))?;
        Poll::Ready(self.descriptors.put(buffer.filled().len() - before, come))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::io::IoSlice;
    use std::mem::MaybeUninit;
    use std::os::fd::{AsFd as _, OwnedFd};

    use rustix::cmsg_space;
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::local;

    fn send(socket: &OwnedFd, bytes: &[u8], count: usize) {
        let null = std::fs::File::open("/dev/null").unwrap();
        let all = vec![null.as_fd(); count];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(64))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(count == 0 || control.push(SendAncillaryMessage::ScmRights(&all)));
        let sent =
            sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::empty()).unwrap();
        assert_eq!(sent, bytes.len());
    }

    #[tokio::test]
    async fn a_descriptor_belongs_to_no_line_that_came_before_it() {
        let (ours, theirs) = local::pair().unwrap();
        let (mut receiver, descriptors) = Receiver::new(ours.into_split().0);
        send(&theirs, b"one\n", 0);
        let mut buffer = [0; 64];
        assert_eq!(receiver.read(&mut buffer).await.unwrap(), 4);
        send(&theirs, b"two\nthree\n", 2);
        assert_eq!(receiver.read(&mut buffer).await.unwrap(), 10);
        assert!(descriptors.take(4).is_none());
        assert!(descriptors.take(8).is_some());
        assert!(descriptors.take(14).is_some());
        assert!(descriptors.take(14).is_none());
        drop(theirs);
        assert_eq!(receiver.read(&mut buffer).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn too_many_descriptors_are_an_error_at_once_or_one_by_one() {
        for counts in [vec![1; MOST + 1], vec![MOST + 1], vec![64]] {
            let (ours, theirs) = local::pair().unwrap();
            let (mut receiver, descriptors) = Receiver::new(ours.into_split().0);
            let mut results = Vec::new();
            for count in &counts {
                send(&theirs, b"x", *count);
                results.push(receiver.read_u8().await);
            }
            let error = results.pop().unwrap().unwrap_err();
            assert!(error.to_string().contains("more than 16 descriptors"), "{error}");
            assert!(results.iter().all(Result::is_ok));
            drop((receiver, descriptors));
        }
    }
}
