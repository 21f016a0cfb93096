//! The Role `cuckoo`: what it does and takes.

use super::{LOG, flag, option};
use crate::config::{OptionKind, Presence, Schema};

/// What it does and takes.
pub fn schema() -> Schema {
    Schema {
        name: "cuckoo".into(),
        description: "Prints every tick and remembers the last one.".into(),
        options: vec![
            option(
                "timer",
                OptionKind::RoleOfType("timer".into()),
                Presence::Optional,
                "Name of the timer to listen to; all timers of the System when not given.",
            ),
            flag(LOG, true, "Whether to send a Log Message for every tick."),
        ],
        needs_storage: true,
    }
}
