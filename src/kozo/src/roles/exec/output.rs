//! What becomes of what a command prints.

use std::process::Stdio;
use std::time::Duration;

use rmpv::Value;
use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStdout;
use tokio::time::timeout;

use crate::config::Options;
use crate::message::{Draft, Kind};
use crate::role::RoleContext;

/// Most bytes of one Message, and so of a line, or of all output that is one Message.
const MOST: usize = 1024 * 1024;

/// How long those who do not keep up may hold up one Message. Then they lose their oldest.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the output is sent as.
pub(super) struct Outgoing {
    kind: Kind,
    message_type: String,
    channel: Option<String>,
    by_line: bool,
}

impl Outgoing {
    pub(super) fn new(options: &Options) -> Outgoing {
        let text = |name| options.text(name).unwrap_or_default();
        Outgoing {
            kind: text("kind").parse().unwrap_or(Kind::Event),
            message_type: text("type").to_owned(),
            channel: options.text("channel").map(str::to_owned),
            by_line: text("each") == "line",
        }
    }
}

/// Where a command writes to.
pub(super) fn stream(is_sent: bool) -> Stdio {
    if is_sent { Stdio::piped() } else { Stdio::null() }
}

/// The output of one run, as far as it was not sent yet.
pub(super) struct Output<'a> {
    send: Option<&'a Outgoing>,
    context: &'a RoleContext,
    waiting: Vec<u8>,
}

impl<'a> Output<'a> {
    pub(super) fn new(send: Option<&'a Outgoing>, context: &'a RoleContext) -> Output<'a> {
        Output { send, context, waiting: Vec::new() }
    }

    /// Reads all of it, and sends each line if that is what is wanted.
    pub(super) async fn read(mut self, stdout: Option<ChildStdout>) -> Result<Self, String> {
        let Some(mut stdout) = stdout else { return Ok(self) };
        let mut buffer = vec![0; 8192];
        loop {
            // What cannot be read any more is as much as there is.
            let count = stdout.read(&mut buffer).await.unwrap_or(0);
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
            self.take(bytes).await?;
        }
        if self.send.is_some_and(|send| send.by_line) {
            self.finish_line().await?;
        }
        Ok(self)
    }

    async fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        let by_line = self.send.is_some_and(|send| send.by_line);
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n').filter(|_| by_line) {
            let (line, after) = rest.split_at(end);
            self.add(line)?;
            self.finish_line().await?;
            rest = after.get(1..).unwrap_or_default();
        }
        self.add(rest)
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), String> {
        if self.waiting.len() + bytes.len() > MOST {
            return Err("was killed: it printed more than 1 MiB for one message".to_owned());
        }
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }

    async fn finish_line(&mut self) -> Result<(), String> {
        let line = std::mem::take(&mut self.waiting);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        self.send(line).await
    }

    /// Sends what has not been sent; to be called when the command has ended well.
    pub(super) async fn finish(self) -> Result<(), String> {
        self.send(self.waiting.trim_ascii_end()).await
    }

    /// Sends a Message with this as its data; none if there is nothing in it.
    async fn send(&self, text: &[u8]) -> Result<(), String> {
        let Some(send) = self.send.filter(|_| !text.is_empty()) else { return Ok(()) };
        let data = value(text);
        let draft = || Draft::new(send.kind, &send.message_type).channel(send.channel.as_deref());
        let sent = match timeout(PATIENCE, self.context.send_waiting(draft().data(&data))).await {
            Ok(sent) => sent,
            Err(_) => self.context.send(draft().data(&data)).await,
        };
        match sent {
            Ok(_) => Ok(()),
            Err(problem) => Err(format!("was killed: its output cannot be sent: {problem}")),
        }
    }
}

/// What is JSON, as that; all else as a text.
fn value(text: &[u8]) -> Value {
    match serde_json::from_slice(text) {
        Ok(value) => value,
        Err(_) => Value::from(&*String::from_utf8_lossy(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_json_is_sent_as_that() {
        for (text, expected) in [
            ("21.5", Value::from(21.5)),
            ("[1, null]", Value::Array(vec![1.into(), Value::Nil])),
            ("\"tea\"", Value::from("tea")),
            ("tea", Value::from("tea")),
            ("{\"a\": 1", Value::from("{\"a\": 1")),
            ("1 2", Value::from("1 2")),
        ] {
            assert_eq!(value(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(value(b"\xff"), Value::from("\u{fffd}"));
    }
}
