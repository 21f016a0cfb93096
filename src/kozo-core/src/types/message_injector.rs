//! The Role `message_injector`: what it does and takes.

use super::{LOG, flag, option};
use crate::config::{OptionKind, OptionValue, Presence, Schema};

/// Address to listen at, where none is given.
pub const DEFAULT_ADDRESS: &str = "localhost";
/// TCP port to listen at, where none is given.
pub const DEFAULT_PORT: u16 = 7050;

/// What it does and takes.
pub fn schema() -> Schema {
    Schema {
        name: "message_injector".into(),
        description: "Sends the Messages that are written to a TCP port, one on each line.".into(),
        options: vec![
            option(
                "bindAddress",
                OptionKind::BindAddress,
                Presence::Default(OptionValue::Text(DEFAULT_ADDRESS.to_owned())),
                "Address to listen at. Whoever reaches it can send any Message.",
            ),
            option(
                "bindPort",
                OptionKind::Integer { min: 1, max: 65535 },
                Presence::Default(OptionValue::Integer(i64::from(DEFAULT_PORT))),
                "TCP port to listen at.",
            ),
            flag(LOG, true, "Whether to send a Log Message for every line."),
        ],
        needs_storage: false,
    }
}
