//! The values that Messages carry: read from literals, and shown to people and their tools.

pub mod literal;
pub mod show;
