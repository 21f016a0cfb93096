//! Programs of a Node, started through the built `kozo`: what they find, what they may do, how they end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod confined;
mod ends;
mod support;
mod transports;
