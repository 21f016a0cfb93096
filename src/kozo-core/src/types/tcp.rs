//! The Transport `tcp`: what it does and takes.

use super::{number, text};
use crate::config::schema::required;
use crate::config::{Listens, OptionKind, Sample, SampleOption, Schema};

/// Names that a daemon looks up at once. A name server that does not answer holds each of them for many
/// seconds, in a thread that cannot be called back.
pub const LOOKUPS: usize = 64;

/// What it does and takes.
pub fn schema() -> Schema {
    Schema {
        name: "tcp".into(),
        description: "A TCP connection: the fastest and most reliable Transport.".into(),
        options: vec![
            required(
                "address",
                OptionKind::Addresses,
                "Where other Nodes reach this one: names, IPv4 and IPv6 addresses, tried all at \
                 once. Add `:PORT` if it differs from `port`. A link-local address names its \
                 interface: `fe80::1%eth0`, or `[fe80::1%eth0]:6021` with a port.",
            ),
            text(
                "bindAddress",
                OptionKind::BindAddress,
                "",
                "Address to listen on; empty for all interfaces.",
            ),
            number("port", 1, 65_535, 6020, "TCP port to listen on."),
            number(
                "socketConnectionBacklog",
                1,
                65_535,
                256,
                "Connections that the kernel queues until the Node accepts them.",
            ),
        ],
        listens: Some(Listens {
            address: "address".into(),
            bind_address: "bindAddress".into(),
            port: "port".into(),
            backlog: "socketConnectionBacklog".into(),
        }),
        sample: Sample {
            comment: Some(
                "Where the others reach it: names and addresses, separated by commas.".into(),
            ),
            options: vec![SampleOption {
                option: "port".into(),
                comment: Some("Where it listens.".into()),
                value: None,
            }],
        },
        ..Schema::default()
    }
}
