//! Programs of the Node: how they are started, what they may reach, how they end.
//!
//! [`Launcher`] starts a [`Process`] of a Role or Transport through `kozo launch` ([`launch`]), a hidden mode of the daemon's program,
//! which takes rights away from itself ([`sandbox`]) and then becomes the program. So the daemon never runs code of
//! its own between a fork and an exec.
//!
//! [`registry`] knows which processes were started here; what descends from a program and outlives it comes
//! back to the Node, which ends it ([`orphans`]). When the Node is killed a [`guard`] does. [`descent`] tells whether a client
//! of the Node is one of its own programs.

pub mod descent;
mod describe;
mod environment;
mod exit;
pub mod guard;
pub mod launch;
mod launcher;
mod limits;
pub mod orphans;
mod owner;
mod registry;
mod running;
mod sandbox;
mod stderr;
mod usage;

pub use describe::installed;
pub use exit::Exit;
pub use launcher::{Launch, LaunchError, Launcher};
pub use limits::Limits;
pub use owner::Owner;
pub use running::Process;
pub use stderr::StderrBudget;
pub use usage::{Usage, usage};
