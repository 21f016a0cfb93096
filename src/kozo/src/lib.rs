//! What a Kōzō Node is made of.
//!
//! A Node runs Roles, which exchange Messages with the Roles of other Nodes over mutually
//! authenticated, encrypted links. `ARCHITECTURE.md` at the top of the repository has the map. Messages,
//! configuration and status are in `kozo-core`; the modules here depend on each other in one direction only:
//!
//! `class`, `queue`, `rate_limiter` and `local` use none of the others · `wire`, `transport` and `role` use those · `roles` uses
//! `role` · `session` uses `wire` and `transport` · `link` uses `wire`, `transport` and `session` · `node` joins them all ·
//! `service` and the program around it use `node`.

pub mod bus;
pub mod class;
pub mod cli;
pub mod control;
pub mod daemon;
pub mod link;
pub(crate) mod local;
pub mod log;
pub mod node;
pub mod output;
pub mod process;
pub mod queue;
pub(crate) mod rate_limiter;
pub mod role;
pub mod roles;
pub mod rpc;
pub mod service;
pub mod session;
pub mod signals;
pub mod testnet;
pub mod transport;
pub mod wire;

pub use kozo_core::{config, interest, keygen, message, pack, status, value};

/// A future that a trait object can give.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
