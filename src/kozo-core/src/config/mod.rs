//! The configuration: one YAML file that describes the whole System, the same on every Node.
//!
//! [`load`] turns the file into a checked [`System`]; what it returns needs no further checks. Role
//! and Transport types declare their own options as data (a [`Schema`]), so that built-in and custom
//! ones are checked, documented and reported alike. It knows no type by name: those that exist are handed
//! in as a [`Registry`].
//!
//! The way of a file: `tree` (YAML to a tree with places) · `check`, `check_node`, `check_program`, `options` (the
//! tree against the `tables` and the `schema` of each type, `value` by value, `keys` and each `address` too;
//! what is found gathers in a `checker`) · `check_shared` (what no two Nodes have) · the `system`, or a `report`
//! of everything that is wrong, with the lines. Nothing stops at the first problem but a text that is not YAML.
//! `edit` changes a file as people do: by lines. `programs` are types of Roles that are not built in.

pub mod address;
mod check;
mod check_node;
mod check_program;
mod check_shared;
mod checker;
pub mod edit;
mod error;
mod keys;
mod options;
mod policy;
pub mod programs;
mod report;
pub mod schema;
mod suggest;
mod system;
pub mod tables;
mod tree;
mod value;

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use nix::fcntl::OFlag;

use report::Problem;

pub use crate::names::LONGEST_NAME;
pub use crate::queue::Limits;
pub use error::{ConfigError, UnknownNode};
pub use policy::ConnectPolicy;
pub use report::Report;
pub use schema::{
    Listens, OptionKind, OptionSpec, OptionValue, Options, Presence, Registry, Sample,
    SampleOption, Schema, WrittenFile,
};
pub use suggest::nearest;
pub use system::{
    LocalNode, NodeConfig, ProgramConfig, RoleConfig, RootOptions, Runs, System, TransportConfig,
};
pub use value::{duration as parse_duration, show_duration, show_size};

/// Larger files are not read. Two thousand Nodes with a few Roles each are far below.
const LARGEST_FILE: usize = 4 * 1024 * 1024;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The whole System.
    pub system: Arc<System>,
    /// The part that runs here, if a Node was named.
    pub local: Option<LocalNode>,
    /// What may be wrong, but not for this Node: texts of several lines each.
    pub warnings: Vec<String>,
}

/// Reads and checks a file; for a Node, if one is named, together with its private key.
///
/// # Errors
/// When the file cannot be read, is not YAML, does not describe a System that can run, or does not
/// have the Node.
pub fn load(path: &Path, node: Option<&str>, registry: &Registry) -> Result<Loaded, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let name = path.to_string_lossy();
    let bytes = read(path).map_err(unreadable)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => check(&name, text, node, registry),
        Err(error) => Err(not_text(&name, &bytes, error.valid_up_to())),
    }
}

/// Checks a text as [`load`] does that of a file; `name` is what messages call it.
///
/// # Errors
/// As [`load`].
pub fn check(
    name: &str,
    text: &str,
    node: Option<&str>,
    registry: &Registry,
) -> Result<Loaded, ConfigError> {
    if text.len() > LARGEST_FILE {
        let title = format!("the file is larger than {} MiB", LARGEST_FILE >> 20);
        return Err(ConfigError::Refused(Report::new(name, "", vec![Problem::new(0..0, title)])));
    }
    let (root, mut problems) = match tree::parse(text) {
        tree::Parsed::Tree(root, problems) => (root, problems),
        tree::Parsed::NotYaml(problem) => {
            return Err(ConfigError::NotYaml(Report::new(name, text, vec![*problem])));
        }
    };
    let mut checker = checker::Checker::new(registry, node);
    let nodes = match &root {
        Some(root) => checker.file(root),
        None => {
            if problems.is_empty() {
                let empty = Problem::new(0..0, "the file is empty");
                problems.push(empty.help("add a block `system:` with the Nodes"));
            }
            Vec::new()
        }
    };
    let unknown = node
        .filter(|node| !checker.nodes.iter().any(|name| name == node))
        .map(|node| UnknownNode::new(node, name, std::mem::take(&mut checker.nodes)));
    problems.append(&mut checker.problems);
    if !problems.is_empty() {
        let report = Report::new(name, text, problems);
        return Err(ConfigError::Refused(match unknown {
            Some(unknown) => report.note(unknown.remark()),
            None => report,
        }));
    }
    if let Some(unknown) = unknown {
        return Err(ConfigError::UnknownNode(unknown));
    }
    let system = Arc::new(System { nodes: nodes.into_iter().map(Arc::new).collect() });
    let local = node.zip(checker.private_key).and_then(|(node, key)| {
        let config = Arc::clone(system.node(node)?);
        Some(LocalNode { system: Arc::clone(&system), config, private_key: Arc::new(key) })
    });
    let warnings = Report::new(name, text, checker.warnings).warnings();
    Ok(Loaded { system, local, warnings })
}

/// The content of a file, or as much of it as shows that it is too large.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens a file to read it, and nothing else: a pipe would be waited for without end.
fn open(path: &Path) -> std::io::Result<File> {
    // As long as it is not known what it is, not even opening it may wait.
    let unblocked = OFlag::O_NONBLOCK.bits();
    let file = File::options().read(true).custom_flags(unblocked).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(std::io::Error::other("this is not a file"))
    }
}

fn not_text(name: &str, bytes: &[u8], at: usize) -> ConfigError {
    if bytes.len() > LARGEST_FILE {
        // The end may have been cut within a character.
        let title = format!("the file is larger than {} MiB", LARGEST_FILE >> 20);
        return ConfigError::Refused(Report::new(name, "", vec![Problem::new(0..0, title)]));
    }
    let text = String::from_utf8_lossy(bytes);
    let problem = Problem::new(at..at + 1, "the file is not UTF-8 text")
        .label("this is not a character")
        .help(match bytes {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "it looks like UTF-16: save it as UTF-8",
            _ => "save it as UTF-8",
        });
    ConfigError::NotYaml(Report::new(name, &text, vec![problem]))
}
