//! The built daemon, as people run it: real processes with real keys on loopback, and everything
//! that is promised of them, measured from outside.
//!
//! Every Node has a loopback address of its own (see `support::address`), so that tests run beside
//! each other, as processes or as threads. Waiting is for a condition, with a deadline.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod attached;
mod command_line;
mod cuts;
mod flood;
mod flow;
mod frugality;
mod handles;
mod keys;
mod signals;
mod support;
mod transports;
mod trouble;
mod walls;
