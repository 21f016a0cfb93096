//! The types of Roles and Transports that the tests of the configuration know.

use std::borrow::Cow;
use std::time::Duration;

use kozo::config::{OptionKind, OptionSpec, OptionValue, Presence, Registry, Schema};

/// The types that the corpus is checked against.
pub(crate) fn registry() -> Registry {
    Registry { roles: vec![timer(), cuckoo(), logger()], transports: vec![tcp()] }
}

fn timer() -> Schema {
    let tick = OptionKind::Duration {
        min: Duration::from_millis(1),
        max: Duration::from_secs(366 * 24 * 3600),
    };
    schema(
        "timer",
        false,
        vec![
            with_default("tick", tick, OptionValue::Duration(Duration::from_secs(1))),
            optional("message", OptionKind::Text),
            with_default("log", OptionKind::Flag, OptionValue::Flag(true)),
        ],
    )
}

fn cuckoo() -> Schema {
    schema(
        "cuckoo",
        true,
        vec![
            optional("timer", OptionKind::RoleOfType(Cow::Borrowed("timer"))),
            with_default("log", OptionKind::Flag, OptionValue::Flag(true)),
        ],
    )
}

fn logger() -> Schema {
    let text = |text: &str| OptionValue::Text(text.to_owned());
    let count = || OptionKind::Integer { min: 1, max: i64::MAX };
    schema(
        "logger",
        false,
        vec![
            with_default(
                "file",
                OptionKind::Path,
                OptionValue::Path("/var/log/kozo/kozo.log".into()),
            ),
            with_default("timePrefix", OptionKind::Text, text("[%Y-%m-%d %H:%M:%S] ")),
            with_default("flushEvery", count(), OptionValue::Integer(1024)),
            with_default("clearLog", OptionKind::Flag, OptionValue::Flag(false)),
            with_default("nodeRestrict", OptionKind::NodeOrAny, text("*")),
            with_default("rotateEvery", count(), OptionValue::Integer(524_288)),
            with_default(
                "rotateMax",
                OptionKind::Integer { min: 0, max: 1000 },
                OptionValue::Integer(9),
            ),
        ],
    )
}

fn tcp() -> Schema {
    schema(
        "tcp",
        false,
        vec![
            spec("address", OptionKind::Addresses, Presence::Required),
            with_default("bindAddress", OptionKind::Text, OptionValue::Text(String::new())),
            with_default(
                "port",
                OptionKind::Integer { min: 1, max: 65535 },
                OptionValue::Integer(6020),
            ),
            with_default(
                "socketConnectionBacklog",
                OptionKind::Integer { min: 1, max: 65535 },
                OptionValue::Integer(256),
            ),
        ],
    )
}

fn schema(name: &'static str, needs_storage: bool, options: Vec<OptionSpec>) -> Schema {
    Schema { name: name.into(), description: Cow::Borrowed("For tests."), options, needs_storage }
}

fn spec(name: &'static str, kind: OptionKind, presence: Presence) -> OptionSpec {
    OptionSpec { name: name.into(), kind, presence, description: Cow::Borrowed("For tests.") }
}

fn optional(name: &'static str, kind: OptionKind) -> OptionSpec {
    spec(name, kind, Presence::Optional)
}

fn with_default(name: &'static str, kind: OptionKind, default: OptionValue) -> OptionSpec {
    spec(name, kind, Presence::Default(default))
}
