//! Programs that speak with a [`TestHost`], in both encodings.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod faults;
mod methods;
mod pressure;
mod same_data;
mod transcript;

use std::sync::Arc;
use std::time::Duration;

use kozo_core::value::json;
use rmpv::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::interest::Interest;
use crate::message::{Draft, Kind};
use crate::role::Inbox;
use crate::role::testing::{Context, TestHost};
use crate::rpc::output::packed;

const BOTH: [Encoding; 2] = [Encoding::Json, Encoding::MessagePack];

/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(20);

/// What a pipe holds.
const PIPE: usize = 64 * 1024;

/// A program in the middle of a conversation.
struct Program {
    host: Arc<TestHost>,
    encoding: Encoding,
    /// Its standard input.
    input: DuplexStream,
    heard: Vec<u8>,
    /// Its standard output, until it is closed.
    output: Option<DuplexStream>,
    inbox: Arc<Inbox>,
    stop: watch::Sender<bool>,
    reopen: watch::Sender<u64>,
    task: JoinHandle<Result<(), RoleError>>,
}

impl Program {
    /// A program that wants the Events `wanted`.
    fn start(encoding: Encoding) -> Program {
        Program::start_at(&TestHost::new("clock"), encoding, &LineBudget::default())
    }

    fn start_at(host: &Arc<TestHost>, encoding: Encoding, budget: &LineBudget) -> Program {
        let options = serde_json::from_str(r#"{"path": "/bell", "pause": 1.5}"#).unwrap();
        let start = Start { role_type: "ringer".to_owned(), options };
        let declared = vec![Interest::exactly(Kind::Event, "wanted")];
        Program::start_as(host, start, declared, encoding, budget)
    }

    fn start_as(
        host: &Arc<TestHost>,
        start: Start,
        declared: Vec<Interest>,
        encoding: Encoding,
        budget: &LineBudget,
    ) -> Program {
        let Context { context, stop, reopen } = host.context("bell", declared);
        let (input, writer) = duplex(PIPE);
        let (output, reader) = duplex(PIPE);
        let (inbox, budget) = (Arc::clone(&context.inbox), budget.clone());
        let task = tokio::spawn(async move {
            converse(&context, start, encoding, &budget, reader, writer).await
        });
        let (host, output) = (Arc::clone(host), Some(output));
        Program { host, encoding, input, heard: Vec::new(), output, inbox, stop, reopen, task }
    }

    /// One that has heard `start` and is ready.
    async fn ready(encoding: Encoding) -> Program {
        let mut program = Program::start(encoding);
        program.hear("start").await;
        program.ask("ready", None).await;
        program
    }

    async fn write(&mut self, bytes: &[u8]) {
        let written = self.output.as_mut().unwrap().write_all(bytes);
        timeout(DEADLINE, written).await.expect("it is not read").unwrap();
    }

    async fn say(&mut self, said: &Value) {
        let said = encoded(self.encoding, said);
        self.write(&said).await;
    }

    async fn notify(&mut self, method: &str, params: Value) {
        self.say(&object([("method", method.into()), ("params", params)])).await;
    }

    /// Makes a request, and gives the answer.
    async fn ask(&mut self, method: &str, params: Option<Value>) -> Value {
        let mut request =
            vec![("jsonrpc", "2.0".into()), ("id", "q".into()), ("method", method.into())];
        request.extend(params.map(|params| ("params", params)));
        self.say(&object(request)).await;
        let answer = self.next().await.unwrap();
        assert_eq!((&answer["jsonrpc"], &answer["id"]), (&"2.0".into(), &"q".into()), "{answer}");
        answer
    }

    /// The next thing the Node says; nothing once it has closed.
    async fn next(&mut self) -> Option<Value> {
        let said = self.next_bytes().await?;
        Some(decoded(self.encoding, &said))
    }

    /// The same, as it is encoded.
    async fn next_bytes(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(length) = length(self.encoding, &self.heard) {
                return Some(self.heard.drain(..length).collect());
            }
            let read = timeout(DEADLINE, self.input.read_buf(&mut self.heard)).await;
            if read.expect("nothing is said").unwrap() == 0 {
                assert!(self.heard.is_empty(), "{:?}", self.heard);
                return None;
            }
        }
    }

    /// The parameters of the next thing the Node says, which is this.
    async fn hear(&mut self, method: &str) -> Value {
        let said = self.next().await.unwrap_or_else(|| panic!("closed instead of {method}"));
        assert_eq!((&said["jsonrpc"], &said["method"]), (&"2.0".into(), &method.into()), "{said}");
        said["params"].clone()
    }

    /// A Message that is wanted arrives.
    fn arrive(&self, data: &Value) {
        self.host.inject("timer", &Draft::event("wanted").data(data));
    }

    /// The Role is to stop.
    fn stop(&self) {
        self.stop.send_replace(true);
        self.inbox.close();
    }

    /// Closes its output, and gives what the conversation came to.
    async fn close(&mut self) -> Result<(), RoleError> {
        self.output = None;
        self.ended().await
    }

    async fn ended(&mut self) -> Result<(), RoleError> {
        timeout(DEADLINE, &mut self.task).await.expect("it goes on").unwrap()
    }
}

fn encoded(encoding: Encoding, value: &Value) -> Vec<u8> {
    match encoding {
        Encoding::Json => serde_json::to_string(value).unwrap().into_bytes().with_end(),
        Encoding::MessagePack => packed(value),
    }
}

trait WithEnd {
    fn with_end(self) -> Self;
}

impl WithEnd for Vec<u8> {
    fn with_end(mut self) -> Self {
        self.push(b'\n');
        self
    }
}

/// The length of the first thing that is said, with its end.
fn length(encoding: Encoding, bytes: &[u8]) -> Option<usize> {
    match encoding {
        Encoding::Json => bytes.iter().position(|byte| *byte == b'\n').map(|end| end + 1),
        Encoding::MessagePack => {
            let mut scanner = kozo_core::pack::Scanner::default();
            scanner.scan(bytes, 256, usize::MAX).unwrap()
        }
    }
}

fn decoded(encoding: Encoding, mut bytes: &[u8]) -> Value {
    match encoding {
        Encoding::Json => json::parse(std::str::from_utf8(bytes).unwrap()).unwrap(),
        Encoding::MessagePack => rmpv::decode::read_value(&mut bytes).unwrap(),
    }
}

fn map(members: &[(&str, Value)]) -> Value {
    object(members.iter().map(|(name, value)| (*name, value.clone())))
}

fn list(items: &[Value]) -> Value {
    Value::Array(items.to_vec())
}
