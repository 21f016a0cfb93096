//! A view of the Messages that pass a Node: lines of JSON over a descriptor of its own, so that they
//! load neither the bus nor others on it.

use std::io;
use std::os::fd::OwnedFd;

use kozo_core::monitored::Monitored;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::UnixStream;
use zbus::Variant;

use crate::options::Options;

/// Which Messages to see; those that match all that is given. `*` and `?` in texts stand for any run
/// of characters, and for any one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// `event`, `order`, `log` or `reply`.
    pub kind: Option<String>,
    /// Pattern of the type.
    pub message_type: Option<String>,
    /// Pattern of the channel; if given, Messages without a channel do not match.
    pub channel: Option<String>,
    /// Pattern of the sending Role's name.
    pub role: Option<String>,
    /// Pattern of the sending Node's name.
    pub node: Option<String>,
}

impl Filter {
    pub(crate) fn options(&self) -> Options<'_> {
        let parts = [
            ("kind", &self.kind),
            ("type", &self.message_type),
            ("channel", &self.channel),
            ("role", &self.role),
            ("node", &self.node),
        ];
        let given = parts.into_iter().filter_map(|(key, part)| Some((key, part.as_deref()?)));
        given.map(|(key, part)| (key, Variant::from(part))).collect()
    }
}

/// An open view of the Messages that pass; closed when dropped.
pub struct Monitor {
    lines: tokio::io::Lines<BufReader<UnixStream>>,
}

impl Monitor {
    pub(crate) fn new(descriptor: OwnedFd) -> io::Result<Monitor> {
        let stream = std::os::unix::net::UnixStream::from(descriptor);
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        Ok(Monitor { lines: BufReader::with_capacity(64 * 1024, stream).lines() })
    }

    /// The next line, one JSON object, see [`Monitored`]; none when the Node has gone. Cancel safe.
    ///
    /// # Errors
    /// When nothing can be read any more.
    pub async fn next_line(&mut self) -> io::Result<Option<String>> {
        self.lines.next_line().await
    }

    /// The next Message, or how many were skipped before it; none when the Node has gone. Cancel safe.
    ///
    /// # Errors
    /// When nothing can be read any more, or it makes no sense.
    pub async fn next(&mut self) -> io::Result<Option<Monitored>> {
        let Some(line) = self.next_line().await? else { return Ok(None) };
        Ok(Some(serde_json::from_str(&line)?))
    }
}
