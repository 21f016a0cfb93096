//! The tree of a file -> the System that it describes, or everything that is wrong with it.

use std::collections::{BTreeSet, HashSet};

use ssh_key::{PrivateKey, PublicKey};

use super::check_shared::Addresses;
use super::keys::{self, Named};
use super::options::{Owner, entry, with_defaults};
use super::report::{Problem, Span, list, quoted};
use super::schema::{Options, Registry};
use super::suggest::nearest;
use super::tables;
use super::tree::{Entry, Tree, Value};
use super::{Limits, NodeConfig, RootOptions};

/// Names of missing Roles and Nodes that are looked at: each is compared with all that exist.
const MOST_WANTED: usize = 200;

/// What is found on the way through a file.
pub(super) struct Checker<'a> {
    /// The types that exist here.
    pub(super) registry: &'a Registry,
    /// The Node that is to run here, if any.
    pub(super) local: Option<&'a str>,
    /// What is wrong.
    pub(super) problems: Vec<Problem>,
    /// What may be wrong, but not here.
    pub(super) warnings: Vec<Problem>,
    /// Names of all Nodes in the file, in its order.
    pub(super) nodes: Vec<String>,
    /// Every Node's public key: whose, where its name is, where the key is.
    pub(super) public_keys: Vec<(String, Span, Span, PublicKey)>,
    /// The addresses of every Transport that has some.
    pub(super) addresses: Vec<Addresses>,
    /// Every Role: its Node, its name, its type.
    pub(super) roles: Vec<(String, String, String)>,
    /// Roles that options name: where, name, type.
    pub(super) wanted_roles: Vec<(Span, String, String)>,
    /// Nodes that options name: where, name.
    pub(super) wanted_nodes: Vec<(Span, String)>,
    /// The private key of the Node that is to run here.
    pub(super) private_key: Option<PrivateKey>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(registry: &'a Registry, local: Option<&'a str>) -> Self {
        Checker {
            registry,
            local,
            problems: Vec::new(),
            warnings: Vec::new(),
            nodes: Vec::new(),
            public_keys: Vec::new(),
            addresses: Vec::new(),
            roles: Vec::new(),
            wanted_roles: Vec::new(),
            wanted_nodes: Vec::new(),
            private_key: None,
        }
    }

    /// Checks a whole file. What it returns is only complete if there are no problems.
    pub(super) fn file(&mut self, root: &Tree) -> Vec<NodeConfig> {
        let Value::Block(entries) = &root.value else {
            let title = format!("a configuration is a block, not {}", root.what());
            let problem = Problem::new(root.span.clone(), title);
            self.problems.push(problem.help("it needs `system:` at the top level"));
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
        let configs = nodes.iter().filter_map(|node| self.node(node, &options)).collect();
        self.shared_keys();
        self.shared_addresses();
        self.wanted();
        configs
    }

    /// The entries of a block; of one left empty, none.
    pub(super) fn block<'t>(&mut self, entry: &'t Entry, of: &str) -> Option<&'t [Entry]> {
        match &entry.value.value {
            Value::Block(entries) => Some(entries),
            Value::Nothing => Some(&[]),
            Value::Scalar(_) | Value::List(_) => {
                let title =
                    format!("{} is a block, not {}", quoted(&entry.name), entry.value.what());
                let problem = Problem::new(entry.span.clone(), title);
                self.problems.push(problem.note(format!("allowed: a block of {of}")));
                None
            }
        }
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

    /// Reads the private key of the Node that is to run here.
    pub(super) fn own_key(
        &mut self,
        node: &str,
        private: &Entry,
        public: Option<(&PublicKey, &Span)>,
    ) {
        let Value::Scalar(path) = &private.value.value else { return };
        let credential = keys::credential(std::env::var_os("CREDENTIALS_DIRECTORY"), node);
        let path = path.as_ref().as_ref();
        let named = Named { node, path, credential, span: &private.value.span };
        match keys::private(&named, public) {
            Ok(key) => self.private_key = Some(key),
            Err(problems) => self.problems.extend(problems),
        }
    }
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

/// The root-level options as typed fields: given for the Node, else given for all, else by default.
pub(super) fn root_options(for_all: &Options, for_node: &Options) -> RootOptions {
    let mut given = for_all.clone();
    given.0.extend(for_node.0.clone());
    let options = with_defaults(tables::overridable(), &given);
    let defaults = RootOptions::default();
    let paths = |name: &str| options.list(name).iter().map(Into::into).collect();
    RootOptions {
        heartbeat: options.duration("heartbeat").unwrap_or(defaults.heartbeat),
        connection_retry: options.duration("connectionRetry").unwrap_or(defaults.connection_retry),
        outgoing_queue: limits(&options, "outgoingQueueLength", "outgoingQueueSize"),
        max_buffer_read_size: options
            .size("maxBufferReadSize")
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(defaults.max_buffer_read_size),
        cipher: options.text("cipher").map(str::to_owned),
        hmac: options.text("hmac").map(str::to_owned),
        role_path: paths("rolePath"),
        transport_path: paths("transportPath"),
        import_path: paths("importPath"),
    }
}

/// The bounds of a queue from its two options.
pub(super) fn limits(options: &Options, length: &str, size: &str) -> Limits {
    let default = Limits::default();
    Limits {
        length: options
            .integer(length)
            .and_then(|length| usize::try_from(length).ok())
            .unwrap_or(default.length),
        size: options
            .size(size)
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(default.size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_type_have_the_same_defaults() {
        let nothing = Options::default();
        assert_eq!(root_options(&nothing, &nothing), RootOptions::default());
    }
}
