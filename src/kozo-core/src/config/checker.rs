//! What a check of a file has found so far; the checks of its parts, each in a module of its own, add to it.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use ssh_key::{PrivateKey, PublicKey};

use super::programs::{Program, TypeKind, Unknown};
use super::report::{Problem, Span, quoted};
use super::schema::Registry;
use super::tree::{Entry, Value};

/// The addresses of one Transport.
pub(super) struct Addresses {
    pub(super) node: String,
    /// Where the Node's name is.
    pub(super) name: Span,
    /// Where the addresses are.
    pub(super) at: Span,
    /// Each in one spelling, once.
    pub(super) endpoints: Vec<(String, u16)>,
}

/// A program that was looked for.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Sought {
    pub(super) kind: TypeKind,
    pub(super) type_name: String,
    /// Folders that the configuration names.
    pub(super) folders: Vec<PathBuf>,
    /// Whether it might be run.
    pub(super) may_run: bool,
}

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
    /// Types of the Transports of the Node that is to run here: it connects to those of others.
    pub(super) local_transports: HashSet<String>,
    /// Programs that were looked for already.
    pub(super) programs: HashMap<Sought, Result<Arc<Program>, Unknown>>,
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
            local_transports: HashSet::new(),
            programs: HashMap::new(),
            private_key: None,
        }
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
}
