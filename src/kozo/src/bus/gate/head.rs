//! The head of a D-Bus message: what is known of it before its body is read.

use std::io;

use zbus::OwnedVariant;
use zbus::message::{Message, Type};
use zbus::names::UniqueName;
use zbus::wire::serialized::{Context, Data};
use zbus::wire::{BE, LE};

use super::input::Input;

/// What all messages begin with: it says how long the rest is.
const FIXED: usize = 16;

/// Most bytes of header fields that are read: names have 255, and paths here a few more.
const MOST_FIELDS: usize = 32 * 1024;

/// A message of the bus has so many bytes at most.
const MOST: usize = 128 * 1024 * 1024;

/// Calls, two kinds of answers, and signals.
const KINDS: std::ops::RangeInclusive<u8> = 1..=4;

/// Where the flags are, and the one that says that the caller wants no answer.
const FLAGS: usize = 2;
const NO_REPLY_EXPECTED: u8 = 1;

/// The fields with the sender's name, and with how many file descriptors there are.
const SENDER: u8 = 7;
const UNIX_FDS: u8 = 9;

type Fields = (u8, u8, u8, u8, u32, u32, Vec<(u8, OwnedVariant)>);

/// What is known of a message before its body is read.
#[derive(Debug)]
pub(super) struct Head {
    /// It, as it came.
    pub(super) bytes: Vec<u8>,
    /// It is too long, or of no kind that there is.
    pub(super) is_unreadable: bool,
    /// Bytes of the message that have not been read yet.
    pub(super) rest: usize,
    pub(super) is_call: bool,
    /// The caller wants no answer.
    pub(super) is_silent: bool,
    pub(super) serial: u32,
}

impl Head {
    /// Reads the head of the next message.
    pub(super) async fn read(input: &mut Input) -> io::Result<Head> {
        let mut bytes = vec![0; FIXED];
        input.fill(&mut bytes).await?;
        let [order, kind, flags, _, body @ ..] = &*bytes else { return Err(invalid()) };
        let number = |bytes: &[u8]| -> Option<usize> {
            let bytes = bytes.first_chunk::<4>()?;
            let number = match order {
                b'l' => u32::from_le_bytes(*bytes),
                b'B' => u32::from_be_bytes(*bytes),
                _ => return None,
            };
            usize::try_from(number).ok()
        };
        let at = |index: usize| body.get(index..).and_then(number).ok_or_else(invalid);
        let (body_length, serial, fields) = (at(0)?, at(4)?, at(8)?);
        let length = fields.checked_next_multiple_of(8).ok_or_else(invalid)?;
        if length.saturating_add(body_length) > MOST {
            return Err(invalid());
        }
        let (is_call, is_silent) =
            (*kind == Type::MethodCall as u8, flags & NO_REPLY_EXPECTED != 0);
        let serial = u32::try_from(serial).map_err(|_| invalid())?;
        let is_unreadable = !KINDS.contains(kind) || length > MOST_FIELDS;
        let rest = length + body_length;
        let mut head = Head { bytes, is_unreadable, rest, is_call, is_silent, serial };
        if is_unreadable {
            return Ok(head);
        }
        head.bytes.resize(FIXED + length, 0);
        input.fill(head.bytes.get_mut(FIXED..).unwrap_or_default()).await?;
        head.rest = body_length;
        Ok(head)
    }

    /// Bytes of the message.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + self.rest
    }

    /// Makes zbus answer it even if its caller wants no answer: the answer says when zbus is done with it.
    pub(super) fn want_answer(&mut self) {
        if let Some(flags) = self.bytes.get_mut(FLAGS) {
            *flags &= !NO_REPLY_EXPECTED;
        }
    }

    /// Who sent it, as the bus says, and whether there are file descriptors with it.
    pub(super) fn fields(&self) -> (Option<String>, bool) {
        let order = if self.bytes.first() == Some(&b'B') { BE } else { LE };
        let data = Data::new(&*self.bytes, Context::new(order, 0));
        let Ok((fields, _)) = data.deserialize::<Fields>() else { return (None, false) };
        let field = |wanted: u8| fields.6.iter().find(|(field, _)| *field == wanted);
        let sender = field(SENDER).and_then(|(_, name)| <&str>::try_from(name).ok());
        let descriptors = field(UNIX_FDS).and_then(|(_, count)| u32::try_from(count).ok());
        (sender.map(str::to_owned), descriptors.is_some_and(|count| count > 0))
    }

    /// The answer that it was refused.
    pub(super) fn refusal(
        &self,
        sender: Option<&str>,
        error: &(dyn zbus::DBusError + Send + Sync),
    ) -> zbus::Result<Message> {
        let serial = self.serial.try_into().map_err(|_| zbus::Error::InvalidSerial)?;
        let mut call = Message::method_call("/", "Refused").serial(serial);
        if let Some(sender) = sender {
            call = call.sender(UniqueName::try_from(sender)?);
        }
        error.create_reply(&call.build(&())?.header())
    }
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a D-Bus message")
}
