//! Commands: what happens to a link from outside.

use tokio::sync::oneshot;

use super::established::Established;
use super::machine::SessionId;
use crate::session::SessionError;

/// A command to a link.
pub enum LinkCommand {
    /// Take this session, which was made.
    Ready(Box<Established>),
    /// Forget this session, which is over, and why. (In a box, as every link has room for many commands.)
    Ended(SessionId, Box<SessionError>),
    /// Try to connect at once, and keep the link closed no longer.
    Connect,
    /// Close the link, and keep it closed.
    Disconnect,
    /// Measure the round-trip time, in microseconds. The ping is dropped when the link is not up, or no longer.
    Ping {
        /// Bytes of nothing to be sent first; the time is then that of what follows them.
        padding: usize,
        /// Where the answer goes.
        answer: oneshot::Sender<u64>,
    },
}
