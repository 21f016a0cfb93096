//! The types of Roles and Transports that every daemon has, as data: what each does, takes, writes, where it
//! listens, and what a new configuration says of it.
//!
//! The daemon runs them. To check, write or explain a configuration, or to tell systemd of it, takes no more than
//! this, and no program that does so knows a type by its name.

pub mod cuckoo;
pub mod debugger;
pub mod exec;
pub mod logger;
pub mod message_injector;
pub mod tcp;
pub mod timer;

use std::borrow::Cow;

use crate::config::programs::{Programs, TypeKind};
use crate::config::schema::with_default;
use crate::config::{OptionKind, OptionSpec, OptionValue, Registry, SampleOption};

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
            exec::schema(),
        ],
        transports: vec![tcp::schema()],
        role_programs: Programs::installed(TypeKind::Role),
        transport_programs: Programs::installed(TypeKind::Transport),
    }
}

fn flag(name: &'static str, default: bool, description: &'static str) -> OptionSpec {
    with_default(name, OptionKind::Flag, OptionValue::Flag(default), description)
}

fn number(
    name: &'static str,
    min: i64,
    max: i64,
    default: i64,
    description: &'static str,
) -> OptionSpec {
    let default = OptionValue::Integer(default);
    with_default(name, OptionKind::Integer { min, max }, default, description)
}

fn text(
    name: &'static str,
    kind: OptionKind,
    default: &str,
    description: &'static str,
) -> OptionSpec {
    with_default(name, kind, OptionValue::Text(default.to_owned()), description)
}

fn sample(option: &'static str, value: impl Into<Cow<'static, str>>) -> SampleOption {
    SampleOption { option: option.into(), comment: None, value: Some(value.into()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::config::{self, Presence, Schema};

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
        assert_eq!(
            names,
            ["timer", "cuckoo", "logger", "message_injector", "debugger", "exec", "tcp"]
        );
        for spec in schemas.flat_map(|schema| &schema.options) {
            if let Presence::Default(value) = &spec.presence {
                assert!(fits(&spec.kind, value), "{}", spec.name);
            }
        }
    }

    /// The names in a description are those of options of its own, of the kinds that they must be.
    #[test]
    fn what_a_type_says_of_its_options_holds() {
        let types = built_in();
        for schema in types.roles.iter().chain(&types.transports) {
            let kind = |name: &str| {
                let spec = schema.option(name);
                &spec.unwrap_or_else(|| panic!("{} has no {name}", schema.name)).kind
            };
            for file in &schema.writes {
                assert_eq!(*kind(&file.option), OptionKind::Path);
            }
            if let Some(listens) = &schema.listens {
                assert_eq!(*kind(&listens.address), OptionKind::Addresses);
                assert_eq!(*kind(&listens.bind_address), OptionKind::BindAddress);
                assert!(matches!(kind(&listens.port), OptionKind::Integer { .. }));
                assert!(matches!(kind(&listens.backlog), OptionKind::Integer { .. }));
                assert!(schema.usual_port().is_some_and(|port| port > 0));
            }
            for sample in &schema.sample.options {
                kind(&sample.option);
            }
        }
    }

    /// What a new configuration says of a Role can be read.
    #[test]
    fn samples_are_values_of_their_options() {
        let types = built_in();
        for schema in &types.roles {
            let Schema { name, sample, .. } = schema;
            let options = sample.options.iter().filter_map(|sample| {
                Some(format!("        {}: {}\n", sample.option, sample.value.as_ref()?))
            });
            let text = format!(
                "system:\n  n:\n    privateKey: /k\n    publicKey: {KEY}\n    roleStorage: /s\n    \
                 roles:\n      {name}:\n        type: {name}\n{}",
                options.collect::<String>()
            );
            config::check("sample", &text, None, &types).unwrap();
        }
    }

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJT1wTqcxP8JEZ/8l1rrKs+1Trp8IGbBxgRFVdqVhUp/";
}
