//! What happens, made of an input.

use kozo::wire::VERSION;
use libfuzzer_sys::arbitrary::{self, Arbitrary};

use crate::line::{frame, text};

/// All of it.
#[derive(Arbitrary, Debug)]
pub struct Script<'a> {
    /// Whether the hostile Peer is the decider.
    pub decides: bool,
    /// Whether it begins with a greeting.
    pub greets: bool,
    pub steps: Vec<Step<'a>>,
}

/// One thing that happens.
#[derive(Arbitrary, Debug)]
pub enum Step<'a> {
    /// The hostile Peer says something on its session.
    Say(Said<'a>),
    /// Somebody does something on the Node.
    Local(Local<'a>),
    /// So many milliseconds pass.
    Wait(u16),
    /// From now on it speaks on this session.
    Session(u8),
    /// It breaks off its session.
    Drop,
    /// From now on it writes pieces of this size.
    Piece(u8),
    /// Whether it reads what the Node says on its session.
    Read(bool),
}

/// What is done on the Node.
#[derive(Arbitrary, Debug)]
pub enum Local<'a> {
    Send { kind: u8, message_type: &'a str, channel: Option<&'a str>, data: &'a [u8] },
    Monitor { kind: Option<u8>, message_type: &'a str, node: &'a str },
    CloseMonitors,
    Connect,
    Disconnect,
    Ping(u16),
}

/// What is said to the Node.
#[derive(Arbitrary, Debug)]
pub enum Said<'a> {
    /// Any bytes.
    Raw(&'a [u8]),
    /// Any frame.
    Frame(u8, &'a [u8]),
    /// A frame's beginning.
    Header(u8, u32),
    Hello {
        version: Option<u16>,
        boot: u8,
        received_boot: u64,
        received: u64,
        features: Vec<&'a str>,
    },
    Interest(Vec<Pattern<'a>>),
    Messages {
        origin: Origin,
        boot: u8,
        passed_on: Option<u8>,
        entries: Vec<Entry<'a>>,
    },
    Heartbeat(u64, u64),
    Echo(u64, u64, u64),
    Use,
    Finish,
    Finished(u64),
    Bye(&'a str),
}

#[derive(Arbitrary, Debug)]
pub enum Origin {
    Own,
    Other,
    Node,
}

#[derive(Arbitrary, Debug)]
pub struct Pattern<'a> {
    kind: u8,
    message_type: &'a str,
    channel: Option<&'a str>,
    role: &'a str,
    node: &'a str,
}

#[derive(Arbitrary, Debug)]
pub enum Entry<'a> {
    Head {
        kind: u8,
        role: &'a str,
        message_type: &'a str,
        channel: &'a str,
    },
    Message {
        sequence: u8,
        time: u64,
        data: &'a [u8],
    },
    Jump {
        sequence: u64,
        time: u64,
        data: &'a [u8],
    },
    /// So many of them, each a byte of nil.
    Many(u8),
}

impl Said<'_> {
    pub fn bytes(&self, own: &str, other: &str) -> Vec<u8> {
        match self {
            Said::Raw(bytes) => bytes.to_vec(),
            Said::Frame(kind, payload) => frame(*kind, payload),
            Said::Header(kind, length) => [&[*kind][..], &length.to_le_bytes()].concat(),
            Said::Hello { version, boot, received_boot, received, features } => {
                let mut payload = version.unwrap_or(VERSION).to_le_bytes().to_vec();
                for number in [u64::from(*boot), *received_boot, *received] {
                    payload.extend(number.to_le_bytes());
                }
                payload.push(features.len() as u8);
                features.iter().for_each(|feature| text(&mut payload, feature));
                frame(1, &payload)
            }
            Said::Interest(patterns) => {
                let mut payload = Vec::new();
                for Pattern { kind, message_type, channel, role, node } in patterns {
                    payload.push(if *kind > 4 { 255 } else { *kind });
                    text(&mut payload, message_type);
                    payload.push(channel.is_some().into());
                    channel.iter().for_each(|channel| text(&mut payload, channel));
                    text(&mut payload, role);
                    text(&mut payload, node);
                }
                frame(2, &payload)
            }
            Said::Messages { origin, boot, passed_on, entries } => {
                let mut payload = Vec::new();
                let node = match origin {
                    Origin::Own => own,
                    Origin::Other => other,
                    Origin::Node => crate::NODE,
                };
                text(&mut payload, node);
                payload.extend(u64::from(*boot).to_le_bytes());
                payload.push(passed_on.unwrap_or(0));
                entries.iter().for_each(|entry| entry.put(&mut payload));
                frame(3, &payload)
            }
            Said::Heartbeat(sent, received) => numbers(4, &[*sent, *received]),
            Said::Echo(sent, received, clock) => numbers(5, &[*sent, *received, *clock]),
            Said::Use => frame(6, &[]),
            Said::Finish => frame(7, &[]),
            Said::Finished(received) => numbers(8, &[*received]),
            Said::Bye(reason) => {
                let mut payload = Vec::new();
                text(&mut payload, reason);
                frame(9, &payload)
            }
        }
    }
}

impl Entry<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Entry::Head { kind, role, message_type, channel } => {
                out.extend([0, kind % 5]);
                [role, message_type, channel].into_iter().for_each(|name| text(out, name));
            }
            Entry::Message { sequence, time, data } => {
                message(out, (*sequence).into(), *time, data)
            }
            Entry::Jump { sequence, time, data } => message(out, *sequence, *time, data),
            Entry::Many(count) => (0..*count).for_each(|_| message(out, 1, 0, &[0xc0])),
        }
    }
}

fn message(out: &mut Vec<u8>, sequence: u64, time: u64, data: &[u8]) {
    number(out, data.len() as u64);
    number(out, sequence);
    number(out, time);
    out.extend(data);
}

fn number(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn numbers(kind: u8, numbers: &[u64]) -> Vec<u8> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    frame(kind, &bytes)
}
