//! The socket between a Transport and its Node: lines, and descriptors that belong to them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, sendmsg, shutdown,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use super::protocol::FAILED;
use crate::{Error, Level};

/// Lines that may wait to be written.
const MOST_WAITING: usize = 16;

/// Bytes of the longest line that a Node reads.
const LONGEST_LINE: usize = 64 * 1024;

/// Characters of the longest text for people: in JSON one may take six bytes.
const LONGEST_TEXT: usize = 8192;

/// What a Transport says to its Node.
#[derive(Debug)]
pub(super) struct Channel {
    lines: mpsc::Sender<Line>,
    last_id: Cell<u64>,
    asked: RefCell<HashMap<u64, oneshot::Sender<Result<Value, Error>>>>,
}

/// What waits to be written.
#[derive(Debug)]
pub(super) enum Line {
    /// A line.
    Text {
        text: String,
        /// The descriptor that belongs to it.
        descriptor: Option<OwnedFd>,
        /// The id of the request that it answers.
        answers: Option<Value>,
    },
    /// To be told when all before it is written.
    Mark(oneshot::Sender<()>),
}

impl Channel {
    /// A channel, and what it says, for [`write`].
    pub(super) fn new() -> (Channel, mpsc::Receiver<Line>) {
        let (lines, waiting) = mpsc::channel(MOST_WAITING);
        (Channel { lines, last_id: Cell::new(0), asked: RefCell::default() }, waiting)
    }

    /// Says something, with the descriptor that belongs to it.
    pub(super) async fn tell(
        &self,
        method: &str,
        params: Value,
        descriptor: Option<OwnedFd>,
    ) -> Result<(), Error> {
        self.say(&notification(method, params), descriptor, None).await
    }

    /// Answers a request of the Node.
    pub(super) async fn answer(
        &self,
        id: &Value,
        result: Value,
        descriptor: Option<OwnedFd>,
    ) -> Result<(), Error> {
        let line = json!({"jsonrpc": "2.0", "id": id, "result": result});
        self.say(&line, descriptor, Some(id.clone())).await
    }

    /// Says why nothing became of a request.
    pub(super) async fn refuse(&self, id: &Value, code: i64, text: &str) -> Result<(), Error> {
        self.say(&refusal(id, code, cut(text)), None, None).await
    }

    /// Asks the Node something.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
    ) -> Result<T, Error> {
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        let (sender, answer) = oneshot::channel();
        self.asked.borrow_mut().insert(id, sender);
        let asked = Asked { channel: self, id };
        let line = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.say(&line, None, None).await?;
        let answer = answer.await.unwrap_or_else(|_| Err(gone()));
        drop(asked);
        serde_json::from_value(answer?).map_err(|error| Error::Decode(error.to_string()))
    }

    /// Takes the Node's answer.
    pub(super) fn answered(&self, id: u64, answer: Result<Value, Error>) {
        if let Some(asked) = self.asked.borrow_mut().remove(&id) {
            // What asked may wait no longer.
            let _ = asked.send(answer);
        }
    }

    /// Returns when all is written that was said before, or nothing can be written any more.
    pub(super) async fn flush(&self) {
        let (sender, written) = oneshot::channel();
        if self.lines.send(Line::Mark(sender)).await.is_ok() {
            let _ = written.await;
        }
    }

    /// A line is written whole, even if what says it is dropped before.
    async fn say(
        &self,
        line: &Value,
        descriptor: Option<OwnedFd>,
        answers: Option<Value>,
    ) -> Result<(), Error> {
        let text = format!("{line}\n");
        if text.len() > LONGEST_LINE {
            let text =
                format!("this line has {} bytes; at most {LONGEST_LINE} are allowed", text.len());
            return Err(Error::Encode(text));
        }
        self.lines.send(Line::Text { text, descriptor, answers }).await.map_err(|_| gone())
    }
}

/// As much of a text for people as fits into a line.
pub(super) fn cut(text: &str) -> &str {
    let end = text.char_indices().nth(LONGEST_TEXT).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or_default()
}

fn notification(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

fn refusal(id: &Value, code: i64, text: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": text}})
}

fn gone() -> Error {
    Error::Gone("it closed the connection".to_owned())
}

/// Writes what waits until the Node reads no more.
pub(super) async fn write(socket: Rc<UnixStream>, mut lines: mpsc::Receiver<Line>) {
    while let Some(line) = lines.recv().await {
        match line {
            Line::Mark(sender) => {
                let _ = sender.send(());
            }
            Line::Text { text, descriptor, answers } => {
                let mut written = write_line(&socket, text.as_bytes(), descriptor).await;
                if written.as_ref().is_err_and(has_too_many_in_flight) {
                    let instead = format!("{}\n", instead_of_descriptor(answers));
                    written = write_line(&socket, instead.as_bytes(), None).await;
                }
                if written.is_err() {
                    // What reads sees the end, and ends the program.
                    let _ = shutdown(&*socket, Shutdown::Both);
                    return;
                }
            }
        }
    }
}

/// Whether the Node has not taken so many descriptors yet that there may be no more. Nothing of the line was written then.
fn has_too_many_in_flight(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::TOOMANYREFS)
}

/// What is said where a descriptor could not be handed over.
fn instead_of_descriptor(answers: Option<Value>) -> Value {
    let text = "the Node has not taken the streams before this one: it is dropped";
    match answers {
        Some(id) => refusal(&id, FAILED, text),
        None => notification("log", json!({"level": Level::Warning.name(), "text": text})),
    }
}

async fn write_line(
    socket: &UnixStream,
    mut rest: &[u8],
    descriptor: Option<OwnedFd>,
) -> io::Result<()> {
    let mut descriptor = descriptor;
    while !rest.is_empty() {
        let send = || send(socket, rest, descriptor.as_ref());
        let sent = socket.async_io(Interest::WRITABLE, send).await?;
        // It went with the first byte.
        descriptor = None;
        rest = rest.get(sent..).unwrap_or_default();
    }
    Ok(())
}

fn send(socket: &UnixStream, bytes: &[u8], descriptor: Option<&OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptor = descriptor.map(|descriptor| [descriptor.as_fd()]);
    if let Some(descriptor) = &descriptor {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptor));
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?)
}

/// A request that is forgotten when nothing waits for its answer.
struct Asked<'c> {
    channel: &'c Channel,
    id: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.channel.asked.borrow_mut().remove(&self.id);
    }
}

/// The half of the socket that is read.
pub(super) struct Reading(pub(super) Rc<UnixStream>);

impl AsyncRead for Reading {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            match self.0.try_read(buffer.initialize_unfilled()) {
                Ok(length) => {
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}
