//! One Node's block: its options, its Roles, its Transports.

use std::path::PathBuf;

use ssh_key::PublicKey;

use super::address::endpoint;
use super::check_program::TypeFound;
use super::checker::{Addresses, Checker};
use super::keys::{self, Named};
use super::options::{Owner, entry, unchecked};
use super::policy::ConnectPolicy;
use super::programs::TypeKind;
use super::report::{Problem, Span, list, quoted};
use super::schema::{Listens, OptionSpec, Options, Registry, Schema, with_defaults};
use super::suggest::nearest;
use super::system::{NodeConfig, RoleConfig, RootOptions, TransportConfig, limits};
use super::tables;
use super::tree::{Entry, Value};
use crate::names::{LONGEST_NAME, NoNodeName, check_node_name};

impl<'r> Checker<'r> {
    /// Checks a Node's block. Without a result, there is a problem.
    pub(super) fn node(&mut self, node: &Entry, for_all: &Options) -> Option<NodeConfig> {
        let name = node.name.as_ref();
        self.node_name(node);
        let entries = self.block(node, "a Node's options")?;
        let owner = node_owner(node, self.registry);
        let given = self.options(entries, &[tables::node()], &owner);
        let options = with_defaults(tables::node(), &given);

        let public_key = self.public_key(node, entries);
        if self.local == Some(name)
            && let Some(private) = entry(entries, "privateKey")
        {
            let at = entry(entries, "publicKey").map(|entry| entry.value.span.clone());
            self.own_key(name, private, public_key.as_ref().zip(at.as_ref()));
        }

        let for_node = match entry(entries, "overrideMainConfiguration") {
            Some(block) => self.overrides(block, name),
            None => Options::default(),
        };
        let root = root_options(for_all, for_node);
        let storage = entry(entries, "roleStorage").is_some();
        let roles = match entry(entries, "roles") {
            Some(block) => self.block(block, "Roles, by name").unwrap_or(&[]),
            None => &[],
        };
        let here = Surroundings {
            node: name,
            storage,
            role_path: &root.role_path,
            transport_path: &root.transport_path,
            import_path: &root.import_path,
        };
        let roles = roles.iter().filter_map(|role| self.role(role, &here)).collect();
        let transports = match entry(entries, "transports") {
            Some(block) => self.block(block, "Transports, by name").unwrap_or(&[]),
            None => &[],
        };
        let transports = transports
            .iter()
            .filter_map(|transport| self.transport(transport, node, &here))
            .collect();

        Some(NodeConfig {
            name: name.to_owned(),
            private_key: options.path("privateKey")?.to_owned(),
            public_key: public_key?,
            role_storage: options.path("roleStorage").map(Into::into),
            self_to_others: policy(&options, "selfToOthersConnectPolicy")?,
            others_to_self: policy(&options, "othersToSelfConnectPolicy")?,
            options: root,
            roles,
            transports,
        })
    }

    fn public_key(&mut self, node: &Entry, entries: &[Entry]) -> Option<PublicKey> {
        let entry = entry(entries, "publicKey")?;
        let Value::Scalar(text) = &entry.value.value else { return None };
        match keys::public(text, &entry.value.span) {
            Ok(key) => {
                let name = node.name.as_ref().to_owned();
                let at = entry.value.span.clone();
                self.public_keys.push((name, node.span.clone(), at, key.clone()));
                Some(key)
            }
            Err(problem) => {
                self.problems.push(*problem);
                None
            }
        }
    }

    /// Reads the private key of the Node that is to run here.
    fn own_key(&mut self, node: &str, private: &Entry, public: Option<(&PublicKey, &Span)>) {
        let Value::Scalar(path) = &private.value.value else { return };
        let credential = keys::credential(std::env::var_os("CREDENTIALS_DIRECTORY"), node);
        let path = path.as_ref().as_ref();
        let named = Named { node, path, credential, span: &private.value.span };
        match keys::private(&named, public) {
            Ok(key) => self.private_key = Some(key),
            Err(problems) => self.problems.extend(problems),
        }
    }

    fn overrides(&mut self, block: &Entry, node: &str) -> Options {
        let Some(entries) = self.block(block, "options of the top level") else {
            return Options::default();
        };
        let owner = Owner {
            what: format!("{} of Node {}", quoted(&block.name), quoted(node)),
            span: block.span.clone(),
            elsewhere: vec![("system", "the System is the same for every Node: remove this")],
        };
        self.options(entries, &[tables::overridable()], &owner)
    }

    /// Checks a Role's block.
    fn role(&mut self, role: &Entry, here: &Surroundings<'_>) -> Option<RoleConfig> {
        self.block_name(role, "Role");
        let checked = self.checked(TypeKind::Role, role, tables::every_role(), here)?;
        let Checked { typed, found, part } = checked;
        let schema = found.schema();
        let name = role.name.as_ref().to_owned();
        self.roles.push((here.node.to_owned(), name.clone(), typed.name.clone()));
        if let Some(schema) = schema
            && schema.needs_storage
            && !here.storage
        {
            let title = format!(
                "Role {} stores state, but Node {} has no `roleStorage`",
                quoted(&name),
                quoted(here.node)
            );
            self.problems.push(
                Problem::new(role.span.clone(), title)
                    .label(format!("type {} needs storage", quoted(&schema.name)))
                    .help("give the Node a folder: `roleStorage: /var/lib/kozo/storage`"),
            );
        }
        Some(RoleConfig {
            name,
            role_type: typed.name,
            description: part.common.text("description").map(str::to_owned),
            queue: limits(&part.common, "messageQueueLength", "messageQueueSize"),
            runs: found.runs(&part.common),
            options: part.own,
        })
    }

    /// Checks a Transport's block.
    fn transport(
        &mut self,
        transport: &Entry,
        node: &Entry,
        here: &Surroundings<'_>,
    ) -> Option<TransportConfig> {
        self.block_name(transport, "Transport");
        let checked =
            self.checked(TypeKind::Transport, transport, tables::every_transport(), here)?;
        let Checked { typed, found, part } = checked;
        if let Some(listens) = found.schema().and_then(|schema| schema.listens.as_ref())
            && let Value::Block(entries) = &transport.value.value
            && let Some(entry) = entry(entries, &listens.address)
        {
            let at = &entry.value.span;
            self.addresses.extend(addresses(node, at, listens, &part.own));
        }
        Some(TransportConfig {
            name: transport.name.as_ref().to_owned(),
            transport_type: typed.name,
            runs: found.runs(&part.common),
            options: part.own,
        })
    }

    /// Checks the options of a block that has a type, those of `every` such block among them.
    fn checked<'t>(
        &mut self,
        kind: TypeKind,
        block: &'t Entry,
        every: &[OptionSpec],
        here: &Surroundings<'_>,
    ) -> Option<Checked<'t, 'r>> {
        let typed = self.typed(block, kind.title(), every)?;
        let found = self.find_type(kind, &typed, here);
        let common = match &found {
            TypeFound::Program(_) => vec![every, tables::every_program()],
            TypeFound::BuiltIn(_) | TypeFound::Unknown(_) => vec![every],
        };
        let part = self.part(block, &typed, kind.title(), found.schema(), &common);
        Some(Checked { typed, found, part })
    }

    /// The entries of a block with a type, and which type that is.
    fn typed<'t>(
        &mut self,
        block: &'t Entry,
        kind: &str,
        common: &[OptionSpec],
    ) -> Option<Typed<'t>> {
        let entries = self.block(block, &format!("a {kind}'s options"))?;
        let (name, at) = match entry(entries, "type") {
            None => (block.name.as_ref(), &block.span),
            Some(entry) => match &entry.value.value {
                Value::Scalar(text) => (text.as_ref(), &entry.value.span),
                _ => {
                    // Says what is wrong with `type`; the options of no type cannot be checked.
                    let owner = owner(block, kind, None);
                    self.options(&only(entries, &[common]), &[common], &owner);
                    return None;
                }
            },
        };
        Some(Typed { entries, name: name.to_owned(), at: at.clone() })
    }

    /// The options of a block, which are partly common to all of its kind, partly those of its type. Those of a type
    /// that is not known are not checked.
    fn part(
        &mut self,
        block: &Entry,
        typed: &Typed<'_>,
        kind: &str,
        schema: Option<&Schema>,
        common: &[&[OptionSpec]],
    ) -> Part {
        let owner = owner(block, kind, schema);
        let all = common.concat();
        let Some(schema) = schema else {
            let given = self.options(&only(typed.entries, common), common, &owner);
            let (common, own) = (with_defaults(&all, &given), unchecked(typed.entries, &all));
            return Part { common, own };
        };
        let mut tables = common.to_vec();
        tables.push(&schema.options);
        let given = self.options(typed.entries, &tables, &owner);
        self.any_of(typed.entries, &schema.any_of, &owner);
        Part { common: with_defaults(&all, &given), own: with_defaults(&schema.options, &given) }
    }

    /// A type that does not exist here is wrong on this Node; another may well have it.
    pub(super) fn unknown_type(
        &mut self,
        typed: &Typed<'_>,
        node: &str,
        kind: &str,
        known: Vec<String>,
    ) {
        let names = || known.iter().map(String::as_str);
        let title = format!("there is no {kind} type {} on this machine", quoted(&typed.name));
        let problem = Problem::new(typed.at.clone(), title)
            .did_you_mean(nearest(&typed.name, names()))
            .note(format!("{kind} types here: {}", list(names())));
        if self.local == Some(node) {
            self.problems.push(problem);
        } else {
            self.warnings.push(
                problem.note(format!("Node {} needs it; its options are unchecked", quoted(node))),
            );
        }
    }

    fn node_name(&mut self, node: &Entry) {
        let name = node.name.as_ref();
        let what = match check_node_name(name) {
            Ok(()) => return,
            Err(NoNodeName::Empty) => "a Node's name is empty".to_owned(),
            Err(NoNodeName::TooLong) => format!("a Node's name has {} characters", name.len()),
            Err(NoNodeName::Dot) => format!("the Node's name {} starts with a dot", quoted(name)),
            Err(NoNodeName::Character(wrong)) => {
                format!("the Node's name {} contains {}", quoted(name), quoted(&wrong.to_string()))
            }
        };
        self.problems.push(Problem::new(node.span.clone(), what).note(format!(
            "allowed: letters A to Z, digits, `-`, `_`, `.`; no dot at the start; at most \
             {LONGEST_NAME} characters"
        )));
    }

    /// Names of Roles and Transports are for people, and only need to be fit for a line of log.
    fn block_name(&mut self, block: &Entry, kind: &str) {
        let name = block.name.as_ref();
        let what = if name.trim().is_empty() {
            format!("a {kind}'s name is empty")
        } else if name.len() > LONGEST_NAME {
            format!("a {kind}'s name has {} bytes", name.len())
        } else if name.contains(char::is_control) {
            format!("the {kind}'s name {} contains a control character", quoted(name))
        } else {
            return;
        };
        self.problems.push(Problem::new(block.span.clone(), what).note(format!(
            "allowed: any characters but control characters, at most {LONGEST_NAME} bytes"
        )));
    }
}

/// What surrounds a Role or Transport.
pub(super) struct Surroundings<'a> {
    /// Its Node.
    pub(super) node: &'a str,
    /// Whether the Node has a `roleStorage`.
    storage: bool,
    /// Folders with programs that are Roles.
    role_path: &'a [PathBuf],
    /// Folders with programs that are Transports.
    transport_path: &'a [PathBuf],
    pub(super) import_path: &'a [PathBuf],
}

impl Surroundings<'_> {
    /// Folders with programs of a kind.
    pub(super) fn path(&self, kind: TypeKind) -> &[PathBuf] {
        match kind {
            TypeKind::Role => self.role_path,
            TypeKind::Transport => self.transport_path,
        }
    }
}

/// A block that has a type, and its options.
struct Checked<'t, 'r> {
    typed: Typed<'t>,
    found: TypeFound<'r>,
    part: Part,
}

/// A block that has a type.
pub(super) struct Typed<'t> {
    entries: &'t [Entry],
    /// The type.
    pub(super) name: String,
    /// Where it is said.
    pub(super) at: Span,
}

/// The options of a Role or Transport.
struct Part {
    common: Options,
    own: Options,
}

fn owner<'a>(block: &Entry, kind: &str, schema: Option<&Schema>) -> Owner<'a> {
    let what = format!("{kind} {}", quoted(&block.name));
    let what = match schema {
        Some(schema) if *block.name != *schema.name => {
            format!("{what} (type {})", quoted(&schema.name))
        }
        _ => what,
    };
    Owner { what, span: block.span.clone(), elsewhere: Vec::new() }
}

fn node_owner<'a>(node: &Entry, registry: &'a Registry) -> Owner<'a> {
    let of_top_level = "this is an option of the top level; for this Node alone, put it into \
                        `overrideMainConfiguration`";
    let top_level = tables::overridable().iter().map(|spec| (&*spec.name, of_top_level));
    let roles = registry.roles.iter().map(|schema| (&*schema.name, "put it into `roles`"));
    let transports = registry.transports.iter().map(|s| (&*s.name, "put it into `transports`"));
    Owner {
        what: format!("Node {}", quoted(&node.name)),
        span: node.span.clone(),
        elsewhere: top_level.chain(roles).chain(transports).collect(),
    }
}

/// The entries that are in the tables.
fn only(entries: &[Entry], tables: &[&[OptionSpec]]) -> Vec<Entry> {
    let table = || tables.iter().copied().flatten();
    let known = |entry: &&Entry| table().any(|spec| *spec.name == *entry.name);
    entries.iter().filter(known).cloned().collect()
}

/// The policy that a Node's options have, which is one of those that there are.
fn policy(options: &Options, name: &str) -> Option<ConnectPolicy> {
    options.text(name).and_then(ConnectPolicy::from_name)
}

/// The root-level options as typed fields: given for the Node, else given for all, else by default.
fn root_options(for_all: &Options, for_node: Options) -> RootOptions {
    let mut given = for_all.clone();
    given.0.extend(for_node.0);
    RootOptions::new(&given)
}

/// The addresses of a Transport of this Node that has these options; none if it has none.
fn addresses(node: &Entry, at: &Span, listens: &Listens, options: &Options) -> Option<Addresses> {
    let port = options.integer(&listens.port).and_then(|port| u16::try_from(port).ok())?;
    let each = options.list(&listens.address).iter().map(|address| endpoint(address, port));
    let mut endpoints: Vec<_> = each.collect();
    endpoints.sort();
    endpoints.dedup();
    let (name, at) = (node.span.clone(), at.clone());
    let node = node.name.as_ref().to_owned();
    (!endpoints.is_empty()).then_some(Addresses { node, name, at, endpoints })
}
