//! What a program says of the type that it is: the `roleInfo` of the original, as JSON, and a little more.
//!
//! ```json
//! {
//!     "format": "1.0",
//!     "author": "Ada",
//!     "version": "1.2",
//!     "description": "Rings a bell at every `ring`.",
//!     "config": {
//!         "pin": {"description": "Where the bell is.", "kind": "integer", "min": 0, "max": 40},
//!         "loud": {"description": "Whether it is loud.", "default": false}
//!     },
//!     "interest": [{"kind": "order", "type": "ring"}],
//!     "needsStorage": false
//! }
//! ```
//!
//! An option that has no `default` must be given; one whose `default` is `null` may be left out. Its `kind` is what the
//! default is, unless it says more. Fields that are not known here are left alone, so that there can be more.

use std::time::Duration;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value as Json;

use super::TypeKind;
use super::transport::SaidTraits;
pub use super::transport::{Priority, TransportTraits};
use crate::config::schema::{OptionKind, OptionSpec, OptionValue, Presence, Schema, WrittenFile};
use crate::config::{tables, value as values};
use crate::interest::Interest;

/// Options that a type may have.
const MOST_OPTIONS: usize = 256;

/// Patterns that a description may have.
const MOST_INTERESTS: usize = 256;

/// The longest duration of an option that has no bound: a hundred years.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// How a program speaks with its Node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// JSON, one object a line.
    #[default]
    Json,
    /// MessagePack, one value after the other.
    #[serde(rename = "msgpack")]
    MessagePack,
}

/// What a program says of the type that it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// What it does and takes.
    pub schema: Schema,
    /// Who wrote it.
    pub author: Option<String>,
    /// Which version it is.
    pub version: Option<String>,
    /// What it wants from its start on, if it says so.
    pub interest: Option<Vec<Interest>>,
    /// How it speaks.
    pub encoding: Encoding,
    /// How it is to be used, if it is a Transport.
    pub transport: Option<TransportTraits>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with a `format`")]
struct Said {
    format: Format,
    kind: Option<String>,
    author: Option<String>,
    version: Option<Text>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    config: IndexMap<String, SaidOption>,
    interest: Option<Vec<IndexMap<String, String>>>,
    #[serde(default)]
    needs_storage: bool,
    /// Options that name files which it writes.
    #[serde(default)]
    writes: Vec<String>,
    #[serde(default)]
    encoding: Encoding,
    #[serde(flatten)]
    traits: SaidTraits,
}

/// The original's `'1.0'`, or the number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Format {
    Number(f64),
    Text(String),
}

/// A version that is written as a text, or as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Text(String),
    Number(serde_json::Number),
}

#[derive(Deserialize)]
#[serde(expecting = "an object with a `description`")]
struct SaidOption {
    #[serde(default)]
    description: String,
    kind: Option<String>,
    // None where it is missing; null is something else.
    #[serde(default, deserialize_with = "there")]
    default: Option<Json>,
    min: Option<Json>,
    max: Option<Json>,
    choices: Option<Vec<String>>,
}

fn there<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(value).map(Some)
}

impl Description {
    /// Reads the description of a type of this kind.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(kind: TypeKind, type_name: &str, text: &str) -> Result<Description, String> {
        let said: Said = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match &said.format {
            Format::Number(number) if *number == 1.0 => {}
            Format::Text(text) if matches!(text.as_str(), "1" | "1.0") => {}
            _ => return Err("unknown `format`: this version knows 1.0".to_owned()),
        }
        let described = said.kind.as_deref().unwrap_or(TypeKind::Role.name());
        if described != kind.name() {
            return Err(format!("it describes a {described:?}, not a `{}`", kind.name()));
        }
        said.check(kind)?;
        if said.config.len() > MOST_OPTIONS {
            return Err(format!("it has more than {MOST_OPTIONS} options"));
        }
        let option = |(name, said): (String, SaidOption)| {
            let every = match kind {
                TypeKind::Role => tables::every_role(),
                TypeKind::Transport => tables::every_transport(),
            };
            let mut taken = every.iter().chain(tables::every_program());
            if taken.any(|spec| *spec.name == *name) {
                let title = kind.title();
                return Err(format!("option `{name}`: every such {title} has this option already"));
            }
            said.spec(&name).map_err(|problem| format!("option `{name}`: {problem}"))
        };
        let options: Vec<_> = said.config.into_iter().map(option).collect::<Result<_, _>>()?;
        let writes = said.writes.into_iter().map(|option| {
            let is_path =
                |spec: &OptionSpec| *spec.name == *option && spec.kind == OptionKind::Path;
            match options.iter().any(is_path) {
                true => Ok(WrittenFile { option: option.into(), extension: "out".into() }),
                false => Err(format!("`writes`: it has no option `{option}` that is a path")),
            }
        });
        let schema = Schema {
            name: type_name.to_owned().into(),
            description: said.description.into(),
            needs_storage: said.needs_storage,
            writes: writes.collect::<Result<_, _>>()?,
            options,
            ..Schema::default()
        };
        Ok(Description {
            schema,
            author: said.author,
            version: said.version.map(|version| match version {
                Text::Text(text) => text,
                Text::Number(number) => number.to_string(),
            }),
            interest: said.interest.as_deref().map(interests).transpose()?,
            encoding: said.encoding,
            transport: match kind {
                TypeKind::Role => None,
                TypeKind::Transport => Some(said.traits.read()?),
            },
        })
    }
}

impl Said {
    /// Looks that nothing is said which only the other kind has.
    fn check(&self, kind: TypeKind) -> Result<(), String> {
        let wrong = match kind {
            TypeKind::Role => !self.traits.is_empty(),
            TypeKind::Transport => {
                self.interest.is_some()
                    || self.needs_storage
                    || !self.writes.is_empty()
                    || self.encoding != Encoding::Json
            }
        };
        let only = match kind {
            TypeKind::Role => {
                "priority, canAccept, authenticates, connectsTo and connectTimeout are for a `transport`"
            }
            TypeKind::Transport => "interest, needsStorage, writes and encoding are for a `role`",
        };
        if wrong { Err(only.to_owned()) } else { Ok(()) }
    }
}

/// Patterns as a program writes them: an object each, with the words of a filter.
///
/// # Errors
/// Which pattern makes no sense, and why.
pub fn interests(patterns: &[IndexMap<String, String>]) -> Result<Vec<Interest>, String> {
    if patterns.len() > MOST_INTERESTS {
        return Err(format!("`interest`: it has more than {MOST_INTERESTS} patterns"));
    }
    let pattern = |(number, words): (usize, &IndexMap<String, String>)| {
        let mut interest = Interest::any();
        for (word, text) in words {
            let wrong = |error| format!("`interest`, pattern {}: {error}", number + 1);
            interest.narrow(word, text).map_err(wrong)?;
        }
        Ok(interest)
    };
    patterns.iter().enumerate().map(pattern).collect()
}

impl SaidOption {
    fn spec(self, name: &str) -> Result<OptionSpec, String> {
        let kind = self.option_kind()?;
        let presence = match &self.default {
            None => Presence::Required,
            Some(Json::Null) => Presence::Optional,
            Some(value) => Presence::Default(default(&kind, value).ok_or_else(|| {
                format!("its default {value} is not allowed: it takes {}", kind.allowed())
            })?),
        };
        Ok(OptionSpec {
            name: name.to_owned().into(),
            kind,
            presence,
            description: self.description.into(),
        })
    }

    fn option_kind(&self) -> Result<OptionKind, String> {
        if let Some(choices) = &self.choices {
            return Ok(OptionKind::Choice(choices.iter().cloned().map(Into::into).collect()));
        }
        let by_default = match &self.default {
            Some(Json::Bool(_)) => "flag",
            Some(Json::Number(number)) if number.is_f64() => "number",
            Some(Json::Number(_)) => "integer",
            Some(Json::Array(_)) => "list",
            // The seed has such an option: "An address or a list of addresses".
            None | Some(Json::Null) => "any",
            Some(Json::String(_) | Json::Object(_)) => "text",
        };
        Ok(match self.kind.as_deref().unwrap_or(by_default) {
            "flag" => OptionKind::Flag,
            "integer" => OptionKind::Integer {
                min: self.bound(&self.min, i64::MIN, Json::as_i64)?,
                max: self.bound(&self.max, i64::MAX, Json::as_i64)?,
            },
            "number" => OptionKind::Number {
                min: self.bound(&self.min, f64::NEG_INFINITY, Json::as_f64)?,
                max: self.bound(&self.max, f64::INFINITY, Json::as_f64)?,
            },
            "duration" => OptionKind::Duration {
                min: self.bound(&self.min, Duration::ZERO, duration)?,
                max: self.bound(&self.max, LONGEST, duration)?,
            },
            "size" => OptionKind::Size {
                min: self.bound(&self.min, 0, size)?,
                max: self.bound(&self.max, u64::MAX, size)?,
            },
            "text" => OptionKind::Text,
            "path" => OptionKind::Path,
            "list" => OptionKind::Texts,
            "any" => OptionKind::TextOrTexts,
            other => {
                return Err(format!(
                    "unknown kind {other:?}: the kinds are flag, integer, number, duration, size, text, path, list, any"
                ));
            }
        })
    }

    fn bound<T>(
        &self,
        said: &Option<Json>,
        without: T,
        read: impl Fn(&Json) -> Option<T>,
    ) -> Result<T, String> {
        match said {
            None => Ok(without),
            Some(value) => {
                read(value).ok_or_else(|| format!("{value} is not a valid bound for its kind"))
            }
        }
    }
}

/// Seconds, or a text as in a configuration.
fn duration(value: &Json) -> Option<Duration> {
    match value {
        Json::Number(number) => values::duration(&number.to_string()),
        Json::String(text) => values::duration(text),
        _ => None,
    }
}

/// Bytes, or a text as in a configuration.
fn size(value: &Json) -> Option<u64> {
    match value {
        Json::Number(number) => number.as_u64(),
        Json::String(text) => values::size(text),
        _ => None,
    }
}

/// A default, if it is a value of the option.
fn default(kind: &OptionKind, value: &Json) -> Option<OptionValue> {
    Some(match kind {
        OptionKind::Flag => OptionValue::Flag(value.as_bool()?),
        OptionKind::Integer { min, max } => {
            OptionValue::Integer(value.as_i64().filter(|value| (min..=max).contains(&value))?)
        }
        OptionKind::Number { min, max } => {
            OptionValue::Number(value.as_f64().filter(|value| (min..=max).contains(&value))?)
        }
        OptionKind::Duration { min, max } => {
            OptionValue::Duration(duration(value).filter(|value| (min..=max).contains(&value))?)
        }
        OptionKind::Size { min, max } => {
            OptionValue::Size(size(value).filter(|value| (min..=max).contains(&value))?)
        }
        OptionKind::Path => OptionValue::Path(value.as_str()?.into()),
        OptionKind::Texts => match value {
            Json::String(text) => OptionValue::List(vec![text.clone()]),
            _ => {
                let texts = value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned));
                OptionValue::List(texts.collect::<Option<_>>()?)
            }
        },
        OptionKind::Choice(words) => {
            let text = value.as_str().filter(|text| words.iter().any(|word| word == text))?;
            OptionValue::Text(text.to_owned())
        }
        // What a default is written as in a configuration: `default: 7` of a text is the text.
        _ => OptionValue::Text(match value {
            Json::String(text) => text.clone(),
            Json::Number(number) => number.to_string(),
            _ => return None,
        }),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::message::Kind;

    fn read(config: &str) -> Result<Description, String> {
        Description::read(
            TypeKind::Role,
            "bell",
            &format!("{{\"format\": \"1.0\", \"config\": {{{config}}}}}"),
        )
    }

    fn only(config: &str) -> (OptionKind, Presence) {
        let option = read(config).unwrap().schema.options.remove(0);
        (option.kind, option.presence)
    }

    #[test]
    fn an_option_is_what_its_default_is() {
        let text = |text: &str| Presence::Default(OptionValue::Text(text.to_owned()));
        for (config, kind, presence) in [
            (r#""o": {}"#, OptionKind::TextOrTexts, Presence::Required),
            (r#""o": {"default": null}"#, OptionKind::TextOrTexts, Presence::Optional),
            (r#""o": {"kind": "text"}"#, OptionKind::Text, Presence::Required),
            (r#""o": {"default": "a"}"#, OptionKind::Text, text("a")),
            (
                r#""o": {"default": true}"#,
                OptionKind::Flag,
                Presence::Default(OptionValue::Flag(true)),
            ),
            (
                r#""o": {"default": 7, "max": 8}"#,
                OptionKind::Integer { min: i64::MIN, max: 8 },
                Presence::Default(OptionValue::Integer(7)),
            ),
            (
                r#""o": {"default": ["a"]}"#,
                OptionKind::Texts,
                Presence::Default(OptionValue::List(vec!["a".to_owned()])),
            ),
            (
                r#""o": {"default": 2, "kind": "duration", "min": "500ms", "max": 3}"#,
                OptionKind::Duration {
                    min: Duration::from_millis(500),
                    max: Duration::from_secs(3),
                },
                Presence::Default(OptionValue::Duration(Duration::from_secs(2))),
            ),
            (
                r#""o": {"default": "b", "choices": ["a", "b"]}"#,
                OptionKind::Choice(vec!["a".into(), "b".into()]),
                text("b"),
            ),
        ] {
            assert_eq!(only(config), (kind, presence), "{config}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_said_with_its_place() {
        for (config, problem) in [
            (
                r#""o": {"kind": "colour"}"#,
                "option `o`: unknown kind \"colour\": the kinds are flag, integer, number, duration, size, text, path, list, any",
            ),
            (
                r#""o": {"default": 9, "max": 8}"#,
                "option `o`: its default 9 is not allowed: it takes a whole number of at most 8",
            ),
            (
                r#""o": {"kind": "integer", "min": "x"}"#,
                "option `o`: \"x\" is not a valid bound for its kind",
            ),
            (r#""type": {}"#, "option `type`: every such Role has this option already"),
            (
                r#""memoryLimit": {}"#,
                "option `memoryLimit`: every such Role has this option already",
            ),
            (
                r#""o": 7"#,
                "invalid type: integer `7`, expected an object with a `description` at line 1 column 35",
            ),
        ] {
            assert_eq!(read(config).unwrap_err(), problem, "{config}");
        }
        for (text, problem) in [
            ("{}", "missing field `format` at line 1 column 2"),
            (r#"{"format": 2}"#, "unknown `format`: this version knows 1.0"),
            (r#"{"format": 1, "kind": "transport"}"#, "it describes a \"transport\", not a `role`"),
            (r#"{"format": 1, "writes": ["f"]}"#, "`writes`: it has no option `f` that is a path"),
            (
                r#"{"format": 1, "interest": [{}, {"colour": "red"}]}"#,
                "`interest`, pattern 2: cannot filter by 'colour': use kind, type, channel, role or node",
            ),
        ] {
            assert_eq!(
                Description::read(TypeKind::Role, "bell", text).unwrap_err(),
                problem,
                "{text}"
            );
        }
    }

    #[test]
    fn a_transport_says_how_it_is_to_be_used() {
        let read = |more: &str| {
            let text = format!(r#"{{"format": 1, "kind": "transport"{more}}}"#);
            Description::read(TypeKind::Transport, "radio", &text)
        };
        let usual = read("").unwrap().transport.unwrap();
        assert_eq!(
            (usual.priority, usual.can_accept, usual.authenticates),
            (Priority::Meh, true, false)
        );
        assert_eq!(usual.connect_timeout, Duration::from_secs(30));
        assert_eq!(usual.connects_to, None);
        let said = r#", "priority": "worst", "canAccept": false, "authenticates": true,
            "connectsTo": ["tcp", "onion"], "connectTimeout": 0.5"#;
        let said = read(said).unwrap().transport.unwrap();
        assert_eq!(
            (said.priority, said.can_accept, said.authenticates),
            (Priority::Worst, false, true)
        );
        assert_eq!(said.connect_timeout, Duration::from_millis(500));
        assert_eq!(said.connects_to.unwrap(), ["tcp", "onion"]);
        for (more, problem) in [
            (
                r#", "connectTimeout": 0"#,
                "`connectTimeout`: 0 is not a number of seconds above 0, at most 600",
            ),
            (
                r#", "connectTimeout": 601"#,
                "`connectTimeout`: 601 is not a number of seconds above 0, at most 600",
            ),
            (r#", "interest": []"#, "interest, needsStorage, writes and encoding are for a `role`"),
            (
                r#", "config": {"type": {}}"#,
                "option `type`: every such Transport has this option already",
            ),
        ] {
            assert_eq!(read(more).unwrap_err(), problem, "{more}");
        }
        let error = read(r#", "priority": "superb""#).unwrap_err();
        assert!(error.starts_with("unknown variant `superb`"), "{error}");
        let role = r#"{"format": 1, "canAccept": true}"#;
        let error = Description::read(TypeKind::Role, "bell", role).unwrap_err();
        assert!(error.ends_with("are for a `transport`"), "{error}");
    }

    #[test]
    fn all_of_it_is_read_and_what_is_new_is_left_alone() {
        let text = r#"{
            "format": "1.0", "kind": "role", "author": "Ada", "version": 1.5, "description": "Rings.",
            "config": {"file": {"kind": "path", "description": "d", "colour": "red"}},
            "interest": [{"kind": "order", "type": "ring*"}], "needsStorage": true,
            "writes": ["file"], "encoding": "msgpack", "calls": ["later"]
        }"#;
        let read = Description::read(TypeKind::Role, "bell", text).unwrap();
        assert_eq!(read.version.as_deref(), Some("1.5"));
        assert_eq!(read.encoding, Encoding::MessagePack);
        assert_eq!(read.schema.summary(), "Rings. Requires roleStorage.");
        assert_eq!(read.schema.writes[0].option, "file");
        assert_eq!(read.interest.unwrap()[0].kind, Some(Kind::Order));
    }
}
