//! What every program of a Kōzō System shares: plain data and the rules for it.
//!
//! There is no runtime, no network and no clock in here, so that daemon, clients, generator and
//! programs of others all can depend on it, and it depends on none of them.
//!
//! `queue` and `pack` use none of the others · `message` uses `pack` and `queue` · `interest` uses
//! `message` · `value` and `private_key` stand by themselves · `keygen` uses `private_key` · `config`
//! uses `queue` and `private_key` · `types` uses `config`.

pub mod config;
pub mod interest;
pub mod keygen;
pub mod message;
pub mod pack;
pub mod private_key;
pub mod queue;
pub mod types;
pub mod value;
