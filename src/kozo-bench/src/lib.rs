//! What the programs of this package count alike: `kozo-bench`, whose parts are Roles of the Node in its own process,
//! and `kozo-bench-role`, whose parts are Roles in a process of their own.

pub mod figures;
pub mod tally;
