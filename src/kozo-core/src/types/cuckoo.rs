//! The Role `cuckoo`: what it does and takes.

use super::{LOG, flag};
use crate::config::schema::optional;
use crate::config::{OptionKind, Schema};

/// What it does and takes.
pub fn schema() -> Schema {
    Schema {
        name: "cuckoo".into(),
        description: "Prints every tick and remembers the last one.".into(),
        options: vec![
            optional(
                "timer",
                OptionKind::RoleOfType("timer".into()),
                "The timer to follow. Default: every timer of the System.",
            ),
            flag(LOG, true, "Send a Log Message for every tick."),
        ],
        needs_storage: true,
        ..Schema::default()
    }
}
