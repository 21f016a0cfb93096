//! The tree of a file -> the System that it describes, or everything that is wrong with it.

use std::collections::{BTreeSet, HashSet};

use super::checker::Checker;
use super::options::{Owner, entry};
use super::report::{Problem, Span, list, quoted};
use super::suggest::nearest;
use super::system::NodeConfig;
use super::tables;
use super::tree::{Entry, Tree, Value};

/// Names of missing Roles and Nodes that are looked at: each is compared with all that exist.
const MOST_WANTED: usize = 200;

impl Checker<'_> {
    /// Checks a whole file. What it returns is only complete if there are no problems.
    pub(super) fn file(&mut self, root: &Tree) -> Vec<NodeConfig> {
        let Value::Block(entries) = &root.value else {
            let title = format!("a configuration is a block, not {}", root.what());
            let problem = Problem::new(root.span.clone(), title);
            self.problems.push(problem.help("add `system:` at the top level"));
            return Vec::new();
        };
        let node_options = tables::node().iter().map(|spec| &*spec.name);
        let owner = Owner {
            what: "the top level of a configuration".to_owned(),
            span: root.span.start..root.span.start,
            elsewhere: node_options
                .map(|name| (name, "this is an option of a Node: put it into the Node's block"))
                .collect(),
        };
        let options = self.options(entries, &[tables::root()], &owner);
        let Some(system) = entry(entries, "system") else { return Vec::new() };
        let Some(nodes) = self.block(system, "the Nodes, by name") else { return Vec::new() };
        if nodes.is_empty() {
            let problem = Problem::new(system.span.clone(), "the System has no Nodes");
            self.problems.push(problem.help("`system` has a block for each Node, by name"));
        }
        self.nodes = nodes.iter().map(|node| node.name.as_ref().to_owned()).collect();
        let local = nodes.iter().find(|node| self.local == Some(&*node.name));
        self.local_transports = local.map(transport_types).unwrap_or_default();
        let configs = nodes.iter().filter_map(|node| self.node(node, &options)).collect();
        self.shared_keys();
        self.shared_addresses();
        self.wanted();
        configs
    }

    /// Whether what options name exists somewhere in the System.
    fn wanted(&mut self) {
        let roles = std::mem::take(&mut self.roles);
        let there: HashSet<_> =
            roles.iter().map(|(_, role, role_type)| (role.as_str(), role_type.as_str())).collect();
        let missing = std::mem::take(&mut self.wanted_roles);
        let missing = missing
            .into_iter()
            .filter(|(_, name, role_type)| !there.contains(&(name.as_str(), role_type.as_str())));
        for (span, name, role_type) in missing.take(MOST_WANTED) {
            self.problems.push(no_such_role(span, &name, &role_type, &roles));
        }
        let there: HashSet<&str> = self.nodes.iter().map(String::as_str).collect();
        let missing = std::mem::take(&mut self.wanted_nodes);
        let missing = missing.into_iter().filter(|(_, name)| !there.contains(name.as_str()));
        for (span, name) in missing.take(MOST_WANTED) {
            let nodes = || self.nodes.iter().map(String::as_str);
            let problem = Problem::new(span, format!("there is no Node {}", quoted(&name)))
                .did_you_mean(nearest(&name, nodes()))
                .note(format!("Nodes: {}; or `*` in quotes for any", list(nodes())));
            self.problems.push(problem);
        }
    }
}

/// The types of a Node's Transports, as they are written.
fn transport_types(node: &Entry) -> HashSet<String> {
    let part = |within: &Entry, name: &str| match &within.value.value {
        Value::Block(entries) => entry(entries, name).cloned(),
        _ => None,
    };
    let transports = part(node, "transports");
    let Some(Value::Block(blocks)) = transports.as_ref().map(|entry| &entry.value.value) else {
        return HashSet::new();
    };
    let type_of = |block: &Entry| match part(block, "type").map(|entry| entry.value.value) {
        Some(Value::Scalar(text)) => text.as_ref().to_owned(),
        _ => block.name.as_ref().to_owned(),
    };
    blocks.iter().map(type_of).collect()
}

/// A Role that an option names, but that no Node has.
fn no_such_role(
    span: Span,
    name: &str,
    role_type: &str,
    roles: &[(String, String, String)],
) -> Problem {
    let candidates: BTreeSet<&str> = roles
        .iter()
        .filter(|(_, _, other)| other == role_type)
        .map(|(_, role, _)| role.as_str())
        .collect();
    let title = format!("no Node has a Role {} of type {}", quoted(name), quoted(role_type));
    let mut problem =
        Problem::new(span, title).did_you_mean(nearest(name, candidates.iter().copied()));
    if let Some((node, _, other)) = roles.iter().find(|(_, role, _)| role == name) {
        problem = problem.note(format!(
            "{} on Node {} is of type {}",
            quoted(name),
            quoted(node),
            quoted(other)
        ));
    }
    if candidates.is_empty() {
        return problem.note(format!("no Node has any Role of type {}", quoted(role_type)));
    }
    problem.note(format!("Roles of type {}: {}", quoted(role_type), list(candidates)))
}
