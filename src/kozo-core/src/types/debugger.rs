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
        description: "Opens a debug console of the Node on an Order `debug`.".into(),
        options: vec![
            optional(
                "password",
                OptionKind::Text,
                "Password of the console. Default: a new one for every Order, written to the \
                 daemon's log only.",
            ),
            flag(
                "allowRemote",
                false,
                "Let other machines connect. The connection is not encrypted.",
            ),
            with_default(
                "debugTimeout",
                OptionKind::Duration { min: Duration::from_secs(1), max: LONGEST_TIMEOUT },
                OptionValue::Duration(Duration::from_secs(600)),
                "How long the console accepts connections after an Order, in seconds or \
                 with a unit. Open connections stay open.",
            ),
            optional(
                "channel",
                OptionKind::Text,
                "Channel of the Orders to obey. Default: every `debug` Order.",
            ),
            number("port", 0, 65_535, 0, "TCP port of the console; 0 picks a free one."),
            flag(LOG, true, "Send a Log Message for every attempt to debug."),
        ],
        ..Schema::default()
    }
}
