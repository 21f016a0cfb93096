//! What systemd has to know of a Node, as the text of units.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use kozo::config::{NodeConfig, OptionValue, Options, TransportConfig};
use kozo::transport::passed;
use kozo::transport::tcp::DEFAULT_PORT;

/// No unit has a longer name.
const LONGEST_UNIT_NAME: usize = 255;

/// Folders that every Node may write to, by `kozo@.service` and by the drop-in of the logger.
const WRITABLE: &[&str] = &["/var/lib/kozo", "/var/log/kozo"];

/// What is written for a Node.
pub(super) struct Units {
    /// Drop-in of its service.
    pub(super) service: String,
    /// Drop-in of its socket, if it has any Transport to listen for.
    pub(super) socket: Option<String>,
    /// Units of the listeners of its Transports: name and text.
    pub(super) listeners: Vec<(String, String)>,
    /// Names of the drop-ins of its Roles and Transports, whether there or not.
    pub(super) drop_ins: Vec<String>,
}

/// What is written for a Node of the configuration at this place.
pub(super) fn of_node(node: &NodeConfig, config: &Path) -> Units {
    let source = value(config).map(|path| format!("SourcePath={path}\n")).unwrap_or_default();
    let listeners: Vec<_> = node
        .transports
        .iter()
        .filter_map(|transport| listener(&node.name, transport, &source))
        .collect();
    let names: Vec<_> = listeners.iter().map(|(name, _)| name.as_str()).collect();
    let unit = match names.as_slice() {
        [] => format!("[Unit]\n{source}"),
        names => format!("[Unit]\n{source}Wants={}\n", names.join(" ")),
    };
    let roles = node.roles.iter().map(|role| ("role", role.role_type.as_str()));
    let transports = node.transports.iter().map(|it| ("transport", it.transport_type.as_str()));
    let mut drop_ins: Vec<_> = roles.chain(transports).filter_map(drop_in).collect();
    drop_ins.sort();
    drop_ins.dedup();
    Units {
        service: format!("{unit}\n[Service]\n{}{}", credential(node), writable(node)),
        socket: (!listeners.is_empty()).then_some(unit),
        listeners,
        drop_ins,
    }
}

/// The name of the drop-in of a type; none for a type whose name is not one of a file.
fn drop_in((kind, type_name): (&str, &str)) -> Option<String> {
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_name = !type_name.is_empty() && type_name.chars().all(sound);
    is_name.then(|| format!("{kind}-{type_name}.conf"))
}

/// The private key, which the Node itself may not read.
fn credential(node: &NodeConfig) -> String {
    match value(&node.private_key) {
        Some(path) => format!("LoadCredential={}.key:{path}\n", node.name),
        None => String::new(),
    }
}

/// The folders that the Node's Roles write to besides the usual ones. One that is not there is for
/// the Role to complain of, not for systemd.
fn writable(node: &NodeConfig) -> String {
    let files = node.roles.iter().filter(|role| role.role_type == "logger");
    let files = files.filter_map(|role| text(&role.options, "file"));
    let folders = files.filter_map(|file| Path::new(file).parent());
    let mut lines = String::new();
    for folder in folders.chain(node.role_storage.as_deref()) {
        let usual = WRITABLE.iter().any(|usual| folder.starts_with(usual));
        // All of it would be no sandbox any more.
        if usual || folder == Path::new("/") {
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
fn listener(node: &str, transport: &TransportConfig, source: &str) -> Option<(String, String)> {
    if transport.transport_type != "tcp" {
        return None;
    }
    let port = match text(&transport.options, "port") {
        Some(port) => port.parse().ok()?,
        None => DEFAULT_PORT,
    };
    let address = match text(&transport.options, "bindAddress") {
        None | Some("") => port.to_string(),
        Some(address) => SocketAddr::new(address.parse::<IpAddr>().ok()?, port).to_string(),
    };
    let descriptor = passed::name_of(&transport.name)?.replace('%', "%%");
    let unit = format!("kozo-transport@{node}:{}.socket", escape(&transport.name));
    if unit.len() > LONGEST_UNIT_NAME {
        return None;
    }
    let backlog = text(&transport.options, "socketConnectionBacklog")
        .and_then(|backlog| backlog.parse::<u16>().ok())
        .map(|backlog| format!("Backlog={backlog}\n"))
        .unwrap_or_default();
    let text = format!(
        "\
# Listens for a Transport of Node {node}, from before the Node runs and while it is restarted.

[Unit]
Description=Transport {descriptor} of Kōzō Node {node}
{source}PartOf=kozo.target
# It goes with the Node, or with kozo@{node}.socket: a Node that was stopped is not there.
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
    let sound = path.starts_with('/') && !path.contains(char::is_control) && path.trim() == path;
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
    use super::*;

    #[test]
    fn only_sound_paths_become_values() {
        assert_eq!(value(Path::new("/a b%c")), Some("/a b%%c".to_owned()));
        assert_eq!(value(Path::new("relative")), None);
        assert_eq!(value(Path::new("/a\nReadWritePaths=/")), None);
        assert_eq!(value(Path::new("/a ")), None);
    }

    #[test]
    fn only_names_of_files_become_drop_ins() {
        assert_eq!(drop_in(("role", "motion_detect")), Some("role-motion_detect.conf".to_owned()));
        assert_eq!(drop_in(("role", "../../etc/passwd")), None);
        assert_eq!(drop_in(("role", "")), None);
    }

    #[test]
    fn names_of_units() {
        assert_eq!(escape("my lan:é"), "my\\x20lan\\x3a\\xc3\\xa9");
        assert_eq!(escape("tcp-2.x_y"), "tcp-2.x_y");
    }
}
