//! The configuration of a testnet: the seeds' clock and scribe, and a Node to inject Messages with.

use ssh_key::PublicKey;

use crate::config::edit::scalar as word;

/// The line at the start of a configuration by which a testnet knows its own.
pub(super) const MARK: &str = "# Made by `kozo testnet`.";

/// Names of the Nodes, in the order of the file.
pub(super) const NODES: [&str; 3] = ["clock", "scribe", "injector"];

/// What differs from one testnet to the next.
pub(super) struct Ingredients<'a> {
    /// Absolute path of its folder.
    pub(super) folder: &'a str,
    /// Public keys of the Nodes.
    pub(super) keys: [PublicKey; 3],
    /// Ports where the Nodes listen.
    pub(super) ports: [u16; 3],
    /// Port where Messages are injected.
    pub(super) inject: u16,
}

/// Where the private key of a Node is, within the folder.
pub(super) fn key_file(node: &str) -> String {
    format!("{node}.key")
}

/// Where the Roles of scribe keep what they remember, within the folder.
pub(super) const STORAGE: &str = "storage/scribe";

/// The text of the file.
pub(super) fn text(ingredients: &Ingredients<'_>) -> Result<String, ssh_key::Error> {
    let path = |name: &str| word(&format!("{}/{name}", ingredients.folder));
    let [clock, scribe, injector] = NODES;
    let [clock_private, scribe_private, injector_private] = NODES.map(|node| path(&key_file(node)));
    let [clock_key, scribe_key, injector_key] = &ingredients.keys;
    let clock_public = clock_key.to_openssh()?;
    let scribe_public = scribe_key.to_openssh()?;
    let injector_public = injector_key.to_openssh()?;
    let [clock_port, scribe_port, injector_port] = ingredients.ports;
    let inject = ingredients.inject;
    let storage = path(STORAGE);
    let log = path("scribe.log");
    Ok(format!(
        r#"{MARK}
# Change the rest as you like: while the line above is there, `kozo testnet` in this folder
# runs what the file says. `kozo --check` finds mistakes.

# Seconds between heartbeats. A Peer that stays silent for three intervals is down.
heartbeat: 5

# The Nodes, by name. All of them use this file.
system:
    {clock}:
        privateKey: {clock_private}
        publicKey: {clock_public}
        roles:
            # Sends an Event `tick` every second.
            timer1:
                type: timer
                tick: 1
        transports:
            # Where the others reach it, and where it listens.
            tcp:
                address: 127.0.0.1
                bindAddress: 127.0.0.1
                port: {clock_port}
    {scribe}:
        privateKey: {scribe_private}
        publicKey: {scribe_public}
        # Where its Roles store state.
        roleStorage: {storage}
        roles:
            # Prints the ticks of clock's timer and remembers the last one.
            cuckoo:
                timer: timer1
                # Otherwise the logger would print each tick again.
                log: false
            # Prints the Log Messages of all Nodes and writes them to a file.
            logger:
                file: {log}
                clearLog: true
        transports:
            tcp:
                address: 127.0.0.1
                bindAddress: 127.0.0.1
                port: {scribe_port}
    {injector}:
        privateKey: {injector_private}
        publicKey: {injector_public}
        roles:
            # Sends what programs write to this port. Every program that reaches it can send any Message.
            message_injector:
                bindAddress: 127.0.0.1
                bindPort: {inject}
            # Opens a debug console of this Node on an Order `debug`.
            debugger:
                allowRemote: false
        transports:
            tcp:
                address: 127.0.0.1
                bindAddress: 127.0.0.1
                port: {injector_port}
"#
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use ssh_key::{Algorithm, PrivateKey};

    use super::*;
    use crate::config;
    use crate::node::Types;

    fn made(folder: &str) -> String {
        let key = |_| {
            let mut key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap();
            key.set_comment("kozo-test");
            key.public_key().clone()
        };
        let keys = [(); 3].map(key);
        text(&Ingredients { folder, keys, ports: [20_001, 20_002, 20_003], inject: 20_004 })
            .unwrap()
    }

    /// Odd names of folders are read back as they are.
    #[test]
    fn every_path_survives() {
        for folder in [
            "/home/ann/kozo-testnet",
            "/home/ann/my nets: #1, 'a' \"b\" \\c",
            "/tmp/ü-é 構造",
            "/tmp/tab\tline\nend\u{85}\u{2028}\u{1b}",
            "/tmp/{a: b}",
            "/~",
        ] {
            let text = made(folder);
            let registry = Types::built_in().registry();
            let loaded = config::check("config.yml", &text, None, &registry).unwrap();
            let names: Vec<_> = loaded.system.nodes.iter().map(|node| node.name.as_str()).collect();
            assert_eq!(names, NODES);
            let scribe = loaded.system.node("scribe").unwrap();
            assert_eq!(scribe.private_key, Path::new(folder).join("scribe.key"));
            assert_eq!(scribe.role_storage, Some(Path::new(folder).join("storage/scribe")));
        }
    }

    #[test]
    fn is_marked_and_has_no_tabs() {
        let text = made("/home/ann/kozo-testnet");
        assert!(text.starts_with(MARK), "{text}");
        assert!(!text.contains('\t'), "{text}");
        assert!(
            text.contains("\n                file: /home/ann/kozo-testnet/scribe.log\n"),
            "{text}"
        );
        assert!(text.contains("\n                bindPort: 20004\n"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 120), "{text}");
    }
}
