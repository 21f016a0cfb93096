//! The Node as a service of systemd: where there is one, and only then.
//!
//! [`journal`] is where log lines go, [`sockets`] takes over what systemd has opened, and
//! [`Service`] tells it how the Node is doing. Nothing here knows how a Node works: it uses the handle
//! that `node` gives to all that ask. The private key comes as a credential; that is for
//! `config::keys` to see.

pub mod journal;
mod notify;
pub mod pause;
pub mod sockets;

pub use notify::{Reloading, Service, failing};
