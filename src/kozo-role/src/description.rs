//! What a program says of the type that it is: `--describe`.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// How a Role and its Node encode what they say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// JSON, an object a line.
    Json,
    /// MessagePack, one value behind the other: any data as it is, and for less work.
    #[default]
    MessagePack,
}

impl Encoding {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Encoding::Json => "json",
            Encoding::MessagePack => "msgpack",
        }
    }
}

/// Which Messages are wanted: those that match all that it says. In a text `*` stands for any characters, `?` for one,
/// and `\` takes away the meaning of what is behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern(Map<String, Value>);

impl Pattern {
    /// Every Message.
    pub fn any() -> Pattern {
        Pattern::default()
    }

    /// Events of this type.
    pub fn event(message_type: &str) -> Pattern {
        Pattern::any().with("kind", "event").with("type", message_type)
    }

    /// Orders of this type.
    pub fn order(message_type: &str) -> Pattern {
        Pattern::any().with("kind", "order").with("type", message_type)
    }

    /// Replies of this type.
    pub fn reply(message_type: &str) -> Pattern {
        Pattern::any().with("kind", "reply").with("type", message_type)
    }

    /// All Logs.
    pub fn log() -> Pattern {
        Pattern::any().with("kind", "log")
    }

    /// Only those with such a channel.
    pub fn channel(self, channel: &str) -> Pattern {
        self.with("channel", channel)
    }

    /// Only those that a Role of such a name sent.
    pub fn role(self, role: &str) -> Pattern {
        self.with("role", role)
    }

    /// Only those that a Node of such a name sent.
    pub fn node(self, node: &str) -> Pattern {
        self.with("node", node)
    }

    fn with(mut self, word: &str, text: &str) -> Pattern {
        self.0.insert(word.to_owned(), text.into());
        self
    }

    /// What the protocol has for it.
    pub(crate) fn said(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

/// An option of the type in the configuration, which the Node checks before it starts the program.
///
/// It has to be given unless it has a default or is [`optional`](Setting::optional).
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    kind: &'static str,
    description: String,
    default: Option<Value>,
    more: Map<String, Value>,
}

impl Setting {
    fn new(kind: &'static str, description: &str) -> Setting {
        Setting { kind, description: description.to_owned(), default: None, more: Map::new() }
    }

    /// Yes or no. Programs see a bool.
    pub fn flag(description: &str) -> Setting {
        Setting::new("flag", description)
    }

    /// A whole number. Programs see an i64.
    pub fn integer(description: &str) -> Setting {
        Setting::new("integer", description)
    }

    /// A number. Programs see an f64.
    pub fn number(description: &str) -> Setting {
        Setting::new("number", description)
    }

    /// A duration, as `1.5s` or `2min` in the configuration. Programs see seconds, as an f64.
    pub fn duration(description: &str) -> Setting {
        Setting::new("duration", description)
    }

    /// A size, as `64KiB` in the configuration. Programs see bytes, as a u64.
    pub fn size(description: &str) -> Setting {
        Setting::new("size", description)
    }

    /// A text.
    pub fn text(description: &str) -> Setting {
        Setting::new("text", description)
    }

    /// The path of a file or folder. Programs see a text.
    pub fn path(description: &str) -> Setting {
        Setting::new("path", description)
    }

    /// Texts. Programs see a list of them.
    pub fn list(description: &str) -> Setting {
        Setting::new("list", description)
    }

    /// One of these words.
    pub fn choice(description: &str, words: &[&str]) -> Setting {
        Setting::new("choice", description).with("choices", json!(words))
    }

    /// The value if the configuration has none; durations in seconds or as [`seconds`], sizes in bytes.
    pub fn default(mut self, value: impl Into<Value>) -> Setting {
        self.default = Some(value.into());
        self
    }

    /// It may be left out, and has no value then.
    pub fn optional(self) -> Setting {
        self.default(Value::Null)
    }

    /// The least value that is allowed.
    pub fn min(self, least: impl Into<Value>) -> Setting {
        self.with("min", least.into())
    }

    /// The largest value that is allowed.
    pub fn max(self, largest: impl Into<Value>) -> Setting {
        self.with("max", largest.into())
    }

    fn with(mut self, name: &str, value: Value) -> Setting {
        self.more.insert(name.to_owned(), value);
        self
    }

    fn said(&self) -> Value {
        let mut said = self.more.clone();
        said.insert("description".to_owned(), self.description.as_str().into());
        if self.kind != "choice" {
            said.insert("kind".to_owned(), self.kind.into());
        }
        if let Some(default) = &self.default {
            said.insert("default".to_owned(), default.clone());
        }
        Value::Object(said)
    }

    /// Reads a value from a command line.
    fn parse(&self, text: &str) -> Result<Value, String> {
        let wrong = |allowed: &str| format!("'{text}' is not allowed: expected {allowed}");
        match self.kind {
            "flag" => match text {
                "true" | "yes" | "on" => Ok(true.into()),
                "false" | "no" | "off" => Ok(false.into()),
                _ => Err(wrong("yes or no")),
            },
            "integer" => {
                text.parse().map(|number: i64| number.into()).map_err(|_| wrong("a whole number"))
            }
            "size" => text
                .parse()
                .map(|number: u64| number.into())
                .map_err(|_| wrong("a number of bytes")),
            "number" => {
                text.parse().map(|number: f64| number.into()).map_err(|_| wrong("a number"))
            }
            "duration" => text
                .parse()
                .map(|number: f64| number.into())
                .map_err(|_| wrong("a number of seconds")),
            "list" => Ok(text.split(',').map(|item| Value::from(item.trim())).collect()),
            _ => Ok(text.into()),
        }
    }
}

/// A duration as the value of a [`Setting`].
pub fn seconds(duration: Duration) -> Value {
    duration.as_secs_f64().into()
}

/// What programs of both kinds say of themselves.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Common {
    pub(crate) description: String,
    pub(crate) author: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) settings: Vec<(String, Setting)>,
}

impl Common {
    pub(crate) fn new(description: &str) -> Common {
        Common { description: description.to_owned(), ..Common::default() }
    }

    /// The members that both have.
    pub(crate) fn said(&self) -> Map<String, Value> {
        let config: Map<_, _> =
            self.settings.iter().map(|(name, setting)| (name.clone(), setting.said())).collect();
        let mut said = Map::new();
        said.insert("format".to_owned(), "1.0".into());
        said.insert("description".to_owned(), self.description.as_str().into());
        said.insert("config".to_owned(), config.into());
        for (name, text) in [("author", &self.author), ("version", &self.version)] {
            if let Some(text) = text {
                said.insert(name.to_owned(), text.as_str().into());
            }
        }
        said
    }

    /// The options of a program that no Node has started: what the command line says, and defaults.
    pub(crate) fn options(&self, given: &[(String, String)]) -> Result<Map<String, Value>, String> {
        let mut options = Map::new();
        for (name, setting) in &self.settings {
            if let Some(default) = setting.default.as_ref().filter(|default| !default.is_null()) {
                options.insert(name.clone(), default.clone());
            }
        }
        for (name, text) in given {
            let (_, setting) =
                self.settings.iter().find(|(known, _)| known == name).ok_or_else(|| {
                    let known: Vec<_> =
                        self.settings.iter().map(|(known, _)| known.as_str()).collect();
                    format!("there is no option '{name}': there are {}", list(&known))
                })?;
            let value =
                setting.parse(text).map_err(|error| format!("the option '{name}': {error}"))?;
            options.insert(name.clone(), value);
        }
        let needed = |(name, setting): &&(String, Setting)| {
            setting.default.is_none() && !options.contains_key(name)
        };
        match self.settings.iter().find(needed) {
            Some((name, _)) => Err(format!("the option '{name}' is missing: --set {name}=VALUE")),
            None => Ok(options),
        }
    }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// What a type of Roles is: what it does, wants and takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Description {
    pub(crate) common: Common,
    interest: Vec<Pattern>,
    needs_storage: bool,
    writes: Vec<String>,
    pub(crate) encoding: Encoding,
}

impl Description {
    /// Of a type that does this.
    pub fn new(description: &str) -> Description {
        Description { common: Common::new(description), ..Description::default() }
    }

    /// Who wrote it.
    pub fn author(mut self, author: &str) -> Description {
        self.common.author = Some(author.to_owned());
        self
    }

    /// Which version it is, as in `env!("CARGO_PKG_VERSION")`.
    pub fn version(mut self, version: &str) -> Description {
        self.common.version = Some(version.to_owned());
        self
    }

    /// It has this option.
    pub fn option(mut self, name: &str, setting: Setting) -> Description {
        self.common.settings.push((name.to_owned(), setting));
        self
    }

    /// It wants these Messages from its start on, besides those of other patterns.
    pub fn interest(mut self, pattern: Pattern) -> Description {
        self.interest.push(pattern);
        self
    }

    /// It stores values, so its Node has to have a `roleStorage`.
    pub fn needs_storage(mut self) -> Description {
        self.needs_storage = true;
        self
    }

    /// It writes the file that this option, a path, names.
    pub fn writes(mut self, option: &str) -> Description {
        self.writes.push(option.to_owned());
        self
    }

    /// How it speaks with its Node; MessagePack unless it says so.
    pub fn encoding(mut self, encoding: Encoding) -> Description {
        self.encoding = encoding;
        self
    }

    pub(crate) fn patterns(&self) -> Vec<Value> {
        self.interest.iter().map(Pattern::said).collect()
    }

    /// The description as JSON, as `--describe` prints it.
    pub fn to_json(&self) -> Value {
        let mut said = self.common.said();
        said.insert("interest".to_owned(), self.patterns().into());
        said.insert("needsStorage".to_owned(), self.needs_storage.into());
        said.insert("writes".to_owned(), json!(self.writes));
        said.insert("encoding".to_owned(), self.encoding.name().into());
        Value::Object(said)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn bell() -> Description {
        Description::new("Rings.")
            .version("1.2")
            .option("pin", Setting::integer("Where it is.").min(0).max(40))
            .option("loud", Setting::flag("Whether it is loud.").default(false))
            .option(
                "pause",
                Setting::duration("Between two.").default(seconds(Duration::from_millis(1500))),
            )
            .option("sound", Setting::choice("Which.", &["ding", "dong"]).optional())
            .interest(Pattern::order("ring").channel("*door"))
    }

    #[test]
    fn a_description_says_what_a_node_reads() {
        let wanted = json!({
            "format": "1.0",
            "description": "Rings.",
            "version": "1.2",
            "config": {
                "pin": {"description": "Where it is.", "kind": "integer", "min": 0, "max": 40},
                "loud": {"description": "Whether it is loud.", "kind": "flag", "default": false},
                "pause": {"description": "Between two.", "kind": "duration", "default": 1.5},
                "sound": {"description": "Which.", "choices": ["ding", "dong"], "default": null},
            },
            "interest": [{"kind": "order", "type": "ring", "channel": "*door"}],
            "needsStorage": false,
            "writes": [],
            "encoding": "msgpack",
        });
        assert_eq!(bell().to_json(), wanted);
    }

    #[test]
    fn options_by_hand_are_of_their_kinds_and_have_their_defaults() {
        let given = |said: &[(&str, &str)]| {
            let said: Vec<_> =
                said.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            bell().common.options(&said)
        };
        let options = given(&[("pin", "7"), ("loud", "yes")]).unwrap();
        assert_eq!(Value::from(options), json!({"pin": 7, "loud": true, "pause": 1.5}));
        assert_eq!(given(&[]).unwrap_err(), "the option 'pin' is missing: --set pin=VALUE");
        let error = given(&[("pin", "x")]).unwrap_err();
        assert_eq!(error, "the option 'pin': 'x' is not allowed: expected a whole number");
        let error = given(&[("pim", "7")]).unwrap_err();
        assert_eq!(error, "there is no option 'pim': there are pin, loud, pause, sound");
    }
}
