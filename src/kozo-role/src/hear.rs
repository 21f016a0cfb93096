//! What a Node says to a Role, read.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::data::{decode, from_base64};
use crate::message::{Kind, Message, Span};
use crate::{Encoding, Error, pack};

/// Something that a Node said.
#[derive(Debug)]
pub(crate) enum Said {
    Start(Box<Start>),
    Message(Message),
    Peer(Peer),
    Reopen,
    Stop,
    /// The answer to a request of this id.
    Answer(u64, Result<Encoded, Error>),
    /// A complaint about something without an id, which ends the conversation.
    Complaint(Error),
    /// What a later version may say.
    Unknown,
}

/// A value and how it is encoded.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) encoding: Encoding,
    pub(crate) bytes: Bytes,
}

impl Encoded {
    pub(crate) fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        decode(self.encoding, &self.bytes)
    }
}

/// What a Role is told when it starts.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Start {
    #[serde(default)]
    pub(crate) node: String,
    #[serde(default)]
    pub(crate) role: String,
    #[serde(default, rename = "type")]
    pub(crate) role_type: String,
    #[serde(default)]
    pub(crate) options: Map<String, Value>,
    #[serde(default)]
    pub(crate) config: Map<String, Value>,
    #[serde(default)]
    pub(crate) keys: BTreeMap<String, String>,
    #[serde(skip)]
    pub(crate) stored: Option<Encoded>,
}

/// How the link to a Peer stands.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Peer {
    /// The name of the Peer.
    pub name: String,
    /// How the link stands.
    pub state: PeerState,
    /// Since when, in microseconds since 1970; nothing of a Peer that was removed.
    #[serde(default)]
    pub since: Option<u64>,
}

/// The state of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerState {
    /// Messages pass.
    Up,
    /// None pass; it is tried again and again.
    Down,
    /// None pass, as none have to.
    Idle,
    /// Nothing is tried.
    Disabled,
    /// It is no Peer any more.
    Removed,
    /// A state that this version of the crate does not know.
    #[serde(other)]
    Unknown,
}

/// The members of a line that there may be.
#[derive(Default)]
struct Parts<'a> {
    method: Option<Cow<'a, str>>,
    id: Option<u64>,
    params: Option<&'a [u8]>,
    result: Option<&'a [u8]>,
    error: Option<&'a [u8]>,
}

#[derive(Deserialize)]
struct JsonParts<'a> {
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    id: Option<u64>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Refusal {
    code: i64,
    message: String,
}

impl<'a> Parts<'a> {
    fn of(encoding: Encoding, line: &'a [u8]) -> Result<Parts<'a>, Error> {
        if encoding == Encoding::Json {
            let JsonParts { method, id, params, result, error } = json(line)?;
            let raw = |raw: Option<&'a RawValue>| raw.map(|raw| raw.get().as_bytes());
            return Ok(Parts {
                method,
                id,
                params: raw(params),
                result: raw(result),
                error: raw(error),
            });
        }
        let mut parts = Parts::default();
        pack::members(line, |name, value| match name {
            "method" => parts.method = pack::text(value).map(Cow::Borrowed),
            "id" => parts.id = pack::unsigned(value),
            "params" => parts.params = Some(value),
            "result" => parts.result = Some(value),
            "error" => parts.error = Some(value),
            _ => {}
        })?;
        Ok(parts)
    }
}

fn json<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(text).map_err(|error| Error::Protocol(error.to_string()))
}

/// Reads a line, or a value of MessagePack.
///
/// # Errors
/// When it makes no sense.
pub(crate) fn read(encoding: Encoding, line: &Bytes) -> Result<Said, Error> {
    let parts = Parts::of(encoding, line)?;
    let encoded = |bytes: &[u8]| Encoded { encoding, bytes: line.slice_ref(bytes) };
    let Some(method) = parts.method else {
        let answer = match parts.error {
            None => Ok(encoded(parts.result.unwrap_or_default())),
            Some(error) => {
                let Refusal { code, message } = decode(encoding, error)?;
                Err(Error::Refused { code, text: message })
            }
        };
        return match (parts.id, answer) {
            (Some(id), answer) => Ok(Said::Answer(id, answer)),
            (None, Err(error)) => Ok(Said::Complaint(error)),
            (None, Ok(_)) => Ok(Said::Unknown),
        };
    };
    let params = parts.params.unwrap_or_default();
    match (&*method, encoding) {
        ("message", Encoding::Json) => json_message(params).map(Said::Message),
        ("message", Encoding::MessagePack) => pack_message(line, params).map(Said::Message),
        ("start", _) => {
            let mut start: Start = decode(encoding, params)?;
            start.stored = match encoding {
                Encoding::Json => json_stored(params)?,
                Encoding::MessagePack => pack_stored(params)?.map(encoded),
            };
            Ok(Said::Start(Box::new(start)))
        }
        ("peer", _) => decode(encoding, params).map(Said::Peer),
        ("reopen", _) => Ok(Said::Reopen),
        ("stop", _) => Ok(Said::Stop),
        _ => Ok(Said::Unknown),
    }
}

fn json_stored(params: &[u8]) -> Result<Option<Encoded>, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Stored<'a> {
        #[serde(borrow)]
        stored: Option<&'a RawValue>,
        stored_msgpack: Option<String>,
    }
    let Stored { stored, stored_msgpack } = json(params)?;
    if let Some(packed) = stored_msgpack {
        let bytes = from_base64(&packed)?.into();
        return Ok(Some(Encoded { encoding: Encoding::MessagePack, bytes }));
    }
    Ok(stored.map(|raw| Encoded {
        encoding: Encoding::Json,
        bytes: Bytes::copy_from_slice(raw.get().as_bytes()),
    }))
}

fn pack_stored(params: &[u8]) -> Result<Option<&[u8]>, Error> {
    let mut stored = None;
    pack::members(params, |name, value| {
        if name == "stored" {
            stored = Some(value);
        }
    })?;
    const NIL: &[u8] = &[0xc0];
    Ok(stored.filter(|stored| *stored != NIL))
}

fn json_message(params: &[u8]) -> Result<Message, Error> {
    #[derive(Deserialize)]
    struct Told<'a> {
        time: u64,
        #[serde(borrow)]
        node: Cow<'a, str>,
        #[serde(borrow)]
        boot: Cow<'a, str>,
        id: u64,
        #[serde(borrow)]
        role: Cow<'a, str>,
        #[serde(borrow)]
        kind: Cow<'a, str>,
        #[serde(borrow, rename = "type")]
        message_type: Cow<'a, str>,
        #[serde(borrow)]
        channel: Option<Cow<'a, str>>,
        #[serde(borrow)]
        data: Option<&'a RawValue>,
        msgpack: Option<String>,
    }
    let told: Told<'_> = json(params)?;
    let packed = told.msgpack.as_deref().map(from_base64).transpose()?;
    let (encoding, data) = match (&packed, told.data) {
        (Some(packed), _) => (Encoding::MessagePack, packed.as_slice()),
        (None, Some(data)) => (Encoding::Json, data.get().as_bytes()),
        (None, None) => (Encoding::Json, &b"null"[..]),
    };
    // Texts may have been written with escapes, so they are put together anew.
    let channel = told.channel.as_deref();
    let pieces = [&told.node, &told.role, &told.message_type, channel.unwrap_or_default()];
    let mut bytes =
        Vec::with_capacity(pieces.iter().map(|text| text.len()).sum::<usize>() + data.len());
    let mut put = |piece: &[u8]| {
        let begin = bytes.len();
        bytes.extend_from_slice(piece);
        Span { begin, end: bytes.len() }
    };
    let [node, role, message_type, channel_span] = pieces.map(|text| put(text.as_bytes()));
    let data = put(data);
    Ok(Message {
        time: told.time,
        boot: told.boot.parse().map_err(|_| Error::Decode(format!("boot: {}", told.boot)))?,
        id: told.id,
        kind: Kind::of(&told.kind)?,
        node,
        role,
        message_type,
        channel: channel.map(|_| channel_span),
        data,
        encoding,
        bytes: bytes.into(),
    })
}

fn pack_message(line: &Bytes, params: &[u8]) -> Result<Message, Error> {
    let (mut time, mut boot, mut id, mut kind) = (0, 0, 0, "");
    let (mut node, mut role, mut message_type, mut channel) = ("", "", "", None);
    let (mut data, mut packed) = (None, None);
    pack::members(params, |name, value| {
        let text = || pack::text(value);
        let number = || pack::unsigned(value).unwrap_or_default();
        match name {
            "time" => time = number(),
            "node" => node = text().unwrap_or_default(),
            "boot" => boot = number(),
            "id" => id = number(),
            "role" => role = text().unwrap_or_default(),
            "kind" => kind = text().unwrap_or_default(),
            "type" => message_type = text().unwrap_or_default(),
            "channel" => channel = text(),
            "data" => data = Some(value),
            "msgpack" => packed = pack::binary(value),
            _ => {}
        }
    })?;
    let span = |piece: &[u8]| Span::of(line, piece);
    Ok(Message {
        time,
        boot,
        id,
        kind: Kind::of(kind)?,
        node: span(node.as_bytes()),
        role: span(role.as_bytes()),
        message_type: span(message_type.as_bytes()),
        channel: channel.map(|channel| span(channel.as_bytes())),
        data: packed.or(data).map_or(span(&[]), span),
        encoding: Encoding::MessagePack,
        bytes: line.clone(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn heard(encoding: Encoding, said: &Value) -> Said {
        let line = match encoding {
            Encoding::Json => serde_json::to_vec(said).unwrap(),
            Encoding::MessagePack => rmp_serde::to_vec(said).unwrap(),
        };
        read(encoding, &line.into()).unwrap()
    }

    #[test]
    fn messages_are_the_same_in_both_encodings() {
        for encoding in [Encoding::Json, Encoding::MessagePack] {
            let boot = match encoding {
                Encoding::Json => json!(u64::MAX.to_string()),
                Encoding::MessagePack => json!(u64::MAX),
            };
            let said = json!({"jsonrpc": "2.0", "method": "message", "params": {
                "time": 1_764_450_443_000_000_u64, "node": "clock", "boot": boot, "id": 1, "role": "porter \"x\"",
                "kind": "order", "type": "ring", "channel": "döör", "data": {"times": 2}, "later": [1]}});
            let Said::Message(message) = heard(encoding, &said) else { panic!() };
            assert_eq!(message.time(), 1_764_450_443_000_000);
            assert_eq!((message.node(), message.role()), ("clock", "porter \"x\""));
            assert_eq!((message.boot(), message.id()), (u64::MAX, 1));
            assert_eq!((message.kind(), message.message_type()), (Kind::Order, "ring"));
            assert_eq!(message.channel(), Some("döör"));
            assert_eq!(message.data::<Value>().unwrap(), json!({"times": 2}));
            assert!(message.data::<f64>().is_err());
            assert_eq!(message.bytes(), None);
            let said = json!({"method": "message", "params": {
                "time": 1, "node": "a", "boot": boot, "id": 1, "role": "b", "kind": "log", "type": "log",
                "channel": null, "data": "x"}});
            let Said::Message(message) = heard(encoding, &said) else { panic!() };
            assert_eq!((message.channel(), message.data::<&str>().unwrap()), (None, "x"));
        }
    }

    #[test]
    fn data_that_json_cannot_say_is_there_all_the_same() {
        let said = json!({"method": "message", "params": {
            "time": 1, "node": "a", "boot": "1", "id": 1, "role": "b", "kind": "event", "type": "t",
            "channel": null, "data": null, "msgpack": "gQcI"}});
        let Said::Message(message) = heard(Encoding::Json, &said) else { panic!() };
        assert_eq!(message.data::<BTreeMap<u8, u8>>().unwrap(), BTreeMap::from([(7, 8)]));
        let said = json!({"method": "start", "params": {"node": "a", "stored": null, "storedMsgpack": "gQcI"}});
        let Said::Start(start) = heard(Encoding::Json, &said) else { panic!() };
        let stored: BTreeMap<u8, u8> = start.stored.unwrap().decode().unwrap();
        assert_eq!(stored, BTreeMap::from([(7, 8)]));
    }

    #[test]
    fn a_start_is_the_same_in_both_encodings() {
        for encoding in [Encoding::Json, Encoding::MessagePack] {
            let said = json!({"method": "start", "params": {"protocol": 1, "features": [], "node": "clock",
                "role": "bell", "type": "ringer", "options": {"pause": 1.5}, "config": {"heartbeat": 10},
                "keys": {"clock": "ssh-ed25519 AAAA"}, "stored": {"rings": 7}}});
            let Said::Start(start) = heard(encoding, &said) else { panic!() };
            assert_eq!(
                (&*start.node, &*start.role, &*start.role_type),
                ("clock", "bell", "ringer")
            );
            assert_eq!(Value::from(start.options), json!({"pause": 1.5}));
            assert_eq!(start.stored.unwrap().decode::<Value>().unwrap(), json!({"rings": 7}));
            let said = json!({"method": "start", "params": {"node": "clock", "stored": null}});
            let Said::Start(start) = heard(encoding, &said) else { panic!() };
            assert!(start.stored.is_none());
        }
    }

    #[test]
    fn answers_and_complaints_are_told_apart() {
        for encoding in [Encoding::Json, Encoding::MessagePack] {
            let said = heard(encoding, &json!({"id": 3, "result": {"sequence": 9}}));
            let Said::Answer(3, Ok(result)) = said else { panic!("{said:?}") };
            assert_eq!(result.decode::<Value>().unwrap(), json!({"sequence": 9}));
            let said =
                heard(encoding, &json!({"id": 4, "error": {"code": -32000, "message": "no"}}));
            assert!(
                matches!(said, Said::Answer(4, Err(Error::Refused { code: -32000, .. }))),
                "{said:?}"
            );
            let said =
                heard(encoding, &json!({"id": null, "error": {"code": -32600, "message": "no"}}));
            assert!(matches!(said, Said::Complaint(_)), "{said:?}");
            assert!(matches!(
                heard(encoding, &json!({"method": "stop", "params": {}})),
                Said::Stop
            ));
            assert!(matches!(heard(encoding, &json!({"method": "dance"})), Said::Unknown));
            let said = heard(
                encoding,
                &json!({"method": "peer", "params": {"name": "a", "state": "up", "since": 7}}),
            );
            let Said::Peer(peer) = said else { panic!("{said:?}") };
            assert_eq!((peer.state, peer.since), (PeerState::Up, Some(7)));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for encoding in [Encoding::Json, Encoding::MessagePack] {
                let _ = read(encoding, &bytes.clone().into());
            }
        }
    }
}
