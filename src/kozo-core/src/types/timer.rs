//! The Role `timer`: what it does and takes.

use std::time::Duration;

use super::{LOG, flag, option};
use crate::config::{OptionKind, OptionValue, Presence, Schema};

/// Time from one tick to the next, where none is given.
pub const DEFAULT_TICK: Duration = Duration::from_secs(1);

/// The longest tick: ten years. Far enough, and no sum of times overflows.
const LONGEST_TICK: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// What it does and takes.
pub fn schema() -> Schema {
    Schema {
        name: "timer".into(),
        description: "Sends an Event `tick` at a regular interval.".into(),
        options: vec![
            option(
                "tick",
                OptionKind::Duration { min: Duration::from_millis(1), max: LONGEST_TICK },
                Presence::Default(OptionValue::Duration(DEFAULT_TICK)),
                "Time from one tick to the next, in seconds or with a unit.",
            ),
            option(
                "message",
                OptionKind::Text,
                Presence::Optional,
                "A text that every tick carries.",
            ),
            flag(LOG, true, "Whether to send a Log Message with every tick."),
        ],
        needs_storage: false,
    }
}
