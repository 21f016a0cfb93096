//! The protocol inside a session's subsystem `kozo`: frames and their codec.
//!
//! A frame is one byte of kind, four bytes of payload length (little-endian) and the payload. What
//! the frames mean, and in which order they come, is in `docs/protocol.md`; `link` acts on them. Kinds
//! this version does not know are skipped, so that later versions can add some. Every length is
//! checked against a bound before anything is allocated for it, memory grows only with bytes that really
//! came, and what would only be thrown away is not kept. Knows `message` and `interest`.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::{Decoder, Frame, Messages, Stage};
pub use encode::{encode, encode_messages};

use crate::interest::Interest;

/// Version of the protocol that this code speaks.
pub const VERSION: u16 = 1;

/// Bytes of a frame in front of its payload.
pub const HEADER: usize = 5;

/// Largest payload: the largest Message, and what is said of it.
pub const MAX_PAYLOAD: usize = crate::message::MAX_MESSAGE + AROUND;

/// Bytes of a frame of Messages for what is said of the first one, beside its own size.
const AROUND: usize = 1024;

/// Largest payload of a frame that holds neither Messages nor interest, and of any before the hello.
pub const MAX_CONTROL: usize = 4 * 1024;

/// Largest payload in which Messages go together. In a larger one there is a single Message.
pub const MAX_BATCH: usize = 64 * 1024;

/// Interests of a Node that are told apart. One that has more, or more than [`MAX_INTEREST`] bytes of
/// them, wants everything as far as its Peers are concerned.
pub const MAX_INTERESTS: usize = 1024;

/// Largest payload of a frame of interest.
pub const MAX_INTEREST: usize = 64 * 1024;

/// Largest number of features that a hello may name.
const MAX_FEATURES: usize = 64;

/// Numbers of the frame kinds.
mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const INTEREST: u8 = 2;
    pub(super) const MESSAGES: u8 = 3;
    pub(super) const HEARTBEAT: u8 = 4;
    pub(super) const ECHO: u8 = 5;
    pub(super) const USE: u8 = 6;
    pub(super) const FINISH: u8 = 7;
    pub(super) const FINISHED: u8 = 8;
    pub(super) const BYE: u8 = 9;
    pub(super) const PADDING: u8 = 10;
}

/// The first frame of either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Version of the protocol.
    pub version: u16,
    /// Random number of this run of the daemon.
    pub boot: u64,
    /// The run of the other side's daemon that `received` speaks of; 0 when there was none.
    pub received_boot: u64,
    /// Messages that came from that run so far, over all sessions.
    pub received: u64,
    /// Extensions that the other side must know.
    pub features: Vec<String>,
}

/// Sent once an interval, beside all else; the other side echoes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Clock of the sender, for itself: microseconds since some moment.
    pub sent: u64,
    /// Messages that the sender received from the other side's run so far.
    pub received: u64,
}

/// The answer to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// [`Heartbeat::sent`] of the heartbeat.
    pub sent: u64,
    /// Messages that the answering side received from the other side's run so far.
    pub received: u64,
    /// Wall clock of the answering side, in microseconds since the Unix epoch.
    pub clock: u64,
}

/// A frame to be sent that is not a batch of Messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// Who I am.
    Hello(&'a Hello),
    /// What my Roles want, all of it; replaces what was announced before.
    Interest(&'a [Interest]),
    /// I am here.
    Heartbeat(Heartbeat),
    /// I heard.
    Echo(Echo),
    /// This is the session to use.
    Use,
    /// No more Messages come from me on this session.
    Finish,
    /// All that came before your finish is taken; the count is as in a heartbeat.
    Finished(u64),
    /// I close this session, and why.
    Bye(&'a str),
    /// So many bytes of nothing, to see how fast they get there. Nothing looks at them, least of all those
    /// who do not know this kind.
    Padding(usize),
}

/// Bytes that are not this protocol. The session they came on is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A frame larger than any may be.
    #[error("a frame of {0} bytes; at most {MAX_PAYLOAD} are allowed")]
    FrameTooLarge(usize),
    /// A payload that ends too early or holds impossible values.
    #[error("a malformed {0} frame")]
    Malformed(&'static str),
    /// A Message that is none.
    #[error("a malformed message: {0}")]
    Message(#[from] crate::message::MessageError),
}
