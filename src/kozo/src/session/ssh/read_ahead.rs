//! A stream that is read in large pieces when much comes, and costs next to nothing when it is idle.
//!
//! A session asks for four bytes, and then for the rest of a packet. Read ahead as far as `most` bytes,
//! that is one system call for many packets instead of two for each; but a buffer of that size for each of
//! many links that say nothing would be most of what they cost. So it grows when it was filled, and shrinks
//! when little came.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// Bytes that are read ahead when little comes.
const LEAST: usize = 512;

/// The stream.
pub(super) struct ReadAhead<S> {
    inner: S,
    buffer: BytesMut,
    /// Bytes that the buffer was made for.
    room: usize,
    /// Bytes to read ahead next time.
    size: usize,
    most: usize,
}

impl<S> ReadAhead<S> {
    /// Reads ahead so many bytes at most.
    pub(super) fn new(inner: S, most: usize) -> ReadAhead<S> {
        ReadAhead { inner, buffer: BytesMut::new(), room: 0, size: LEAST.min(most), most }
    }
}

impl<S: AsyncRead + Unpin> ReadAhead<S> {
    /// Fills the empty buffer with what there is.
    fn fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.buffer.clear();
        if self.room == self.size {
            // Takes back what reading went past.
            self.buffer.reserve(self.size);
        } else {
            self.buffer = BytesMut::with_capacity(self.size);
            self.room = self.size;
        }
        let room = self.buffer.capacity();
        let read = ready!(pin!(self.inner.read_buf(&mut self.buffer)).poll(context))?;
        if read >= room {
            self.size = self.size.saturating_mul(4).min(self.most);
        } else if read <= self.size / 4 {
            self.size = (self.size / 4).max(LEAST).min(self.most);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            if out.remaining() >= self.most {
                return Pin::new(&mut self.inner).poll_read(context, out);
            }
            ready!(self.fill(context))?;
        }
        let length = out.remaining().min(self.buffer.len());
        out.put_slice(self.buffer.get(..length).unwrap_or_default());
        if length == self.buffer.len() {
            // Unlike `advance`, this keeps the room.
            self.buffer.clear();
        } else {
            self.buffer.advance(length);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    const MOST: usize = 16 * LEAST;

    #[tokio::test]
    async fn what_comes_is_what_was_sent_however_it_is_read() {
        let (mut far, near) = duplex(100_000);
        let mut near = ReadAhead::new(near, MOST);
        let sent: Vec<u8> = (0..300_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let writer = async {
            for piece in sent.chunks(7777) {
                far.write_all(piece).await.unwrap();
            }
            far.shutdown().await.unwrap();
        };
        let reader = async {
            let mut came = Vec::new();
            for length in [4, 1000, 4, 40_000, 1, 3].into_iter().cycle() {
                let mut piece = vec![0; length];
                let read = near.read(&mut piece).await.unwrap();
                if read == 0 {
                    break;
                }
                came.extend_from_slice(&piece[..read]);
            }
            came
        };
        let (came, ()) = tokio::join!(reader, writer);
        assert_eq!(came, sent);
    }

    #[tokio::test]
    async fn it_grows_with_what_comes_and_shrinks_again() {
        let (mut far, near) = duplex(100_000);
        let mut near = ReadAhead::new(near, MOST);
        let mut byte = [0];
        far.write_all(&[7; 3 * MOST]).await.unwrap();
        for _ in 0..2 * MOST {
            near.read_exact(&mut byte).await.unwrap();
        }
        assert_eq!((near.size, near.room), (MOST, MOST));
        let mut rest = vec![0; MOST];
        near.read_exact(&mut rest).await.unwrap();
        for _ in 0..5 {
            far.write_all(&[7; 100]).await.unwrap();
            near.read_exact(&mut rest[..100]).await.unwrap();
        }
        assert_eq!((near.size, near.room), (LEAST, LEAST));
        assert!(near.buffer.capacity() <= LEAST);
    }
}
