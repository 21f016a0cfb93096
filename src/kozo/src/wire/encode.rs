//! Frames to bytes.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use super::{Control, HEADER, MAX_INTEREST, MAX_INTERESTS, kind};
use crate::interest::{Interest, Pattern};
use crate::message::{Head, MAX_MESSAGE, Message};

/// What precedes the data of a Message in a frame, at most: its length, its sequence number, its time.
const BEFORE_DATA: usize = 4 + 10 + 10;

/// Appends a frame.
pub fn encode(frame: &Control<'_>, out: &mut BytesMut) {
    let number = match frame {
        Control::Hello(_) => kind::HELLO,
        Control::Interest(_) => kind::INTEREST,
        Control::Heartbeat(_) => kind::HEARTBEAT,
        Control::Echo(_) => kind::ECHO,
        Control::Use => kind::USE,
        Control::Finish => kind::FINISH,
        Control::Finished(_) => kind::FINISHED,
        Control::Bye(_) => kind::BYE,
        Control::Padding(_) => kind::PADDING,
    };
    framed(out, number, |out| match frame {
        Control::Hello(hello) => {
            out.put_u16_le(hello.version);
            out.put_u64_le(hello.boot);
            out.put_u64_le(hello.received_boot);
            out.put_u64_le(hello.received);
            out.put_u8(u8::try_from(hello.features.len()).unwrap_or(u8::MAX));
            for feature in hello.features.iter().take(usize::from(u8::MAX)) {
                put_text(out, feature);
            }
        }
        Control::Interest(interests) => put_interests(out, interests),
        Control::Heartbeat(heartbeat) => {
            out.put_u64_le(heartbeat.sent);
            out.put_u64_le(heartbeat.received);
        }
        Control::Echo(echo) => {
            out.put_u64_le(echo.sent);
            out.put_u64_le(echo.received);
            out.put_u64_le(echo.clock);
        }
        Control::Finished(received) => out.put_u64_le(*received),
        Control::Bye(reason) => put_text(out, reason),
        Control::Padding(bytes) => out.put_bytes(0, *bytes),
        Control::Use | Control::Finish => {}
    });
}

/// Appends frames with these Messages: one frame for each run of Messages with the same origin, or
/// several where one would be too large.
pub fn encode_messages(messages: &[Message], out: &mut BytesMut) {
    let mut payload = 0;
    let together = |a: &Message, b: &Message| {
        payload += a.size() + BEFORE_DATA;
        let same =
            Arc::ptr_eq(a.head(), b.head()) || (a.hops() == b.hops() && a.origin() == b.origin());
        let fits = payload + b.size() <= MAX_MESSAGE;
        if !(same && fits) {
            payload = 0;
        }
        same && fits
    };
    for run in messages.chunk_by(together) {
        let Some(first) = run.first() else { continue };
        framed(out, kind::MESSAGES, |out| {
            put_text(out, &first.origin().node);
            out.put_u64_le(first.origin().boot);
            out.put_u8(first.hops());
            put_run(run, out);
        });
    }
}

/// Appends Messages of one origin. What two of them in a row have in common is not said again: the head
/// stands before the first of those that it belongs to, and sequence number and time are differences.
fn put_run(run: &[Message], out: &mut BytesMut) {
    let mut head: Option<&Arc<Head>> = None;
    let (mut sequence, mut timestamp) = (0, 0);
    for message in run {
        let same = |head: &Arc<Head>| Arc::ptr_eq(head, message.head()) || head == message.head();
        if !head.is_some_and(same) {
            put_head(message.head(), out);
            head = Some(message.head());
        }
        put_number(out, message.data().len() as u64);
        put_number(out, message.sequence().wrapping_sub(sequence));
        put_number(out, zigzag(message.timestamp().wrapping_sub(timestamp)));
        (sequence, timestamp) = (message.sequence(), message.timestamp());
        out.put_slice(message.data());
    }
}

fn put_head(head: &Head, out: &mut BytesMut) {
    // Where the length of data would be, which is never zero.
    out.put_u8(0);
    out.put_u8(head.kind().number());
    put_text(out, head.role());
    put_text(out, head.message_type());
    // A channel is never empty.
    put_text(out, head.channel().unwrap_or_default());
}

/// A difference modulo 2⁶⁴, small in either direction, as a small number.
fn zigzag(difference: u64) -> u64 {
    (difference << 1) ^ (difference >> 63).wrapping_neg()
}

fn framed(out: &mut BytesMut, number: u8, payload: impl FnOnce(&mut BytesMut)) {
    out.put_u8(number);
    let length_at = out.len();
    out.put_u32_le(0);
    payload(out);
    let length = u32::try_from(out.len() - length_at - (HEADER - 1)).unwrap_or(u32::MAX);
    if let Some(field) = out.get_mut(length_at..length_at + 4) {
        field.copy_from_slice(&length.to_le_bytes());
    }
}

/// A text of at most 255 bytes with its length in front; a longer one is cut.
fn put_text(out: &mut BytesMut, text: &str) {
    let text = text.get(..text.floor_char_boundary(usize::from(u8::MAX))).unwrap_or_default();
    out.put_u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.put_slice(text.as_bytes());
}

/// Seven bits a byte, least significant first, the top bit set on all but the last.
fn put_number(out: &mut BytesMut, mut number: u64) {
    while number > 0x7f {
        let [low, ..] = number.to_le_bytes();
        out.put_u8(low | 0x80);
        number >>= 7;
    }
    let [last, ..] = number.to_le_bytes();
    out.put_u8(last);
}

/// A pattern too long to be sent becomes the one that matches all: too much interest is no harm, the
/// other side sorts out what comes.
fn put_pattern(out: &mut BytesMut, pattern: &Pattern) {
    let text = pattern.to_string();
    put_text(out, if text.len() > usize::from(u8::MAX) { "*" } else { &text });
}

/// So much interest that it cannot be said becomes interest in everything, likewise.
fn put_interests(out: &mut BytesMut, interests: &[Interest]) {
    let start = out.len();
    for interest in interests.iter().take(MAX_INTERESTS) {
        put_interest(out, interest);
    }
    if interests.len() > MAX_INTERESTS || out.len() - start > MAX_INTEREST {
        out.truncate(start);
        put_interest(out, &Interest::any());
    }
}

fn put_interest(out: &mut BytesMut, interest: &Interest) {
    out.put_u8(interest.kind.map_or(u8::MAX, crate::message::Kind::number));
    put_pattern(out, &interest.message_type);
    out.put_u8(u8::from(interest.channel.is_some()));
    if let Some(channel) = &interest.channel {
        put_pattern(out, channel);
    }
    put_pattern(out, &interest.role);
    put_pattern(out, &interest.node);
}
