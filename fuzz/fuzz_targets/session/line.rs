//! A session of a Peer that is played: what it says goes out as it is, what comes in must be the protocol.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kozo::transport::stream::BoxStream;
use kozo::wire::{Decoder, Frame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::kit::TestSystem;

/// A frame of this kind.
pub fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind][..], &(payload.len() as u32).to_le_bytes(), payload].concat()
}

/// A text with its length before it, as far as there is room for it.
pub fn text(out: &mut Vec<u8>, text: &str) {
    let text = &text.as_bytes()[..text.floor_char_boundary(255)];
    out.push(text.len() as u8);
    out.extend(text);
}

/// The stream of a session.
pub struct Line {
    writer: Arc<Mutex<WriteHalf<BoxStream>>>,
    reads: watch::Sender<bool>,
    reader: JoinHandle<()>,
    /// Whether it answers heartbeats.
    answers: Arc<AtomicBool>,
    /// Reads what is said, as long as that is the protocol.
    said: Option<Decoder>,
}

impl Line {
    /// A stream from one Node to another, if that listens.
    pub async fn open(system: &TestSystem, from: &str, to: &str) -> Option<Line> {
        let stream = system.connect(from, to).await.ok()?.stream;
        let (reader, writer) = tokio::io::split(stream);
        let writer = Arc::new(Mutex::new(writer));
        let (reads, may) = watch::channel(true);
        let answers = Arc::new(AtomicBool::new(false));
        let reader = tokio::spawn(read(reader, may, Arc::clone(&answers), Arc::clone(&writer)));
        Some(Line { writer, reads, reader, answers, said: Some(Decoder::default()) })
    }

    /// Says who it is, wants everything, and answers from now on; a decider chooses this session.
    pub async fn greet(&mut self, boot: u64) {
        self.answers.store(true, Ordering::Relaxed);
        let mut hello = vec![1, 0];
        hello.extend(boot.to_le_bytes());
        hello.extend([0; 17]);
        let interest = [255, 1, b'*', 0, 1, b'*', 1, b'*'];
        let said = [frame(1, &hello), frame(2, &interest), frame(6, &[])];
        self.say(&said.concat(), usize::MAX).await;
    }

    /// An event with this sequence number.
    pub async fn event(&mut self, name: &str, sequence: u8) {
        let mut payload = Vec::new();
        text(&mut payload, name);
        payload.extend(1_u64.to_le_bytes());
        payload.extend([0, 0, 0, 1, b'r', 1, b't', 0, 1, sequence, 0, 0xc0]);
        self.say(&frame(3, &payload), usize::MAX).await;
    }

    /// Whether it reads what comes.
    pub fn reads(&self, reads: bool) {
        self.reads.send_replace(reads);
    }

    /// Whether the other side has ended it.
    pub fn has_ended(&self) -> bool {
        self.reader.is_finished()
    }

    /// The runs that hellos in this speak of, if it is what is said next.
    pub fn boots(&mut self, bytes: &[u8]) -> Vec<u64> {
        let mut boots = Vec::new();
        let Some(mut decoder) = self.said.take() else { return boots };
        decoder.feed(bytes);
        while let Ok(frame) = decoder.next_frame() {
            match frame {
                Some(Frame::Hello(hello)) => boots.push(hello.boot),
                Some(_) => {}
                None => {
                    self.said = Some(decoder);
                    break;
                }
            }
        }
        boots
    }

    /// Writes this in pieces of this size, as far as the other side takes it.
    pub async fn say(&mut self, bytes: &[u8], piece: usize) {
        let mut writer = self.writer.lock().await;
        for piece in bytes.chunks(piece) {
            match timeout(Duration::from_secs(1), writer.write_all(piece)).await {
                Ok(Ok(())) => tokio::task::yield_now().await,
                // It has ended, or the Node does not read now.
                _ => return,
            }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Reads until the end; panics at anything that is not the protocol.
async fn read(
    mut stream: ReadHalf<BoxStream>,
    mut may: watch::Receiver<bool>,
    answers: Arc<AtomicBool>,
    writer: Arc<Mutex<WriteHalf<BoxStream>>>,
) {
    let (mut decoder, mut bytes, mut boot, mut last) = (Decoder::default(), [0; 4096], None, 0);
    while may.wait_for(|reads| *reads).await.is_ok() {
        let Ok(length @ 1..) = stream.read(&mut bytes).await else { return };
        decoder.feed(&bytes[..length]);
        while let Some(frame) = decoder.next_frame().expect("the Node speaks the protocol") {
            match frame {
                Frame::Hello(hello) => {
                    assert!(boot.replace(hello.boot).is_none(), "a second hello")
                }
                Frame::Messages(messages) => {
                    let origin = Arc::clone(messages.origin());
                    assert!(origin.node == crate::NODE && Some(origin.boot) == boot, "{origin:?}");
                    assert_eq!(messages.hops(), 0);
                    for message in messages {
                        let sequence = message.expect("a Message").sequence();
                        assert!(sequence > last, "{sequence} after {last}");
                        last = sequence;
                    }
                }
                Frame::Heartbeat(heartbeat) if answers.load(Ordering::Relaxed) => {
                    let mut payload = heartbeat.sent.to_le_bytes().to_vec();
                    payload.extend([0; 16]);
                    let echo = crate::line::frame(5, &payload);
                    let _ = writer.lock().await.write_all(&echo).await;
                }
                // Whoever wants nothing of it says just that.
                Frame::Bye(_) => {}
                _ => assert!(boot.is_some(), "a frame before the hello"),
            }
        }
    }
}
