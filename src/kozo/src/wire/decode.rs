//! Bytes to frames.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use super::{
    Echo, HEADER, Heartbeat, Hello, MAX_FEATURES, MAX_INTERESTS, MAX_PAYLOAD, WireError, kind,
};
use crate::interest::{Interest, Pattern};
use crate::message::{Kind, Message, Origin};

/// A frame that came.
#[derive(Debug)]
pub enum Frame {
    /// See [`super::Control::Hello`].
    Hello(Hello),
    /// See [`super::Control::Interest`].
    Interest(Vec<Interest>),
    /// Messages of one origin.
    Messages(Messages),
    /// See [`super::Control::Heartbeat`].
    Heartbeat(Heartbeat),
    /// See [`super::Control::Echo`].
    Echo(Echo),
    /// See [`super::Control::Use`].
    Use,
    /// See [`super::Control::Finish`].
    Finish,
    /// See [`super::Control::Finished`].
    Finished(u64),
    /// See [`super::Control::Bye`].
    Bye(String),
}

/// Frames up to this size share their memory with what comes before and after them. The memory of a
/// larger one is its own, and goes when it goes: a Message that is only a smaller part of it is
/// copied, for it may wait long in some queue.
const SHARED: usize = 64 * 1024;

/// Cuts a stream of bytes into frames.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    /// Takes bytes as they come, in pieces of any size.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete frame, if it has come.
    ///
    /// # Errors
    /// When what came is not this protocol; the decoder is of no further use then.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, WireError> {
        loop {
            let Some((number, length)) = self.header() else { return Ok(None) };
            if length > MAX_PAYLOAD {
                return Err(WireError::FrameTooLarge(length));
            }
            if self.buffer.len() < HEADER + length {
                return Ok(None);
            }
            self.buffer.advance(HEADER);
            let payload = self.buffer.split_to(length).freeze();
            if length > SHARED {
                self.buffer = BytesMut::from(&*self.buffer);
            }
            if let Some(frame) = parse(number, payload)? {
                return Ok(Some(frame));
            }
        }
    }

    /// Bytes that wait for the rest of their frame.
    #[cfg(test)]
    pub(super) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Bytes that there is room for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    fn header(&self) -> Option<(u8, usize)> {
        let (number, rest) = self.buffer.split_first()?;
        let length = u32::from_le_bytes(rest.get(..4)?.try_into().ok()?);
        Some((*number, usize::try_from(length).unwrap_or(usize::MAX)))
    }
}

/// The Messages of one frame, parsed one by one.
#[derive(Debug)]
pub struct Messages {
    origin: Arc<Origin>,
    hops: u8,
    rest: Bytes,
    /// Bytes of the whole frame.
    size: usize,
}

impl Messages {
    /// The Node that all of them come from, and its run, as the frame claims.
    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// How many Nodes have passed them on, as the frame claims.
    pub fn hops(&self) -> u8 {
        self.hops
    }

    /// Takes another, equal origin for all of them, so that they share one.
    pub fn share_origin(&mut self, origin: &Arc<Origin>) {
        if *self.origin == **origin {
            self.origin = Arc::clone(origin);
        }
    }
}

impl Iterator for Messages {
    type Item = Result<Message, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let Some(mut body) = take_length(&mut self.rest).and_then(|n| take(&mut self.rest, n))
        else {
            self.rest.clear();
            return Some(Err(WireError::Malformed("messages")));
        };
        if self.size > SHARED && body.len() < self.size / 2 {
            body = Bytes::copy_from_slice(&body);
        }
        Some(Message::parse(Arc::clone(&self.origin), self.hops, body).map_err(WireError::from))
    }
}

/// The frame of this kind, or nothing when the kind is not known.
fn parse(number: u8, mut payload: Bytes) -> Result<Option<Frame>, WireError> {
    let rest = &mut payload;
    let (name, frame) = match number {
        kind::HELLO => ("hello", hello(rest).map(Frame::Hello)),
        kind::INTEREST => ("interest", interests(rest).map(Frame::Interest)),
        kind::MESSAGES => ("messages", messages(rest).map(Frame::Messages)),
        kind::HEARTBEAT => ("heartbeat", heartbeat(rest).map(Frame::Heartbeat)),
        kind::ECHO => ("echo", echo(rest).map(Frame::Echo)),
        kind::USE => ("use", Some(Frame::Use)),
        kind::FINISH => ("finish", Some(Frame::Finish)),
        kind::FINISHED => ("finished", take_u64(rest).map(Frame::Finished)),
        kind::BYE => ("bye", take_text(rest).map(Frame::Bye)),
        _ => return Ok(None),
    };
    frame.map(Some).ok_or(WireError::Malformed(name))
}

fn hello(rest: &mut Bytes) -> Option<Hello> {
    let version = rest.try_get_u16_le().ok()?;
    let boot = take_u64(rest)?;
    let received_boot = take_u64(rest)?;
    let received = take_u64(rest)?;
    let count = usize::from(rest.try_get_u8().ok()?);
    if count > MAX_FEATURES {
        return None;
    }
    let features = (0..count).map(|_| take_text(rest)).collect::<Option<_>>()?;
    Some(Hello { version, boot, received_boot, received, features })
}

fn interests(rest: &mut Bytes) -> Option<Vec<Interest>> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        if found.len() == MAX_INTERESTS {
            return None;
        }
        let kind = match rest.try_get_u8().ok()? {
            u8::MAX => None,
            number => Some(Kind::from_number(number)?),
        };
        let message_type = pattern(rest)?;
        let channel = match rest.try_get_u8().ok()? {
            0 => None,
            _ => Some(pattern(rest)?),
        };
        let (role, node) = (pattern(rest)?, pattern(rest)?);
        found.push(Interest { kind, message_type, channel, role, node });
    }
    Some(found)
}

fn messages(rest: &mut Bytes) -> Option<Messages> {
    let node = take_text(rest)?;
    let boot = take_u64(rest)?;
    let hops = rest.try_get_u8().ok()?;
    let size = rest.len();
    Some(Messages {
        origin: Arc::new(Origin { node, boot }),
        hops,
        rest: std::mem::take(rest),
        size,
    })
}

fn heartbeat(rest: &mut Bytes) -> Option<Heartbeat> {
    Some(Heartbeat { sent: take_u64(rest)?, received: take_u64(rest)? })
}

fn echo(rest: &mut Bytes) -> Option<Echo> {
    Some(Echo { sent: take_u64(rest)?, received: take_u64(rest)?, clock: take_u64(rest)? })
}

fn pattern(rest: &mut Bytes) -> Option<Pattern> {
    take_text(rest).map(|text| Pattern::new(&text))
}

fn take(rest: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= rest.len()).then(|| rest.split_to(length))
}

fn take_u64(rest: &mut Bytes) -> Option<u64> {
    rest.try_get_u64_le().ok()
}

fn take_text(rest: &mut Bytes) -> Option<String> {
    let length = usize::from(rest.try_get_u8().ok()?);
    String::from_utf8(take(rest, length)?.into()).ok()
}

fn take_length(rest: &mut Bytes) -> Option<usize> {
    let mut length = 0_usize;
    for shift in [0, 7, 14, 21] {
        let byte = rest.try_get_u8().ok()?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(length);
        }
    }
    None
}
