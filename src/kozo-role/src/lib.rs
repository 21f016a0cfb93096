//! Programs that are Roles or Transports of a Kōzō System: both sides of what kozo-role(7) and kozo-transport(7) describe.
//!
//! # A Role
//!
//! ```no_run
//! use std::process::ExitCode;
//! use kozo_role::{Description, Draft, Pattern, Role};
//!
//! fn main() -> ExitCode {
//!     let bell = Description::new("Rings a bell.").interest(Pattern::order("ring"));
//!     Role::describe(bell).run(async |role| {
//!         while let Some(message) = role.receive().await {
//!             let times: u32 = message.data().unwrap_or(1);
//!             role.send(Draft::event("rung").channel(message.channel()).data(&times)).await?;
//!         }
//!         Ok(())
//!     })
//! }
//! ```
//!
//! `cargo run` attaches it to the Node of this machine, until Ctrl-C. To keep it, put the program into a folder of `rolePath`, and give a
//! Node a Role of the type that its file is called: the Node asks it what it is (`--describe`), starts it, and starts it again
//! when it fails. What it prints is in the journal.
//!
//! A Role does one thing after the other, or several by `tokio::task::spawn_local`. Work that blocks a thread belongs into
//! `tokio::task::spawn_blocking`; a [`Role`] can be used there too, by `Handle::block_on`.
//!
//! # A Transport
//!
//! See [`Transport`].

mod arguments;
mod data;
mod description;
mod descriptors;
mod error;
mod hear;
mod input;
mod message;
mod pack;
mod role;
mod speak;
mod transport;

pub use data::Binary;
pub use description::{Description, Encoding, Pattern, Setting, seconds};
pub use descriptors::duplicate;
pub use error::{Error, Failure};
pub use hear::{Peer, PeerState};
pub use message::{Draft, Kind, Message};
pub use role::{News, Program, Role, Sent};
pub use serde_json;
pub use transport::{
    ConfiguredNode, ConfiguredTransport, Connection, Node, Priority, Stream, Target, Transport,
    TransportDescription, TransportProgram,
};

/// How grave a line for the journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something will.
    Warning,
    /// Something happened.
    Info,
    /// Something that helps to find errors.
    Debug,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }
}
