//! The Role `debugger`: what it does and takes.

use std::time::Duration;

use super::{LOG, flag, number};
use crate::config::schema::{optional, with_default};
use crate::config::{OptionKind, OptionValue, Schema};

const LONGEST_TIMEOUT: Duration = Duration::from_secs(366 * 24 * 3600);

/// What it does and takes.
pub fn schema() -> Schema {
    Schema {
        name: "debugger".into(),
        description: "Opens a console to look into the Node when an Order `debug` comes.".into(),
        options: vec![
            optional(
                "password",
                OptionKind::Text,
                "Password of the console. When not given, a new one is made for every Order and \
                 written to the daemon's log only.",
            ),
            flag(
                "allowRemote",
                false,
                "Whether other machines may connect. What they send and see is not encrypted.",
            ),
            with_default(
                "debugTimeout",
                OptionKind::Duration { min: Duration::from_secs(1), max: LONGEST_TIMEOUT },
                OptionValue::Duration(Duration::from_secs(600)),
                "How long one can attach after an Order, in seconds or with a unit. Who is \
                 attached by then may stay.",
            ),
            optional(
                "channel",
                OptionKind::Text,
                "Channel of the Orders to obey; all `debug` Orders when not given.",
            ),
            number("port", 0, 65_535, 0, "TCP port of the console; 0 for any free one."),
            flag(LOG, true, "Whether to send a Log Message for every attempt to debug."),
        ],
        ..Schema::default()
    }
}
