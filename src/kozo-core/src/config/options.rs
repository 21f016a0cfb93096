//! A block of options against the table of those that it may have.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::{Component, Path};

use indexmap::IndexMap;

use super::address::{self, Doubt};
use super::checker::Checker;
use super::report::{Problem, Span, list, quoted};
use super::schema::{OptionKind, OptionSpec, OptionValue, Options, Presence, with_defaults};
use super::suggest::nearest;
use super::tree::{Entry, Tree, Value};
use super::value;
use crate::interest::Interest;

/// Addresses of one value that something is said of.
const MOST_DOUBTS: usize = 20;

/// Whose options a block has.
pub(super) struct Owner<'a> {
    /// For messages: "Role `timer1`".
    pub(super) what: String,
    /// Its place.
    pub(super) span: Span,
    /// Names that belong elsewhere, with where that is.
    pub(super) elsewhere: Vec<(&'a str, &'static str)>,
}

/// The entry of this name, if it is there.
pub(super) fn entry<'t>(entries: &'t [Entry], name: &str) -> Option<&'t Entry> {
    entries.iter().find(|entry| &*entry.name == name)
}

impl Checker<'_> {
    /// The options in a block that are given and valid; a problem for each that is not, or that has
    /// no business there, or that is missing.
    pub(super) fn options(
        &mut self,
        entries: &[Entry],
        specs: &[&[OptionSpec]],
        owner: &Owner<'_>,
    ) -> Options {
        let mut options = Options::default();
        let mut meant = Vec::new();
        for entry in entries {
            match specs.iter().copied().flatten().find(|spec| *spec.name == *entry.name) {
                Some(spec) => {
                    if let Some(value) = self.value(spec, &entry.value, entry) {
                        options.0.insert(entry.name.as_ref().to_owned(), value);
                    }
                }
                None => meant.extend(self.unknown_option(entry, specs, owner)),
            }
        }
        for spec in specs.iter().copied().flatten() {
            let missing = spec.presence == Presence::Required
                && super::options::entry(entries, &spec.name).is_none()
                && !meant.contains(&&*spec.name);
            if missing {
                let title = format!("{} has no {}", owner.what, quoted(&spec.name));
                let problem = Problem::new(owner.span.clone(), title)
                    .label(format!("{} is required here", quoted(&spec.name)))
                    .note(format!("{}: {}", quoted(&spec.name), spec.description));
                self.problems.push(match spec.kind {
                    OptionKind::Block => problem,
                    _ => problem.note(format!("allowed: {}", spec.kind.allowed())),
                });
            }
        }
        options
    }

    /// Reports a name that is none of the table's; returns the one that was probably meant.
    fn unknown_option<'s>(
        &mut self,
        entry: &Entry,
        specs: &[&'s [OptionSpec]],
        owner: &Owner<'_>,
    ) -> Option<&'s str> {
        let names = || specs.iter().copied().flatten().map(|spec| &*spec.name);
        let title = format!("{} has no option {}", owner.what, quoted(&entry.name));
        let mut problem = Problem::new(entry.span.clone(), title);
        let elsewhere = owner.elsewhere.iter().find(|(name, _)| *name == &*entry.name);
        let meant = nearest(&entry.name, names());
        problem = match elsewhere {
            Some((_, place)) => problem.help(*place),
            None => problem.did_you_mean(meant),
        };
        self.problems.push(problem.note(format!("allowed: {}", list(names()))));
        meant
    }

    /// The value of an option, if it is one that the option takes.
    fn value(&mut self, spec: &OptionSpec, tree: &Tree, entry: &Entry) -> Option<OptionValue> {
        let name = quoted(&spec.name);
        let allowed = format!("allowed: {}", spec.kind.allowed());
        if spec.kind == OptionKind::Block {
            // What is in it has its own table.
            return None;
        }
        let wrong = match (&tree.value, &spec.kind) {
            (Value::Scalar(text), OptionKind::Addresses) => {
                return self.addresses(spec, &tree.span, &[(&**text, &tree.span)]);
            }
            (Value::Scalar(text), OptionKind::BindAddress) => {
                let doubt = address::to_listen(text);
                let sound = self.doubted(doubt, text, &tree.span, spec);
                return sound.then(|| OptionValue::Text(address::split(text).0.to_owned()));
            }
            (Value::Scalar(text), OptionKind::Interests) => {
                return self.interests(spec, &tree.span, &[(&**text, &tree.span)]);
            }
            (Value::Scalar(_) | Value::List(_), OptionKind::Options(_) | OptionKind::Variables) => {
                let title = format!("{name} takes a block, not {}", tree.what());
                Problem::new(tree.span.clone(), title)
            }
            (Value::Scalar(text), kind) => {
                if let Some(value) = self.scalar(kind, text, &tree.span) {
                    return Some(value);
                }
                let meant = match kind {
                    OptionKind::Choice(words) => nearest(text, words.iter().map(|word| &**word)),
                    _ => None,
                };
                let title = format!("{} is not a value for {name}", quoted(text));
                Problem::new(tree.span.clone(), title).did_you_mean(meant)
            }
            (Value::Block(entries), OptionKind::Variables) => {
                return self.variables(spec, entries);
            }
            (Value::Block(entries), OptionKind::Options(specs)) => {
                let owner = Owner { what: name, span: entry.span.clone(), elsewhere: Vec::new() };
                let given = self.options(entries, &[specs], &owner);
                return Some(OptionValue::Block(with_defaults(specs, &given)));
            }
            (
                Value::List(items),
                OptionKind::Addresses
                | OptionKind::Paths
                | OptionKind::Texts
                | OptionKind::TextOrTexts
                | OptionKind::Interests
                | OptionKind::Command,
            ) => match (texts(items), &spec.kind) {
                (Ok(texts), OptionKind::Texts | OptionKind::TextOrTexts) => {
                    let texts = texts.into_iter().map(|(text, _)| text.to_owned());
                    return Some(OptionValue::List(texts.collect()));
                }
                (Ok(texts), OptionKind::Addresses) => {
                    return self.addresses(spec, &tree.span, &texts);
                }
                (Ok(texts), OptionKind::Interests) => {
                    return self.interests(spec, &tree.span, &texts);
                }
                (Ok(texts), OptionKind::Command) => {
                    if let Some(command) = command(&texts) {
                        return Some(command);
                    }
                    let title = format!("{name} does not name a program");
                    Problem::new(entry.span.clone(), title)
                }
                (Ok(texts), _) => {
                    if let Some(value) = paths(texts.iter().flat_map(|(text, _)| text.split(':'))) {
                        return Some(value);
                    }
                    let title = format!("one of the values of {name} is not a path");
                    Problem::new(entry.span.clone(), title)
                }
                (Err(item), _) => {
                    let title = format!("{name} takes a list of single values");
                    Problem::new(item.span.clone(), title).label(format!("this is {}", item.what()))
                }
            },
            (Value::Nothing, _) => Problem::new(entry.span.clone(), format!("{name} has no value"))
                .help("give it one, or remove the line"),
            (
                Value::Block(_),
                OptionKind::Interests
                | OptionKind::Command
                | OptionKind::Texts
                | OptionKind::TextOrTexts,
            ) => {
                let title = format!("{name} takes a text or a list, not {}", tree.what());
                Problem::new(tree.span.clone(), title)
            }
            (Value::List(_) | Value::Block(_), _) => {
                let title = format!("{name} takes a single value, not {}", tree.what());
                Problem::new(entry.span.clone(), title)
            }
        };
        self.problems.push(wrong.note(allowed));
        None
    }

    /// Variables of an environment, if all of them can be some.
    fn variables(&mut self, spec: &OptionSpec, entries: &[Entry]) -> Option<OptionValue> {
        let mut variables = IndexMap::new();
        let before = self.problems.len();
        for entry in entries {
            let name = entry.name.as_ref();
            let sound = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let is_name =
                name.chars().all(sound) && !name.starts_with(|c: char| c.is_ascii_digit());
            let title = match &entry.value.value {
                _ if name.is_empty() || !is_name => {
                    format!("{} is not a valid variable name", quoted(name))
                }
                Value::Scalar(text) if !text.contains('\0') => {
                    variables.insert(name.to_owned(), text.as_ref().to_owned());
                    continue;
                }
                _ => format!(
                    "the variable {} takes a text, not {}",
                    quoted(name),
                    entry.value.what()
                ),
            };
            let problem = Problem::new(entry.span.clone(), title);
            self.problems.push(problem.note(format!("allowed: {}", spec.kind.allowed())));
        }
        (self.problems.len() == before).then_some(OptionValue::Variables(variables))
    }

    /// The addresses in these texts of a value, if all of them are some.
    fn addresses(
        &mut self,
        spec: &OptionSpec,
        span: &Span,
        texts: &[(&str, &Span)],
    ) -> Option<OptionValue> {
        // A list of none is as good as one that is empty.
        let none = [("", span)];
        let texts = if texts.is_empty() { none.as_slice() } else { texts };
        let mut addresses = Vec::new();
        let mut seen = HashSet::new();
        let mut sound = true;
        for (text, span) in texts {
            for address in text.split(',').map(str::trim) {
                // What is wrong twice is said once, and of much that is wrong the beginning.
                if let Some(doubt) = address::to_reach(address)
                    && (seen.len() < MOST_DOUBTS || (sound && doubt.refused))
                    && seen.insert(address)
                {
                    sound &= self.doubted(Some(doubt), address, span, spec);
                }
                if sound {
                    addresses.push(address.to_owned());
                }
            }
        }
        sound.then_some(OptionValue::List(addresses))
    }

    /// The wishes in these texts of a value, if all of them are some.
    fn interests(
        &mut self,
        spec: &OptionSpec,
        span: &Span,
        texts: &[(&str, &Span)],
    ) -> Option<OptionValue> {
        let before = self.problems.len();
        let name = quoted(&spec.name);
        let wrong = |span: &Span, title: String| {
            Problem::new(span.clone(), title)
                .note(format!("allowed: {}", OptionKind::Interests.allowed()))
        };
        if texts.is_empty() {
            self.problems.push(wrong(span, format!("{name} has no pattern")));
        }
        for (text, span) in texts {
            if let Err(problem) = text.parse::<Interest>() {
                let title = format!("{} is not a value for {name}", quoted(text));
                self.problems.push(wrong(span, title).label(problem.to_string()));
            }
        }
        let texts = || texts.iter().map(|(text, _)| (*text).to_owned()).collect();
        (self.problems.len() == before).then(|| OptionValue::List(texts()))
    }

    /// Reports that none of the options is given of which there must be one.
    pub(super) fn any_of(&mut self, entries: &[Entry], names: &[Cow<'_, str>], owner: &Owner<'_>) {
        if names.is_empty() || names.iter().any(|name| entry(entries, name).is_some()) {
            return;
        }
        let names: Vec<_> = names.iter().map(|name| quoted(name)).collect();
        let title = format!("{} has none of {}", owner.what, names.join(", "));
        self.problems.push(
            Problem::new(owner.span.clone(), title).label("at least one of them is required here"),
        );
    }

    /// Says what is to be said of an address, and whether it is taken.
    fn doubted(
        &mut self,
        doubt: Option<Doubt>,
        text: &str,
        span: &Span,
        spec: &OptionSpec,
    ) -> bool {
        let Some(doubt) = doubt else { return true };
        let name = quoted(&spec.name);
        let title = match doubt.refused {
            _ if text.is_empty() => format!("an address of {name} is empty"),
            true => format!("{} is not a valid address for {name}", quoted(text)),
            false => format!("{} is probably not the address you mean for {name}", quoted(text)),
        };
        let mut problem = Problem::new(span.clone(), title).did_you_mean(doubt.meant.as_deref());
        if !text.is_empty() {
            problem = problem.label(doubt.why);
        }
        if let Some(help) = doubt.help {
            problem = problem.help(help);
        }
        if doubt.refused {
            self.problems.push(problem.note(format!("allowed: {}", spec.kind.allowed())));
        } else {
            self.warnings.push(problem);
        }
        !doubt.refused
    }

    /// Reads one value, and keeps what it refers to, to be looked for once everything is read.
    fn scalar(&mut self, kind: &OptionKind, text: &str, span: &Span) -> Option<OptionValue> {
        match kind {
            OptionKind::RoleOfType(role_type) => {
                self.wanted_roles.push((span.clone(), text.to_owned(), role_type.to_string()));
            }
            OptionKind::NodeOrAny if text != "*" => {
                self.wanted_nodes.push((span.clone(), text.to_owned()));
            }
            _ => {}
        }
        kind.read(text)
    }
}

impl OptionKind {
    /// The value that is written so, if it is one of this kind, and one that can be written as a single word.
    pub fn read(&self, text: &str) -> Option<OptionValue> {
        let as_text = || OptionValue::Text(text.to_owned());
        match self {
            OptionKind::Flag => value::flag(text).map(OptionValue::Flag),
            OptionKind::Integer { min, max } => value::integer(text)
                .filter(|value| (min..=max).contains(&value))
                .map(OptionValue::Integer),
            OptionKind::Number { min, max } => value::number(text)
                .filter(|value| (min..=max).contains(&value))
                .map(OptionValue::Number),
            OptionKind::Duration { min, max } => value::duration(text)
                .filter(|value| (min..=max).contains(&value))
                .map(OptionValue::Duration),
            OptionKind::Size { min, max } => value::size(text)
                .filter(|value| (min..=max).contains(&value))
                .map(OptionValue::Size),
            OptionKind::Path => {
                let path = Path::new(text);
                // Systemd takes no such path, and where it leads depends upon links on the way.
                let turns =
                    path.is_absolute() && path.components().any(|c| c == Component::ParentDir);
                let sound = !text.is_empty() && !text.contains('\0') && !turns;
                sound.then(|| OptionValue::Path(path.into()))
            }
            OptionKind::Paths => paths(text.split(':')),
            OptionKind::Choice(words) => words.iter().any(|word| word == text).then(as_text),
            // A public key is read as one where the Node is put together.
            OptionKind::RoleOfType(_)
            | OptionKind::NodeOrAny
            | OptionKind::Text
            | OptionKind::TextOrTexts
            | OptionKind::PublicKey => Some(as_text()),
            OptionKind::Texts => Some(OptionValue::List(vec![text.to_owned()])),
            OptionKind::Command => is_word(text).then(as_text),
            // These have been read already, or are none.
            OptionKind::Addresses
            | OptionKind::BindAddress
            | OptionKind::Interests
            | OptionKind::Options(_)
            | OptionKind::Variables
            | OptionKind::Block => None,
        }
    }
}

/// A program and its arguments; none if there is no program, or one of them cannot be given to one.
fn command(texts: &[(&str, &Span)]) -> Option<OptionValue> {
    let (program, _) = texts.first()?;
    let sound = is_word(program) && !texts.iter().any(|(text, _)| text.contains('\0'));
    sound.then(|| OptionValue::List(texts.iter().map(|(text, _)| (*text).to_owned()).collect()))
}

/// Whether there is something in a text that a program could be given.
fn is_word(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains('\0')
}

/// Paths; none if one of them cannot be one.
fn paths<'a>(parts: impl Iterator<Item = &'a str>) -> Option<OptionValue> {
    let parts = parts.map(str::trim).filter(|part| !part.is_empty());
    let paths: Vec<_> = parts.map(str::to_owned).collect();
    (!paths.iter().any(|path| path.contains('\0'))).then_some(OptionValue::List(paths))
}

/// The texts of a list with their places, or the first of its items that is none.
fn texts(items: &[Tree]) -> Result<Vec<(&str, &Span)>, &Tree> {
    items
        .iter()
        .map(|item| match &item.value {
            Value::Scalar(text) => Ok((&**text, &item.span)),
            _ => Err(item),
        })
        .collect()
}

/// Options of a type that is not known here, as they are. What is neither a text nor a list of texts
/// is left out.
pub(super) fn unchecked(entries: &[Entry], besides: &[OptionSpec]) -> Options {
    let mut options = Options::default();
    for entry in entries.iter().filter(|entry| besides.iter().all(|s| *s.name != *entry.name)) {
        let value = match &entry.value.value {
            Value::Scalar(text) => OptionValue::Text(text.as_ref().to_owned()),
            Value::List(items) => match texts(items) {
                Ok(texts) => {
                    OptionValue::List(texts.into_iter().map(|(text, _)| text.to_owned()).collect())
                }
                Err(_) => continue,
            },
            Value::Nothing | Value::Block(_) => continue,
        };
        options.0.insert(entry.name.as_ref().to_owned(), value);
    }
    options
}
