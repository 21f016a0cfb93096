//! Programs on the crate `kozo-role`: its examples, with a real Node that starts them, and with a Transport's Node that the
//! test plays.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod roles;
mod support;
mod transports;
