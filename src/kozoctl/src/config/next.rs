//! What is to be done after a configuration was changed: by systemd, and by the user.

use std::path::Path;
use std::process::{Command, Stdio};

use super::file::ConfigFile;
use crate::output::say;
use crate::shell::word;

/// There when systemd runs this machine, see sd_booted(3).
const BOOTED: &str = "/run/systemd/system";

/// Lets systemd see what the configuration asks of it, as `systemctl enable` does for what it writes:
/// the generator runs only then, and without it a Node has neither its key nor its sockets.
pub(super) fn tell_systemd(config_file: &ConfigFile) {
    if !config_file.service || !Path::new(BOOTED).exists() {
        return;
    }
    let mut command = Command::new("systemctl");
    let done = command.arg("daemon-reload").stdin(Stdio::null()).stdout(Stdio::null()).status();
    if !done.is_ok_and(|status| status.success()) {
        say("kozoctl: systemd has not reread it; run: systemctl daemon-reload");
    }
}

/// The command by which a Node is told of others.
pub(super) fn add_peer(config_file: &ConfigFile) -> String {
    format!("{}kozoctl config add-peer -{}", sudo(config_file), file(config_file))
}

/// The command by which other machines are told of a Node; where they have their configuration, they know.
pub(super) fn add_peer_elsewhere(config_file: &ConfigFile) -> String {
    let place = if config_file.service { "" } else { " [--file FILE]" };
    format!("{}kozoctl config add-peer -{place}", sudo(config_file))
}

/// The command by which this machine gets its own Node.
pub(super) fn new_node(config_file: &ConfigFile) -> String {
    format!("{}kozoctl config new{}", sudo(config_file), file(config_file))
}

/// The command by which a Node starts.
pub(super) fn start(config_file: &ConfigFile, node: &str) -> String {
    if config_file.service {
        format!("{}systemctl enable --now kozo@{node}", sudo(config_file))
    } else {
        format!("kozo {} {node}", word(&config_file.shown))
    }
}

/// The command by which running Nodes take up what has changed.
pub(super) fn reload(config_file: &ConfigFile) -> String {
    if config_file.service {
        format!("{}systemctl reload 'kozo@*.service'", sudo(config_file))
    } else {
        "kozoctl --node NODE reload".to_owned()
    }
}

fn file(config_file: &ConfigFile) -> String {
    if config_file.service {
        String::new()
    } else {
        format!(" --file {}", word(&config_file.shown))
    }
}

/// Who has used it once will have to again.
fn sudo(config_file: &ConfigFile) -> &'static str {
    let needed = config_file.service && std::env::var_os("SUDO_USER").is_some();
    if needed { "sudo " } else { "" }
}
