//! `kozoctl` as people and scripts use it: the built program, against Nodes that really run, over their
//! control sockets, without a bus.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod answers;
mod commands;
mod completion;
mod failures;
mod first_steps;
mod kit;
mod messages;
mod offline;
mod proportion;
mod remote;
mod roles;
mod streams;
mod waiting;
