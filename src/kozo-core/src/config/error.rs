//! Why there is no configuration.

use std::fmt;
use std::io;
use std::path::PathBuf;

use annotate_snippets::{Group, Level};

use super::report::{Report, list, quoted, renderer};
use super::suggest::nearest;

/// Why there is no configuration. Shown, it is the whole text for the user, of several lines.
#[derive(Debug)]
pub enum ConfigError {
    /// There is no such file, or it cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The text is not YAML.
    NotYaml(Report),
    /// The text is YAML, but describes no System that can run.
    Refused(Report),
    /// The System does not have the Node that was asked for.
    UnknownNode(UnknownNode),
}

/// A Node that was asked for, but is not in the file.
#[derive(Clone, Debug)]
pub struct UnknownNode {
    /// The name that was asked for.
    pub name: String,
    /// The file.
    pub file: String,
    /// The Nodes that there are.
    pub nodes: Vec<String>,
    /// The one of them that was probably meant.
    pub suggestion: Option<String>,
}

impl UnknownNode {
    pub(super) fn new(name: &str, file: &str, nodes: Vec<String>) -> Self {
        let suggestion = nearest(name, nodes.iter().map(String::as_str)).map(str::to_owned);
        UnknownNode { name: name.to_owned(), file: file.to_owned(), nodes, suggestion }
    }

    /// The text for the user.
    pub fn render(&self, colour: bool) -> String {
        self.render_as(Level::ERROR, colour)
    }

    /// The text for the user, who has more than that to think about.
    pub(super) fn remark(&self) -> String {
        self.render_as(Level::NOTE, false)
    }

    fn render_as(&self, level: Level<'_>, colour: bool) -> String {
        let title = format!("there is no Node {} in {}", quoted(&self.name), quoted(&self.file));
        let names = format!("its Nodes: {}", list(self.nodes.iter().map(String::as_str)));
        let mut group = Group::with_title(level.primary_title(title));
        if !self.nodes.is_empty() {
            group = group.element(Level::NOTE.message(names));
        }
        if let Some(name) = &self.suggestion {
            group = group.element(Level::HELP.message(format!("did you mean {}?", quoted(name))));
        }
        renderer(colour).render(&[group])
    }
}

impl ConfigError {
    /// What the program ends with: 1 refused, 2 no such file, 3 not YAML, 4 no such Node.
    pub fn exit_code(&self) -> u8 {
        match self {
            ConfigError::Refused(_) => 1,
            ConfigError::Unreadable { .. } => 2,
            ConfigError::NotYaml(_) => 3,
            ConfigError::UnknownNode(_) => 4,
        }
    }

    /// The text for the user, for a terminal or not.
    pub fn render(&self, colour: bool) -> String {
        match self {
            ConfigError::NotYaml(report) | ConfigError::Refused(report) => report.render(colour),
            ConfigError::UnknownNode(unknown) => unknown.render(colour),
            ConfigError::Unreadable { path, source } => {
                let title = format!("cannot read {}", quoted(&path.to_string_lossy()));
                let group = Group::with_title(Level::ERROR.primary_title(title))
                    .element(Level::NOTE.message(source.to_string()));
                renderer(colour).render(&[group])
            }
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConfigError::Unreadable { source, .. } => Some(source),
            _ => None,
        }
    }
}
