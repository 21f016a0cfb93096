//! The Role `debugger`: what it does and takes.

use std::time::Duration;

use super::{LOG, flag, option};
use crate::config::{OptionKind, OptionValue, Presence, Schema};

/// How long one can attach after an Order, where nothing is given.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

const LONGEST_TIMEOUT: Duration = Duration::from_secs(366 * 24 * 3600);

/// What it does and takes.
pub fn schema() -> Schema {
    Schema {
        name: "debugger".into(),
        description: "Opens a console to look into the Node when an Order `debug` comes.".into(),
        options: vec![
            option(
                "password",
                OptionKind::Text,
                Presence::Optional,
                "Password of the console. When not given, a new one is made for every Order and \
                 written to the daemon's log only.",
            ),
            flag(
                "allowRemote",
                false,
                "Whether other machines may connect. What they send and see is not encrypted.",
            ),
            option(
                "debugTimeout",
                OptionKind::Duration { min: Duration::from_secs(1), max: LONGEST_TIMEOUT },
                Presence::Default(OptionValue::Duration(DEFAULT_TIMEOUT)),
                "How long one can attach after an Order, in seconds or with a unit. Who is \
                 attached by then may stay.",
            ),
            option(
                "channel",
                OptionKind::Text,
                Presence::Optional,
                "Channel of the Orders to obey; all `debug` Orders when not given.",
            ),
            option(
                "port",
                OptionKind::Integer { min: 0, max: 65535 },
                Presence::Default(OptionValue::Integer(0)),
                "TCP port of the console; 0 for any free one.",
            ),
            flag(LOG, true, "Whether to send a Log Message for every attempt to debug."),
        ],
        needs_storage: false,
    }
}
