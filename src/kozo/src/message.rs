//! Messages: what Roles send to each other.
//!
//! A [`Message`] is encoded exactly once, when its Role sends it, and from then on is an immutable,
//! cheaply cloned slice of bytes: local Roles, every link's queue and the wire all share it. The
//! fields are read out of those bytes on demand. Knows nobody; the frames around it are `wire`'s.
//!
//! Body layout, all integers little-endian:
//!
//! | bytes | field |
//! |---|---|
//! | 1 | kind (low 4 bits), bit 7 set when there is a channel |
//! | 8 | counter: the how-manieth Message of the origin Node since its boot, from 1 |
//! | 8 | timestamp: microseconds since the Unix epoch, by the origin's clock |
//! | 1 + n | name of the sending Role |
//! | 1 + n | type |
//! | 1 + n | channel, only when bit 7 of the first byte is set |
//! | rest | data, one MessagePack value |

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use rmpv::Value;

/// Longest type, channel, Role name and Node name, in bytes.
pub const MAX_NAME: usize = 255;

/// Largest encoded Message, in bytes. Queue bounds are usually far below it.
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// Nesting of arrays and maps in data beyond which it is refused.
const MAX_DEPTH: usize = 128;

const HAS_CHANNEL: u8 = 0x80;
const FIXED: usize = 1 + 8 + 8;

/// What a Message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Something happened.
    Event,
    /// Somebody is to do something.
    Order,
    /// A line to keep.
    Log,
    /// The answer to an Order.
    Reply,
}

impl Kind {
    /// All kinds, in the order of their numbers on the wire.
    pub const ALL: [Kind; 4] = [Kind::Event, Kind::Order, Kind::Log, Kind::Reply];

    /// The kind's number on the wire.
    pub fn number(self) -> u8 {
        match self {
            Kind::Event => 0,
            Kind::Order => 1,
            Kind::Log => 2,
            Kind::Reply => 3,
        }
    }

    /// The kind with this number on the wire, if there is one.
    pub fn from_number(number: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// `event`, `order`, `log` or `reply`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Event => "event",
            Kind::Order => "order",
            Kind::Log => "log",
            Kind::Reply => "reply",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = MessageError;

    fn from_str(text: &str) -> Result<Self, MessageError> {
        Kind::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| MessageError::UnknownKind(text.to_owned()))
    }
}

/// Why something is not a Message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Not one of the four kinds.
    #[error("unknown kind '{0}': it is one of event, order, log, reply")]
    UnknownKind(String),
    /// A name over [`MAX_NAME`] bytes, or an empty type.
    #[error("the {field} is {length} bytes long: it is 1 to {MAX_NAME} bytes")]
    NameLength {
        /// Which field.
        field: &'static str,
        /// How long it is, in bytes.
        length: usize,
    },
    /// Larger than [`MAX_MESSAGE`].
    #[error("the message takes {0} bytes: the most is {MAX_MESSAGE}")]
    TooLarge(usize),
    /// The body ends before the named field does.
    #[error("the message ends within its {0}")]
    Truncated(&'static str),
    /// A kind number that does not exist.
    #[error("kind number {0} does not exist")]
    KindNumber(u8),
    /// A name that is not UTF-8.
    #[error("the {0} is not UTF-8")]
    NotUtf8(&'static str),
    /// The data is not one MessagePack value.
    #[error("the data is not valid MessagePack: {0}")]
    Data(String),
}

/// The Node that a Message comes from, in one run of its daemon.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Name of the Node.
    pub node: String,
    /// Random number that the daemon picked when it started.
    pub boot: u64,
}

/// What a Role wants to send: everything that the Node does not add by itself.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    kind: Kind,
    message_type: &'a str,
    channel: Option<&'a str>,
    data: std::borrow::Cow<'a, [u8]>,
}

/// MessagePack for nil, the data of a draft that was given none.
const NIL: &[u8] = &[0xc0];

impl<'a> Draft<'a> {
    /// A draft of any kind, without channel and with nil as data.
    pub fn new(kind: Kind, message_type: &'a str) -> Self {
        Draft { kind, message_type, channel: None, data: std::borrow::Cow::Borrowed(NIL) }
    }

    /// Something happened.
    pub fn event(message_type: &'a str) -> Self {
        Self::new(Kind::Event, message_type)
    }

    /// Somebody is to do something.
    pub fn order(message_type: &'a str) -> Self {
        Self::new(Kind::Order, message_type)
    }

    /// A line to keep.
    pub fn log(text: &str) -> Self {
        Self::new(Kind::Log, "log").data(&Value::from(text))
    }

    /// Sets the channel.
    #[must_use]
    pub fn channel(mut self, channel: Option<&'a str>) -> Self {
        self.channel = channel;
        self
    }

    /// Sets the data.
    #[must_use]
    pub fn data(mut self, value: &Value) -> Self {
        let mut encoded = Vec::with_capacity(64);
        // Writing to memory cannot fail.
        if rmpv::encode::write_value(&mut encoded, value).is_ok() {
            self.data = std::borrow::Cow::Owned(encoded);
        }
        self
    }

    /// Sets the data, already encoded as one MessagePack value.
    #[must_use]
    pub fn encoded(mut self, data: &'a [u8]) -> Self {
        self.data = std::borrow::Cow::Borrowed(data);
        self
    }

    /// Bytes that the encoded Message will take, sent by a Role of this name.
    pub fn encoded_len(&self, role: &str) -> usize {
        let channel = self.channel.map_or(0, |channel| 1 + channel.len());
        FIXED + 1 + role.len() + 1 + self.message_type.len() + channel + self.data.len()
    }
}

/// An immutable Message; cloning it copies no data.
#[derive(Clone)]
pub struct Message {
    origin: Arc<Origin>,
    hops: u8,
    kind: Kind,
    type_start: u16,
    type_end: u16,
    data_start: u16,
    body: Bytes,
}

impl Message {
    /// Encodes a draft.
    ///
    /// # Errors
    /// When a name is empty or too long, or the whole is over [`MAX_MESSAGE`].
    pub fn encode(
        origin: Arc<Origin>,
        role: &str,
        counter: u64,
        timestamp: u64,
        draft: &Draft<'_>,
    ) -> Result<Message, MessageError> {
        let length = draft.encoded_len(role);
        if length > MAX_MESSAGE {
            return Err(MessageError::TooLarge(length));
        }
        let mut body = BytesMut::with_capacity(length);
        let flag = if draft.channel.is_some() { HAS_CHANNEL } else { 0 };
        body.put_u8(draft.kind.number() | flag);
        body.put_u64_le(counter);
        body.put_u64_le(timestamp);
        put_name(&mut body, "role", role)?;
        put_name(&mut body, "type", draft.message_type)?;
        if let Some(channel) = draft.channel {
            put_name(&mut body, "channel", channel)?;
        }
        body.put_slice(&draft.data);
        Message::parse(origin, 0, body.freeze())
    }

    /// Reads the body of a Message as [`encode`](Self::encode) wrote it. The data is looked at only
    /// when asked for.
    ///
    /// # Errors
    /// When a field is missing, too long or not UTF-8, or the kind does not exist.
    pub fn parse(origin: Arc<Origin>, hops: u8, body: Bytes) -> Result<Message, MessageError> {
        if body.len() > MAX_MESSAGE {
            return Err(MessageError::TooLarge(body.len()));
        }
        let first = *body.first().ok_or(MessageError::Truncated("kind"))?;
        let number = first & !HAS_CHANNEL;
        let kind = Kind::from_number(number).ok_or(MessageError::KindNumber(number))?;
        let (_, role_end) = name_at(&body, FIXED, "role")?;
        let (type_start, type_end) = name_at(&body, role_end, "type")?;
        let data_start = if first & HAS_CHANNEL == 0 {
            type_end
        } else {
            name_at(&body, type_end, "channel")?.1
        };
        if body.len() == data_start {
            return Err(MessageError::Truncated("data"));
        }
        // At most FIXED + 3 * 256, so these never saturate.
        let offset = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        Ok(Message {
            origin,
            hops,
            kind,
            type_start: offset(type_start),
            type_end: offset(type_end),
            data_start: offset(data_start),
            body,
        })
    }

    /// The Node that sent it, and in which of its runs.
    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// How many Nodes have passed it on.
    pub fn hops(&self) -> u8 {
        self.hops
    }

    /// Event, Order, Log or Reply.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The how-manieth Message of its origin's run it is, from 1.
    pub fn counter(&self) -> u64 {
        self.number_at(1)
    }

    /// When it was sent: microseconds since the Unix epoch, by the clock of its origin.
    pub fn timestamp(&self) -> u64 {
        self.number_at(9)
    }

    /// Name of the Role that sent it.
    pub fn role(&self) -> &str {
        self.text(FIXED + 1, usize::from(self.type_start).saturating_sub(1))
    }

    /// Its type, for instance `tick`.
    pub fn message_type(&self) -> &str {
        self.text(usize::from(self.type_start), usize::from(self.type_end))
    }

    /// Its channel, if it has one.
    pub fn channel(&self) -> Option<&str> {
        (self.data_start > self.type_end)
            .then(|| self.text(usize::from(self.type_end) + 1, usize::from(self.data_start)))
    }

    /// Its data: one MessagePack value, still encoded.
    pub fn data(&self) -> &[u8] {
        self.body.get(usize::from(self.data_start)..).unwrap_or_default()
    }

    /// Its data, decoded.
    ///
    /// # Errors
    /// When the sender's data is not exactly one MessagePack value, or is nested too deeply.
    pub fn value(&self) -> Result<Value, MessageError> {
        decode(self.data())
    }

    /// The encoded body: what goes on the wire and what queues count.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    fn number_at(&self, at: usize) -> u64 {
        self.body
            .get(at..at + 8)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u64::from_le_bytes)
    }

    fn text(&self, start: usize, end: usize) -> &str {
        self.body
            .get(start..end)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// `event tick from timer1@clock`, with ` on CHANNEL` where there is one.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (role, node) = (self.role(), &self.origin.node);
        write!(f, "{} {} from {role}@{node}", self.kind, self.message_type())?;
        match self.channel() {
            Some(channel) => write!(f, " on {channel}"),
            None => Ok(()),
        }
    }
}

impl crate::queue::Weight for Message {
    fn weight(&self) -> usize {
        self.body.len()
    }
}

/// Decodes data.
///
/// # Errors
/// When it is not exactly one MessagePack value, or is nested too deeply.
pub fn decode(mut data: &[u8]) -> Result<Value, MessageError> {
    // It counts every array or map twice, and up to three for what is in the innermost.
    let value = rmpv::decode::read_value_with_max_depth(&mut data, 2 * MAX_DEPTH + 3)
        .map_err(|error| MessageError::Data(error.to_string()))?;
    if data.is_empty() {
        Ok(value)
    } else {
        Err(MessageError::Data(format!("{} bytes too many", data.len())))
    }
}

fn put_name(body: &mut BytesMut, field: &'static str, name: &str) -> Result<(), MessageError> {
    let error = MessageError::NameLength { field, length: name.len() };
    let length = u8::try_from(name.len()).map_err(|_| error.clone())?;
    if length == 0 {
        return Err(error);
    }
    body.put_u8(length);
    body.put_slice(name.as_bytes());
    Ok(())
}

/// Start and end of the length-prefixed name at `at`.
fn name_at(body: &[u8], at: usize, field: &'static str) -> Result<(usize, usize), MessageError> {
    let length = *body.get(at).ok_or(MessageError::Truncated(field))?;
    if length == 0 {
        return Err(MessageError::NameLength { field, length: 0 });
    }
    let (start, end) = (at + 1, at + 1 + usize::from(length));
    let bytes = body.get(start..end).ok_or(MessageError::Truncated(field))?;
    std::str::from_utf8(bytes).map_err(|_| MessageError::NotUtf8(field))?;
    Ok((start, end))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn origin() -> Arc<Origin> {
        Arc::new(Origin { node: "clock".to_owned(), boot: 7 })
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![".{1,40}", "[a-z]{255}"]
    }

    /// Data as Roles send it.
    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Nil),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,20}".prop_map(Value::from),
            vec(any::<u8>(), 0..20).prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 30, 5, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..5).prop_map(Value::Array),
                vec((inner.clone(), inner), 0..5).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(
            kind in proptest::sample::select(&Kind::ALL[..]),
            (role, message_type, channel) in (name(), name(), proptest::option::of(name())),
            (counter, timestamp) in any::<(u64, u64)>(),
            value in value(),
        ) {
            let draft =
                Draft::new(kind, &message_type).channel(channel.as_deref()).data(&value);
            let sent = Message::encode(origin(), &role, counter, timestamp, &draft).unwrap();
            prop_assert_eq!(sent.body().len(), draft.encoded_len(&role));
            let came = Message::parse(origin(), 3, sent.body().clone()).unwrap();
            prop_assert_eq!(came.kind(), kind);
            prop_assert_eq!(came.role(), role);
            prop_assert_eq!(came.message_type(), message_type);
            prop_assert_eq!(came.channel(), channel.as_deref());
            prop_assert_eq!((came.counter(), came.timestamp()), (counter, timestamp));
            prop_assert_eq!(came.hops(), 3);
            prop_assert_eq!(came.value().unwrap(), value);
        }

        #[test]
        fn no_bytes_make_parsing_panic(
            body in vec(prop_oneof![0_u8..4, any::<u8>()], 0..200),
        ) {
            if let Ok(message) = Message::parse(origin(), 0, body.into()) {
                prop_assert!(!message.role().is_empty() && !message.message_type().is_empty());
                prop_assert_ne!(message.channel(), Some(""));
                // Whatever the data is, it is there.
                prop_assert!(!message.data().is_empty());
                let _ = (message.value(), message.to_string(), message.timestamp());
            }
        }

        #[test]
        fn a_message_cut_short_is_no_other_message(cut in 0_usize..40) {
            let draft = Draft::event("tick").channel(Some("hall"));
            let body = Message::encode(origin(), "timer1", 1, 2, &draft).unwrap().body().clone();
            let cut = cut.min(body.len() - 1);
            prop_assert!(matches!(
                Message::parse(origin(), 0, body.slice(..cut)),
                Err(MessageError::Truncated(_)),
            ));
        }
    }

    #[test]
    fn names_have_their_limits() {
        let encode = |role: &str, message_type: &str, channel: Option<&str>| {
            Message::encode(origin(), role, 1, 2, &Draft::event(message_type).channel(channel))
        };
        let (longest, longer) = ("x".repeat(MAX_NAME), "x".repeat(MAX_NAME + 1));
        assert!(encode(&longest, &longest, Some(&longest)).is_ok());
        for (role, message_type, channel, field) in [
            ("", "tick", None, "role"),
            ("timer", "", None, "type"),
            ("timer", "tick", Some(""), "channel"),
            ("timer", &*longer, None, "type"),
        ] {
            let error = encode(role, message_type, channel).unwrap_err();
            assert!(
                matches!(error, MessageError::NameLength { field: wrong, .. } if wrong == field),
                "{error}"
            );
        }
    }

    #[test]
    fn a_message_has_a_largest_size() {
        let size = MAX_MESSAGE - Draft::event("tick").encoded(&[]).encoded_len("timer");
        let data = vec![0; size + 1];
        let encode =
            |data| Message::encode(origin(), "timer", 1, 2, &Draft::event("tick").encoded(data));
        assert_eq!(encode(&data[1..]).unwrap().body().len(), MAX_MESSAGE);
        assert_eq!(encode(&data).unwrap_err(), MessageError::TooLarge(MAX_MESSAGE + 1));
    }

    #[test]
    fn data_is_one_value_and_not_too_deep() {
        let value = |data: &[u8]| {
            let draft = Draft::event("tick").encoded(data);
            Message::encode(origin(), "timer", 1, 2, &draft).unwrap().value()
        };
        assert_eq!(value(&[0xc0]), Ok(Value::Nil));
        assert_eq!(value(&[0xc0, 0xc0]), Err(MessageError::Data("1 bytes too many".to_owned())),);
        // Arrays of one array each.
        assert!(value(&[&[0x91; MAX_DEPTH][..], &[0xa1, b'x']].concat()).is_ok());
        assert!(value(&[&[0x91; MAX_DEPTH + 2][..], &[0xc0]].concat()).is_err());
        assert!(value(&[&[0x91; 100_000][..], &[0xc0]].concat()).is_err());
        // An array that claims to have four billion items.
        assert!(value(&[0xdd, 0xff, 0xff, 0xff, 0xff]).is_err());
    }

    #[test]
    fn people_see_who_sent_what() {
        let draft = Draft::order("open").channel(Some("door"));
        let message = Message::encode(origin(), "porter", 1, 2, &draft).unwrap();
        assert_eq!(message.to_string(), "order open from porter@clock on door");
    }
}
