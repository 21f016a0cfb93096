//! The client's side of a Node's control plane: finds the Nodes that run here and drives them.
//!
//! A Node serves the same D-Bus objects in two places: on the system bus, under a name of its own, and
//! peer to peer on its control socket, which needs no bus. [`Client::connect`] finds either by itself.
//! `kozoctl` is made of this, and programs that drive a Node can be. What both sides have to agree on is in `kozo-core`:
//! [`status`], [`names`] and [`places`].

mod agent;
pub mod client;
pub mod error;
pub mod find;
mod found;
pub mod monitor;
mod options;

pub use kozo_core::{names, places, status};

pub use client::{Changes, Client, Injected, Reloaded};
pub use error::{Attempt, Error};
pub use find::{Lookup, running};
pub use found::{Found, Way};
pub use kozo_core::monitored::{Monitored, MonitoredMessage};
pub use monitor::{Filter, Monitor};
pub use options::Options;
