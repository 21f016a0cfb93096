//! Links: this Node's relation to each Peer.
//!
//! Each link is one task ([`task`]) that drives one pure state machine ([`machine`]): it dials
//! ([`dial`]), takes what comes in, keeps one session in use, and notices when the Peer is gone. A
//! session has a reader ([`inbound`], called by whatever decrypts) and a writer ([`writer`]); they
//! speak with each other and with the link only through [`notes`] and [`peer`], so that nobody who
//! reads ever waits for a write. Knows `wire`, `transport` and `queue`; the Node behind it is an
//! [`peer::Exchange`].

pub mod backoff;
pub mod dial;
pub mod greeting;
pub mod inbound;
pub mod machine;
pub mod notes;
pub mod outgoing;
pub mod pace;
pub mod peer;
pub mod policy;
pub mod standing;
pub mod task;
pub mod traffic;
pub mod turn;
mod window;
mod writer;

pub use dial::Candidate;
pub use greeting::{Carrier, Greeted, Greeter};
pub use machine::End;
pub use pace::Pace;
pub use peer::{Exchange, Notice, Peer, PeerId, Peers};
