//! A Peer made by hand: says on a session what a test wants it to.

use std::sync::Arc;

use bytes::BytesMut;
use kozo::config::RootOptions;
use kozo::interest::Interest;
use kozo::message::{Draft, Message, Origin};
use kozo::session::ssh::{self, Ssh};
use kozo::session::{Flow, Session, SessionError, Sink};
use kozo::wire::{self, Control, Decoder, Frame, Hello};
use rmpv::Value;
use russh::keys::PrivateKey;
use tokio::sync::mpsc;

use super::{PATIENCE, TestSystem};

/// A session that a test speaks on.
pub struct Client {
    pub session: Session,
    frames: mpsc::UnboundedReceiver<Frame>,
}

struct Frames {
    decoder: Decoder,
    sender: mpsc::UnboundedSender<Frame>,
}

impl Sink for Frames {
    fn data(&mut self, bytes: &[u8]) -> Result<Flow, SessionError> {
        self.decoder.feed(bytes);
        while let Some(frame) = self.decoder.next_frame()? {
            let _ = self.sender.send(frame);
        }
        Ok(Flow::Continue)
    }
}

/// A hello as this version says it.
pub fn hello(boot: u64) -> Hello {
    let version = wire::VERSION;
    Hello { version, boot, received_boot: 0, received: 0, features: Vec::new() }
}

/// Messages with these counters, which are their data too.
pub fn messages(node: &str, boot: u64, counters: &[u64]) -> Vec<Message> {
    let origin = Arc::new(Origin { node: node.to_owned(), boot });
    let message = |sequence: &u64| {
        let value = Value::from(*sequence);
        let draft = Draft::event("tick").data(&value);
        Message::encode(Arc::clone(&origin), "probe", *sequence, 1, &draft).unwrap()
    };
    counters.iter().map(message).collect()
}

impl Client {
    /// Connects to a Node as the Node of that name, with that key.
    pub async fn connect(
        system: &TestSystem,
        name: &str,
        key: Arc<PrivateKey>,
        to: &str,
    ) -> Result<Client, SessionError> {
        let (sender, frames) = mpsc::unbounded_channel();
        let sink = Frames { decoder: Decoder::default(), sender };
        let session = Client::session(system, name, key, to, Box::new(sink)).await?;
        Ok(Client { session, frames })
    }

    /// A session with a Node as the Node of that name, with that key. What is said there goes to the sink.
    pub async fn session(
        system: &TestSystem,
        name: &str,
        key: Arc<PrivateKey>,
        to: &str,
        sink: Box<dyn Sink>,
    ) -> Result<Session, SessionError> {
        let stream = system.connect(name, to).await?.stream;
        let ssh = Ssh::new(name, key, &RootOptions::default())?;
        let host_key = system.key(to).public_key().clone();
        ssh::connect(&ssh, stream, to, &host_key, sink).await
    }

    /// Connects with the name and key of this Node, and greets. A Node that decides says so too.
    pub async fn greeted(system: &TestSystem, name: &str, to: &str, boot: u64) -> Client {
        let mut client = Client::connect(system, name, system.key(name), to).await.unwrap();
        client.say(&Control::Hello(&hello(boot))).await;
        client.say(&Control::Interest(&[Interest::any()])).await;
        if name < to {
            client.say(&Control::Use).await;
        }
        client
    }

    pub async fn say(&mut self, frame: &Control<'_>) {
        let mut bytes = BytesMut::new();
        wire::encode(frame, &mut bytes);
        self.write(&bytes).await;
    }

    pub async fn send(&mut self, messages: &[Message]) {
        let mut bytes = BytesMut::new();
        wire::encode_messages(messages, &mut bytes);
        self.write(&bytes).await;
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.session.writer.write(bytes.to_vec().into()).await.unwrap();
    }

    /// Waits for a frame for which `take` gives something.
    pub async fn frame<T>(&mut self, take: impl Fn(Frame) -> Option<T>) -> T {
        let wait = async {
            loop {
                let frame = self.frames.recv().await.expect("the session lives");
                if let Some(taken) = take(frame) {
                    return taken;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("it comes in time")
    }

    /// Waits for the end of the session.
    pub async fn ended(&mut self) -> String {
        let end = tokio::time::timeout(PATIENCE, self.session.end.reason()).await;
        end.expect("it ends in time").to_string()
    }
}
