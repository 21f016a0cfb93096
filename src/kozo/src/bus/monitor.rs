//! A view of the Messages that pass, written as lines of JSON to the client that asked for it.
//!
//! Each view has a task of its own and a bounded queue, so that a client that reads too slowly, or not
//! at all, costs the Node only that queue: a line `{"skipped": N}` stands in the place of N Messages that were dropped
//! from it.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use kozo_core::monitored::{Monitored, MonitoredMessage};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use zbus::OwnedVariant;

use super::accounts::Held;
use super::error::Error;
use crate::interest::Interest;
use crate::local::{self, ReadHalf, Stream};
use crate::message::Message;
use crate::node::Node;
use crate::role::Inbox;
use kozo_core::value::show;

/// Lines are collected up to this many bytes before they are written, while more are there.
const WRITE: usize = 32 * 1024;

/// What a filter asks for.
pub(super) fn interest(filter: &HashMap<String, OwnedVariant>) -> Result<Interest, Error> {
    let mut interest = Interest::any();
    for (key, value) in filter {
        let Ok(text) = <&str>::try_from(value) else {
            return Err(Error::InvalidArgument(format!("'{key}' in the filter is not a text")));
        };
        interest.narrow(key, text).map_err(|error| Error::InvalidArgument(error.to_string()))?;
    }
    Ok(interest)
}

/// Opens a view; returns the end to read it from.
pub(super) fn open(node: &Node, interest: Interest, held: Held) -> io::Result<OwnedFd> {
    let (stream, theirs) = local::pair()?;
    let view =
        View { inbox: node.monitor(vec![interest]), node: node.clone(), skipped: 0, _held: held };
    tokio::spawn(view.run(stream));
    Ok(theirs)
}

struct View {
    inbox: Arc<Inbox>,
    node: Node,
    /// Dropped Messages that lines have reported.
    skipped: u64,
    /// What counts for the user that asked for it.
    _held: Held,
}

impl View {
    async fn run(mut self, stream: Stream) {
        let (reader, mut writer) = stream.into_split();
        tokio::select! {
            () = self.write(&mut writer) => {}
            () = until_closed(reader) => {}
        }
        let View { inbox, node, .. } = self;
        drop(inbox);
        node.close_taps();
    }

    /// Writes until the client stops reading.
    async fn write(&mut self, writer: &mut (impl tokio::io::AsyncWrite + Unpin)) {
        let mut lines = String::new();
        while let Some(message) = self.inbox.receive().await {
            self.put(&message, &mut lines);
            while lines.len() < WRITE
                && let Some(message) = self.inbox.try_receive()
            {
                self.put(&message, &mut lines);
            }
            if writer.write_all(lines.as_bytes()).await.is_err() {
                return;
            }
            lines.clear();
            // One large Message is no reason to keep that much for ever.
            lines.shrink_to(2 * WRITE);
        }
    }

    fn put(&mut self, message: &Message, lines: &mut String) {
        let dropped = self.inbox.counters().dropped;
        // The oldest are dropped first: they came before this one.
        let skipped = dropped.saturating_sub(self.skipped);
        if skipped > 0 {
            self.skipped = dropped;
            push_line(&Monitored::Skipped { skipped }, lines);
        }
        push_line(&Monitored::Message(Box::new(MonitoredMessage::of(message))), lines);
    }
}

fn push_line(line: &Monitored, lines: &mut String) {
    lines.push_str(&show::json_line(line));
    lines.push('\n');
}

/// Returns when the client has closed its end. What it writes is discarded.
async fn until_closed(mut reader: ReadHalf) {
    let mut ignored = [0; 1024];
    while reader.read(&mut ignored).await.is_ok_and(|count| count > 0) {}
}
