//! Injected lines: Messages as people write them.
//!
//! A line is a tuple `('event', 'tick', 'kitchen', {'room': 3})` of kind, type, channel and data, as
//! the original took it, or the same as a JSON array, or a JSON object with these names as keys.
//! Channel and data may be left out. Pure; `message_injector` has the connections.

use rmpv::Value;

use crate::message::{Draft, Kind};
use kozo_core::value::literal::{self, LiteralError};
use kozo_core::value::show;

/// A Message that a client wants sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Injection {
    /// Event, Order, Log or Reply.
    pub kind: Kind,
    /// Its type.
    pub message_type: String,
    /// Its channel, if it has one.
    pub channel: Option<String>,
    /// Its data.
    pub data: Value,
}

/// Why a line is not a Message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It cannot be read at all.
    #[error(transparent)]
    Literal(#[from] LiteralError),
    /// It can be read, but is not a Message.
    #[error("{0}")]
    Shape(String),
}

impl Injection {
    /// Reads a line. For a Log, `('log', 'some text')` is enough.
    ///
    /// # Errors
    /// What is wrong with the line; see [`LineError`].
    pub fn parse(line: &str) -> Result<Injection, LineError> {
        match literal::parse(line)? {
            Value::Array(parts) => from_parts(&parts),
            Value::Map(entries) => from_entries(&entries),
            other => shape(format!(
                "this is {}, not a Message: write ('event', 'tick', 'channel', data) \
                 or {{\"kind\": \"event\", \"type\": \"tick\"}}",
                describe(&other)
            )),
        }
    }

    /// The Message to send.
    pub fn draft(&self) -> Draft<'_> {
        Draft::new(self.kind, &self.message_type).channel(self.channel.as_deref()).data(&self.data)
    }
}

fn from_parts(parts: &[Value]) -> Result<Injection, LineError> {
    match parts {
        [kind, text] if kind.as_str() == Some("log") => injection(kind, None, None, Some(text)),
        [kind, message_type] => injection(kind, Some(message_type), None, None),
        [kind, message_type, channel] => injection(kind, Some(message_type), Some(channel), None),
        [kind, message_type, channel, data] => {
            injection(kind, Some(message_type), Some(channel), Some(data))
        }
        _ => shape(format!(
            "it has {} part{}: a Message has two to four, which are kind, type, channel and data",
            parts.len(),
            if parts.len() == 1 { "" } else { "s" }
        )),
    }
}

fn from_entries(entries: &[(Value, Value)]) -> Result<Injection, LineError> {
    let (mut kind, mut message_type, mut channel, mut data) = (None, None, None, None);
    for (key, value) in entries {
        match key.as_str() {
            Some("kind") => kind = Some(value),
            Some("type") => message_type = Some(value),
            Some("channel") => channel = Some(value),
            Some("data") => data = Some(value),
            _ => {
                let key = show::text(key);
                return shape(format!("{key} is none of 'kind', 'type', 'channel', 'data'"));
            }
        }
    }
    match kind {
        Some(kind) => injection(kind, message_type, channel, data),
        None => shape("there is no 'kind': event, order, log or reply".to_owned()),
    }
}

fn injection(
    kind: &Value,
    message_type: Option<&Value>,
    channel: Option<&Value>,
    data: Option<&Value>,
) -> Result<Injection, LineError> {
    let kind: Kind = match text("kind", kind)?.parse() {
        Ok(kind) => kind,
        Err(error) => return shape(show::one_line(&format!("{error}"))),
    };
    let message_type = match (message_type, kind) {
        (Some(message_type), _) => text("type", message_type)?,
        (None, Kind::Log) => "log".to_owned(),
        (None, _) => return shape("there is no 'type', such as 'tick'".to_owned()),
    };
    let channel = match channel {
        None | Some(Value::Nil) => None,
        Some(channel) => Some(text("channel", channel)?),
    };
    Ok(Injection { kind, message_type, channel, data: data.cloned().unwrap_or(Value::Nil) })
}

fn text(field: &str, value: &Value) -> Result<String, LineError> {
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => shape(format!("the {field} is {}, where a text should be", describe(value))),
    }
}

fn shape<T>(problem: String) -> Result<T, LineError> {
    Err(LineError::Shape(problem))
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Nil => "None",
        Value::Boolean(_) => "a truth value",
        Value::Integer(_) | Value::F32(_) | Value::F64(_) => "a number",
        Value::String(_) => "a text",
        Value::Binary(_) | Value::Ext(..) => "bytes",
        Value::Array(_) => "a list",
        Value::Map(_) => "a dict",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn read(line: &str) -> (Kind, String, Option<String>, Value) {
        let injection = Injection::parse(line).unwrap();
        (injection.kind, injection.message_type, injection.channel, injection.data)
    }

    #[test]
    fn all_ways_to_write_the_same() {
        let data = Value::Map(vec![("room".into(), 3.into())]);
        let wanted = (Kind::Event, "tick".to_owned(), Some("kitchen".to_owned()), data);
        for line in [
            "('event', 'tick', 'kitchen', {'room': 3})",
            "'event', 'tick', 'kitchen', {'room': 3}",
            r#"["event", "tick", "kitchen", {"room": 3}]"#,
            r#"{"kind": "event", "type": "tick", "channel": "kitchen", "data": {"room": 3}}"#,
            r#"{"data":{"room":3},"channel":"kitchen","type":"tick","kind":"event"}"#,
        ] {
            assert_eq!(read(line), wanted, "{line}");
        }
    }

    #[test]
    fn parts_may_be_left_out() {
        let bare = |kind, message_type: &str, data| (kind, message_type.to_owned(), None, data);
        for (line, wanted) in [
            ("('order', 'debug')", bare(Kind::Order, "debug", Value::Nil)),
            ("('reply', 'r', None)", bare(Kind::Reply, "r", Value::Nil)),
            ("('event', 'e', None, 1)", bare(Kind::Event, "e", 1.into())),
            (r#"{"kind":"event","type":"e","channel":null}"#, bare(Kind::Event, "e", Value::Nil)),
            ("('log', 'hello')", bare(Kind::Log, "log", "hello".into())),
            ("('log', 'own', None, 'x')", bare(Kind::Log, "own", "x".into())),
            (r#"{"kind":"log","data":"hello"}"#, bare(Kind::Log, "log", "hello".into())),
        ] {
            assert_eq!(read(line), wanted, "{line}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused_with_the_reason() {
        for (line, part) in [
            ("('event')", "this is a text"),
            ("17", "this is a number"),
            ("('event',)", "it has 1 part:"),
            ("()", "it has 0 parts"),
            ("('event', 'a', 'b', 1, 2)", "it has 5 parts"),
            ("('evnt', 'a')", "unknown kind 'evnt'"),
            ("('ev\\nnt', 'a')", "unknown kind 'ev\\nnt'"),
            ("(1, 'a')", "the kind is a number"),
            ("('event', None)", "the type is None"),
            ("('event', 'a', 5)", "the channel is a number"),
            ("{'type': 'a'}", "no 'kind'"),
            ("{'kind': 'event'}", "no 'type'"),
            ("{'kind': 'event', 'type': 'a', 'chanel': 'b'}", "'chanel' is none of"),
            ("('event', 'a'", "column 14: "),
        ] {
            let error = Injection::parse(line).unwrap_err().to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
