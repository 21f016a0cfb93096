//! Streams that can be made to stop without a word, as when a cable is pulled.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::watch;

/// Whether the streams between two Nodes are frozen.
#[derive(Clone, Default)]
pub(super) struct Ice {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    frozen: watch::Sender<bool>,
    waiting: Mutex<Vec<Waker>>,
}

impl Ice {
    pub(super) fn set(&self, frozen: bool) {
        self.shared.frozen.send_replace(frozen);
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.drain(..).for_each(Waker::wake);
    }

    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.shared.frozen.subscribe()
    }
}

/// One end of a stream: takes bytes as long as there is room for them, and gives none out while it is
/// frozen. Not even its end can be seen then.
pub(super) struct Freezing {
    inner: DuplexStream,
    ice: Ice,
}

impl Freezing {
    pub(super) fn new(inner: DuplexStream, ice: &Ice) -> Freezing {
        Freezing { inner, ice: ice.clone() }
    }
}

impl AsyncRead for Freezing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let shared = &self.ice.shared;
        {
            // Under this lock, so that a thaw cannot come between the look and the waiting.
            let mut waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if *shared.frozen.borrow() {
                waiting.retain(|waker| !waker.will_wake(context.waker()));
                waiting.push(context.waker().clone());
                return Poll::Pending;
            }
        }
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for Freezing {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.inner).poll_write(context, bytes) {
            // The other side is gone, but this one cannot know that yet.
            Poll::Ready(Err(_)) if *self.ice.shared.frozen.borrow() => Poll::Ready(Ok(bytes.len())),
            other => other,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
