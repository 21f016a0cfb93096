//! Version skew: a Node of release 0.1.0 at the other end. What that says and understands stands here as bytes, which no
//! change of the protocol may touch: machines are upgraded one by one, and are linked all the while.

use kozo::interest::Interest;
use kozo::message::Draft;
use kozo::session::{Flow, SessionError, Sink};
use rmpv::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::kit::client::Client;
use crate::kit::memory::Network;
use crate::kit::{PATIENCE, Plan, TestSystem};

/// Version 1, run 7, no Messages received yet, no features.
const HELLO: &[u8] = b"\x01\x1b\0\0\0\x01\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// All kinds, types, Roles and Nodes, any channel or none.
const INTEREST: &[u8] = b"\x02\x08\0\0\0\xff\x01*\0\x01*\x01*";

/// It decides that this is the session to use.
const USE: &[u8] = b"\x06\0\0\0\0";

/// The Events `tick` 1 and 2 of the Role `probe` in run 7 of the Node `clock`, with their numbers as data.
const MESSAGES: &[u8] =
    b"\x03\x25\0\0\0\x05clock\x07\0\0\0\0\0\0\0\0\0\0\x05probe\x04tick\0\x01\x01\x02\x01\x01\x01\0\x02";

/// The bytes as they come.
struct Raw(mpsc::UnboundedSender<Vec<u8>>);

impl Sink for Raw {
    fn data(&mut self, bytes: &[u8]) -> Result<Flow, SessionError> {
        let _ = self.0.send(bytes.to_vec());
        Ok(Flow::Continue)
    }
}

/// Takes frames out of bytes as 0.1.0 does: a byte of kind, four of length, the payload.
struct Frames {
    pieces: mpsc::UnboundedReceiver<Vec<u8>>,
    bytes: Vec<u8>,
}

impl Frames {
    /// The payload of the next frame of this kind.
    async fn next(&mut self, kind: u8) -> Vec<u8> {
        loop {
            while self.bytes.len() < 5 || self.bytes.len() < 5 + self.length() {
                let piece = timeout(PATIENCE, self.pieces.recv()).await.unwrap();
                self.bytes.extend(piece.expect("the session lives"));
            }
            let rest = self.bytes.split_off(5 + self.length());
            let frame = std::mem::replace(&mut self.bytes, rest);
            if frame[0] == kind {
                return frame[5..].to_vec();
            }
        }
    }

    fn length(&self) -> usize {
        u32::from_le_bytes(self.bytes[1..5].try_into().unwrap()).try_into().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_of_release_0_1_0_links_and_exchanges_messages() {
    let plan = Plan { interests: vec![Interest::any()], ..Plan::default() };
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], plan);
    let mut scribe = system.start("scribe").await;
    let (sender, pieces) = mpsc::unbounded_channel();
    let sink = Box::new(Raw(sender));
    let mut session =
        Client::session(&system, "clock", system.key("clock"), "scribe", sink).await.unwrap();
    for frame in [HELLO, INTEREST, USE, MESSAGES] {
        session.writer.write(frame.into()).await.unwrap();
    }
    for number in [1, 2] {
        assert_eq!(scribe.next().await, ("clock".to_owned(), number));
    }

    let mut heard = Frames { pieces, bytes: Vec::new() };
    // What 0.1.0 does not know as a feature it refuses.
    let hello = heard.next(1).await;
    assert_eq!((hello.len(), &hello[..2], hello[26]), (27, &[1, 0][..], 0));
    let value = Value::from(300);
    scribe.node.send("probe", &Draft::event("tock").channel(Some("a")).data(&value)).unwrap();
    let messages = heard.next(3).await;
    let (origin, rest) = messages.split_at(7);
    assert_eq!(origin, b"\x06scribe");
    // Behind the run and the hops: a new head, the length of the data. Before the data: the number and the time.
    assert_eq!(&rest[8..8 + 17], b"\0\0\0\x05probe\x04tock\x01a\x03");
    assert!(rest.ends_with(b"\xcd\x01\x2c"), "{rest:?}");
}
