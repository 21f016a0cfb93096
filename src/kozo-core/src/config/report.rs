//! What is wrong with a configuration, and how that is shown: the place, the line itself with a
//! marker, what is allowed, and what may have been meant.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};

/// Problems shown in full; beyond that, only their number helps.
const MOST_SHOWN: usize = 100;

/// Two places farther apart than this are shown as two excerpts. A line longer than this (a line
/// may be as long as the file) is not shown at all, only where it is.
const LONGEST_EXCERPT: usize = 16 * 1024;

/// A marker is no longer than this.
const LONGEST_MARK: usize = 512;

/// A text in bytes of the file.
pub(super) type Span = Range<usize>;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// Where.
    pub(super) span: Span,
    /// What, in one line.
    pub(super) title: String,
    /// What to say right beside the marker.
    pub(super) label: String,
    /// Other places that have to do with it.
    pub(super) others: Vec<(Span, String)>,
    /// What is allowed, and other things to know.
    pub(super) notes: Vec<String>,
    /// What to do.
    pub(super) helps: Vec<String>,
}

impl Problem {
    /// A problem at a place.
    pub(super) fn new(span: Span, title: impl Into<String>) -> Self {
        Problem {
            span,
            title: title.into(),
            label: String::new(),
            others: Vec::new(),
            notes: Vec::new(),
            helps: Vec::new(),
        }
    }

    /// With this beside the marker.
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With another place that has to do with it.
    pub(super) fn other(mut self, span: Span, label: impl Into<String>) -> Self {
        self.others.push((span, label.into()));
        self
    }

    /// With something to know.
    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// With something to do.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.helps.push(help.into());
        self
    }

    /// With "did you mean …?", if there is something that may have been meant.
    pub(super) fn did_you_mean(self, suggestion: Option<&str>) -> Self {
        match suggestion {
            Some(name) => self.help(format!("did you mean {}?", quoted(name))),
            None => self,
        }
    }
}

/// Problems of one file.
#[derive(Clone, Debug)]
pub struct Report {
    name: String,
    text: String,
    problems: Vec<Problem>,
    notes: Vec<String>,
}

impl Report {
    /// The problems of this text, which come in file order, each once.
    pub(super) fn new(name: &str, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.span.start);
        // What an alias repeats is wrong in one place only.
        let mut seen: std::collections::HashSet<(usize, usize, String)> =
            std::collections::HashSet::new();
        problems.retain(|problem| {
            seen.insert((problem.span.start, problem.span.end, problem.title.clone()))
        });
        Report { name: quoted_plain(name), text: text.to_owned(), problems, notes: Vec::new() }
    }

    /// With a remark about the file as a whole.
    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// How many problems there are.
    pub fn count(&self) -> usize {
        self.problems.len()
    }

    /// The whole report: every problem with its line, then how many there are.
    pub fn render(&self, colour: bool) -> String {
        let renderer = renderer(colour);
        let mut out = String::new();
        for problem in self.problems.iter().take(MOST_SHOWN) {
            out.push_str(&self.problem(&renderer, Level::ERROR, problem));
            out.push_str("\n\n");
        }
        let hidden = self.count().saturating_sub(MOST_SHOWN);
        if hidden > 0 {
            out.push_str(&format!("… and {hidden} more.\n\n"));
        }
        for note in &self.notes {
            out.push_str(note);
            out.push_str("\n\n");
        }
        let plural = if self.count() == 1 { "" } else { "s" };
        out.push_str(&format!("{} problem{plural} in {}", self.count(), self.name));
        out
    }

    /// Each problem by itself, as a warning.
    pub(super) fn warnings(&self) -> Vec<String> {
        let renderer = renderer(false);
        let shown = self.problems.iter().take(MOST_SHOWN);
        shown.map(|problem| self.problem(&renderer, Level::WARNING, problem)).collect()
    }

    fn problem(&self, renderer: &Renderer, level: Level<'static>, problem: &Problem) -> String {
        let mut group = level.primary_title(problem.title.as_str()).elements(
            excerpts(&self.text, problem)
                .into_iter()
                .map(|excerpt| excerpt.element(&self.text, &self.name)),
        );
        for note in &problem.notes {
            group = group.element(Level::NOTE.message(note.as_str()));
        }
        for help in &problem.helps {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let report: &[Group<'_>] = &[group];
        renderer.render(report)
    }
}

/// A part of the file that is shown in one piece.
struct Excerpt<'a> {
    range: Span,
    marks: Vec<(AnnotationKind, Span, &'a str)>,
}

impl<'a> Excerpt<'a> {
    fn element(self, text: &'a str, name: &'a str) -> Element<'a> {
        let before = text.get(..self.range.start).unwrap_or("");
        let line = 1 + before.matches('\n').count();
        let start = self.range.start;
        if self.range.len() > LONGEST_EXCERPT {
            let mark = self.marks.first().map_or(start, |(_, span, _)| span.start);
            let column = 1 + text.get(start..mark).unwrap_or("").chars().count();
            return Origin::path(name).line(line).char_column(column).into();
        }
        let source = text.get(self.range).unwrap_or("");
        let marks = self.marks.into_iter().map(|(kind, span, label)| {
            let mark = kind.span(span.start - start..span.end - start);
            if label.is_empty() { mark } else { mark.label(label) }
        });
        Snippet::source(source).line_start(line).path(name).annotations(marks).into()
    }
}

/// Where a problem and what has to do with it are: in one excerpt if near, else in one for each.
fn excerpts<'a>(text: &str, problem: &'a Problem) -> Vec<Excerpt<'a>> {
    let primary = (AnnotationKind::Primary, on_one_line(text, &problem.span), &*problem.label);
    let others = problem
        .others
        .iter()
        .map(|(span, label)| (AnnotationKind::Context, on_one_line(text, span), label.as_str()));
    let mut excerpts: Vec<Excerpt<'a>> = Vec::new();
    for mark in std::iter::once(primary).chain(others) {
        let range = lines_of(text, &mark.1);
        match excerpts.first_mut() {
            Some(first)
                if first.range.end.max(range.end) - first.range.start.min(range.start)
                    <= LONGEST_EXCERPT =>
            {
                first.range.start = first.range.start.min(range.start);
                first.range.end = first.range.end.max(range.end);
                first.marks.push(mark);
            }
            _ => excerpts.push(Excerpt { range, marks: vec![mark] }),
        }
    }
    excerpts
}

/// The span within the text and within its first line.
fn on_one_line(text: &str, span: &Span) -> Span {
    let start = floor(text, span.start.min(text.len()));
    let rest = text.get(start..).unwrap_or("");
    let line_end = start + rest.find(['\n', '\r']).unwrap_or(rest.len());
    let end = floor(text, span.end.clamp(start, line_end).min(start + LONGEST_MARK));
    start..end.max(start)
}

/// The whole line of a span that lies on one, or what of it is sensible to show.
fn lines_of(text: &str, span: &Span) -> Span {
    let before = text.get(..span.start).unwrap_or("");
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let after = text.get(span.end..).unwrap_or("");
    let end = span.end + after.find('\n').unwrap_or(after.len());
    let end = if text.get(..end).is_some_and(|line| line.ends_with('\r')) { end - 1 } else { end };
    let end = end.max(span.end);
    start..end
}

/// The nearest boundary between characters, at or before.
fn floor(text: &str, mut at: usize) -> usize {
    while at > 0 && !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// How things are drawn.
pub(super) fn renderer(colour: bool) -> Renderer {
    if colour { Renderer::styled() } else { Renderer::plain() }
}

/// Some text of the file or the command line, in backticks, fit for a terminal: on one line, short,
/// without control characters.
pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", quoted_plain(text))
}

fn quoted_plain(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut out = String::new();
    for (count, char) in text.chars().enumerate() {
        if count == LONGEST {
            out.push('…');
            break;
        }
        // Bidirectional overrides would let a name rearrange the rest of the message.
        let turns = matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if char.is_control() || turns {
            out.extend(char.escape_default());
        } else {
            out.push(char);
        }
    }
    out
}

/// Names in backticks with commas between them, the first few of them if there are many.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const MOST: usize = 40;
    let mut names = names.into_iter();
    let mut out = names.by_ref().take(MOST).map(quoted).collect::<Vec<_>>().join(", ");
    let more = names.count();
    if more > 0 {
        out.push_str(&format!(" and {more} more"));
    }
    out
}
