//! Nodes as pieces of text: taking them out of one configuration, and putting them into another.
//!
//! What people have written, they have also ordered, indented and commented. So a file is not written
//! anew from what it means: lines are put between lines, and every other byte stays. The places come
//! from the `tree`; the lines around them, comments above all, only from the text. What comes out
//! means what it should in all but the oddest files (an alias can change what it stands for), so
//! whoever changes a file compares what [`check`](super::check) makes of it before and after.

use std::fmt::Write as _;

use super::error::ConfigError;
use super::report::{Problem, Report, Span, quoted};
use super::tree::{self, Entry, Parsed, Tree, Value};

/// Columns by which a level is indented where the file does not say otherwise.
const INDENT: usize = 4;

/// The name of the block with the Nodes.
const SYSTEM: &str = "system";

/// A Node as it is written in some file, by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeText {
    /// Its name.
    pub name: String,
    /// The comments right above it: whole lines, from the first column.
    pub comments: String,
    /// Its name and block: whole lines, of which the name's starts in the first column.
    pub text: String,
}

impl NodeText {
    /// As a configuration of its own, of this Node alone.
    pub fn block(&self) -> String {
        let mut out = format!("{SYSTEM}:\n");
        indented(&mut out, &self.comments, INDENT, "\n");
        indented(&mut out, &self.text, INDENT, "\n");
        out
    }
}

/// The Nodes of a text: a whole configuration, or only what is in its block `system`. `name` is what
/// messages call the text.
///
/// # Errors
/// When it is not YAML, has no Nodes, or they cannot be taken out of it.
pub fn nodes(name: &str, text: &str) -> Result<Vec<NodeText>, ConfigError> {
    taken_out(name, text, |_| true)
}

/// One Node of a text, as [`nodes`] takes it out; none if it is not there.
///
/// # Errors
/// As [`nodes`], but does not look at the other Nodes.
pub fn node(name: &str, text: &str, node: &str) -> Result<Option<NodeText>, ConfigError> {
    Ok(taken_out(name, text, |other| other == node)?.pop())
}

fn taken_out(
    name: &str,
    text: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<NodeText>, ConfigError> {
    let layout = Layout::of(name, text)?;
    let Some(Tree { value: Value::Block(entries), .. }) = &layout.root else {
        let problem = Problem::new(0..0, "it has no Node");
        return Err(layout.refused(problem.help("add a block with the name of a Node")));
    };
    let (entries, region) = match layout.system() {
        Some(system) => match &system.value.value {
            Value::Block(entries) => (&**entries, layout.region(system)),
            _ => {
                let problem = Problem::new(system.span.clone(), "the System has no Nodes");
                return Err(layout.refused(problem));
            }
        },
        None => (&**entries, 0..layout.end),
    };
    let spans = layout.nodes(entries, &region)?;
    let mut out = Vec::with_capacity(spans.len());
    for (index, span) in spans.iter().enumerate() {
        if !wanted(&span.entry.name) {
            continue;
        }
        let next = spans.get(index + 1).map_or(region.end, |next| next.line);
        let end = layout.content_end(span.line..next, span.column);
        if !within(&span.entry.value, &(span.line..end), text) {
            let title = format!("Node {} uses an alias", quoted(&span.entry.name));
            let problem = Problem::new(span.entry.span.clone(), title);
            return Err(
                layout.refused(problem.help("write out the text that the alias stands for"))
            );
        }
        let first = layout.comments_above(span, region.start);
        out.push(NodeText {
            name: span.entry.name.as_ref().to_owned(),
            comments: dedented(text.get(first..span.line).unwrap_or(""), span.column),
            text: dedented(text.get(span.line..end).unwrap_or(""), span.column),
        });
    }
    Ok(out)
}

/// Names of the Nodes that a configuration has; none if it has no block `system`, or an empty one.
///
/// # Errors
/// When the text is not YAML.
pub fn names(name: &str, text: &str) -> Result<Vec<String>, ConfigError> {
    let layout = Layout::of(name, text)?;
    let Some(Tree { value: Value::Block(nodes), .. }) = layout.system().map(|entry| &entry.value)
    else {
        return Ok(Vec::new());
    };
    Ok(nodes.iter().map(|node| node.name.as_ref().to_owned()).collect())
}

/// Columns by which the options of Nodes are indented in a configuration.
///
/// # Errors
/// When the text is not YAML.
pub fn indentation(name: &str, text: &str) -> Result<usize, ConfigError> {
    let layout = Layout::of(name, text)?;
    let Some(Tree { value: Value::Block(nodes), .. }) = layout.system().map(|entry| &entry.value)
    else {
        return Ok(INDENT);
    };
    let step = |node: &Entry| {
        let Value::Block(options) = &node.value.value else { return None };
        let (_, node) = layout.own_line(&node.span)?;
        let (_, option) = layout.own_line(&options.first()?.span)?;
        option.checked_sub(node).filter(|step| *step > 0)
    };
    Ok(nodes.iter().find_map(step).unwrap_or(INDENT))
}

/// A configuration with these Nodes added behind those it has, in a block `system` that is added too
/// if there is none. No byte of the rest is changed.
///
/// # Errors
/// When it is not YAML, or written so that nothing can be put in.
pub fn add(name: &str, text: &str, nodes: &[NodeText]) -> Result<String, ConfigError> {
    if nodes.is_empty() {
        return Ok(text.to_owned());
    }
    let layout = Layout::of(name, text)?;
    let Some(system) = layout.system() else {
        let column = layout.root_column()?;
        let mut lines = String::new();
        indented(&mut lines, &format!("{SYSTEM}:\n"), column, layout.newline);
        layout.write(&mut lines, nodes, column + INDENT, None);
        let before = text.get(..layout.end).unwrap_or("");
        let blank = !before.trim_start_matches('\u{feff}').is_empty()
            && before.lines().last().is_some_and(|last| !last.trim().is_empty());
        return Ok(layout.with(layout.end, blank, &lines));
    };
    let region = layout.region(system);
    let root_column = layout.own_line(&system.span).map_or(0, |(_, column)| column);
    let end = layout.content_end(region.clone(), root_column);
    // A comment right above a Node would be taken for its own.
    let start = layout.line_start(end.saturating_sub(1));
    let comment = text.get(start..end).is_some_and(|line| line.trim_start().starts_with('#'));
    let mut lines = String::new();
    match &system.value.value {
        Value::Nothing if text.get(system.value.span.clone()).is_none_or(str::is_empty) => {
            layout.write(&mut lines, nodes, root_column + INDENT, None);
            Ok(layout.with(end, comment, &lines))
        }
        Value::Block(entries) if !layout.is_flow(&system.value) => {
            let spans = layout.nodes(entries, &region)?;
            let column = spans.first().map_or(root_column + INDENT, |span| span.column);
            let apart = layout.are_apart(&spans, region.start);
            layout.write(&mut lines, nodes, column, Some(apart));
            Ok(layout.with(end, apart || comment, &lines))
        }
        _ => Err(layout.in_braces(&system.span)),
    }
}

/// A configuration in which a Node of this name is as given. No byte outside of its block is changed.
///
/// # Errors
/// When it is not YAML, has no such Node, or is written so that the Node cannot be told apart.
pub fn replace(name: &str, text: &str, node: &NodeText) -> Result<String, ConfigError> {
    let layout = Layout::of(name, text)?;
    let missing = || {
        let title = format!("there is no Node {}", quoted(&node.name));
        layout.refused(Problem::new(0..0, title))
    };
    let system = layout.system().ok_or_else(missing)?;
    let Value::Block(entries) = &system.value.value else { return Err(missing()) };
    let region = layout.region(system);
    let spans = layout.nodes(entries, &region)?;
    let at = spans.iter().position(|span| *span.entry.name == *node.name).ok_or_else(missing)?;
    let span = spans.get(at).ok_or_else(missing)?;
    let next = spans.get(at + 1).map_or(region.end, |next| next.line);
    let end = layout.content_end(span.line..next, span.column);
    let mut lines = String::new();
    indented(&mut lines, &node.text, span.column, layout.newline);
    let (before, after) = (text.get(..span.line).unwrap_or(""), text.get(end..).unwrap_or(""));
    if !text.get(span.line..end).is_some_and(|old| old.ends_with('\n')) {
        lines.truncate(lines.trim_end_matches(['\r', '\n']).len());
    }
    Ok(format!("{before}{lines}{after}"))
}

/// A text as a value or name in YAML: as it is if nothing in it could be misread, else in quotes.
pub fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '.');
    // Between words.
    let inner = |c: char| plain(c) || matches!(c, ' ' | ',' | '+' | '=' | '@');
    let ends = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && text.ends_with(|c: char| plain(c) || c == '=');
    let nothing = matches!(text, "null" | "Null" | "NULL");
    if ends && !nothing && text.chars().all(inner) {
        return text.to_owned();
    }
    let mut out = String::from('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            // Control characters, and the line ends that only Unicode knows.
            _ if char.is_control() || matches!(char, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                // Writing to a text cannot fail.
                let _ = write!(out, "\\U{:08x}", u32::from(char));
            }
            _ => out.push(char),
        }
    }
    out.push('"');
    out
}

/// Where a Node is: its name is the first on its line.
struct NodeSpan<'t> {
    entry: &'t Entry,
    /// Start of the line with its name.
    line: usize,
    /// Column of its name, from 0.
    column: usize,
}

/// A text and where things are in it.
struct Layout<'a> {
    name: &'a str,
    text: &'a str,
    root: Option<Tree>,
    /// Where the document ends: the end of the text, or a line `...`.
    end: usize,
    newline: &'static str,
}

impl<'a> Layout<'a> {
    fn of(name: &'a str, text: &'a str) -> Result<Self, ConfigError> {
        let root = match tree::parse(text) {
            Parsed::Tree(root, _) => root,
            Parsed::NotYaml(problem) => {
                return Err(ConfigError::NotYaml(Report::new(name, text, vec![*problem])));
            }
        };
        let is_end =
            |line: &str| line.strip_prefix("...").is_some_and(|rest| rest.trim().is_empty());
        let end = lines(text, 0..text.len()).find(|(_, line)| is_end(line));
        let end = end.map_or(text.len(), |(start, _)| start);
        let newline = match text.split_once('\n') {
            Some((first, _)) if first.ends_with('\r') => "\r\n",
            _ => "\n",
        };
        Ok(Layout { name, text, root, end, newline })
    }

    fn refused(&self, problem: Problem) -> ConfigError {
        ConfigError::Refused(Report::new(self.name, self.text, vec![problem]))
    }

    fn in_braces(&self, span: &Span) -> ConfigError {
        let title = "cannot add to a block that is written in this way";
        let problem = Problem::new(span.clone(), title).help(
            "write it without braces and aliases, every Node's name on a line of its own; \
             `kozoctl config show` prints the whole file in block style",
        );
        self.refused(problem)
    }

    fn is_flow(&self, tree: &Tree) -> bool {
        self.text.get(tree.span.start..).is_some_and(|rest| rest.starts_with(['{', '[']))
    }

    fn root_entries(&self) -> &[Entry] {
        match &self.root {
            Some(Tree { value: Value::Block(entries), .. }) => entries,
            _ => &[],
        }
    }

    fn system(&self) -> Option<&Entry> {
        self.root_entries().iter().find(|entry| &*entry.name == SYSTEM)
    }

    /// The column in which names of the top level start.
    fn root_column(&self) -> Result<usize, ConfigError> {
        let Some(root) = &self.root else { return Ok(0) };
        let first = self.root_entries().first();
        match first.and_then(|first| self.own_line(&first.span)) {
            Some((_, column)) if !self.is_flow(root) => Ok(column),
            _ => Err(self.in_braces(&root.span)),
        }
    }

    /// From the line of a name at the top level to that of the next one.
    fn region(&self, entry: &Entry) -> Span {
        let later = self.root_entries().iter().map(|entry| entry.span.start);
        let next = later.filter(|start| *start > entry.span.start).min();
        let end = next.map_or(self.end, |next| self.line_start(next));
        let start = self.line_start(entry.span.start);
        start..end.max(start)
    }

    fn line_start(&self, at: usize) -> usize {
        self.text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1)
    }

    /// The start of the line and the column of a name with nothing but spaces before it.
    fn own_line(&self, span: &Span) -> Option<(usize, usize)> {
        let line = self.line_start(span.start);
        let before = self.text.get(line..span.start)?;
        let before = before.strip_prefix('\u{feff}').unwrap_or(before);
        before.bytes().all(|byte| byte == b' ').then_some((line, before.len()))
    }

    /// Where the Nodes are, in the order of the file.
    fn nodes<'t>(
        &self,
        entries: &'t [Entry],
        region: &Span,
    ) -> Result<Vec<NodeSpan<'t>>, ConfigError> {
        let mut spans = Vec::with_capacity(entries.len());
        for entry in entries {
            let span = self.own_line(&entry.span).filter(|_| region.contains(&entry.span.start));
            let (line, column) = span.ok_or_else(|| self.in_braces(&entry.span))?;
            spans.push(NodeSpan { entry, line, column });
        }
        spans.sort_by_key(|span| span.line);
        Ok(spans)
    }

    /// The end of the last line in a region (of whole lines, the first of them that of a name in this
    /// column) that belongs to what is named there. Blank lines behind it do not, nor comments that
    /// are not farther right than the name.
    fn content_end(&self, region: Span, column: usize) -> usize {
        let mut end = region.start;
        for (start, line) in lines(self.text, region.clone()) {
            let content = line.trim_start_matches(' ');
            let outside = content.starts_with('#') && line.len() - content.len() <= column;
            if start == region.start || !(content.trim().is_empty() || outside) {
                end = start + line.len();
            }
        }
        end
    }

    /// The start of the comments right above a Node, which start in the same column.
    fn comments_above(&self, span: &NodeSpan<'_>, from: usize) -> usize {
        let mut first = span.line;
        while first > from {
            let start = self.line_start(first - 1);
            let line = self.text.get(start..first).unwrap_or("");
            let content = line.trim_start_matches(' ');
            if !content.starts_with('#') || line.len() - content.len() != span.column {
                break;
            }
            first = start;
        }
        first
    }

    /// Whether the Nodes have blank lines between them; one alone leaves that open.
    fn are_apart(&self, spans: &[NodeSpan<'_>], from: usize) -> bool {
        let [.., last] = spans else { return false };
        if spans.len() == 1 {
            return true;
        }
        let first = self.comments_above(last, from);
        let above = self.text.get(from..first).unwrap_or("");
        above.lines().last().is_some_and(|line| line.trim().is_empty())
    }

    /// Writes Nodes in this column. `apart` says whether there are blank lines between them.
    fn write(&self, out: &mut String, nodes: &[NodeText], column: usize, apart: Option<bool>) {
        for (index, node) in nodes.iter().enumerate() {
            if index > 0 && apart.unwrap_or(true) {
                out.push_str(self.newline);
            }
            indented(out, &node.comments, column, self.newline);
            indented(out, &node.text, column, self.newline);
        }
    }

    /// The text with lines put in.
    fn with(&self, at: usize, blank: bool, lines: &str) -> String {
        let (before, after) =
            (self.text.get(..at).unwrap_or(""), self.text.get(at..).unwrap_or(""));
        let mut out = String::with_capacity(self.text.len() + lines.len() + 4);
        out.push_str(before);
        if !before.trim_start_matches('\u{feff}').is_empty() && !before.ends_with('\n') {
            out.push_str(self.newline);
        }
        if blank {
            out.push_str(self.newline);
        }
        out.push_str(lines);
        out.push_str(after);
        out
    }
}

/// The lines in a region, with their ends, and where each starts.
fn lines(text: &str, region: Span) -> impl Iterator<Item = (usize, &str)> {
    let mut at = region.start;
    text.get(region).unwrap_or("").split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        (start, line)
    })
}

/// Whether a value is written out within a region: no alias leads out of it.
fn within(tree: &Tree, region: &Span, text: &str) -> bool {
    let starts = |span: &Span| region.contains(&span.start);
    match &tree.value {
        Value::Nothing => true,
        // An alias of a single value has its own place.
        Value::Scalar(_) => !text.get(tree.span.start..).is_some_and(|rest| rest.starts_with('*')),
        Value::List(items) => {
            starts(&tree.span) && items.iter().all(|item| within(item, region, text))
        }
        Value::Block(entries) => {
            let inside = |entry: &Entry| starts(&entry.span) && within(&entry.value, region, text);
            starts(&tree.span) && entries.iter().all(inside)
        }
    }
}

/// Lines without their first columns.
fn dedented(text: &str, column: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let spaces = line.len() - line.trim_start_matches(' ').len();
        out.push_str(line.get(spaces.min(column)..).unwrap_or(""));
        out.push('\n');
    }
    out
}

/// Writes lines with columns before them.
fn indented(out: &mut String, text: &str, column: usize, newline: &str) {
    for line in text.lines() {
        if !line.is_empty() {
            out.extend(std::iter::repeat_n(' ', column));
            out.push_str(line);
        }
        out.push_str(newline);
    }
}
