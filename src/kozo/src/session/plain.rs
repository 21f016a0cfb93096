//! Sessions over streams that their Transport has authenticated and encrypted: the protocol `kozo` as it is.

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::{End, Session, SessionError, Sink, Writer, feed};
use crate::BoxFuture;
use crate::transport::stream::{AbortHandle, Abortable, BoxStream};

struct PlainWriter(WriteHalf<Abortable<BoxStream>>);

impl Writer for PlainWriter {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), SessionError>> {
        Box::pin(async move {
            self.0.write_all(&bytes).await?;
            Ok(self.0.flush().await?)
        })
    }
}

/// A session over a stream that the Transport itself has authenticated and encrypts; `abort_handle` will
/// end it.
pub fn new(
    stream: BoxStream,
    peer: String,
    sink: Box<dyn Sink>,
    abort_handle: AbortHandle,
) -> Session {
    let (reader, writer) = tokio::io::split(Abortable::new(stream, &abort_handle));
    let end = tokio::spawn(read(reader, sink));
    Session {
        peer,
        writer: Box::new(PlainWriter(writer)),
        end: End::new(stream::once(async move {
            match end.await {
                Ok(Ok(())) => SessionError::closed(),
                Ok(Err(error)) => error,
                Err(panic) => SessionError::Stream(panic.to_string()),
            }
        })),
        abort_handle,
    }
}

async fn read(
    mut reader: ReadHalf<Abortable<BoxStream>>,
    mut sink: Box<dyn Sink>,
) -> Result<(), SessionError> {
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    loop {
        buffer.clear();
        if reader.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        feed(&mut *sink, &buffer).await?;
    }
}
