//! What every program of a Kōzō System shares: plain data and the rules for it.
//!
//! There is no runtime, no network and no clock in here, so that daemon, clients, generator and other
//! programs can all depend on it, and it depends on none of them.
//!
//! `queue`, `pack`, `names` and `private_key` use none of the others · `value` uses `pack` · `message` uses `pack`
//! and `queue` · `interest` uses `message`, and `monitored` `value` too · `keygen` uses `private_key`, `places`
//! uses `names` · `config` uses `names`, `queue`, `interest`, `places` and `private_key` · `status` uses `config` · `types` uses
//! `config`, `message` and `places`.

pub mod config;
pub mod interest;
pub mod keygen;
pub mod message;
pub mod monitored;
pub mod names;
pub mod pack;
pub mod pauses;
pub mod places;
pub mod private_key;
pub mod queue;
pub mod status;
pub mod types;
pub mod value;

#[cfg(test)]
#[path = "../../../tests/kit/values.rs"]
#[allow(unreachable_pub)]
mod values;
