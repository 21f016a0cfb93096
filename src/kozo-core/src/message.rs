//! Messages: what Roles send to each other.
//!
//! A [`Message`] is what was said, once: its data, encoded when its Role sends it and from then on an
//! immutable slice of bytes that all its clones share, with its sequence number and time. All that many
//! Messages have in common (who sends them, what they are about) is their [`Head`], made once and
//! shared too: to see that two Messages go the same way takes one comparison of pointers. How
//! Messages look on a wire is the daemon's.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use rmpv::Value;

use crate::pack;

/// Longest type, channel, Role name and Node name, in bytes.
pub const MAX_NAME: usize = 255;

/// Largest encoded Message, in bytes. Queue bounds are usually far below it.
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// Nesting of arrays and maps in data beyond which it is refused.
const MAX_DEPTH: usize = 128;

/// What a Message takes besides its names and its data: kind, sequence number, time.
const FIXED: usize = 1 + 8 + 8;

/// What a Message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Something happened.
    Event,
    /// A Role is to do something.
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
    #[error("unknown kind '{0}': use event, order, log or reply")]
    UnknownKind(String),
    /// A name over [`MAX_NAME`] bytes, or an empty type.
    #[error("the {field} is {length} bytes long; allowed: 1 to {MAX_NAME} bytes")]
    NameLength {
        /// Which field.
        field: &'static str,
        /// How long it is, in bytes.
        length: usize,
    },
    /// Larger than [`MAX_MESSAGE`].
    #[error("the message takes {0} bytes; at most {MAX_MESSAGE} are allowed")]
    TooLarge(usize),
    /// There is no data at all, not even nil.
    #[error("the message has no data")]
    NoData,
    /// A kind number that does not exist.
    #[error("kind number {0} does not exist")]
    KindNumber(u8),
    /// Data with more values than are looked at.
    #[error("the data has more than {0} values, which is too many for its size")]
    TooManyValues(usize),
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
    data: Data<'a>,
}

/// The data of a draft.
#[derive(Clone, Debug)]
enum Data<'a> {
    /// One MessagePack value, encoded.
    Encoded(Cow<'a, [u8]>),
    /// Bytes that become a MessagePack value when the Message is encoded.
    Bytes(&'a [u8]),
}

impl Data<'_> {
    fn encoded_len(&self) -> usize {
        match self {
            Data::Encoded(data) => data.len(),
            Data::Bytes(bytes) => bin_header(bytes.len()).1 + bytes.len(),
        }
    }

    fn put(&self, out: &mut BytesMut) {
        match self {
            Data::Encoded(data) => out.put_slice(data),
            Data::Bytes(bytes) => {
                let (header, length) = bin_header(bytes.len());
                out.put_slice(header.get(..length).unwrap_or_default());
                out.put_slice(bytes);
            }
        }
    }
}

/// What MessagePack puts before so many bytes (`bin 8`, `bin 16`, `bin 32`), and how long that is.
fn bin_header(length: usize) -> ([u8; 5], usize) {
    let [.., b3, b2, b1, b0] = length.to_be_bytes();
    match length {
        0..=0xff => ([0xc4, b0, 0, 0, 0], 2),
        0x100..=0xffff => ([0xc5, b1, b0, 0, 0], 3),
        _ => ([0xc6, b3, b2, b1, b0], 5),
    }
}

/// MessagePack for nil, the data of a draft that was given none.
const NIL: &[u8] = &[0xc0];

impl<'a> Draft<'a> {
    /// A draft of any kind, without channel and with nil as data.
    pub fn new(kind: Kind, message_type: &'a str) -> Self {
        Draft { kind, message_type, channel: None, data: Data::Encoded(Cow::Borrowed(NIL)) }
    }

    /// Something happened.
    pub fn event(message_type: &'a str) -> Self {
        Self::new(Kind::Event, message_type)
    }

    /// A Role is to do something.
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
            self.data = Data::Encoded(Cow::Owned(encoded));
        }
        self
    }

    /// Sets the data, already encoded as one MessagePack value.
    #[must_use]
    pub fn encoded(mut self, data: &'a [u8]) -> Self {
        self.data = Data::Encoded(Cow::Borrowed(data));
        self
    }

    /// Sets the data: these bytes, as a MessagePack value of their own.
    #[must_use]
    pub fn bytes(mut self, bytes: &'a [u8]) -> Self {
        self.data = Data::Bytes(bytes);
        self
    }

    /// The head of the Message, sent by a Role of this name.
    ///
    /// # Errors
    /// When a name is empty or too long.
    pub fn head(&self, origin: Arc<Origin>, role: &str) -> Result<Head, MessageError> {
        Head::new(origin, 0, self.kind, role, self.message_type, self.channel)
    }

    /// Whether this is the head of the Message, sent from here by a Role of this name.
    pub fn has_head(&self, head: &Head, role: &str) -> bool {
        self.names(role) == head.names()
    }

    /// Bytes of the data, encoded.
    pub fn data_len(&self) -> usize {
        self.data.encoded_len()
    }

    /// Appends the data, encoded.
    pub fn put_data(&self, out: &mut BytesMut) {
        self.data.put(out);
    }

    /// What decides who wants it, the origin aside.
    pub fn names<'b>(&'b self, role: &'b str) -> Names<'b> {
        (self.kind, role, self.message_type, self.channel)
    }
}

/// Kind, Role, type and channel.
pub type Names<'a> = (Kind, &'a str, &'a str, Option<&'a str>);

/// What Messages have in common that one Role sends about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Head {
    origin: Arc<Origin>,
    hops: u8,
    kind: Kind,
    role: Box<str>,
    message_type: Box<str>,
    channel: Option<Box<str>>,
}

impl Head {
    /// A head of these parts.
    ///
    /// # Errors
    /// When a name is empty or longer than [`MAX_NAME`].
    pub fn new(
        origin: Arc<Origin>,
        hops: u8,
        kind: Kind,
        role: &str,
        message_type: &str,
        channel: Option<&str>,
    ) -> Result<Head, MessageError> {
        Ok(Head {
            origin,
            hops,
            kind,
            role: name("role", role)?,
            message_type: name("type", message_type)?,
            channel: channel.map(|channel| name("channel", channel)).transpose()?,
        })
    }

    /// The Node that sends, and in which of its runs.
    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// How many Nodes have passed the Messages on.
    pub fn hops(&self) -> u8 {
        self.hops
    }

    /// Event, Order, Log or Reply.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Name of the Role that sends.
    pub fn role(&self) -> &str {
        &self.role
    }

    /// The type, for instance `tick`.
    pub fn message_type(&self) -> &str {
        &self.message_type
    }

    /// The channel, if there is one.
    pub fn channel(&self) -> Option<&str> {
        self.channel.as_deref()
    }

    /// What decides who wants it, the origin aside.
    pub fn names(&self) -> Names<'_> {
        (self.kind, &self.role, &self.message_type, self.channel())
    }

    /// Bytes that a Message with this head counts for, besides its data.
    pub fn weight(&self) -> usize {
        let channel = self.channel.as_ref().map_or(0, |channel| 1 + channel.len());
        FIXED + 1 + self.role.len() + 1 + self.message_type.len() + channel
    }
}

/// An immutable Message; cloning it copies no data.
#[derive(Clone)]
pub struct Message {
    head: Arc<Head>,
    sequence: u64,
    timestamp: u64,
    data: Bytes,
}

impl Message {
    /// A Message of these parts. The data is looked at only when asked for.
    ///
    /// # Errors
    /// When there is no data, or the whole is over [`MAX_MESSAGE`].
    pub fn new(
        head: Arc<Head>,
        sequence: u64,
        timestamp: u64,
        data: Bytes,
    ) -> Result<Message, MessageError> {
        let weight = head.weight() + data.len();
        if weight > MAX_MESSAGE {
            return Err(MessageError::TooLarge(weight));
        }
        if data.is_empty() {
            return Err(MessageError::NoData);
        }
        Ok(Message { head, sequence, timestamp, data })
    }

    /// Encodes a draft, with a head of its own.
    ///
    /// # Errors
    /// When a name is empty or too long, there is no data, or the whole is over [`MAX_MESSAGE`].
    pub fn encode(
        origin: Arc<Origin>,
        role: &str,
        sequence: u64,
        timestamp: u64,
        draft: &Draft<'_>,
    ) -> Result<Message, MessageError> {
        let head = draft.head(origin, role)?;
        let mut data = BytesMut::with_capacity(draft.data_len());
        draft.put_data(&mut data);
        Message::new(Arc::new(head), sequence, timestamp, data.freeze())
    }

    /// What it has in common with others.
    pub fn head(&self) -> &Arc<Head> {
        &self.head
    }

    /// The Node that sent it, and in which of its runs.
    pub fn origin(&self) -> &Arc<Origin> {
        &self.head.origin
    }

    /// How many Nodes have passed it on.
    pub fn hops(&self) -> u8 {
        self.head.hops
    }

    /// Event, Order, Log or Reply.
    pub fn kind(&self) -> Kind {
        self.head.kind
    }

    /// Its number among the Messages of that run of its origin, from 1.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// When it was sent: microseconds since the Unix epoch, by the clock of its origin.
    pub fn timestamp(&self) -> u64 {
        self.timestamp
    }

    /// Name of the Role that sent it.
    pub fn role(&self) -> &str {
        &self.head.role
    }

    /// Its type, for instance `tick`.
    pub fn message_type(&self) -> &str {
        &self.head.message_type
    }

    /// Its channel, if it has one.
    pub fn channel(&self) -> Option<&str> {
        self.head.channel()
    }

    /// Its data: one MessagePack value, still encoded.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Its data, decoded.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn value(&self) -> Result<Value, MessageError> {
        decode(self.data())
    }

    /// Its data, if that is bytes as [`Draft::bytes`] gives them.
    pub fn bytes(&self) -> Option<&[u8]> {
        let data = self.data();
        let header = match data.first()? {
            0xc4 => 2,
            0xc5 => 3,
            0xc6 => 5,
            _ => return None,
        };
        let bytes = data.get(header..)?;
        let (expected, length) = bin_header(bytes.len());
        (expected.get(..length) == data.get(..header)).then_some(bytes)
    }

    /// Bytes that it counts for: its data, its names, and what else it carries.
    pub fn size(&self) -> usize {
        self.head.weight() + self.data.len()
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
        let (role, node) = (self.role(), &self.origin().node);
        write!(f, "{} {} from {role}@{node}", self.kind(), self.message_type())?;
        match self.channel() {
            Some(channel) => write!(f, " on {channel}"),
            None => Ok(()),
        }
    }
}

impl crate::queue::Weight for Message {
    fn weight(&self) -> usize {
        self.size()
    }
}

/// Checks that data is exactly one MessagePack value and not nested too deeply, which takes no memory.
///
/// # Errors
/// When it is not.
pub fn check(data: &[u8]) -> Result<(), MessageError> {
    check_up_to(data, usize::MAX)
}

fn check_up_to(data: &[u8], values: usize) -> Result<(), MessageError> {
    pack::check(data, MAX_DEPTH + 1, values).map_err(|problem| match problem {
        pack::Problem::Malformed(what) => MessageError::Data(what),
        pack::Problem::TooMany(most) => MessageError::TooManyValues(most),
    })
}

/// Decodes data. What is made of it takes memory in proportion to its size.
///
/// # Errors
/// When it is not exactly one MessagePack value, is nested too deeply, or has too many values for its size.
pub fn decode(mut data: &[u8]) -> Result<Value, MessageError> {
    // It counts every array or map twice, and up to three for what is in the innermost.
    check_up_to(data, pack::most_values(data.len()))?;
    rmpv::decode::read_value_with_max_depth(&mut data, 2 * MAX_DEPTH + 3)
        .map_err(|error| MessageError::Data(error.to_string()))
}

/// A name, if it is one.
fn name(field: &'static str, name: &str) -> Result<Box<str>, MessageError> {
    match name.len() {
        1..=MAX_NAME => Ok(name.into()),
        length => Err(MessageError::NameLength { field, length }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::values;

    fn origin() -> Arc<Origin> {
        Arc::new(Origin { node: "clock".to_owned(), boot: 7 })
    }

    #[test]
    fn kinds_are_read_by_their_names() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![".{1,40}", "[a-z]{255}"]
    }

    /// Data as Roles send it.
    fn value() -> impl Strategy<Value = Value> {
        values::value(values::leaf(), |inner| values::map(inner.clone(), inner))
    }

    proptest! {
        #[test]
        fn what_was_drafted_is_there(
            kind in proptest::sample::select(&Kind::ALL[..]),
            (role, message_type, channel) in (name(), name(), proptest::option::of(name())),
            (sequence, timestamp) in any::<(u64, u64)>(),
            value in value(),
        ) {
            let draft =
                Draft::new(kind, &message_type).channel(channel.as_deref()).data(&value);
            let message = Message::encode(origin(), &role, sequence, timestamp, &draft).unwrap();
            prop_assert_eq!(message.kind(), kind);
            prop_assert_eq!(message.role(), &*role);
            prop_assert_eq!(message.message_type(), &*message_type);
            prop_assert_eq!(message.channel(), channel.as_deref());
            prop_assert_eq!((message.sequence(), message.timestamp()), (sequence, timestamp));
            prop_assert!(draft.has_head(message.head(), &role));
            let other = format!("{role}2");
            prop_assert!(!draft.has_head(message.head(), &other));
            prop_assert_eq!(message.value().unwrap(), value);
        }

        #[test]
        fn bytes_are_a_value_and_come_back(bytes in vec(any::<u8>(), 0..70_000)) {
            let draft = Draft::event("photo").bytes(&bytes);
            let message = Message::encode(origin(), "camera", 1, 2, &draft).unwrap();
            prop_assert_eq!(message.data().len(), draft.data_len());
            prop_assert_eq!(message.bytes(), Some(&*bytes));
            prop_assert_eq!(message.value().unwrap(), Value::Binary(bytes));
        }

        #[test]
        fn whatever_the_data_is_it_can_be_looked_at(
            data in vec(prop_oneof![0xc4_u8..0xc7, any::<u8>()], 1..200),
        ) {
            let draft = Draft::event("tick").encoded(&data);
            let message = Message::encode(origin(), "timer", 1, 2, &draft).unwrap();
            if let Some(bytes) = message.bytes() {
                prop_assert_eq!(message.value(), Ok(Value::from(bytes)));
            }
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
        let head = Draft::event("tick").head(origin(), "timer").unwrap();
        let data = vec![0; MAX_MESSAGE - head.weight() + 1];
        let encode =
            |data| Message::encode(origin(), "timer", 1, 2, &Draft::event("tick").encoded(data));
        assert_eq!(encode(&data[1..]).unwrap().size(), MAX_MESSAGE);
        assert_eq!(encode(&data).unwrap_err(), MessageError::TooLarge(MAX_MESSAGE + 1));
        assert_eq!(encode(&[]).unwrap_err(), MessageError::NoData);
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
        // A byte for each value would take forty times as much memory.
        let nils = |count: usize| {
            [&[0xdd][..], &u32::try_from(count).unwrap().to_be_bytes(), &vec![0xc0; count]].concat()
        };
        assert!(value(&nils(60_000)).is_ok());
        assert!(matches!(value(&nils(4_000_000)), Err(MessageError::TooManyValues(_))));
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
