//! The Role `message_injector`: what it does and takes.

use super::{LOG, flag, number, sample, text};
use crate::config::{OptionKind, Sample, Schema};

/// The TCP port to listen at, where none is given.
const PORT: u16 = 7050;

/// What it does and takes.
pub fn schema() -> Schema {
    Schema {
        name: "message_injector".into(),
        description: "Sends the Messages that programs write to a TCP port, one per line.".into(),
        options: vec![
            text(
                "bindAddress",
                OptionKind::BindAddress,
                "localhost",
                "Address to listen on. Every program that reaches it can send any Message.",
            ),
            number("bindPort", 1, 65_535, PORT.into(), "TCP port to listen on."),
            flag(LOG, true, "Send a Log Message for every line."),
        ],
        sample: Sample { options: vec![sample("bindPort", PORT.to_string())], comment: None },
        ..Schema::default()
    }
}
