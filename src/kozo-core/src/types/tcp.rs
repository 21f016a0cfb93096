//! The Transport `tcp`: what it does and takes.

use super::option;
use crate::config::{OptionKind, OptionValue, Presence, Schema};

/// Port to listen at, where none is given.
pub const DEFAULT_PORT: u16 = 6020;

/// Names that a daemon looks up at once. A name server that does not answer holds each of them for many
/// seconds, in a thread that cannot be called back.
pub const LOOKUPS: usize = 64;

/// What it does and takes.
pub fn schema() -> Schema {
    Schema {
        name: "tcp".into(),
        description: "A TCP connection: the fastest and most reliable Transport.".into(),
        options: vec![
            option(
                "address",
                OptionKind::Addresses,
                Presence::Required,
                "Addresses at which other Nodes reach this one: names, IPv4 or IPv6 \
                 addresses, each with `:PORT` if it is not `port`.",
            ),
            option(
                "bindAddress",
                OptionKind::BindAddress,
                Presence::Default(OptionValue::Text(String::new())),
                "Address to listen on; empty for all interfaces.",
            ),
            option(
                "port",
                OptionKind::Integer { min: 1, max: i64::from(u16::MAX) },
                Presence::Default(OptionValue::Integer(i64::from(DEFAULT_PORT))),
                "TCP port to listen on.",
            ),
            option(
                "socketConnectionBacklog",
                OptionKind::Integer { min: 1, max: 65_535 },
                Presence::Default(OptionValue::Integer(256)),
                "Connections that the kernel may hold until they are accepted.",
            ),
        ],
        needs_storage: false,
    }
}
