//! What options a Role or Transport type takes, as data; and checked values of them.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;

use super::programs::{Programs, TypeKind};
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
    /// A number within these bounds, both included.
    Number {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
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
    /// Texts: one, or a list of them. The value is a list.
    Texts,
    /// A text, or a list of texts. The value is which of these it is written as.
    TextOrTexts,
    /// A block of names and their values: variables of an environment.
    Variables,
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
    /// Which Messages are wanted, as [`Interest`](crate::interest::Interest) reads it: a text, or a list of them.
    Interests,
    /// A command: a text for the shell, or a list of a program and its arguments.
    Command,
    /// A block of these options.
    Options(Vec<OptionSpec>),
    /// A block of further options, which is described in its own place.
    Block,
}

impl OptionKind {
    /// What is allowed, for messages and documents: "a whole number from 1 to 65535".
    pub fn allowed(&self) -> String {
        match self {
            OptionKind::Flag => "`true` or `false`".to_owned(),
            OptionKind::Integer { min, max } => {
                bounds("a whole number", min, max, *min == i64::MIN, *max == i64::MAX)
            }
            OptionKind::Number { min, max } => {
                bounds("a number", min, max, !min.is_finite(), !max.is_finite())
            }
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
            OptionKind::Texts | OptionKind::TextOrTexts => "a text, or a list of texts".to_owned(),
            OptionKind::Variables => {
                "a block of variables, `NAME: value`; a name consists of letters, digits and `_`"
                    .to_owned()
            }
            OptionKind::Path => "a path; `..` only in a relative one".to_owned(),
            OptionKind::Addresses => "names and addresses, separated by commas (`a.example, \
                                      10.0.0.1:6020, [2001:db8::7]:6020`) or as a list"
                .to_owned(),
            OptionKind::BindAddress => {
                "an address or name of this machine, without a port; empty for all".to_owned()
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
            OptionKind::Interests => "patterns, one or a list: `TYPE`, `KIND:TYPE` or \
                                      `KIND:TYPE:CHANNEL` (`tick`, `event:tick:kitchen`, `order:*`)"
                .to_owned(),
            OptionKind::Command => {
                "a text for the shell (`date | tee -a log`), or a list of a program \
                                    and its arguments (`[date, -u]`)"
                    .to_owned()
            }
            OptionKind::Options(specs) => {
                let names: Vec<_> = specs.iter().map(|spec| format!("`{}`", spec.name)).collect();
                format!("a block of options: {}", names.join(", "))
            }
            OptionKind::Block => "a block of options".to_owned(),
        }
    }
}

fn bounds(
    what: &str,
    min: &dyn fmt::Display,
    max: &dyn fmt::Display,
    low: bool,
    high: bool,
) -> String {
    match (low, high) {
        (true, true) => what.to_owned(),
        (true, false) => format!("{what} of at most {max}"),
        (false, true) => format!("{what} of at least {min}"),
        (false, false) => format!("{what} from {min} to {max}"),
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

/// A Role or Transport type and its options, besides those that every Role or Transport has: all that
/// others than the daemon have to know of it. What it asks of systemd beyond this is in the drop-in
/// `role-NAME.conf` or `transport-NAME.conf`, if there is one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schema {
    /// Name of the type, as in `type:`.
    pub name: Cow<'static, str>,
    /// For people: what it does.
    pub description: Cow<'static, str>,
    /// Its options.
    pub options: Vec<OptionSpec>,
    /// Options of which one at least must be given; all may be left out if this is empty.
    pub any_of: Vec<Cow<'static, str>>,
    /// Whether its Node must have a `roleStorage`.
    pub needs_storage: bool,
    /// Whether it runs programs: its Node then needs what those may need.
    pub runs_programs: bool,
    /// The files that it writes.
    pub writes: Vec<WrittenFile>,
    /// Where a Transport listens, if that is a TCP port at which systemd can listen for it.
    pub listens: Option<Listens>,
    /// What a new configuration says of it.
    pub sample: Sample,
}

/// A file that a Role writes. The service may write to its folder. In a new configuration it is the Node's
/// own, with the name of the Node: where the service writes logs, or else beside the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenFile {
    /// The option that names it, which takes a path.
    pub option: Cow<'static, str>,
    /// What its name ends with in a new configuration, without the dot.
    pub extension: Cow<'static, str>,
}

/// The options that say where a Transport listens, and where others find it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listens {
    /// The option with the addresses at which others reach it.
    pub address: Cow<'static, str>,
    /// The option with the one address at which it listens; empty for all.
    pub bind_address: Cow<'static, str>,
    /// The option with its TCP port, which has a default.
    pub port: Cow<'static, str>,
    /// The option with the number of connections that the kernel may hold until they are accepted.
    pub backlog: Cow<'static, str>,
}

/// What a new configuration says of a Role or Transport, for people to change, besides what they said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The comment above it; the description of its type if there is none.
    pub comment: Option<Cow<'static, str>>,
    /// Options of its type.
    pub options: Vec<SampleOption>,
}

/// An option in a new configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SampleOption {
    /// Its name.
    pub option: Cow<'static, str>,
    /// The comment above it, if its name does not say enough.
    pub comment: Option<Cow<'static, str>>,
    /// Its value, as the file has it; none if it depends upon the Node.
    pub value: Option<Cow<'static, str>>,
}

impl Schema {
    /// What it does and needs, in whole sentences.
    pub fn summary(&self) -> String {
        let storage = if self.needs_storage { " Requires roleStorage." } else { "" };
        format!("{}{storage}", self.description)
    }

    /// The option of this name, if it has one.
    pub fn option(&self, name: &str) -> Option<&OptionSpec> {
        self.options.iter().find(|spec| spec.name == name)
    }

    /// Its options as given, else by default.
    pub fn with_defaults(&self, given: &Options) -> Options {
        with_defaults(&self.options, given)
    }

    /// The TCP port at which it listens unless it is told otherwise.
    pub fn usual_port(&self) -> Option<u16> {
        let port = self.with_defaults(&Options::default()).integer(&self.listens.as_ref()?.port)?;
        u16::try_from(port).ok()
    }

    /// What a new configuration says of this option, if anything.
    pub fn sample_of(&self, option: &str) -> Option<&SampleOption> {
        self.sample.options.iter().find(|sample| sample.option == option)
    }
}

/// The Role and Transport types that exist on this machine.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// Types of Roles that are built in.
    pub roles: Vec<Schema>,
    /// Types of Transports that are built in.
    pub transports: Vec<Schema>,
    /// Types of Roles that are programs.
    pub role_programs: Programs,
    /// Types of Transports that are programs.
    pub transport_programs: Programs,
}

impl Registry {
    /// The built-in type of Roles of this name.
    pub fn role(&self, name: &str) -> Option<&Schema> {
        self.roles.iter().find(|schema| schema.name == name)
    }

    /// The built-in type of Transports of this name.
    pub fn transport(&self, name: &str) -> Option<&Schema> {
        self.transports.iter().find(|schema| schema.name == name)
    }

    /// The built-in types of a kind.
    pub fn built_in(&self, kind: TypeKind) -> &[Schema] {
        match kind {
            TypeKind::Role => &self.roles,
            TypeKind::Transport => &self.transports,
        }
    }

    /// The types of a kind that are programs.
    pub fn programs(&self, kind: TypeKind) -> &Programs {
        match kind {
            TypeKind::Role => &self.role_programs,
            TypeKind::Transport => &self.transport_programs,
        }
    }
}

/// A checked value of an option.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionValue {
    /// Of [`OptionKind::Flag`].
    Flag(bool),
    /// Of [`OptionKind::Integer`].
    Integer(i64),
    /// Of [`OptionKind::Number`].
    Number(f64),
    /// Of [`OptionKind::Duration`].
    Duration(Duration),
    /// Of [`OptionKind::Size`], in bytes.
    Size(u64),
    /// Of [`OptionKind::Text`], [`OptionKind::RoleOfType`], [`OptionKind::NodeOrAny`],
    /// [`OptionKind::Choice`], [`OptionKind::PublicKey`], [`OptionKind::BindAddress`], and of
    /// [`OptionKind::Command`] where it is one for the shell.
    Text(String),
    /// Of [`OptionKind::Path`].
    Path(PathBuf),
    /// Of [`OptionKind::Addresses`], [`OptionKind::Paths`], [`OptionKind::Texts`], [`OptionKind::Interests`], and of
    /// [`OptionKind::Command`] where it is a list.
    List(Vec<String>),
    /// Of [`OptionKind::Options`], defaults filled in.
    Block(Options),
    /// Of [`OptionKind::Variables`].
    Variables(IndexMap<String, String>),
}

impl OptionValue {
    /// As a program is told it: durations are seconds, sizes are bytes.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            OptionValue::Flag(flag) => Json::from(*flag),
            OptionValue::Integer(number) => Json::from(*number),
            OptionValue::Number(number) => Json::from(*number),
            OptionValue::Duration(time) if time.subsec_nanos() == 0 => Json::from(time.as_secs()),
            OptionValue::Duration(time) => Json::from(time.as_secs_f64()),
            OptionValue::Size(bytes) => Json::from(*bytes),
            OptionValue::Text(text) => Json::from(text.as_str()),
            OptionValue::Path(path) => Json::from(path.to_string_lossy()),
            OptionValue::List(list) => Json::from(list.as_slice()),
            OptionValue::Block(options) => Json::Object(options.to_json()),
            OptionValue::Variables(variables) => {
                let texts =
                    variables.iter().map(|(name, text)| (name.clone(), text.clone().into()));
                Json::Object(texts.collect())
            }
        }
    }
}

/// As people write it. A list has commas in it.
impl fmt::Display for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionValue::Flag(flag) => flag.fmt(f),
            OptionValue::Integer(number) => number.fmt(f),
            OptionValue::Number(number) => number.fmt(f),
            OptionValue::Duration(duration) => f.write_str(&value::show_duration(*duration)),
            OptionValue::Size(bytes) => f.write_str(&value::show_size(*bytes)),
            OptionValue::Text(text) => f.write_str(text),
            OptionValue::Path(path) => path.display().fmt(f),
            OptionValue::List(list) => f.write_str(&list.join(", ")),
            OptionValue::Variables(variables) => {
                let all: Vec<_> =
                    variables.iter().map(|(name, text)| format!("{name}={text}")).collect();
                f.write_str(&all.join(", "))
            }
            OptionValue::Block(options) => {
                let each = options.0.iter().map(|(name, value)| format!("{name}: {value}"));
                f.write_str(&each.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// An option that must be given.
pub(crate) fn required(
    name: &'static str,
    kind: OptionKind,
    description: &'static str,
) -> OptionSpec {
    let presence = Presence::Required;
    OptionSpec { name: name.into(), kind, presence, description: description.into() }
}

/// An option that may be left out, and is then absent.
pub(crate) fn optional(
    name: &'static str,
    kind: OptionKind,
    description: &'static str,
) -> OptionSpec {
    let presence = Presence::Optional;
    OptionSpec { name: name.into(), kind, presence, description: description.into() }
}

/// An option that may be left out, and then has this value.
pub(crate) fn with_default(
    name: &'static str,
    kind: OptionKind,
    default: OptionValue,
    description: &'static str,
) -> OptionSpec {
    let presence = Presence::Default(default);
    OptionSpec { name: name.into(), kind, presence, description: description.into() }
}

/// The table's options in its order: as given, else by default.
pub(super) fn with_defaults(specs: &[OptionSpec], given: &Options) -> Options {
    let mut options = Options::default();
    for spec in specs {
        let value = match (given.0.get(&*spec.name), &spec.presence) {
            (Some(value), _) => value.clone(),
            (None, Presence::Default(value)) => value.clone(),
            (None, _) => continue,
        };
        options.0.insert(spec.name.clone().into_owned(), value);
    }
    options
}

/// Checked options by name, in the order of the schema.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options(pub IndexMap<String, OptionValue>);

impl Options {
    /// All of them, as a program is told them.
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        self.0.iter().map(|(name, value)| (name.clone(), value.to_json())).collect()
    }

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

    /// A block of options, if present.
    pub fn block(&self, name: &str) -> Option<&Options> {
        match self.0.get(name)? {
            OptionValue::Block(options) => Some(options),
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
