//! Messages as JSON: what a monitor and the debug console show of those that pass, and what programs get.

use std::borrow::Cow;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::message::Message;
use crate::value::{json, show};

/// Data of so many bytes is shown however long its JSON is.
const SMALL: usize = 16 * 1024;

/// A Message as a monitor sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MonitoredMessage {
    /// When it was sent, in microseconds since the Unix epoch by the clock of its Node.
    pub time: u64,
    /// The Node that sent it.
    pub node: String,
    /// Random number of that Node's run. In JSON a text: many programs round numbers beyond 2^53.
    #[serde(with = "json::as_text")]
    pub boot: u64,
    /// Its number among the Messages of that run.
    pub id: u64,
    /// The Role that sent it.
    pub role: String,
    /// The name of its kind. Another version of the daemon may have more than [`Kind`](crate::message::Kind) has.
    pub kind: Cow<'static, str>,
    /// Its type.
    #[serde(rename = "type")]
    pub message_type: String,
    /// Its channel, if it has one.
    pub channel: Option<String>,
    /// Its data: bytes as `{"$base64": "AAEC"}`, and what else JSON cannot say as texts.
    pub data: serde_json::Value,
    /// Its data as MessagePack in Base64, where JSON cannot say all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msgpack: Option<String>,
}

/// A line of a monitor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Monitored {
    /// So many Messages passed that the reader was too slow for.
    Skipped {
        /// How many.
        skipped: u64,
    },
    /// A Message passed.
    Message(Box<MonitoredMessage>),
}

impl MonitoredMessage {
    /// The Message as a monitor sees it. Data whose JSON would be far longer than itself, or nested
    /// deeper than readers of JSON follow, is left out of `data`.
    pub fn of(message: &Message) -> MonitoredMessage {
        let value = message.value();
        let shown = value.as_ref().ok().filter(|value| json::is_shallow(value)).map(json::of);
        let (data, is_exact) = match shown {
            Some(data) if fits(message, &data) => (data, value.as_ref().is_ok_and(json::is_exact)),
            _ => (serde_json::Value::Null, false),
        };
        MonitoredMessage {
            time: message.timestamp(),
            node: message.origin().node.clone(),
            boot: message.origin().boot,
            id: message.sequence(),
            role: message.role().to_owned(),
            kind: message.kind().name().into(),
            message_type: message.message_type().to_owned(),
            channel: message.channel().map(str::to_owned),
            data,
            msgpack: (!is_exact).then(|| BASE64.encode(message.data())),
        }
    }
}

/// Whether JSON says it in text of about its size. In what is small everything does.
fn fits(message: &Message, data: &serde_json::Value) -> bool {
    let size = message.data().len();
    size <= SMALL || show::fits(data, show::most_text(size))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_kind_that_is_not_known_here_is_read_as_its_name() {
        let line = r#"{"time":1,"node":"clock","boot":"2","id":3,"role":"timer","kind":"call","type":"t","channel":null,"data":null}"#;
        let Monitored::Message(message) = serde_json::from_str(line).unwrap() else {
            panic!("{line}")
        };
        assert_eq!(message.kind, "call");
        assert_eq!(serde_json::to_string(&message).unwrap(), line);
    }
}
