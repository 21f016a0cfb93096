//! Links: this Node's relation to each Peer.
//!
//! Each link is one task ([`task`]) that drives one pure state machine ([`machine`]): it dials
//! ([`dial`]), takes what comes in, keeps one session in use, and notices when the Peer is gone. A
//! session has a reader ([`reader`], called by the task that decrypts) and a writer ([`writer`]); they
//! speak with each other and with the link only through [`signals`] and [`peer`], so that no task that
//! reads ever waits for a write. What was sent, arrived and was lost is in the pure [`ledger`]. Knows `wire`,
//! `session`, `transport` and `queue`; the Node behind it is a [`Dispatch`].

pub mod backoff;
pub mod command;
pub mod dial;
pub mod dial_limiter;
pub mod dispatch;
pub mod established;
pub mod handshake;
pub mod ledger;
pub mod machine;
pub mod outgoing;
pub mod peer;
pub mod peers;
mod pings;
pub mod policy;
pub mod reader;
mod report;
mod sessions;
pub mod signals;
pub mod standing;
mod status;
pub mod task;
pub mod traffic;
pub mod turn;
mod window;
mod writer;

pub use command::LinkCommand;
pub use dial::Candidate;
pub use dial_limiter::DialLimiter;
pub use dispatch::Dispatch;
pub use established::{Carrier, Established};
pub use handshake::Handshaker;
pub use machine::End;
pub use peer::{Peer, PeerId};
pub use peers::Peers;
