//! What a Kōzō Node is made of.
//!
//! A Node runs Roles, which exchange Messages with the Roles of other Nodes over mutually
//! authenticated, encrypted links. `ARCHITECTURE.md` at the top of the repository has the map; the
//! modules depend on each other in one direction only:
//!
//! `class`, `message`, `interest`, `queue`, `status` know nobody · `config` knows `queue` · `wire` knows
//! `message` and `interest` · `transport` and `role` know those · `link` knows `wire`, `transport`
//! and `queue` · `node` joins them all · `service` and the program around it know `node`.

pub mod bench;
pub mod bus;
pub mod class;
pub mod cli;
pub mod control;
pub mod daemon;
pub mod link;
pub mod log;
pub mod node;
pub mod output;
pub mod queue;
pub mod role;
pub mod service;
pub mod signals;
pub mod storage;
pub mod testnet;
pub mod transport;
pub mod wire;

pub use kozo_client::status;
pub use kozo_core::{config, interest, keygen, message, pack};

/// What goes wrong where a boxed future is handed around.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
