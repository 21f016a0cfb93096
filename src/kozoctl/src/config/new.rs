//! `kozoctl config new`: a configuration to begin with, and the key that goes with it.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use kozo::keygen;
use serde_json::json;

use crate::failure::Failure;
use crate::output::Output;

/// Writes the file and the key, and says what is to be done next.
///
/// # Errors
/// When either exists, cannot be written, or there is no name for the Node. Then neither is there.
pub(super) fn run(
    file: &Path,
    node: Option<&str>,
    address: Option<&str>,
    output: Output,
) -> Result<(), Failure> {
    let host = host_name();
    let node = match node {
        Some(node) => node.to_owned(),
        None => short_name(&host).ok_or_else(|| {
            Failure::failed(format_args!("this machine's name '{host}' is none for a Node"))
                .hint("Name the Node: kozoctl config new --node NAME")
        })?,
    };
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let folder = fs::canonicalize(folder).map_err(|error| {
        Failure::failed(format_args!("cannot write into {}: {error}", folder.display()))
    })?;
    if file.exists() {
        return Err(Failure::failed(format_args!(
            "{} exists already, and is not overwritten",
            file.display()
        )));
    }
    let key = folder.join(format!("{node}.key"));
    let public = keygen::generate(&key, &format!("kozo-{node}")).map_err(Failure::failed)?;
    let public = public.to_openssh().map_err(Failure::failed);
    let written = public.and_then(|public| {
        let address = address.unwrap_or(&host);
        let text = text(&node, &key, &public, address);
        accepted(file, &text)?;
        write(file, &text)?;
        Ok(public)
    });
    let public = written.inspect_err(|_| {
        // Half of the two would stand in the way of the next attempt.
        let _ = fs::remove_file(&key);
    })?;
    let answer = json!({
        "file": file.to_string_lossy(),
        "node": node,
        "privateKey": key.to_string_lossy(),
        "publicKey": public,
    });
    Ok(output.answer(&answer, &next_steps(file, &node, &key))?)
}

/// Nothing is written that the daemon would refuse, such as a bad name.
fn accepted(file: &Path, text: &str) -> Result<(), Failure> {
    let registry = kozo::node::Types::built_in().registry();
    let checked = kozo::config::check(&file.to_string_lossy(), text, None, &registry);
    checked.map(|_| ()).map_err(|error| Failure::failed(error.render(false).trim_end()))
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(file)
        .and_then(|mut open| open.write_all(text.as_bytes()));
    written
        .map_err(|error| Failure::failed(format_args!("cannot write {}: {error}", file.display())))
}

fn host_name() -> String {
    nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned()
}

/// The name of the machine without its domain, if a Node can be called so.
fn short_name(host: &str) -> Option<String> {
    let short = host.split('.').next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (!short.is_empty() && short.chars().all(plain)).then(|| short.to_owned())
}

fn next_steps(file: &Path, node: &str, key: &Path) -> String {
    let mut text = String::new();
    let (file, key) = (file.display(), key.display());
    // Writing to memory cannot fail.
    let _ = writeln!(text, "{file}  the configuration of the System, with the Node {node}");
    let _ = writeln!(text, "{key}  the private key of {node}: it stays on this machine");
    let _ = writeln!(text);
    let _ = writeln!(text, "Add the other Nodes to the file, and copy it to all machines. Then:");
    let _ = writeln!(text, "  kozoctl config check {file} {node}");
    let service = Path::new(crate::cli::CONFIG) == PathBuf::from(file.to_string());
    let _ = if service {
        write!(text, "  systemctl enable --now kozo@{node}")
    } else {
        write!(text, "  kozo {file} {node}")
    };
    text
}

/// The text of the file.
fn text(node: &str, key: &Path, public: &str, address: &str) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let (key, address) = (quoted(&key.to_string_lossy()), quoted(address));
    let node = quoted(node);
    format!(
        "\
# The configuration of a Kōzō System. All of its machines have the same file.
# `kozoctl config check` finds what is wrong with it; kozo.yml(5) lists all options.

# A Node that is silent for three heartbeats is taken for dead.
heartbeat: 10s

# The Nodes, by name.
system:
    {node}:
        # Its private key, on its own machine only.
        privateKey: {key}
        # Its public key: who it is to all others.
        publicKey: {public}
        # What it does. The type of a Role is its name, unless it has a `type`.
        roles:
            # Sends an event `tick` every minute.
            timer1:
                type: timer
                tick: 60s
        transports:
            # Where the others reach it: names and addresses, separated by commas.
            tcp:
                address: {address}

    # Another Node. Make its key on its own machine with `kozoctl keygen`, which shows the
    # public half.
    # scribe:
    #     privateKey: /etc/kozo/scribe.key
    #     publicKey: ssh-ed25519 AAAA…
    #     roleStorage: /var/lib/kozo/scribe
    #     roles:
    #         # Prints the ticks, and remembers the last one.
    #         cuckoo:
    #             timer: timer1
    #     transports:
    #         tcp:
    #             address: scribe.local
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_name_their_nodes() {
        assert_eq!(short_name("pi-4.example.org").as_deref(), Some("pi-4"));
        assert_eq!(short_name(""), None);
        assert_eq!(short_name("küche"), None);
    }
}
