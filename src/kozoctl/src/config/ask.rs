//! Asking for what the command line leaves out, where a person is there to answer.
//!
//! Questions go to standard error, so that the answer of the command can go anywhere.

use std::io::{self, IsTerminal, Write as _};
use std::net::UdpSocket;

use crate::failure::Failure;

/// Whether a person is there.
pub(super) fn possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks until the answer is one that `read` takes. An empty one is the default, which is shown.
///
/// # Errors
/// When there is no answer any more.
pub(super) fn question<T>(
    text: &str,
    default: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Failure> {
    loop {
        let mut stderr = io::stderr().lock();
        let asked = match default {
            "" => write!(stderr, "{text}: "),
            default => write!(stderr, "{text} [{default}]: "),
        };
        drop(stderr);
        let mut line = String::new();
        let length = asked.and_then(|()| io::stdin().read_line(&mut line));
        if length.map_err(Failure::failed)? == 0 {
            return Err(Failure::usage("no answer was given"));
        }
        let answer = match line.trim() {
            "" => default,
            answer => answer,
        };
        match read(answer) {
            Ok(value) => return Ok(value),
            Err(problem) => crate::output::say(&problem),
        }
    }
}

/// The name of this machine.
pub(super) fn host_name() -> String {
    nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned()
}

/// A name for the Node of a machine: the machine's, without its domain, if a Node can be called so.
pub(super) fn node_name(host: &str) -> Option<&str> {
    host.split('.').next().filter(|name| check_node_name(name).is_ok())
}

/// Whether a Node can be called so, as the configuration has it.
pub(super) fn check_node_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        return Err("A name consists of letters A to Z, digits, '-', '_' and '.'.".to_owned());
    }
    Ok(())
}

/// Where this machine is probably reached: by its name, and at the address from which it would speak to
/// the rest of the world. Nothing is sent to find that out.
pub(super) fn addresses(host: &str) -> String {
    let outward = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        // An address for documents, which no machine has.
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    let address = outward.ok().map(|address| address.ip()).filter(|ip| !ip.is_unspecified());
    let name = (!host.is_empty() && host != "localhost").then(|| host.to_owned());
    let both = name.into_iter().chain(address.map(|address| address.to_string()));
    both.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_name_their_nodes() {
        assert_eq!(node_name("pi-4.example.org"), Some("pi-4"));
        assert_eq!(node_name(""), None);
        assert_eq!(node_name("küche"), None);
    }
}
