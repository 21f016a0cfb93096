//! A program that is a Role says anything, in both encodings and in pieces of any size: what its Node says is the protocol,
//! the conversation ends when the program closes, and why it failed is one line that names a place.
#![no_main]

#[path = "../../tests/kit/mod.rs"]
mod kit;

use std::sync::Arc;
use std::time::Duration;

use kozo::BoxFuture;
use kozo::config::{RoleConfig, Schema};
use kozo::interest::Interest;
use kozo::message::{Draft, Kind};
use kozo::role::conversation::{Encoding, LineBudget, Start, converse};
use kozo::role::{Role, RoleContext, RoleError, RoleType};
use kozo_core::pack::Scanner;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::kit::memory::Network;
use crate::kit::{Plan, TestSystem};

/// Bytes that all long lines may take: few, so that the bound is met.
const BUDGET: usize = 256 * 1024;

/// One conversation: its program's ends, and what it came to.
struct Conversation {
    input: DuplexStream,
    output: DuplexStream,
    ended: mpsc::UnboundedReceiver<Result<(), RoleError>>,
}

/// Roles that are programs which the test plays.
struct ProgramType {
    encoding: Encoding,
    begun: mpsc::UnboundedSender<Conversation>,
}

impl RoleType for ProgramType {
    fn schema(&self) -> Schema {
        let description = "Is played by a test.".into();
        Schema { name: "program".into(), description, ..Schema::default() }
    }

    fn interests(&self, _: &RoleConfig) -> Vec<Interest> {
        vec![Interest::exactly(Kind::Event, "wanted")]
    }

    fn build(&self, _: &RoleConfig) -> Box<dyn Role> {
        Box::new(Program { encoding: self.encoding, begun: self.begun.clone() })
    }
}

struct Program {
    encoding: Encoding,
    begun: mpsc::UnboundedSender<Conversation>,
}

impl Role for Program {
    fn run(self: Box<Self>, context: RoleContext) -> BoxFuture<'static, Result<(), RoleError>> {
        Box::pin(async move {
            let (input, writer) = duplex(4096);
            let (output, reader) = duplex(4096);
            let (end, ended) = mpsc::unbounded_channel();
            let _ = self.begun.send(Conversation { input, output, ended });
            let budget = LineBudget::new(BUDGET);
            let start = Start::default();
            let result = converse(&context, start, self.encoding, &budget, reader, writer).await;
            let _ = end.send(result);
            context.stopped().await;
            Ok(())
        })
    }
}

fuzz_target!(|input: &[u8]| {
    let [how, said @ ..] = input else { return };
    let encoding = if how & 1 == 0 { Encoding::Json } else { Encoding::MessagePack };
    let piece = 1 << (how >> 1 & 15);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(converse_once(encoding, said, piece));
});

async fn converse_once(encoding: Encoding, said: &[u8], piece: usize) {
    let (begun, mut conversations) = mpsc::unbounded_channel();
    let plan = Plan {
        types: vec![Arc::new(ProgramType { encoding, begun })],
        roles: |_| &["program"],
        ..Plan::default()
    };
    let system = TestSystem::new(Network::default(), &["clock"], plan);
    let running = system.start("clock").await;
    let mut conversation = conversations.recv().await.expect("the Role runs");
    let wanted = Draft::event("wanted").bytes(&[0; 100]);
    running.node.send("other", &wanted).expect("it is small");
    let (mut heard, mut output) = (Vec::new(), conversation.output);
    let say = async {
        for piece in said.chunks(piece) {
            if output.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(output);
    };
    let hear = conversation.input.read_to_end(&mut heard);
    let (_, ended, _) = timeout(Duration::from_secs(3600), async {
        tokio::join!(say, conversation.ended.recv(), hear)
    })
    .await
    .expect("the conversation does not end");
    if let Some(Err(error)) = ended {
        let text = error.to_string();
        assert!(text.starts_with("line ") || text.starts_with("value "), "{text}");
        assert!(text.len() < 1024 && !text.contains(char::is_control), "{text:?}");
    }
    check(encoding, &heard);
    timeout(Duration::from_secs(60), running.node.stop()).await.expect("the Node does not stop");
}

/// What the Node said is whole, and is the protocol.
fn check(encoding: Encoding, mut heard: &[u8]) {
    let mut first = true;
    while !heard.is_empty() {
        let said = match encoding {
            Encoding::Json => {
                let end = heard.iter().position(|byte| *byte == b'\n').expect("half a line");
                let (line, rest) = heard.split_at(end);
                heard = &rest[1..];
                serde_json::from_slice::<serde_json::Value>(line).expect("a line that is no JSON")
            }
            Encoding::MessagePack => {
                let length = Scanner::default().scan(heard, 256, usize::MAX).expect("MessagePack");
                let (mut value, rest) = heard.split_at(length.expect("half a value"));
                heard = rest;
                let value = rmpv::decode::read_value(&mut value).expect("a value");
                kozo_core::value::show::json(&value)
            }
        };
        assert_eq!(said["jsonrpc"], "2.0", "{said}");
        let is_answer = !said["result"].is_null() || !said["error"].is_null();
        assert!(is_answer ^ said["method"].is_string(), "{said}");
        assert_eq!(first, said["method"] == "start", "{said}");
        first = false;
    }
}
