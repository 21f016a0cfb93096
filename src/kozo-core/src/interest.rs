//! Interest: which Messages a Role wants, as data.
//!
//! A Role declares a list of [`Interest`]s; a Node tells its Peers the interest of all its Roles, so
//! that they send only what a Role wants. The [`InterestIndex`] finds, for one Message, all
//! subscribers (Roles and Peers alike) without trying each.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use crate::message::{Head, Kind, Message, MessageError};

/// A pattern over names: `*` stands for any run of characters, `?` for any one, `\` takes away the
/// meaning of the character behind it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// Everything.
    Any,
    /// Exactly this.
    Literal(Box<str>),
    /// As the text says, with its wildcards.
    Glob(Box<str>),
}

impl Pattern {
    /// Reads a pattern.
    pub fn new(text: &str) -> Pattern {
        if text == "*" {
            return Pattern::Any;
        }
        let mut literal = String::with_capacity(text.len());
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            literal.push(match character {
                '*' | '?' => return Pattern::Glob(text.into()),
                '\\' => characters.next().unwrap_or('\\'),
                other => other,
            });
        }
        Pattern::Literal(literal.into())
    }

    /// A pattern that matches exactly this text, wildcards included.
    pub fn literal(text: &str) -> Pattern {
        Pattern::Literal(text.into())
    }

    /// Whether the pattern matches the whole text.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Literal(literal) => **literal == *text,
            Pattern::Glob(glob) => glob_matches(glob, text),
        }
    }
}

/// The text that [`Pattern::new`] reads back as the same pattern.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Any => f.write_str("*"),
            Pattern::Glob(glob) => f.write_str(glob),
            Pattern::Literal(literal) => literal.chars().try_for_each(|character| {
                if matches!(character, '*' | '?' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{character}")
            }),
        }
    }
}

/// Greedy matching with one point of return: linear for one `*`, never exponential.
fn glob_matches(glob: &str, text: &str) -> bool {
    let (mut glob_rest, mut text_rest) = (glob.chars(), text.chars());
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let matched = match glob_rest.next() {
            Some('*') => {
                retry = Some((glob_rest.clone(), text_rest.clone()));
                true
            }
            Some('?') => text_rest.next().is_some(),
            Some(character) => {
                let wanted = match character {
                    '\\' => glob_rest.next().unwrap_or('\\'),
                    other => other,
                };
                text_rest.next() == Some(wanted)
            }
            None if text_rest.as_str().is_empty() => return true,
            None => false,
        };
        if !matched {
            let Some((after_star, start)) = retry.as_mut() else { return false };
            if start.next().is_none() {
                return false;
            }
            glob_rest = after_star.clone();
            text_rest = start.clone();
        }
    }
}

/// Why a filter makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// There is no such kind.
    #[error(transparent)]
    Kind(#[from] MessageError),
    /// There is no such part of a filter.
    #[error("cannot filter by '{0}': use kind, type, channel, role or node")]
    Unknown(String),
}

/// Why a text does not say which Messages are wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WantedError {
    /// What stands before the first colon is no kind.
    #[error("unknown kind '{0}': use event, order, log, reply, or * for any")]
    Kind(String),
    /// There is no pattern for the type.
    #[error("its type is missing: write * for any")]
    NoType,
    /// The pattern for the channel is empty.
    #[error("its channel is empty: leave out the last colon to match every channel and none")]
    NoChannel,
    /// There is more than a kind, a type and a channel.
    #[error("it has more than a kind, a type and a channel: write a colon in a name as \\:")]
    TooLong,
}

/// As people write it: `TYPE`, `KIND:TYPE` or `KIND:TYPE:CHANNEL`, where `*` is any kind, and type and channel are
/// [patterns](Pattern).
impl FromStr for Interest {
    type Err = WantedError;

    fn from_str(text: &str) -> Result<Self, WantedError> {
        let parts = parts(text);
        let (kind, message_type, channel) = match parts.as_slice() {
            [message_type] => (None, *message_type, None),
            [kind, message_type] => (Some(*kind), *message_type, None),
            [kind, message_type, channel] => (Some(*kind), *message_type, Some(*channel)),
            _ => return Err(WantedError::TooLong),
        };
        let kind = match kind {
            None | Some("*") => None,
            Some(kind) => Some(kind.parse().map_err(|_| WantedError::Kind(kind.to_owned()))?),
        };
        if message_type.is_empty() {
            return Err(WantedError::NoType);
        }
        if channel == Some("") {
            return Err(WantedError::NoChannel);
        }
        let (message_type, channel) = (Pattern::new(message_type), channel.map(Pattern::new));
        Ok(Interest { kind, message_type, channel, ..Interest::any() })
    }
}

/// What is between the colons, but for those that a backslash takes the meaning of.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut is_escaped) = (0, false);
    for (at, character) in text.char_indices() {
        if character == ':' && !is_escaped {
            parts.extend(text.get(start..at));
            start = at + 1;
        }
        is_escaped = character == '\\' && !is_escaped;
    }
    parts.extend(text.get(start..));
    parts
}

/// Which Messages a subscriber wants. All parts must match.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Interest {
    /// Only this kind; any where none is given.
    pub kind: Option<Kind>,
    /// The Message's type.
    pub message_type: Pattern,
    /// The Message's channel. Where none is given, any channel or none at all.
    pub channel: Option<Pattern>,
    /// Name of the sending Role.
    pub role: Pattern,
    /// Name of the sending Node.
    pub node: Pattern,
}

impl Interest {
    /// Everything.
    pub fn any() -> Interest {
        Interest {
            kind: None,
            message_type: Pattern::Any,
            channel: None,
            role: Pattern::Any,
            node: Pattern::Any,
        }
    }

    /// All Messages of a kind and of exactly this type.
    pub fn exactly(kind: Kind, message_type: &str) -> Interest {
        Interest {
            kind: Some(kind),
            message_type: Pattern::literal(message_type),
            ..Interest::any()
        }
    }

    /// Asks for less: by one part of a filter, which is a word and what it is to match.
    ///
    /// # Errors
    /// When there is no such word, or no such kind.
    pub fn narrow(&mut self, part: &str, text: &str) -> Result<(), FilterError> {
        match part {
            "kind" => self.kind = Some(text.parse()?),
            "type" => self.message_type = Pattern::new(text),
            "channel" => self.channel = Some(Pattern::new(text)),
            "role" => self.role = Pattern::new(text),
            "node" => self.node = Pattern::new(text),
            _ => return Err(FilterError::Unknown(part.to_owned())),
        }
        Ok(())
    }

    /// The words of a filter that ask for this.
    pub fn to_json(&self) -> serde_json::Value {
        let mut words = serde_json::Map::new();
        let mut say = |word: &str, text: String| words.insert(word.to_owned(), text.into());
        if let Some(kind) = self.kind {
            say("kind", kind.name().to_owned());
        }
        if let Some(channel) = &self.channel {
            say("channel", channel.to_string());
        }
        for (word, pattern) in
            [("type", &self.message_type), ("role", &self.role), ("node", &self.node)]
        {
            if *pattern != Pattern::Any {
                say(word, pattern.to_string());
            }
        }
        words.into()
    }

    /// Whether this Message is wanted.
    pub fn matches(&self, message: &Message) -> bool {
        self.matches_head(message.head())
    }

    /// Whether Messages with this head are wanted.
    pub fn matches_head(&self, head: &Head) -> bool {
        self.message_type.matches(head.message_type()) && self.matches_besides_type(head)
    }

    fn matches_besides_type(&self, head: &Head) -> bool {
        self.kind.is_none_or(|kind| kind == head.kind())
            && self.role.matches(head.role())
            && self.node.matches(&head.origin().node)
            && self.channel.as_ref().is_none_or(|pattern| {
                head.channel().is_some_and(|channel| pattern.matches(channel))
            })
    }
}

/// Places of an index that are kept without being used.
const SLACK: usize = 256;

/// Finds the subscribers that want Messages with some head. `S` names a subscriber.
#[derive(Debug)]
pub struct InterestIndex<S> {
    by_type: HashMap<Box<str>, Vec<(S, Interest)>>,
    by_pattern: Vec<(S, Interest)>,
}

impl<S> Default for InterestIndex<S> {
    fn default() -> Self {
        InterestIndex { by_type: HashMap::new(), by_pattern: Vec::new() }
    }
}

impl<S: Copy + PartialEq> InterestIndex<S> {
    /// Replaces everything that this subscriber wants.
    pub fn set(&mut self, subscriber: S, interests: &[Interest]) {
        self.remove(subscriber);
        for interest in interests {
            let entry = (subscriber, interest.clone());
            match &interest.message_type {
                Pattern::Literal(literal) => {
                    self.by_type.entry(literal.clone()).or_default().push(entry);
                }
                Pattern::Any | Pattern::Glob(_) => self.by_pattern.push(entry),
            }
        }
    }

    /// Forgets a subscriber.
    pub fn remove(&mut self, subscriber: S) {
        self.by_type.retain(|_, entries| {
            entries.retain(|(other, _)| *other != subscriber);
            !entries.is_empty()
        });
        self.by_pattern.retain(|(other, _)| *other != subscriber);
        // A Peer that wanted very much once does not cost the room for it for ever.
        if self.by_type.capacity() > SLACK + 4 * self.by_type.len() {
            self.by_type.shrink_to_fit();
        }
        if self.by_pattern.capacity() > SLACK + 4 * self.by_pattern.len() {
            self.by_pattern.shrink_to_fit();
        }
    }

    /// Puts every subscriber that wants Messages with this head into `found`, each once. Clears `found`
    /// first.
    pub fn find(&self, head: &Head, found: &mut Vec<S>) {
        found.clear();
        let mut add = |subscriber: S| {
            if !found.contains(&subscriber) {
                found.push(subscriber);
            }
        };
        for (subscriber, interest) in self.by_type.get(head.message_type()).into_iter().flatten() {
            if interest.matches_besides_type(head) {
                add(*subscriber);
            }
        }
        for (subscriber, interest) in &self.by_pattern {
            if interest.matches_head(head) {
                add(*subscriber);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::sync::Arc;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::message::{Draft, Origin};

    /// What a pattern means, said as plainly as possible.
    fn naive(glob: &[char], text: &[char]) -> bool {
        match (glob, text) {
            ([], _) => text.is_empty(),
            (['*', rest @ ..], _) => {
                naive(rest, text) || !text.is_empty() && naive(glob, &text[1..])
            }
            (['?', glob @ ..], [_, text @ ..]) => naive(glob, text),
            (['\\', wanted, glob @ ..], [found, text @ ..]) => wanted == found && naive(glob, text),
            ([wanted, glob @ ..], [found, text @ ..]) => wanted == found && naive(glob, text),
            (_, []) => false,
        }
    }

    fn characters(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    fn pattern() -> impl Strategy<Value = String> {
        "[ab*?\\\\]{0,8}"
    }

    fn interest() -> impl Strategy<Value = Interest> {
        let part = || prop_oneof![Just("*".to_owned()), "[ab]{1,2}", "[ab?*]{1,3}"];
        let kind = proptest::option::of(proptest::sample::select(&Kind::ALL[..]));
        (kind, part(), proptest::option::of(part()), part(), part()).prop_map(
            |(kind, message_type, channel, role, node)| Interest {
                kind,
                message_type: Pattern::new(&message_type),
                channel: channel.map(|channel| Pattern::new(&channel)),
                role: Pattern::new(&role),
                node: Pattern::new(&node),
            },
        )
    }

    fn message() -> impl Strategy<Value = Message> {
        let kind = proptest::sample::select(&Kind::ALL[..]);
        let name = || "[ab]{1,2}";
        (kind, name(), proptest::option::of(name()), name(), name()).prop_map(
            |(kind, message_type, channel, role, node)| {
                let draft = Draft::new(kind, &message_type).channel(channel.as_deref());
                Message::encode(Arc::new(Origin { node, boot: 1 }), &role, 1, 1, &draft).unwrap()
            },
        )
    }

    #[test]
    fn each_word_of_a_filter_asks_for_less() {
        let narrowed = |word: &str, text: &str| {
            let mut interest = Interest::any();
            interest.narrow(word, text).map(|()| interest)
        };
        let pattern = || Pattern::new("a*");
        let wanted = [
            ("type", Interest { message_type: pattern(), ..Interest::any() }),
            ("channel", Interest { channel: Some(pattern()), ..Interest::any() }),
            ("role", Interest { role: pattern(), ..Interest::any() }),
            ("node", Interest { node: pattern(), ..Interest::any() }),
        ];
        for (word, wanted) in wanted {
            assert_eq!(narrowed(word, "a*"), Ok(wanted));
        }
        let of_kind = Interest { kind: Some(Kind::Event), ..Interest::any() };
        assert_eq!(narrowed("kind", "event"), Ok(of_kind));
        assert!(narrowed("colour", "red").is_err() && narrowed("kind", "noise").is_err());
    }

    proptest! {
        #[test]
        fn patterns_match_what_they_mean(pattern in pattern(), text in "[ab*?\\\\]{0,8}") {
            prop_assert_eq!(
                Pattern::new(&pattern).matches(&text),
                naive(&characters(&pattern), &characters(&text)),
            );
        }

        #[test]
        fn a_pattern_is_read_back_from_its_text(text in "[abé*?\\\\]{0,8}") {
            let pattern = Pattern::new(&text);
            prop_assert_eq!(Pattern::new(&pattern.to_string()), pattern);
            let literal = Pattern::literal(&text);
            prop_assert!(literal.matches(&text));
            prop_assert_eq!(Pattern::new(&literal.to_string()), literal);
        }

        #[test]
        fn the_index_finds_who_matches_and_nobody_else(
            subscribers in vec(vec(interest(), 0..4), 0..8),
            (replaced, replacement) in (0_usize..8, vec(interest(), 0..3)),
            removed in 0_usize..8,
            messages in vec(message(), 1..20),
        ) {
            let mut index = InterestIndex::default();
            let mut wanted: Vec<(usize, Vec<Interest>)> =
                subscribers.into_iter().enumerate().collect();
            for (subscriber, interests) in &wanted {
                index.set(*subscriber, interests);
            }
            if let Some((subscriber, interests)) = wanted.get_mut(replaced) {
                index.set(*subscriber, &replacement);
                *interests = replacement;
            }
            index.remove(removed);
            wanted.retain(|(subscriber, _)| *subscriber != removed);
            let mut found = vec![99];
            for message in messages {
                index.find(message.head(), &mut found);
                found.sort_unstable();
                let matching = wanted.iter().filter(|(_, interests)| {
                    interests.iter().any(|interest| interest.matches(&message))
                });
                let matching: Vec<_> = matching.map(|(subscriber, _)| *subscriber).collect();
                prop_assert_eq!(&found, &matching);
            }
        }
    }

    #[test]
    fn whoever_wanted_much_once_costs_nothing_for_ever() {
        let much = |text: &str| -> Vec<Interest> {
            (0..5000).map(|n| Interest::exactly(Kind::Event, &format!("{text}{n}"))).collect()
        };
        let patterns = |text: &str| -> Vec<Interest> {
            let pattern = |n| Interest {
                message_type: Pattern::new(&format!("{text}*{n}")),
                ..Interest::any()
            };
            (0..5000).map(pattern).collect()
        };
        let mut index = InterestIndex::default();
        for interests in [much("a"), patterns("a"), much("b"), patterns("b")] {
            index.set(1, &interests);
        }
        index.set(1, &[Interest::any()]);
        assert!(index.by_type.capacity() <= SLACK && index.by_pattern.capacity() <= SLACK);
    }

    #[test]
    fn people_write_what_they_want() {
        let read = |text: &str| text.parse::<Interest>();
        assert_eq!(
            read("tick"),
            Ok(Interest { kind: None, ..Interest::exactly(Kind::Event, "tick") })
        );
        assert_eq!(read("*"), Ok(Interest::any()));
        assert_eq!(read("*:tick"), read("tick"));
        assert_eq!(read("order:debug"), Ok(Interest::exactly(Kind::Order, "debug")));
        let in_kitchen = Interest {
            message_type: Pattern::new("t*"),
            channel: Some(Pattern::literal("kitchen")),
            ..Interest::exactly(Kind::Event, "")
        };
        assert_eq!(read("event:t*:kitchen"), Ok(in_kitchen));
        let colon = read(r"*:a\:b:c\\").unwrap();
        assert!(colon.message_type.matches("a:b"));
        assert!(colon.channel.unwrap().matches("c\\"));
        assert_eq!(read("evnt:tick"), Err(WantedError::Kind("evnt".to_owned())));
        assert_eq!(read(""), Err(WantedError::NoType));
        assert_eq!(read("event:"), Err(WantedError::NoType));
        assert_eq!(read("event:tick:"), Err(WantedError::NoChannel));
        assert_eq!(read("event:a:b:c"), Err(WantedError::TooLong));
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = Pattern::new(&"*a".repeat(100));
        assert!(!pattern.matches(&("a".repeat(5000) + "b")));
    }

    #[test]
    fn no_channel_in_an_interest_means_any_or_none() {
        let on = |channel| {
            let origin = Arc::new(Origin { node: "clock".to_owned(), boot: 1 });
            let draft = Draft::event("tick").channel(channel);
            Message::encode(origin, "timer", 1, 1, &draft).unwrap()
        };
        assert!(Interest::any().matches(&on(None)) && Interest::any().matches(&on(Some("hall"))));
        let some = Interest { channel: Some(Pattern::Any), ..Interest::any() };
        assert!(!some.matches(&on(None)) && some.matches(&on(Some("hall"))));
    }
}
