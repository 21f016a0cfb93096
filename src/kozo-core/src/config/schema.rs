//! What options a Role or Transport type takes, as data; and checked values of them.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;

use super::value;

/// What values an option takes.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionKind {
    /// `true` or `false`.
    Flag,
    /// A whole number within these bounds, both included.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A duration: seconds, or a number with a unit (`500ms`, `30s`, `5min`, `2h`, `1d`).
    Duration {
        /// Shortest.
        min: Duration,
        /// Longest.
        max: Duration,
    },
    /// Bytes, or a number with a unit (`64KiB`, `4MiB`).
    Size {
        /// Smallest, in bytes.
        min: u64,
        /// Largest, in bytes.
        max: u64,
    },
    /// Any text. Numbers and booleans are taken as written.
    Text,
    /// A path in the file system.
    Path,
    /// Addresses at which others reach a machine, each with or without a port: a comma-separated text or a
    /// list.
    Addresses,
    /// An address of this machine to listen at, without a port; empty for all.
    BindAddress,
    /// The name of a Role of this type, somewhere in the System.
    RoleOfType(Cow<'static, str>),
    /// The name of a Node of the System, or `*`.
    NodeOrAny,
    /// One of these words.
    Choice(Vec<Cow<'static, str>>),
    /// A colon-separated text or a list of paths.
    Paths,
    /// A public key, as the line of an OpenSSH `.pub` file.
    PublicKey,
    /// A block of further options, which is described in its own place.
    Block,
}

impl OptionKind {
    /// What is allowed, for messages and documents: "a whole number from 1 to 65535".
    pub fn allowed(&self) -> String {
        match self {
            OptionKind::Flag => "`true` or `false`".to_owned(),
            OptionKind::Integer { min, max } if *max == i64::MAX => {
                format!("a whole number of at least {min}")
            }
            OptionKind::Integer { min, max } => format!("a whole number from {min} to {max}"),
            OptionKind::Duration { min, max } => format!(
                "a duration from {} to {}: seconds (`30`, `0.5`) or with units \
                 (`500ms`, `30s`, `5min`, `2h`, `1d`)",
                value::show_duration(*min),
                value::show_duration(*max)
            ),
            OptionKind::Size { min, max } => format!(
                "a size from {} to {}: bytes (`65536`) or with a unit (`64KiB`, `4MiB`, `8kB`)",
                value::show_size(*min),
                value::show_size(*max)
            ),
            OptionKind::Text => "a text".to_owned(),
            OptionKind::Path => "a path, without `..` if it begins with `/`".to_owned(),
            OptionKind::Addresses => "names and addresses, separated by commas (`a.example, \
                                      10.0.0.1:6020, [2001:db8::7]:6020`) or as a list"
                .to_owned(),
            OptionKind::BindAddress => {
                "an address of this machine or a name for it, without a port; empty for all"
                    .to_owned()
            }
            OptionKind::RoleOfType(name) => {
                format!("the name of a Role of type `{name}`, on any Node")
            }
            OptionKind::NodeOrAny => "the name of a Node, or `*` in quotes for any".to_owned(),
            OptionKind::Choice(words) => match words.as_slice() {
                [only] => format!("`{only}`"),
                words => {
                    let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
                    format!("one of {}", words.join(", "))
                }
            },
            OptionKind::Paths => "paths, separated by `:` or as a list".to_owned(),
            OptionKind::PublicKey => {
                "the line of an OpenSSH public key file: `ssh-ed25519 AAAA… comment`".to_owned()
            }
            OptionKind::Block => "a block of options".to_owned(),
        }
    }
}

/// Whether an option must be there, and what holds when it is not.
#[derive(Clone, Debug, PartialEq)]
pub enum Presence {
    /// Must be given.
    Required,
    /// May be left out, and is then absent.
    Optional,
    /// May be left out, and then has this value.
    Default(OptionValue),
}

/// One option of a Role or Transport type.
#[derive(Clone, Debug, PartialEq)]
pub struct OptionSpec {
    /// Its name in the file.
    pub name: Cow<'static, str>,
    /// What values it takes.
    pub kind: OptionKind,
    /// Whether it must be there.
    pub presence: Presence,
    /// For people: what it does, its unit.
    pub description: Cow<'static, str>,
}

/// A Role or Transport type and its options, besides those that every Role or Transport has.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// Name of the type, as in `type:`.
    pub name: Cow<'static, str>,
    /// For people: what it does.
    pub description: Cow<'static, str>,
    /// Its options.
    pub options: Vec<OptionSpec>,
    /// Whether its Node must have a `roleStorage`.
    pub needs_storage: bool,
}

/// The Role and Transport types that exist on this machine.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// Types of Roles.
    pub roles: Vec<Schema>,
    /// Types of Transports.
    pub transports: Vec<Schema>,
}

/// A checked value of an option.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionValue {
    /// Of [`OptionKind::Flag`].
    Flag(bool),
    /// Of [`OptionKind::Integer`].
    Integer(i64),
    /// Of [`OptionKind::Duration`].
    Duration(Duration),
    /// Of [`OptionKind::Size`], in bytes.
    Size(u64),
    /// Of [`OptionKind::Text`], [`OptionKind::RoleOfType`], [`OptionKind::NodeOrAny`],
    /// [`OptionKind::Choice`], [`OptionKind::PublicKey`], [`OptionKind::BindAddress`].
    Text(String),
    /// Of [`OptionKind::Path`].
    Path(PathBuf),
    /// Of [`OptionKind::Addresses`], [`OptionKind::Paths`].
    List(Vec<String>),
}

/// Checked options by name, in the order of the schema.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options(pub IndexMap<String, OptionValue>);

impl Options {
    /// A flag; false when absent.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(OptionValue::Flag(true)))
    }

    /// A whole number, if present.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.0.get(name)? {
            OptionValue::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// A duration, if present.
    pub fn duration(&self, name: &str) -> Option<Duration> {
        match self.0.get(name)? {
            OptionValue::Duration(value) => Some(*value),
            _ => None,
        }
    }

    /// Bytes, if present.
    pub fn size(&self, name: &str) -> Option<u64> {
        match self.0.get(name)? {
            OptionValue::Size(value) => Some(*value),
            _ => None,
        }
    }

    /// A text, if present.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name)? {
            OptionValue::Text(value) => Some(value),
            _ => None,
        }
    }

    /// A path, if present.
    pub fn path(&self, name: &str) -> Option<&std::path::Path> {
        match self.0.get(name)? {
            OptionValue::Path(value) => Some(value),
            _ => None,
        }
    }

    /// A list of texts; empty when absent.
    pub fn list(&self, name: &str) -> &[String] {
        match self.0.get(name) {
            Some(OptionValue::List(value)) => value,
            _ => &[],
        }
    }
}
