//! The Role `timer`: what it does and takes.

use std::time::Duration;

use super::{LOG, flag, sample};
use crate::config::schema::{optional, with_default};
use crate::config::{OptionKind, OptionValue, Sample, Schema};

/// The longest tick: ten years. Far enough, and no sum of times overflows.
const LONGEST_TICK: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// What it does and takes.
pub fn schema() -> Schema {
    Schema {
        name: "timer".into(),
        description: "Sends an Event `tick` at a regular interval.".into(),
        options: vec![
            with_default(
                "tick",
                OptionKind::Duration { min: Duration::from_millis(1), max: LONGEST_TICK },
                OptionValue::Duration(Duration::from_secs(1)),
                "Time from one tick to the next, in seconds or with a unit. The data of a tick is \
                 `[message, \"HH:MM:SS\"]`.",
            ),
            optional("message", OptionKind::Text, "A text to send with every tick."),
            flag(LOG, true, "Send a Log Message with every tick."),
        ],
        sample: Sample { options: vec![sample("tick", "10s")], comment: None },
        ..Schema::default()
    }
}
