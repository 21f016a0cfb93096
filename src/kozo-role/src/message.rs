//! Messages: those that come, and what others are made of.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::data::{Binary, decode, encode};
use crate::{Encoding, Error};

/// What a Message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Something happened.
    Event,
    /// Something is to be done.
    Order,
    /// A line for those who look after the System.
    Log,
    /// What became of an Order.
    Reply,
}

impl Kind {
    /// Its name, as the configuration and filters have it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Event => "event",
            Kind::Order => "order",
            Kind::Log => "log",
            Kind::Reply => "reply",
        }
    }

    pub(crate) fn of(name: &str) -> Result<Kind, Error> {
        match name {
            "event" => Ok(Kind::Event),
            "order" => Ok(Kind::Order),
            "log" => Ok(Kind::Log),
            "reply" => Ok(Kind::Reply),
            _ => Err(Error::Protocol(format!("unknown kind of Message '{name}'"))),
        }
    }
}

/// A piece of a Message's bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) begin: usize,
    pub(crate) end: usize,
}

impl Span {
    /// Where a piece is in the whole that it is a piece of.
    pub(crate) fn of(whole: &[u8], piece: &[u8]) -> Span {
        let begin = piece.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
        Span { begin, end: begin + piece.len() }
    }
}

/// A Message that came.
///
/// In MessagePack it shares its memory, of up to 64 KiB or the largest of them, with those that came with it: programs that keep
/// many Messages for long keep what they need of them.
#[derive(Clone)]
pub struct Message {
    pub(crate) bytes: Bytes,
    pub(crate) time: u64,
    pub(crate) boot: u64,
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) node: Span,
    pub(crate) role: Span,
    pub(crate) message_type: Span,
    pub(crate) channel: Option<Span>,
    pub(crate) data: Span,
    pub(crate) encoding: Encoding,
}

impl Message {
    /// When it was sent, by the clock of its Node: microseconds since 1970.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// The Node that sent it.
    pub fn node(&self) -> &str {
        self.text(self.node)
    }

    /// In which of its runs that Node sent it: a random number.
    pub fn boot(&self) -> u64 {
        self.boot
    }

    /// Its number among the Messages of that run.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The Role that sent it.
    pub fn role(&self) -> &str {
        self.text(self.role)
    }

    /// What it is for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its type.
    pub fn message_type(&self) -> &str {
        self.text(self.message_type)
    }

    /// Its channel, if it has one.
    pub fn channel(&self) -> Option<&str> {
        self.channel.map(|channel| self.text(channel))
    }

    /// Its data, as any type that serde can make of it: `f64`, `(String, u32)`, a struct of one's own; [`Binary`] where there are bytes.
    ///
    /// # Errors
    /// When it is something else.
    pub fn data<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        decode(self.encoding, self.encoded())
    }

    /// Its data if that is bytes.
    pub fn bytes(&self) -> Option<Cow<'_, [u8]>> {
        if self.encoding == Encoding::MessagePack {
            return crate::pack::binary(self.encoded()).map(Cow::Borrowed);
        }
        self.data::<Binary<'_>>().ok().map(|Binary(bytes)| bytes)
    }

    fn encoded(&self) -> &[u8] {
        self.piece(self.data)
    }

    fn piece(&self, span: Span) -> &[u8] {
        self.bytes.get(span.begin..span.end).unwrap_or_default()
    }

    fn text(&self, span: Span) -> &str {
        std::str::from_utf8(self.piece(span)).unwrap_or_default()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Message { id, kind, .. } = self;
        let (kind, message_type, role, node) =
            (kind.name(), self.message_type(), self.role(), self.node());
        write!(formatter, "{kind} '{message_type}' {id} from {role}@{node}")?;
        self.channel().map_or(Ok(()), |channel| write!(formatter, " channel '{channel}'"))
    }
}

/// A Message that is to be sent: `Draft::event("rung").channel("front").data(&3)`.
#[derive(Debug)]
pub struct Draft<'a, T: ?Sized = ()> {
    pub(crate) kind: Kind,
    pub(crate) message_type: Option<&'a str>,
    pub(crate) channel: Option<&'a str>,
    pub(crate) data: Payload<'a, T>,
}

/// Data, in the shapes in which programs have it.
#[derive(Debug)]
pub(crate) enum Payload<'a, T: ?Sized> {
    Value(&'a T),
    Bytes(&'a [u8]),
    /// As it came.
    Encoded(Encoding, &'a [u8]),
}

impl<'a> Draft<'a> {
    /// Of this kind and type.
    pub fn new(kind: Kind, message_type: &'a str) -> Draft<'a> {
        Draft { kind, message_type: Some(message_type), channel: None, data: Payload::Value(&()) }
    }

    /// An Event.
    pub fn event(message_type: &'a str) -> Draft<'a> {
        Draft::new(Kind::Event, message_type)
    }

    /// An Order.
    pub fn order(message_type: &'a str) -> Draft<'a> {
        Draft::new(Kind::Order, message_type)
    }

    /// A Reply.
    pub fn reply(message_type: &'a str) -> Draft<'a> {
        Draft::new(Kind::Reply, message_type)
    }

    /// A Log.
    pub fn log() -> Draft<'a> {
        Draft { kind: Kind::Log, message_type: None, channel: None, data: Payload::Value(&()) }
    }
}

impl<'a, T: ?Sized> Draft<'a, T> {
    /// With this channel, or none.
    pub fn channel(mut self, channel: impl Into<Option<&'a str>>) -> Draft<'a, T> {
        self.channel = channel.into();
        self
    }

    /// With this value as its data: structs are objects.
    pub fn data<U: Serialize + ?Sized>(self, value: &'a U) -> Draft<'a, U> {
        self.with(Payload::Value(value))
    }

    /// With these bytes as its data.
    pub fn bytes(self, bytes: &'a [u8]) -> Draft<'a> {
        self.with(Payload::Bytes(bytes))
    }

    /// With the data of a Message that came, as it is.
    pub fn data_of(self, message: &'a Message) -> Draft<'a> {
        self.with(Payload::Encoded(message.encoding, message.encoded()))
    }

    fn with<U: ?Sized>(self, data: Payload<'a, U>) -> Draft<'a, U> {
        Draft { kind: self.kind, message_type: self.message_type, channel: self.channel, data }
    }
}

impl<T: Serialize + ?Sized> Payload<'_, T> {
    /// Writes it as the value of a member.
    pub(crate) fn put(&self, encoding: Encoding, out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Payload::Value(value) => encode(encoding, out, value),
            Payload::Bytes(bytes) => encode(encoding, out, &Binary(Cow::Borrowed(bytes))),
            Payload::Encoded(_, bytes) => {
                out.extend_from_slice(bytes);
                Ok(())
            }
        }
    }
}
