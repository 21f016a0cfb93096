//! What systemd has to know of a Node, as the text of units.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};

use kozo_core::config::{
    NodeConfig, OptionValue, Options, Registry, Runs, Schema, System, TransportConfig,
};
use kozo_core::names::socket_name;
use kozo_core::places::{LOGS, STATE};

use crate::limits;

/// No unit of ours has a longer name. Of the 255 bytes that the name of a file may have, systemd needs up to 56
/// around that of a unit, for its private folder below /tmp.
const LONGEST_UNIT_NAME: usize = 255 - 56;

/// The drop-in of Nodes whose Roles or Transports run programs.
const PROGRAMS: &str = "programs.conf";

/// A link to a private key, for systemd to read it by.
pub(super) struct KeyLink {
    /// Its name in the folder.
    pub(super) name: String,
    /// Where it leads.
    pub(super) target: PathBuf,
}

/// What is written for a Node.
pub(super) struct Units {
    /// Drop-in of its service.
    pub(super) service: String,
    /// Drop-in of its socket, if it has any Transport to listen for.
    pub(super) socket: Option<String>,
    /// Units of the listeners of its Transports: name and text.
    pub(super) listeners: Vec<(String, String)>,
    /// A link to its private key, if it needs one.
    pub(super) key: Option<KeyLink>,
    /// Names of the drop-ins of its Roles and Transports, whether there or not.
    pub(super) drop_ins: Vec<String>,
}

/// What is written for a Node of the configuration at this place, into the folder `out`. Of `types` it is known
/// where they listen and write.
pub(super) fn of_node(
    node: &NodeConfig,
    system: &System,
    types: &Registry,
    config: &Path,
    out: &Path,
) -> Units {
    let source = value(config).map(|path| format!("SourcePath={path}\n")).unwrap_or_default();
    let listeners: Vec<_> = node
        .transports
        .iter()
        .zip(1..)
        .filter_map(|(transport, number)| {
            let schema = types.transport(&transport.transport_type)?;
            listener(&node.name, transport, schema, number, &source)
        })
        .collect();
    let names: Vec<_> = listeners.iter().map(|(name, _)| name.as_str()).collect();
    let unit = match names.as_slice() {
        [] => format!("[Unit]\n{source}"),
        names => format!("[Unit]\n{source}Wants={}\n", names.join(" ")),
    };
    let roles = node.roles.iter().map(|role| ("role", role.role_type.as_str()));
    let transports = node.transports.iter().map(|it| ("transport", it.transport_type.as_str()));
    let mut drop_ins: Vec<_> = roles.chain(transports).filter_map(drop_in).collect();
    let programs = programs(node, types);
    drop_ins.extend((!programs.is_empty()).then(|| PROGRAMS.to_owned()));
    drop_ins.sort();
    drop_ins.dedup();
    let (credential, key) = credential(node, out);
    let (writable, limits) = (writable(node, types), limits::of_node(node, system, &programs));
    Units {
        service: format!("{unit}\n[Service]\n{credential}{writable}{limits}"),
        key,
        socket: (!listeners.is_empty()).then_some(unit),
        listeners,
        drop_ins,
    }
}

/// What one process of each Role and Transport may have that runs programs, in bytes: of some built-in ones, and of all
/// others.
fn programs(node: &NodeConfig, types: &Registry) -> Vec<u64> {
    let may_have = |(runs, schema): (&Runs, Option<&Schema>)| match (runs, schema) {
        (Runs::Program(program), _) => Some(program.memory_limit),
        (_, Some(schema)) if !schema.runs_programs => None,
        _ => Some(limits::PROGRAM),
    };
    let roles = node.roles.iter().map(|role| (&role.runs, types.role(&role.role_type)));
    let transports =
        node.transports.iter().map(|it| (&it.runs, types.transport(&it.transport_type)));
    roles.chain(transports).filter_map(may_have).collect()
}

/// The name of the drop-in of a type; none for a type whose name is not one of a file.
fn drop_in((kind, type_name): (&str, &str)) -> Option<String> {
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_name = !type_name.is_empty() && type_name.chars().all(sound);
    is_name.then(|| format!("{kind}-{type_name}.conf"))
}

/// The private key, which the Node itself may not read; and a link to it, where its path is one that not every
/// systemd can read out of a unit. Where there is no key the Node gets an empty line: so it starts, and says
/// what is missing. So it does where there is something that systemd would read for as long as a start may take.
fn credential(node: &NodeConfig, out: &Path) -> (String, Option<KeyLink>) {
    let (name, key) = (&node.name, &node.private_key);
    let nothing = format!("SetCredential={name}.key:\\n\n");
    let lines = |path: &str| format!("LoadCredential={name}.key:{path}\n{nothing}");
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.+@%".contains(c);
    match key.to_str() {
        _ if key.is_relative() => (String::new(), None),
        _ if is_endless(key) => (nothing, None),
        Some(path) if path.chars().all(plain) => (lines(&path.replace('%', "%%")), None),
        _ => {
            let link = KeyLink { name: format!("kozo@{name}.key"), target: key.clone() };
            match value(&out.join(&link.name)) {
                Some(path) => (lines(&path), Some(link)),
                None => (String::new(), None),
            }
        }
    }
}

/// Whether this is a pipe or a device. A socket is one of a service that gives the key.
fn is_endless(key: &Path) -> bool {
    fs::metadata(key).is_ok_and(|found| {
        let kind = found.file_type();
        kind.is_fifo() || kind.is_char_device() || kind.is_block_device()
    })
}

/// The folders that the Node's Roles write to besides the usual ones. One that is not there is for
/// the Role to complain of, not for systemd.
fn writable(node: &NodeConfig, types: &Registry) -> String {
    let files = node.roles.iter().flat_map(|role| {
        let written = types.role(&role.role_type).map_or(&[][..], |schema| &schema.writes);
        written.iter().filter_map(|file| text(&role.options, &file.option))
    });
    let folders = files.filter_map(|file| Path::new(file).parent());
    let mut lines = String::new();
    for folder in folders.chain(node.role_storage.as_deref()) {
        // All of it would be no sandbox any more.
        if folder.starts_with(STATE) || folder == Path::new("/") {
            continue;
        }
        if folder.starts_with(LOGS) {
            // As the drop-in of a Role that writes there has it; it may be said twice.
            lines.push_str("LogsDirectory=kozo\nLogsDirectoryMode=0750\n");
            continue;
        }
        if let Some(folder) = value(folder) {
            let folder = folder.replace('\\', "\\\\").replace('"', "\\\"");
            // Writing to a text cannot fail.
            let _ = writeln!(lines, "ReadWritePaths=\"-{folder}\"");
        }
    }
    lines
}

/// The unit that listens for a Transport, where systemd can: a name to listen at is for the Node to
/// look up, when there is a network.
fn listener(
    node: &str,
    transport: &TransportConfig,
    schema: &Schema,
    number: usize,
    source: &str,
) -> Option<(String, String)> {
    let listens = schema.listens.as_ref()?;
    let given = |option| text(&transport.options, option);
    let port = match given(&listens.port) {
        Some(port) => port.parse().ok()?,
        None => schema.usual_port()?,
    };
    let address = match given(&listens.bind_address) {
        None | Some("") => port.to_string(),
        Some(address) => SocketAddr::new(address.parse::<IpAddr>().ok()?, port).to_string(),
    };
    let descriptor = socket_name(&transport.name)?.replace('%', "%%");
    let unit = unit_name(node, &transport.name, number);
    let backlog = given(&listens.backlog)
        .and_then(|backlog| backlog.parse::<u16>().ok())
        .map(|backlog| format!("Backlog={backlog}\n"))
        .unwrap_or_default();
    let text = format!(
        "\
# Listens for a Transport of Node {node}, from before the Node runs and while it is restarted.

[Unit]
Description=Transport {descriptor} of Kōzō Node {node}
{source}# Stopped in one go with kozo@{node}.socket: else a Peer that dials meanwhile starts the Node again.
PartOf=kozo.target kozo@{node}.socket
# And when the Node goes, unless that one wants it: a Node that was stopped is not there.
StopWhenUnneeded=yes

[Socket]
Service=kozo@{node}.service
ListenStream={address}
FileDescriptorName={descriptor}
# The network may come up later than this.
FreeBind=yes
{backlog}"
    );
    Some((unit, text))
}

/// The name of the unit of a Transport, which is the so-manieth of its Node.
fn unit_name(node: &str, transport: &str, number: usize) -> String {
    let unit = format!("kozo-transport@{node}:{}.socket", escape(transport));
    if unit.len() <= LONGEST_UNIT_NAME {
        return unit;
    }
    // No name is escaped to a colon, so this belongs to no other Node.
    format!("kozo-transport@{node}::{number}.socket")
}

/// An option of a type that is not known here.
fn text<'a>(options: &'a Options, name: &str) -> Option<&'a str> {
    match options.0.get(name)? {
        OptionValue::Text(text) => Some(text),
        _ => None,
    }
}

/// An absolute path as the value of a setting. None for others: they have no meaning to systemd, or
/// would be more than one line.
fn value(path: &Path) -> Option<String> {
    let path = path.to_str()?;
    let turns = Path::new(path).components().any(|part| part == Component::ParentDir);
    let whole = path.starts_with('/') && !turns;
    let sound = whole && !path.contains(char::is_control) && path.trim() == path;
    sound.then(|| path.replace('%', "%%"))
}

/// A text as part of the name of a unit, see systemd-escape(1).
fn escape(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
            char::from(byte).to_string()
        }
        _ => format!("\\x{byte:02x}"),
    });
    escaped.collect()
}

#[cfg(test)]
mod tests {
    use kozo_core::names::{LONGEST_NAME, bus_name};

    use super::*;

    #[test]
    fn only_sound_paths_become_values() {
        assert_eq!(value(Path::new("/a b%c")), Some("/a b%%c".to_owned()));
        assert_eq!(value(Path::new("relative")), None);
        assert_eq!(value(Path::new("/a\nReadWritePaths=/")), None);
        assert_eq!(value(Path::new("/a ")), None);
        assert_eq!(value(Path::new("/a/..")), None);
    }

    #[test]
    fn only_names_of_files_become_drop_ins() {
        assert_eq!(drop_in(("role", "motion-detect")), Some("role-motion-detect.conf".to_owned()));
        assert_eq!(drop_in(("role", "../../etc/passwd")), None);
        assert_eq!(drop_in(("role", "")), None);
    }

    /// What systemd, sockets and D-Bus make of names that are as long as they may be.
    #[test]
    fn the_longest_names_fit_everywhere() {
        let node = "9".repeat(LONGEST_NAME);
        let user = format!("/run/user/{}/kozo/{node}/bus", u32::MAX);
        assert!(user.len() < 108, "sockets have {} of 107 bytes", user.len());
        let dots = format!("a{}", ".".repeat(LONGEST_NAME - 1));
        assert!(bus_name(&dots).len() <= 255);
        assert!(format!("kozo@{node}.service").len() <= LONGEST_UNIT_NAME);
        for transport in ["t".repeat(LONGEST_NAME), "\u{69cb}".repeat(LONGEST_NAME / 3)] {
            let unit = unit_name(&node, &transport, 7);
            assert!(unit.len() <= LONGEST_UNIT_NAME, "{unit}");
            assert!(socket_name(&transport).is_some());
        }
        assert_eq!(unit_name("n", "tcp", 1), "kozo-transport@n:tcp.socket");
    }

    #[test]
    fn names_of_units() {
        assert_eq!(escape("my lan:é"), "my\\x20lan\\x3a\\xc3\\xa9");
        assert_eq!(escape("tcp-2.x_y"), "tcp-2.x_y");
    }
}
