//! Bytes to frames.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use super::{
    AROUND, Echo, HEADER, Heartbeat, Hello, MAX_BATCH, MAX_CONTROL, MAX_FEATURES, MAX_INTEREST,
    MAX_INTERESTS, MAX_PAYLOAD, WireError, kind,
};
use crate::interest::{Interest, Pattern};
use crate::message::{Head, Kind, MAX_MESSAGE, Message, MessageError, Origin};

/// A frame that came.
#[derive(Debug)]
pub enum Frame {
    /// See [`super::Control::Hello`].
    Hello(Hello),
    /// See [`super::Control::Interest`].
    Interest(Vec<Interest>),
    /// Messages of one origin.
    Messages(Messages),
    /// A Message that is larger than any that is taken. (If it is more than one, the Peer that sent it has not
    /// kept to [`MAX_BATCH`].)
    TooLarge,
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
const SHARED: usize = MAX_BATCH;

/// Data up to this size is copied in any case: it would hold on to a multiple of itself.
const SMALL: usize = 1024;

/// Bytes of a piece of memory that the data of small Messages shares.
const PIECE: usize = 4 * 1024;

/// How far a session has come, which decides what may come on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before the hello: small frames.
    Silent,
    /// It is not decided yet whether Messages are taken: the first of them stays where it is, and whatever is
    /// behind it.
    Greeting,
    /// Messages of up to so many bytes are taken, and those that come together.
    Open(usize),
}

/// Cuts a stream of bytes into frames.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    stage: Stage,
    /// Bytes still to come of a frame that is not kept.
    unwanted: usize,
}

/// Takes all that is allowed.
impl Default for Decoder {
    fn default() -> Self {
        Decoder::new(Stage::Open(MAX_MESSAGE))
    }
}

/// What is done with a frame, as its header is.
enum Verdict {
    Keep,
    PassOver,
    Refuse,
}

impl Decoder {
    /// A decoder for what comes from now on.
    pub fn new(stage: Stage) -> Decoder {
        Decoder { buffer: BytesMut::new(), stage, unwanted: 0 }
    }

    /// Another stage holds for the frames that are not read yet.
    pub fn set_stage(&mut self, stage: Stage) {
        self.stage = stage;
    }

    /// Takes bytes as they come, in pieces of any size.
    pub fn feed(&mut self, bytes: &[u8]) {
        let (unwanted, bytes) = bytes.split_at(bytes.len().min(self.unwanted));
        self.unwanted -= unwanted.len();
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether Messages wait for another stage.
    pub fn is_held(&self) -> bool {
        self.stage == Stage::Greeting && self.buffer.first() == Some(&kind::MESSAGES)
    }

    /// The next frame, if it has come: a complete one, but for those that are too large to be kept.
    ///
    /// # Errors
    /// When what came is not this protocol; the decoder is of no further use then.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, WireError> {
        loop {
            let Some((number, length)) = self.header().filter(|_| !self.is_held()) else {
                return Ok(None);
            };
            match self.verdict(number, length) {
                Verdict::Keep => {}
                Verdict::Refuse => return Err(WireError::FrameTooLarge(length)),
                Verdict::PassOver => {
                    self.pass_over(length);
                    match number {
                        kind::MESSAGES => return Ok(Some(Frame::TooLarge)),
                        kind::INTEREST => return Ok(Some(Frame::Interest(everything()))),
                        _ => continue,
                    }
                }
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

    fn verdict(&self, number: u8, length: usize) -> Verdict {
        let (kept, allowed) = match (self.stage, number) {
            (Stage::Silent, _) => (MAX_CONTROL, MAX_CONTROL),
            (Stage::Open(most), kind::MESSAGES) => {
                (most.max(MAX_BATCH).saturating_add(AROUND), MAX_PAYLOAD)
            }
            (_, kind::MESSAGES) => (0, MAX_PAYLOAD),
            (_, kind::INTEREST) => (MAX_INTEREST, MAX_PAYLOAD),
            (_, kind::HELLO..=kind::BYE) => (MAX_CONTROL, MAX_CONTROL),
            // Nothing would read it.
            _ => (0, MAX_PAYLOAD),
        };
        match length {
            length if length > allowed => Verdict::Refuse,
            length if length > kept => Verdict::PassOver,
            _ => Verdict::Keep,
        }
    }

    fn pass_over(&mut self, length: usize) {
        self.buffer.advance(HEADER);
        let here = length.min(self.buffer.len());
        self.buffer.advance(here);
        self.unwanted = length - here;
    }

    /// Bytes that wait for the rest of their frame.
    #[cfg(test)]
    pub(super) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Where they are.
    #[cfg(test)]
    pub(super) fn place(&self) -> *const u8 {
        self.buffer.as_ptr()
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

/// The Messages of one frame, read one by one.
#[derive(Debug)]
pub struct Messages {
    origin: Arc<Origin>,
    hops: u8,
    payload: Bytes,
    /// Where in the payload the next one begins.
    at: usize,
    /// The head of the last one, or one that the first may have.
    head: Option<Arc<Head>>,
    /// Whether that head belongs to the frame.
    headed: bool,
    sequence: u64,
    timestamp: u64,
    /// One that was read and not taken, or what is wrong with the next one.
    back: Option<Result<Message, WireError>>,
    /// Room for the data of small ones.
    room: BytesMut,
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

    /// Takes what was known before: an equal origin, and a head that some of them may have, so that
    /// they share it with those that came earlier.
    pub fn share(&mut self, origin: &Arc<Origin>, head: Option<Arc<Head>>) {
        if *self.origin == **origin {
            self.origin = Arc::clone(origin);
        }
        if !self.headed {
            self.head = head;
        }
    }

    /// The head of the last one, for [`share`](Self::share).
    pub fn into_head(self) -> Option<Arc<Head>> {
        self.head
    }

    /// Gives back the last one, to be the next one again.
    pub fn put_back(&mut self, message: Result<Message, WireError>) {
        self.back = Some(message);
    }

    fn read(&mut self) -> Result<Message, WireError> {
        const MALFORMED: WireError = WireError::Malformed("messages");
        // One head at most, so that a frame full of them does not hold up all others.
        if self.payload.get(self.at) == Some(&0) {
            self.at += 1;
            self.read_head()?;
        }
        let mut rest = self.payload.get(self.at..).unwrap_or_default();
        let length = number(&mut rest).ok_or(MALFORMED)?;
        let head = self.head.as_ref().filter(|_| self.headed).ok_or(MALFORMED)?;
        let sequence = number(&mut rest).ok_or(MALFORMED)?;
        let time = number(&mut rest).ok_or(MALFORMED)?;
        let time = (time >> 1) ^ (time & 1).wrapping_neg();
        let length =
            usize::try_from(length).ok().filter(|length| (1..=rest.len()).contains(length));
        let length = length.ok_or(MALFORMED)?;
        let start = self.payload.len() - rest.len();
        self.at = start + length;
        self.sequence = self.sequence.wrapping_add(sequence);
        self.timestamp = self.timestamp.wrapping_add(time);
        let data = rest.get(..length).unwrap_or_default();
        let data = if length <= SMALL {
            if self.room.capacity() < length {
                self.room = BytesMut::with_capacity(rest.len().min(PIECE));
            }
            self.room.extend_from_slice(data);
            self.room.split().freeze()
        } else if self.payload.len() > SHARED && length < self.payload.len() / 2 {
            Bytes::copy_from_slice(data)
        } else {
            self.payload.slice(start..self.at)
        };
        Ok(Message::new(Arc::clone(head), self.sequence, self.timestamp, data)?)
    }

    fn read_head(&mut self) -> Result<(), WireError> {
        const MALFORMED: WireError = WireError::Malformed("messages");
        let rest = &mut self.payload.get(self.at..).unwrap_or_default();
        let number = take_u8(rest).ok_or(MALFORMED)?;
        let kind = Kind::from_number(number).ok_or(MessageError::KindNumber(number))?;
        let [role, message_type, channel] =
            [text(rest, "role")?, text(rest, "type")?, text(rest, "channel")?];
        let channel = Some(channel).filter(|channel| !channel.is_empty());
        let names = (kind, role, message_type, channel);
        let is_known = |head: &Arc<Head>| {
            head.names() == names
                && Arc::ptr_eq(head.origin(), &self.origin)
                && head.hops() == self.hops
        };
        let at = self.payload.len() - rest.len();
        if !self.head.as_ref().is_some_and(is_known) {
            let origin = Arc::clone(&self.origin);
            let head = Head::new(origin, self.hops, kind, role, message_type, channel)?;
            self.head = Some(Arc::new(head));
        }
        (self.headed, self.at) = (true, at);
        Ok(())
    }
}

impl Iterator for Messages {
    type Item = Result<Message, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(message) = self.back.take() {
            return Some(message);
        }
        if self.at >= self.payload.len() {
            return None;
        }
        let message = self.read();
        if message.is_err() {
            self.at = self.payload.len();
        }
        Some(message)
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
            return Some(everything());
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

/// What a Peer is taken to want that wants more than can be told apart: the other side sorts out what
/// comes.
fn everything() -> Vec<Interest> {
    vec![Interest::any()]
}

fn messages(rest: &mut Bytes) -> Option<Messages> {
    let node = take_text(rest)?;
    let boot = take_u64(rest)?;
    let hops = rest.try_get_u8().ok()?;
    Some(Messages {
        origin: Arc::new(Origin { node, boot }),
        hops,
        payload: std::mem::take(rest),
        at: 0,
        head: None,
        headed: false,
        sequence: 0,
        timestamp: 0,
        back: None,
        room: BytesMut::new(),
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

fn take_u8(rest: &mut &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(*first)
}

/// A text with its length before it, in place.
fn text<'a>(rest: &mut &'a [u8], field: &'static str) -> Result<&'a str, WireError> {
    let length = take_u8(rest).ok_or(WireError::Malformed("messages"))?;
    let (bytes, after) =
        rest.split_at_checked(usize::from(length)).ok_or(WireError::Malformed("messages"))?;
    *rest = after;
    Ok(std::str::from_utf8(bytes).map_err(|_| MessageError::NotUtf8(field))?)
}

/// Seven bits a byte, least significant first, the top bit set on all but the last.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take_u8(rest)?;
        // What does not fit is no number.
        let bits = u64::from(byte & 0x7f);
        if (bits << shift) >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
