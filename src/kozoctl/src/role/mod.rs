//! `kozoctl role new` and `kozoctl role try`: Roles of one's own, from the first line on.

pub(crate) mod attempt;
pub(crate) mod new;
