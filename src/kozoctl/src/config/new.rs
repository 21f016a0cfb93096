//! `kozoctl config new`: a Node for this machine, with its key, in a new configuration or in one that
//! is there already.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kozo_core::config::edit::{self, NodeText};
use kozo_core::config::{NodeConfig, Registry, System};
use kozo_core::keygen;
use kozo_core::types;
use serde_json::json;

use super::draft::{Draft, Listening};
use super::file::{ConfigFile, make_folder, unwritten};
use super::{HEADER, ask, change, next, refused};
use crate::arguments::RoleArgument;
use crate::cli::NewNode;
use crate::failure::Failure;
use crate::output::{Output, say};

/// Writes the Node and its key, shows the block that the other machines need, and says what is to be
/// done next. A Node that is there already, as it is asked for, is left alone and shown again.
///
/// # Errors
/// When something is missing and there is no terminal to ask on, when the Node is there and different, and when
/// anything is refused or cannot be written. Then nothing is.
pub(super) fn run(command: &NewNode, node: Option<&str>, output: Output) -> Result<(), Failure> {
    let roles = || command.role.iter().map(|role| &role.name);
    if let Some(set) = command.set.iter().find(|set| !roles().any(|role| *role == set.role)) {
        let told = format!("--set names the Role '{0}', but no --role does", set.role);
        return Err(Failure::usage(told).hint(format!("Add it: --role {}=TYPE", set.role)));
    }
    let config_file = ConfigFile::open(&command.file)?;
    let old = config_file.read()?;
    let text = old.as_deref().unwrap_or(HEADER);
    let names = edit::names(&config_file.shown, text).map_err(|error| refused(&error))?;
    let (node, asked) = node_name(command, node)?;
    let (answer, written) = if names.contains(&node) {
        (again(command, &node, &config_file, text)?, false)
    } else {
        (make(command, &node, asked, &config_file, text, !names.is_empty())?, true)
    };
    if written {
        next::tell_systemd(&config_file);
    }
    let block = format!(
        "# Node {node}, for the other machines: {}\n{}",
        "kozoctl config add-peer -",
        answer.node.block()
    );
    let shown = json!({
        "file": config_file.path.to_string_lossy(),
        "node": node,
        "privateKey": answer.private_key.to_string_lossy(),
        "publicKey": answer.public_key,
        "block": block,
        "changed": written,
    });
    output.answer(&shown, block.trim_end())?;
    tell(&config_file, &node, &answer, written);
    Ok(())
}

/// What is shown of a Node.
struct Answer {
    node: NodeText,
    private_key: PathBuf,
    public_key: String,
}

/// The name of the Node, and whether it was asked for.
fn node_name(command: &NewNode, node: Option<&str>) -> Result<(String, bool), Failure> {
    match (command.name.as_deref(), node) {
        (Some(name), Some(other)) if name != other => {
            let told = format!("the Node is named '{name}', but by --node '{other}'");
            Err(Failure::usage(told))
        }
        (Some(name), _) | (None, Some(name)) => Ok((name.to_owned(), false)),
        (None, None) if ask::possible() => {
            let host = ask::host_name();
            let default = ask::node_name(&host).unwrap_or_default();
            let name = ask::question("Name of this machine's Node", default, |answer| {
                ask::check_node_name(answer).map(|()| answer.to_owned())
            })?;
            Ok((name, true))
        }
        (None, None) => Err(missing("NODE")),
    }
}

fn missing(what: &str) -> Failure {
    Failure::usage(format_args!("{what} is missing, and there is no terminal to ask for it"))
        .hint("kozoctl config new NODE --address ADDRESS [--role NAME[=TYPE]]…")
}

fn address(command: &NewNode) -> Result<(String, bool), Failure> {
    if !command.address.is_empty() {
        return Ok((command.address.join(", "), false));
    }
    if !ask::possible() {
        return Err(missing("--address"));
    }
    let question = "Where others reach it: names and addresses, separated by commas";
    let address = ask::question(question, &ask::addresses(&ask::host_name()), |answer| {
        if answer.is_empty() {
            Err("At least one is required.".to_owned())
        } else {
            Ok(answer.to_owned())
        }
    })?;
    Ok((address, true))
}

/// Who was asked for something has not read what else there is.
fn roles(
    command: &NewNode,
    registry: &Registry,
    asked: bool,
) -> Result<Vec<RoleArgument>, Failure> {
    if !asked || !command.role.is_empty() {
        return Ok(command.role.clone());
    }
    let types: Vec<_> = registry.roles.iter().map(|schema| &*schema.name).collect();
    say(&format!("Types of Roles: {}", types.join(", ")));
    ask::question("Roles, as NAME=TYPE or TYPE, separated by spaces (optional)", "", |answer| {
        let parts = answer.split([' ', ',']).filter(|part| !part.is_empty());
        let roles: Vec<RoleArgument> = parts.map(str::parse).collect::<Result<_, _>>()?;
        match roles.iter().find(|role| !types.contains(&&*role.role_type)) {
            Some(role) => Err(format!("There is no type '{}'.", role.role_type)),
            None => Ok(roles),
        }
    })
}

/// Makes a Node.
fn make(
    command: &NewNode,
    node: &str,
    asked: bool,
    config_file: &ConfigFile,
    old: &str,
    has_nodes: bool,
) -> Result<Answer, Failure> {
    let registry = types::built_in();
    let transport = transport(&registry)?;
    let (address, asked_too) = address(command)?;
    let roles = roles(command, &registry, asked || asked_too)?;
    let before = has_nodes.then(|| change::checked(&config_file.shown, old, None)).transpose()?;
    let port = match command.port {
        Some(port) => port,
        None => free_port(before.as_deref(), &registry, transport.usual_port),
    };
    let key = Key::at(key_path(command, node, config_file)?, node)?;
    let made = (|| {
        let public_key = key.public.clone();
        let draft = Draft {
            node,
            private_key: &key.path,
            public_key: &public_key,
            roles: &roles,
            settings: &command.set,
            transport,
            address: &address,
            port: (port != transport.usual_port).then_some(port),
        };
        let indent = edit::indentation(&config_file.shown, old).map_err(|error| refused(&error))?;
        let text = draft.text(config_file, &registry, indent);
        let source = format!("Node {node}");
        let change =
            change::put(&config_file.shown, old, std::slice::from_ref(&text), &source, false)?;
        // As its daemon will: with the key, and with no mercy for types that are not here.
        change::checked(&format!("{} with {source}", config_file.shown), &change.text, Some(node))?;
        change::tell_warnings(&config_file.shown, &change.text);
        config_file.write(&change.text)?;
        Ok(Answer { node: text, private_key: key.path.clone(), public_key })
    })();
    match made {
        Ok(answer) => Ok(answer),
        Err(failure) => {
            key.remove();
            Err(failure)
        }
    }
}

/// A Node that is there already: fine, if it is this machine's and nothing else was asked for.
fn again(
    command: &NewNode,
    node: &str,
    config_file: &ConfigFile,
    text: &str,
) -> Result<Answer, Failure> {
    let system = change::checked(&config_file.shown, text, None)?;
    let none = || Failure::failed(format_args!("there is no Node {node} in {}", config_file.shown));
    let is = system.node(node).ok_or_else(none)?;
    if !is.private_key.exists() {
        let told = format!(
            "Node {node} is already in {}, but its private key {} is not on this machine",
            config_file.shown,
            is.private_key.display()
        );
        return Err(Failure::failed(told)
            .hint("It belongs to another machine: choose another name for the Node of this one.")
            .hint(format!(
                "If its key is lost, remove Node {node} from the file and run this again."
            )));
    }
    change::checked(&config_file.shown, text, Some(node))?;
    let there = edit::node(&config_file.shown, text, node).map_err(|error| refused(&error))?;
    let there = there.ok_or_else(none)?;
    let public_key = is.public_key.to_openssh().map_err(Failure::failed)?;
    differs(command, is, config_file, text)?;
    Ok(Answer { node: there, private_key: is.private_key.clone(), public_key })
}

/// Fails if the command line asks for something else than what is there. What it does not speak of may
/// have been changed since.
fn differs(
    command: &NewNode,
    is: &NodeConfig,
    config_file: &ConfigFile,
    text: &str,
) -> Result<(), Failure> {
    let registry = types::built_in();
    let transport = transport(&registry)?;
    let public_key = is.public_key.to_openssh().map_err(Failure::failed)?;
    let private_key = match &command.key {
        Some(_) => key_path(command, &is.name, config_file)?,
        None => is.private_key.clone(),
    };
    // Other Nodes may count on what is there.
    let mut roles = command.role.clone();
    for role in &is.roles {
        if !roles.iter().any(|asked| asked.name == role.name) {
            let (name, role_type) = (role.name.clone(), role.role_type.clone());
            roles.push(RoleArgument { name, role_type });
        }
    }
    let draft = Draft {
        node: &is.name,
        private_key: &private_key,
        public_key: &public_key,
        roles: &roles,
        settings: &command.set,
        transport,
        address: &if command.address.is_empty() {
            "localhost".to_owned()
        } else {
            command.address.join(", ")
        },
        port: command.port,
    };
    let wanted = draft.text(config_file, &registry, 4);
    let wanted =
        edit::replace(&config_file.shown, text, &wanted).map_err(|error| refused(&error))?;
    let wanted = change::checked(&format!("{} as asked for", config_file.shown), &wanted, None)?;
    let Some(wanted) = wanted.node(&is.name) else { return Ok(()) };
    let mut difference = change::difference(is, wanted);
    difference.options.retain(|(option, _, _)| asked_for(command, transport, option));
    if difference.options.is_empty() {
        return Ok(());
    }
    let told = difference.told(&config_file.shown);
    Err(Failure::failed(told).hint(format!("To change it, edit {}.", config_file.shown)))
}

/// The Transport of a new Node.
fn transport(registry: &Registry) -> Result<Listening<'_>, Failure> {
    let none = || Failure::failed("no Transport type on this machine accepts connections");
    Listening::first(registry).ok_or_else(none)
}

/// Whether the command line speaks of an option of the Node.
fn asked_for(command: &NewNode, transport: Listening<'_>, option: &str) -> bool {
    let of_transport = option.strip_prefix("transports.").and_then(|option| {
        let option = option.strip_prefix(&*transport.schema.name)?;
        if option.is_empty() { Some(option) } else { option.strip_prefix('.') }
    });
    match (option, of_transport) {
        ("privateKey", _) => command.key.is_some(),
        ("transports", _) | (_, Some("")) => !command.address.is_empty(),
        (_, Some(option)) if option == transport.options.address => !command.address.is_empty(),
        (_, Some(option)) if option == transport.options.port => command.port.is_some(),
        ("roles", _) => !command.role.is_empty(),
        (option, _) => {
            let named = |role: &RoleArgument| {
                option == format!("roles.{}", role.name)
                    || option == format!("roles.{}.type", role.name)
            };
            command.role.iter().any(named)
                || command
                    .set
                    .iter()
                    .any(|set| option == format!("roles.{}.{}", set.role, set.option))
        }
    }
}

/// The first port, from the usual one on, at which no other Node of this machine listens: those whose private key
/// is here.
fn free_port(system: Option<&System>, registry: &Registry, usual: u16) -> u16 {
    let nodes = system.map(|system| system.nodes.as_slice()).unwrap_or_default();
    let here = nodes.iter().filter(|node| node.private_key.exists());
    let taken: Vec<i64> = here
        .flat_map(|node| &node.transports)
        .filter_map(|transport| {
            let listens = registry.transport(&transport.transport_type)?.listens.as_ref()?;
            transport.options.integer(&listens.port)
        })
        .collect();
    (usual..u16::MAX).find(|port| !taken.contains(&i64::from(*port))).unwrap_or(usual)
}

/// Where the private key of the Node is, or will be: absolute, since the daemon may run anywhere.
fn key_path(command: &NewNode, node: &str, config_file: &ConfigFile) -> Result<PathBuf, Failure> {
    match &command.key {
        Some(path) => std::path::absolute(path).map_err(Failure::failed),
        // A name that is no name of a file is refused before long.
        None => Ok(config_file.folder.join("keys").join(node.replace('/', "_"))),
    }
}

/// A private key on disk.
struct Key {
    path: PathBuf,
    /// The line of its public half.
    public: String,
    /// Whether it was made just now.
    new: bool,
    /// The folder that was made for it.
    folder: Option<PathBuf>,
}

impl Key {
    /// Takes the key that is there, or else makes one that only its owner can read.
    fn at(path: PathBuf, node: &str) -> Result<Key, Failure> {
        let there = fs::symlink_metadata(&path);
        let new = matches!(&there, Err(error) if error.kind() == io::ErrorKind::NotFound);
        let mut made = None;
        let public = if new {
            if let Some(folder) = path.parent()
                && make_folder(folder, 0o700).map_err(|error| unmade(folder, &error))?
            {
                made = Some(folder.to_owned());
            }
            keygen::generate(&path, &format!("kozo-{node}"))
        } else {
            keygen::public_half(&path)
        };
        let public = public.map_err(|error| match error {
            keygen::KeygenError::Write { path, source } => unmade(&path, &source),
            error => Failure::failed(error),
        });
        let public = public.and_then(|key| key.to_openssh().map_err(Failure::failed));
        let mut key = Key { path, public: String::new(), new, folder: made };
        match public {
            Ok(public) => key.public = public,
            Err(failure) => {
                key.remove();
                return Err(failure);
            }
        }
        Ok(key)
    }

    /// Removes what was made. Half of a Node would stand in the way of the next attempt.
    fn remove(&self) {
        if self.new {
            let _ = fs::remove_file(&self.path);
        }
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir(folder);
        }
    }
}

fn unmade(path: &Path, error: &io::Error) -> Failure {
    unwritten(&path.to_string_lossy(), error)
}

/// Says what was done, and what is left to do.
fn tell(config_file: &ConfigFile, node: &str, answer: &Answer, written: bool) {
    let (file, key) = (&config_file.shown, answer.private_key.display());
    if written {
        say(&format!("\nNode {node} is in {file}; its private key, {key}, stays on this machine."));
    } else {
        say(&format!("\nNode {node} is in {file} already: nothing was changed."));
    }
    let (add, start) = (next::add_peer(config_file), next::start(config_file, node));
    let elsewhere = next::add_peer_elsewhere(config_file);
    say("Next steps:");
    say(&format!("  on all other machines, with its block:  {elsewhere}"));
    say(&format!("  here, with their blocks:                {add}"));
    say(&format!("  then start the Node:                    {start}"));
}
