//! What is to be done after a configuration was changed: by systemd, and by the user.

use std::path::Path;
use std::process::{Command, Stdio};

use super::place::Place;
use crate::output::say;
use crate::shell::word;

/// There when systemd runs this machine, see sd_booted(3).
const BOOTED: &str = "/run/systemd/system";

/// Lets systemd see what the configuration asks of it, as `systemctl enable` does for what it writes:
/// the generator runs only then, and without it a Node has neither its key nor its sockets.
pub(super) fn tell_systemd(place: &Place) {
    if !place.service || !Path::new(BOOTED).exists() {
        return;
    }
    let mut command = Command::new("systemctl");
    let done = command.arg("daemon-reload").stdin(Stdio::null()).stdout(Stdio::null()).status();
    if !done.is_ok_and(|status| status.success()) {
        say("kozoctl: systemd was not told of it; run: systemctl daemon-reload");
    }
}

/// The command by which a Node is told of others.
pub(super) fn add_peer(place: &Place) -> String {
    format!("{}kozoctl config add-peer -{}", sudo(place), file(place))
}

/// The command by which a Node starts.
pub(super) fn start(place: &Place, node: &str) -> String {
    if place.service {
        format!("{}systemctl enable --now kozo@{node}", sudo(place))
    } else {
        format!("kozo {} {node}", word(&place.shown))
    }
}

/// The command by which running Nodes take up what has changed.
pub(super) fn reload(place: &Place) -> String {
    if place.service {
        format!("{}systemctl reload 'kozo@*'", sudo(place))
    } else {
        "kozoctl --node NODE reload".to_owned()
    }
}

fn file(place: &Place) -> String {
    if place.service { String::new() } else { format!(" --file {}", word(&place.shown)) }
}

/// Who has used it once will have to again.
fn sudo(place: &Place) -> &'static str {
    let needed = place.service && std::env::var_os("SUDO_USER").is_some();
    if needed { "sudo " } else { "" }
}
