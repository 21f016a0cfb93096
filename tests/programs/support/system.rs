//! Systems on disk: keys, a configuration, folders for what Nodes keep.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};
use tempfile::TempDir;

use super::program::{KOZO, Program, Reader, clean};

/// A loopback address that nobody else uses: no two tests, and no two Nodes of one, want the same
/// port. It is made from the number of this process and counted up.
pub fn address() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let process = std::process::id();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!((1..255).contains(&number), "too many addresses in one process");
    format!("127.{}.{}.{number}", 1 + (process >> 8) % 250, process & 0xff)
}

/// Makes an Ed25519 key and writes it to a file; gives the line of its public half.
pub fn fresh_key(path: &Path) -> String {
    let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap();
    fs::write(path, key.to_openssh(LineEnding::LF).unwrap()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    key.public_key().to_openssh().unwrap()
}

struct Node {
    name: String,
    address: String,
    public_key: String,
    roles: String,
    transports: String,
    more: String,
}

/// The Transports of a Node that has no others.
const TCP: &str = "tcp: {address: ADDRESS, bindAddress: ADDRESS}";

/// A System in a folder of its own, which goes when this is dropped.
pub struct SystemFolder {
    folder: TempDir,
    nodes: Vec<Node>,
    options: String,
}

impl SystemFolder {
    /// A System without Nodes. `options` are lines of the top level of the file.
    pub fn new(options: &str) -> SystemFolder {
        let folder = tempfile::tempdir().unwrap();
        SystemFolder { folder, nodes: Vec::new(), options: options.to_owned() }
    }

    /// Adds a Node with these Roles: `name: {option: value}` for each, separated by commas.
    pub fn node(self, name: &str, roles: &str) -> SystemFolder {
        self.node_with(name, roles, "")
    }

    /// Adds a Node with these Roles and more options of its own.
    pub fn node_with(mut self, name: &str, roles: &str, more: &str) -> SystemFolder {
        let public_key = fresh_key(&self.key(name));
        self.nodes.push(Node {
            name: name.to_owned(),
            address: address(),
            public_key,
            roles: roles.to_owned(),
            transports: TCP.to_owned(),
            more: more.to_owned(),
        });
        fs::create_dir_all(self.storage(name)).unwrap();
        self
    }

    /// Adds a Node that does not run, at an address that leads nowhere.
    pub fn unreachable_node(mut self, name: &str, address: &str) -> SystemFolder {
        let public_key = fresh_key(&self.key(name));
        let [name, address] = [name, address].map(str::to_owned);
        let [roles, transports, more] = ["", TCP, ""].map(str::to_owned);
        self.nodes.push(Node { name, address, public_key, roles, transports, more });
        self
    }

    /// Gives the Node that was added last these Transports, written as Roles are.
    pub fn over(mut self, transports: &str) -> SystemFolder {
        transports.clone_into(&mut self.nodes.last_mut().unwrap().transports);
        self
    }

    /// Gives a Node another key than the one that was made for it.
    pub fn with_key(mut self, name: &str, public_key: &str) -> SystemFolder {
        let node = self.nodes.iter_mut().find(|node| node.name == name).unwrap();
        public_key.clone_into(&mut node.public_key);
        self
    }

    /// Writes the configuration.
    pub fn write(self) -> SystemFolder {
        let mut text = "system:\n".to_owned();
        for node in &self.nodes {
            let Node { name, address, public_key, roles, transports, more } = node;
            let [roles, transports] = [roles, transports].map(|it| it.replace("ADDRESS", address));
            let (key, storage) = (self.key(name), self.storage(name));
            let (key, storage) = (key.display(), storage.display());
            write!(
                text,
                "  {name}:\n    privateKey: {key}\n    publicKey: {public_key}\n    roleStorage: \
                 {storage}\n    roles: {{{roles}}}\n    transports: {{{transports}}}\n"
            )
            .unwrap();
            if !more.is_empty() {
                writeln!(text, "    {more}").unwrap();
            }
        }
        fs::write(self.config(), text + &self.options + "\n").unwrap();
        self
    }

    /// The folder of all of it.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.path().join("config.yml")
    }

    /// A Node's private key.
    pub fn key(&self, node: &str) -> PathBuf {
        self.path().join(format!("{node}.key"))
    }

    /// A Node's `roleStorage`.
    pub fn storage(&self, node: &str) -> PathBuf {
        self.path().join(format!("{node}-storage"))
    }

    /// A Node's address.
    pub fn address(&self, node: &str) -> &str {
        &self.nodes.iter().find(|known| known.name == node).unwrap().address
    }

    /// A command that runs a Node by another program than the one under test, or through one.
    pub fn command(&self, program: &Path, node: &str) -> Command {
        let config = self.config();
        clean(program, [config.as_os_str(), node.as_ref()])
    }

    /// Runs a Node.
    pub fn start(&self, node: &str) -> Program {
        self.start_with_reader(node, Reader::Reads)
    }

    /// Runs a Node with such a reader of what it prints.
    pub fn start_with_reader(&self, node: &str, reader: Reader) -> Program {
        Program::start_with_reader(node, &mut self.command(Path::new(KOZO), node), reader)
    }

    /// Runs a Node in a mount namespace of its own, after a script that sets that up. `None` where
    /// this is not allowed.
    pub fn start_among_mounts(&self, node: &str, script: &str) -> Option<Program> {
        let unshare = ["-m", "--propagation", "private"];
        let allowed = Command::new("unshare").args(unshare).arg("true").output();
        if !allowed.is_ok_and(|output| output.status.success()) {
            return None;
        }
        let mut command = clean("unshare", unshare);
        let script = format!("set -e; {script}; exec \"$0\" \"$1\" \"$2\"");
        command.args(["sh", "-c", &script, KOZO]).arg(self.config()).arg(node);
        Some(Program::start(node, &mut command))
    }
}
