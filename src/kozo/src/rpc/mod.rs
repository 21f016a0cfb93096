//! JSON-RPC 2.0, as the Node speaks it with programs, whatever they are: lines or values of MessagePack ([`input`]), what is in
//! them ([`part`], [`request`]) and what is wrong with them ([`fault`]), and what the Node says ([`output`]).

pub(crate) mod budget;
pub(crate) mod fault;
pub(crate) mod input;
pub(crate) mod journal;
pub(crate) mod output;
pub(crate) mod part;
pub(crate) mod request;

use crate::config::programs::Encoding as Described;
pub use budget::{LONGEST_LINE, LineBudget};
pub(crate) use fault::{Fault, code};
pub(crate) use input::{Broken, Input};
pub(crate) use part::Part;

/// How the two sides encode what they say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As JSON, an object a line.
    #[default]
    Json,
    /// As values of MessagePack, one behind the other.
    MessagePack,
}

impl From<Described> for Encoding {
    fn from(described: Described) -> Self {
        match described {
            Described::Json => Encoding::Json,
            Described::MessagePack => Encoding::MessagePack,
        }
    }
}
