//! Links between Nodes of one process: tier 2 of the tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::alloc::System;

use cap::Cap;

/// Knows how much of it is in use.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

#[path = "../kit/mod.rs"]
mod kit;

mod accounts;
mod cuts;
mod forgery;
mod interests;
mod interop;
mod mesh;
mod moves;
mod policies;
mod refusals;
mod reload;
mod revoked;
mod servers;
mod sessions;
mod skew;
mod slow;
mod strangers;
mod unlinked;
