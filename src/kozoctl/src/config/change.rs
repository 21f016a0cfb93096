//! Nodes put into a configuration, and the proof that this changed nothing else.

use std::fmt::Write as _;
use std::sync::Arc;

use kozo_core::config::edit::{self, NodeText};
use kozo_core::config::{self, NodeConfig, System};
use kozo_core::types;

use super::show::{self, Item};
use super::{refused, warn};
use crate::failure::Failure;
use crate::shell::this_command;

/// What becomes of a configuration.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// The whole new text.
    pub(super) text: String,
    /// Nodes that it did not have.
    pub(super) added: Vec<String>,
    /// Nodes that were different.
    pub(super) replaced: Vec<String>,
    /// Nodes that were there already.
    pub(super) unchanged: Vec<String>,
}

impl Change {
    /// Whether there is anything to write.
    pub(super) fn is_some(&self) -> bool {
        !(self.added.is_empty() && self.replaced.is_empty())
    }
}

/// A Node that a configuration has, but differently.
#[derive(Debug)]
pub(super) struct Difference {
    /// Its name.
    pub(super) node: String,
    /// Every option that differs: its path, what it is there and what was given.
    pub(super) options: Vec<(String, String, String)>,
}

impl Difference {
    /// Lines for the user.
    pub(super) fn told(&self, file: &str) -> String {
        let mut text = format!("Node {} is already in {file}, with different contents:", self.node);
        for (option, there, given) in &self.options {
            // Writing to memory cannot fail.
            let _ = write!(text, "\n  {option}: {there} there, {given} here");
        }
        text
    }
}

/// Puts Nodes into a configuration called `file`: those that it does not have are added, and those
/// that are different replaced, if that is wanted. Checks the result, and that it means the same as
/// before in all else. `source` is what messages call the text that the Nodes come from.
///
/// # Errors
/// When the configuration is refused as it is or as it would be, cannot be changed by lines, or has
/// other Nodes of these names.
pub(super) fn put(
    file: &str,
    old: &str,
    nodes: &[NodeText],
    source: &str,
    replace: bool,
) -> Result<Change, Failure> {
    let failed = |error| refused(&error);
    let nodes = once_each(nodes)?;
    let there = edit::names(file, old).map_err(failed)?;
    let before = if there.is_empty() { None } else { Some(checked(file, old, None)?) };

    // All as given, to see what they mean in this System.
    let together = format!("{file} with {source}");
    let (known, new): (Vec<_>, Vec<_>) =
        nodes.into_iter().partition(|node| there.contains(&node.name));
    let mut wanted = edit::add(file, old, &new).map_err(failed)?;
    for node in &known {
        wanted = edit::replace(&together, &wanted, node).map_err(failed)?;
    }
    let wanted = checked(&together, &wanted, None)?;

    let mut change = Change { text: old.to_owned(), ..Change::default() };
    let mut differences = Vec::new();
    for node in &known {
        let (Some(is), Some(should)) =
            (before.as_ref().and_then(|it| it.node(&node.name)), wanted.node(&node.name))
        else {
            continue;
        };
        if is == should {
            change.unchanged.push(node.name.clone());
            continue;
        }
        differences.push(difference(is, should));
        change.text = edit::replace(file, &change.text, node).map_err(failed)?;
        change.replaced.push(node.name.clone());
    }
    if !replace && !differences.is_empty() {
        let told: Vec<_> = differences.iter().map(|difference| difference.told(file)).collect();
        let again = format!("{} --replace", this_command());
        return Err(Failure::failed(told.join("\n"))
            .hint("Nothing was changed. If you trust that this block comes from that machine, replace the old one:")
            .hint(again));
    }
    change.text = edit::add(file, &change.text, &new).map_err(failed)?;
    change.added = new.into_iter().map(|node| node.name).collect();
    let after = checked(&together, &change.text, None)?;
    verify(file, before.as_deref(), &after, &wanted, &change)?;
    Ok(change)
}

/// Nothing but what was to change means anything else than before.
fn verify(
    file: &str,
    before: Option<&System>,
    after: &System,
    wanted: &System,
    change: &Change,
) -> Result<(), Failure> {
    let touched = |node: &Arc<NodeConfig>| {
        change.added.contains(&node.name) || change.replaced.contains(&node.name)
    };
    let old = before.map(|before| before.nodes.as_slice()).unwrap_or_default();
    let kept = old.iter().filter(|node| !touched(node));
    let same = after.nodes.iter().filter(|node| !touched(node)).eq(kept)
        && after.nodes.iter().all(|node| !touched(node) || wanted.node(&node.name) == Some(node))
        && after.nodes.len() == old.len() + change.added.len();
    if same {
        return Ok(());
    }
    let told = format!("{file} cannot be extended without changing its other Nodes");
    Err(Failure::failed(told)
        .hint("It may use a YAML alias: add the Node by hand. Nothing was changed."))
}

/// A Node that is given twice must be the same both times.
fn once_each(nodes: &[NodeText]) -> Result<Vec<NodeText>, Failure> {
    let mut once: Vec<NodeText> = Vec::with_capacity(nodes.len());
    for node in nodes {
        match once.iter().find(|other| other.name == node.name) {
            None => once.push(node.clone()),
            Some(other) if other.text == node.text => {}
            Some(_) => {
                let told = format!("Node {} was given twice, with different contents", node.name);
                return Err(Failure::failed(told));
            }
        }
    }
    Ok(once)
}

/// The System that a text describes; from the point of view of a Node, if one is named.
///
/// # Errors
/// When it is refused.
pub(super) fn checked(file: &str, text: &str, node: Option<&str>) -> Result<Arc<System>, Failure> {
    let registry = types::built_in();
    let loaded = config::check(file, text, node, &registry).map_err(|error| refused(&error))?;
    Ok(loaded.system)
}

/// Tells what may be wrong with a configuration, if that is not on this machine.
pub(super) fn tell_warnings(file: &str, text: &str) {
    if let Ok(loaded) = config::check(file, text, None, &types::built_in()) {
        warn(&loaded.warnings);
    }
}

/// The options of a Node that are not the same.
pub(super) fn difference(is: &NodeConfig, should: &NodeConfig) -> Difference {
    let mut options = Vec::new();
    compare("", &show::node(is), &show::node(should), &mut options);
    Difference { node: is.name.clone(), options }
}

fn compare(path: &str, is: &Item, should: &Item, out: &mut Vec<(String, String, String)>) {
    let (Item::Block(is), Item::Block(should)) = (is, should) else {
        if is != should {
            out.push((path.to_owned(), shown(Some(is)), shown(Some(should))));
        }
        return;
    };
    let below =
        |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    for (name, is) in is {
        match should.get(name) {
            Some(should) => compare(&below(name), is, should, out),
            None => out.push((below(name), shown(Some(is)), shown(None))),
        }
    }
    for (name, should) in should.iter().filter(|(name, _)| !is.contains_key(*name)) {
        out.push((below(name), shown(None), shown(Some(should))));
    }
}

fn shown(item: Option<&Item>) -> String {
    match item {
        None => "nothing".to_owned(),
        Some(Item::Text(text)) => text.clone(),
        Some(Item::List(list)) => list.join(", "),
        Some(Item::Block(block)) => match block.get("type") {
            Some(Item::Text(of)) => format!("one of type {of}"),
            _ => "a block".to_owned(),
        },
        Some(item) => serde_json::to_string(item).unwrap_or_default(),
    }
}
