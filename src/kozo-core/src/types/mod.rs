//! The types of Roles and Transports that every daemon has, as data: what each does and takes.
//!
//! The daemon runs them; whoever only checks, writes or explains a configuration needs no more than this.

pub mod cuckoo;
pub mod debugger;
pub mod logger;
pub mod message_injector;
pub mod tcp;
pub mod timer;

use std::borrow::Cow;

use crate::config::{OptionKind, OptionSpec, OptionValue, Presence, Registry};

/// The option of most types of Roles that says whether they send Log Messages.
pub const LOG: &str = "log";

/// Threads of a daemon for what blocks: looking up names, and besides disks, which never wait for names. There
/// are only as many as have something to do.
pub const BLOCKING_THREADS: usize = tcp::LOOKUPS + 8;

/// The types that every daemon has.
pub fn built_in() -> Registry {
    Registry {
        roles: vec![
            timer::schema(),
            cuckoo::schema(),
            logger::schema(),
            message_injector::schema(),
            debugger::schema(),
        ],
        transports: vec![tcp::schema()],
    }
}

fn option(
    name: &'static str,
    kind: OptionKind,
    presence: Presence,
    description: &'static str,
) -> OptionSpec {
    let (name, description) = (Cow::Borrowed(name), Cow::Borrowed(description));
    OptionSpec { name, kind, presence, description }
}

fn flag(name: &'static str, default: bool, description: &'static str) -> OptionSpec {
    let default = Presence::Default(OptionValue::Flag(default));
    option(name, OptionKind::Flag, default, description)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(kind: &OptionKind, value: &OptionValue) -> bool {
        match (kind, value) {
            (OptionKind::Integer { min, max }, OptionValue::Integer(value)) => {
                (min..=max).contains(&value)
            }
            (OptionKind::Duration { min, max }, OptionValue::Duration(value)) => {
                (min..=max).contains(&value)
            }
            (OptionKind::Size { min, max }, OptionValue::Size(value)) => {
                (min..=max).contains(&value)
            }
            (OptionKind::Flag, OptionValue::Flag(_))
            | (OptionKind::Path, OptionValue::Path(_))
            | (OptionKind::Addresses, OptionValue::List(_))
            | (
                OptionKind::Text
                | OptionKind::BindAddress
                | OptionKind::NodeOrAny
                | OptionKind::RoleOfType(_),
                OptionValue::Text(_),
            ) => true,
            _ => false,
        }
    }

    #[test]
    fn every_type_is_there_and_its_defaults_are_allowed() {
        let types = built_in();
        let schemas = types.roles.iter().chain(&types.transports);
        let names: Vec<_> = schemas.clone().map(|schema| schema.name.as_ref()).collect();
        assert_eq!(names, ["timer", "cuckoo", "logger", "message_injector", "debugger", "tcp"]);
        for spec in schemas.flat_map(|schema| &schema.options) {
            if let Presence::Default(value) = &spec.presence {
                assert!(fits(&spec.kind, value), "{}", spec.name);
            }
        }
    }
}
