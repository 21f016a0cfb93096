//! The values that Messages carry: read from literals and JSON, and shown to people and their tools.

pub mod json;
pub mod literal;
pub mod show;
