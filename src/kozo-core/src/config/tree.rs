//! YAML text -> a tree in which every name and value knows its place in the text.
//!
//! Built from the events of serde-saphyr's own parser instead of through serde: of two entries with
//! one name, deserialisation lets only one through (or stops at the second), and neither how a value
//! was written nor a second document reaches it. What is here bounds what a file can cost: depth,
//! and the size of everything that aliases repeat.

use std::collections::HashMap;
use std::rc::Rc;

use serde_saphyr::granit_parser::{self, ErrorKind, Event, Parser, ScalarStyle, ScanError, Tag};

use super::report::{Problem, Span, quoted};

/// Deepest nesting, aliases followed. A configuration needs eight levels.
const DEEPEST: usize = 64;

/// Most names and values, aliases followed. A hundred for each of two thousand Nodes.
const MOST_NODES: usize = 200_000;

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    /// What it is.
    pub(super) value: Value,
    /// Where it is. For what an alias stands for: where that was written.
    pub(super) span: Span,
    /// Levels below and including this one.
    depth: usize,
    /// Names and values in it, itself included.
    size: usize,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing: left empty, `~` or `null`.
    Nothing,
    /// One value, as text.
    Scalar(Rc<str>),
    /// A list.
    List(Rc<[Tree]>),
    /// A block of names with values, every name once.
    Block(Rc<[Entry]>),
}

/// A name with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The name.
    pub(super) name: Rc<str>,
    /// Where the name is.
    pub(super) span: Span,
    /// The value.
    pub(super) value: Tree,
}

impl Tree {
    fn new(value: Value, span: Span) -> Self {
        Tree { value, span, depth: 1, size: 1 }
    }

    /// What it is, for a message: "a list".
    pub(super) fn what(&self) -> &'static str {
        match self.value {
            Value::Nothing => "nothing",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Block(_) => "a block",
        }
    }
}

/// What a text came to.
#[derive(Debug)]
pub(super) enum Parsed {
    /// A tree, or none if the text has no content; and what is wrong with it.
    Tree(Option<Tree>, Vec<Problem>),
    /// The text is not YAML.
    NotYaml(Box<Problem>),
}

/// Reads a text.
pub(super) fn parse(text: &str) -> Parsed {
    let mut options = granit_parser::options! {
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    };
    options.set_emit_comments(false);
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = match event {
            Ok((event, span)) => {
                let range = span.byte_range().unwrap_or(0..0);
                if let Some(tag) = event.tag() {
                    let start = span.tag_start().and_then(|mark| mark.byte_offset());
                    builder.tag(tag, start.unwrap_or(range.start)..range.start);
                }
                (event, range)
            }
            Err(error) if *error.kind() == ErrorKind::RecursionLimitExceeded => {
                let title = format!("more than {DEEPEST} nested levels");
                return Parsed::Tree(None, vec![Problem::new(place(text, &error), title)]);
            }
            Err(error) => return Parsed::NotYaml(Box::new(syntax(text, &error))),
        };
        if builder.take(event, span).is_break() {
            break;
        }
    }
    Parsed::Tree(builder.root, builder.problems)
}

/// A list or block that is not complete yet.
enum Open {
    List(Vec<Tree>),
    Block { entries: Vec<Entry>, name: Option<Tree> },
}

#[derive(Default)]
struct Builder {
    root: Option<Tree>,
    open: Vec<(Open, Span, usize)>,
    anchors: HashMap<usize, Tree>,
    documents: usize,
    size: usize,
    problems: Vec<Problem>,
}

/// Whether the rest of the text is worth reading.
type Flow = std::ops::ControlFlow<()>;

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Flow {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.problems.push(
                        Problem::new(span, "a second document begins here")
                            .label("`---` separates documents")
                            .note("a configuration is one document"),
                    );
                    return Flow::Break(());
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !tag.as_deref().is_some_and(says_text);
                let nothing = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if nothing { Value::Nothing } else { Value::Scalar(Rc::from(&*text)) };
                return self.complete(Tree::new(value, span), anchor, 1);
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open.push((Open::List(Vec::new()), span, anchor));
            }
            Event::MappingStart(_, anchor, _) => {
                let block = Open::Block { entries: Vec::new(), name: None };
                self.open.push((block, span, anchor));
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some((open, start, anchor)) = self.open.pop() else {
                    return Flow::Continue(());
                };
                let tree = self.close(open, start.start..span.end.max(start.end));
                return self.complete(tree, anchor, 1);
            }
            Event::Alias(anchor) => {
                let Some(tree) = self.anchors.get(&anchor) else {
                    self.problems
                        .push(Problem::new(span, "this alias refers to a block that contains it"));
                    return Flow::Break(());
                };
                let mut tree = tree.clone();
                // A single value is read where it is used; what is in a block, where it is written.
                if matches!(tree.value, Value::Scalar(_) | Value::Nothing) {
                    tree.span = span.clone();
                }
                if self.depth() + tree.depth > DEEPEST || self.size + tree.size > MOST_NODES {
                    self.problems.push(
                        Problem::new(span, "this alias makes the configuration too large").note(
                            format!(
                                "at most {DEEPEST} levels and {MOST_NODES} names and values, \
                                 aliases followed"
                            ),
                        ),
                    );
                    return Flow::Break(());
                }
                let size = tree.size;
                return self.complete(tree, 0, size);
            }
            _ => {}
        }
        Flow::Continue(())
    }

    fn depth(&self) -> usize {
        self.open.len()
    }

    /// Refuses a tag of no known meaning.
    fn tag(&mut self, tag: &Tag, span: Span) {
        if tag.core_suffix().is_none() && !says_text(tag) {
            let title = format!("the tag {} is not supported", quoted(&tag.original()));
            self.problems.push(Problem::new(span, title).help("remove the tag"));
        }
    }

    /// Puts a complete value where it belongs, and counts what that added.
    fn complete(&mut self, tree: Tree, anchor: usize, added: usize) -> Flow {
        self.size += added;
        if self.size > MOST_NODES {
            let title = format!("more than {MOST_NODES} names and values");
            self.problems.push(Problem::new(tree.span, title));
            return Flow::Break(());
        }
        if anchor != 0 {
            self.anchors.insert(anchor, tree.clone());
        }
        match self.open.last_mut() {
            None => self.root = Some(tree),
            Some((Open::List(items), ..)) => items.push(tree),
            Some((Open::Block { name: name @ None, .. }, ..)) => *name = Some(tree),
            Some((Open::Block { entries, name }, ..)) => {
                let Some(key) = name.take() else { return Flow::Continue(()) };
                match key.value {
                    Value::Scalar(text) => {
                        entries.push(Entry { name: text, span: key.span, value: tree });
                    }
                    Value::Nothing => {
                        let title = "a name is missing before this `:`";
                        self.problems.push(Problem::new(key.span, title));
                    }
                    Value::List(_) | Value::Block(_) => {
                        let title = format!("{} cannot be a name", key.what());
                        self.problems.push(Problem::new(key.span, title));
                    }
                }
            }
        }
        Flow::Continue(())
    }

    fn close(&mut self, open: Open, span: Span) -> Tree {
        match open {
            Open::List(items) => {
                let depth = 1 + items.iter().map(|item| item.depth).max().unwrap_or(0);
                let size = 1 + items.iter().map(|item| item.size).sum::<usize>();
                Tree { value: Value::List(items.into()), span, depth, size }
            }
            Open::Block { entries, .. } => {
                let entries = self.once_each(entries);
                let entries = self.merge(entries);
                let depth = 1 + entries.iter().map(|entry| entry.value.depth).max().unwrap_or(0);
                let size = 1 + entries.iter().map(|entry| 1 + entry.value.size).sum::<usize>();
                Tree { value: Value::Block(entries.into()), span, depth, size }
            }
        }
    }
}

impl Builder {
    /// The entries without those whose name was there before: these are problems.
    fn once_each(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        let mut first: HashMap<Rc<str>, Span> = HashMap::new();
        let mut kept = Vec::with_capacity(entries.len());
        for entry in entries {
            match first.get(&entry.name) {
                None => {
                    first.insert(Rc::clone(&entry.name), entry.span.clone());
                    kept.push(entry);
                }
                Some(before) => self.problems.push(
                    Problem::new(entry.span, format!("{} appears twice", quoted(&entry.name)))
                        .label("here again")
                        .other(before.clone(), "first here")
                        .help("remove or rename one of them"),
                ),
            }
        }
        kept
    }

    /// Takes in what `<<:` names, as far as the block does not say otherwise itself.
    fn merge(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        if !entries.iter().any(|entry| &*entry.name == "<<") {
            return entries;
        }
        let (merges, mut own): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| &*entry.name == "<<");
        let mut names: std::collections::HashSet<Rc<str>> =
            own.iter().map(|entry| Rc::clone(&entry.name)).collect();
        for merge in merges {
            let blocks = match &merge.value.value {
                Value::List(items) => items.to_vec(),
                _ => vec![merge.value],
            };
            for block in blocks {
                let Value::Block(inherited) = &block.value else {
                    let title = format!("`<<` takes a block, not {}", block.what());
                    self.problems.push(Problem::new(block.span, title));
                    continue;
                };
                for entry in inherited.iter() {
                    if names.insert(Rc::clone(&entry.name)) {
                        own.push(entry.clone());
                    }
                }
            }
        }
        own
    }
}

/// Whether a tag makes a value text whatever it looks like.
fn says_text(tag: &Tag) -> bool {
    tag.is_yaml_core_schema_tag("str") || tag.original() == "!"
}

/// Where the parser stumbled.
fn place(text: &str, error: &ScanError) -> Span {
    let at = error.marker().byte_offset().unwrap_or(0).min(text.len());
    let length = text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    at..at + length
}

/// What the parser stumbled over, as a problem.
fn syntax(text: &str, error: &ScanError) -> Problem {
    let place = place(text, error);
    if let Some(problem) = tabs(text, place.start, error.kind()) {
        return problem;
    }
    let problem = Problem::new(place, format!("this is not YAML: {}", error.info()));
    match error.kind() {
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => problem.help(
            "a value with `: ` in it needs quotes; a name is followed by `:`; all names of a block \
             start in one column",
        ),
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation => problem
            .help("all names of a block start in the same column, its contents farther right"),
        ErrorKind::UnexpectedCharacter { .. } => problem.help("put the value in quotes"),
        ErrorKind::UnknownAnchor | ErrorKind::MissingAnchorOrAliasName => {
            problem.help("a value that starts with `*` or `&` needs quotes, unless it is an alias")
        }
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
            problem.help("a quote opened here or on an earlier line is not closed")
        }
        _ => problem,
    }
}

/// The problem of a text indented with tabs, if that is what the parser stumbled over.
fn tabs(text: &str, at: usize, kind: &ErrorKind) -> Option<Problem> {
    let line = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
    let mut start = line;
    let mut indented = Vec::new();
    for content in text.get(line..)?.split_inclusive('\n') {
        let indent = content.len() - content.trim_start_matches([' ', '\t']).len();
        let blank = content.trim().is_empty();
        if let Some(tab) = content.get(..indent).and_then(|indent| indent.find('\t'))
            && !blank
        {
            let tabs = content.get(tab..indent).unwrap_or("");
            let tabs = tabs.len() - tabs.trim_start_matches('\t').len();
            indented.push((start == line, start + tab..start + tab + tabs));
        }
        start += content.len();
    }
    let about_tabs = matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
            | ErrorKind::TabAtBlockScalarStart
    );
    let (on_this_line, span) = indented.first()?.clone();
    if !about_tabs && !on_this_line {
        return None;
    }
    let label = if span.len() == 1 { "this is a tab" } else { "these are tabs" };
    let problem = Problem::new(span, "a tab is used as indentation")
        .label(label)
        .note("YAML forbids tabs as indentation")
        .help("indent with spaces: your editor can replace every tab, and so can `expand -t 4`");
    Some(match indented.len() {
        1 => problem,
        more => problem.note(format!("{more} lines are indented with tabs, this is the first")),
    })
}
