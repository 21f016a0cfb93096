//! The folder of a testnet: made anew, or found as an earlier testnet left it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rand::RngExt as _;

use super::TestnetError;
use super::recipe::{self, Ingredients, MARK, NODES};
use crate::config::{self, NodeConfig, Registry, System};
use crate::keygen;

/// Ports to choose from. Those above are what the system gives to outgoing connections: one of them
/// could have taken a port of ours when the testnet is started again.
const PORTS: std::ops::Range<u16> = 20_000..32_768;

/// Attempts to find a free port.
const ATTEMPTS: usize = 1000;

/// A testnet that is ready to run.
#[derive(Debug)]
pub(super) struct Testnet {
    /// Absolute path of its folder.
    pub(super) folder: PathBuf,
    /// Absolute path of its configuration.
    pub(super) config: PathBuf,
    /// Names of its Nodes, in the order of the file.
    pub(super) nodes: Vec<String>,
    /// Where Messages can be injected, if anywhere.
    pub(super) inject: Option<SocketAddr>,
    /// Whether it is new.
    pub(super) new: bool,
}

/// Makes a testnet in a folder, or takes the one that is there.
///
/// What is there is run as it is, with what its owner changed. A folder with anything else in it is
/// refused, and nothing in it is touched.
pub(super) fn prepare(folder: &Path, registry: &Registry) -> Result<Testnet, TestnetError> {
    let folder = std::path::absolute(folder)?;
    let config = folder.join("config.yml");
    let new = match find(&folder, &config)? {
        Found::Nothing => true,
        Found::Testnet => false,
        Found::Other => return Err(TestnetError::Foreign(folder)),
    };
    if new {
        let text = folder.to_str().ok_or_else(|| TestnetError::NotText(folder.clone()))?;
        make(&folder, text, &config)?;
    }
    let system = load(&config, registry)?;
    let used = used_addresses(&system);
    for (node, address) in &used {
        if let Err(error) = TcpListener::bind(address)
            && error.kind() == io::ErrorKind::AddrInUse
        {
            let node = node.name.clone();
            return Err(TestnetError::PortTaken { folder, node, port: address.port() });
        }
    }
    let nodes = system.nodes.iter().map(|node| node.name.clone()).collect();
    let inject = system.nodes.iter().find_map(|node| injection_addresses(node).next());
    Ok(Testnet { folder, config, nodes, inject, new })
}

/// What a folder has in it.
enum Found {
    Nothing,
    Testnet,
    Other,
}

fn find(folder: &Path, config: &Path) -> Result<Found, TestnetError> {
    let unreadable = |source| TestnetError::File { path: folder.to_owned(), source };
    let mut entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(unreadable(error)),
    };
    if entries.next().transpose().map_err(unreadable)?.is_none() {
        return Ok(Found::Nothing);
    }
    let mut start = String::new();
    match fs::File::open(config) {
        // A file of others may be no text: then it is no testnet's either.
        Ok(file) => match file.take(MARK.len() as u64).read_to_string(&mut start) {
            Ok(_) if start == MARK => Ok(Found::Testnet),
            _ => Ok(Found::Other),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Other),
        Err(source) => Err(TestnetError::File { path: config.to_owned(), source }),
    }
}

/// Makes everything, the configuration last: without it, the folder is no testnet.
fn make(folder: &Path, text: &str, config: &Path) -> Result<(), TestnetError> {
    let file_error = |path: &Path| {
        let path = path.to_owned();
        move |source| TestnetError::File { path, source }
    };
    // Private keys are in it, and what is sent is in its log.
    let private = |path: &Path| {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(file_error(path))
    };
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).map_err(file_error(parent))?;
    }
    private(folder)?;
    let mut made = Vec::new();
    let result = (|| {
        let mut key = |node: &str| {
            let path = folder.join(recipe::key_file(node));
            let public = keygen::generate(&path, &format!("kozo-{node}"))?;
            made.push(path);
            Ok::<_, keygen::KeygenError>(public)
        };
        let [clock, scribe, injector] = NODES;
        let keys = [key(clock)?, key(scribe)?, key(injector)?];
        let [clock, scribe, injector, inject] = free_ports()?;
        private(&folder.join(recipe::STORAGE))?;
        let ports = [clock, scribe, injector];
        let text = recipe::text(&Ingredients { folder: text, keys, ports, inject })
            .map_err(keygen::KeygenError::from)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(config)
            .map_err(file_error(config))?;
        made.push(config.to_owned());
        file.write_all(text.as_bytes()).map_err(file_error(config))
    })();
    if result.is_err() {
        // Left there, they would make the folder look like one of another program.
        for path in &made {
            let _ = fs::remove_file(path);
        }
        for path in [folder.join(recipe::STORAGE), folder.join("storage")] {
            let _ = fs::remove_dir(path);
        }
    }
    result
}

/// Four different ports that are free.
fn free_ports() -> Result<[u16; 4], TestnetError> {
    // Each is held until all are found.
    let mut held = Vec::new();
    let mut rng = rand::rng();
    for _ in 0..ATTEMPTS {
        let port = rng.random_range(PORTS);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, listener));
        }
        if let [a, b, c, d] = held.as_slice() {
            return Ok([a.0, b.0, c.0, d.0]);
        }
    }
    Err(TestnetError::NoPort)
}

/// The System of the file, after it was checked from the point of view of every Node: better all at
/// once here than by each process.
fn load(path: &Path, registry: &Registry) -> Result<std::sync::Arc<System>, TestnetError> {
    let system = config::load(path, None, registry)?.system;
    for node in &system.nodes {
        config::load(path, Some(&node.name), registry)?;
    }
    Ok(system)
}

/// Where the Nodes will listen, as far as addresses are given as numbers.
fn used_addresses(system: &System) -> Vec<(&NodeConfig, SocketAddr)> {
    let of_node = |node| transport_addresses(node).chain(injection_addresses(node));
    let nodes = system.nodes.iter();
    nodes.flat_map(|node| of_node(node).map(move |address| (&**node, address))).collect()
}

fn transport_addresses(node: &NodeConfig) -> impl Iterator<Item = SocketAddr> {
    node.transports.iter().filter(|transport| transport.transport_type == "tcp").filter_map(
        |transport| {
            address(transport.options.text("bindAddress")?, transport.options.integer("port")?)
        },
    )
}

fn injection_addresses(node: &NodeConfig) -> impl Iterator<Item = SocketAddr> {
    node.roles.iter().filter(|role| role.role_type == "message_injector").filter_map(|role| {
        address(role.options.text("bindAddress")?, role.options.integer("bindPort")?)
    })
}

fn address(ip: &str, port: i64) -> Option<SocketAddr> {
    let ip = match ip {
        "" | "*" => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        "localhost" => Ipv4Addr::LOCALHOST.into(),
        ip => ip.parse().ok()?,
    };
    Some(SocketAddr::new(ip, u16::try_from(port).ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::node::Types;

    fn registry() -> Registry {
        Types::built_in().registry()
    }

    fn mode(path: impl AsRef<Path>) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut out = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                out.extend(contents(&path));
            } else {
                out.push((path.clone(), fs::read(&path).unwrap()));
            }
        }
        out.sort();
        out
    }

    #[test]
    fn makes_what_is_missing_and_takes_what_is_there() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("nets/my testnet");
        let first = prepare(&folder, &registry()).unwrap();
        assert!(first.new);
        assert_eq!(first.nodes, NODES);
        assert_eq!(first.config, folder.join("config.yml"));
        assert_eq!(mode(&folder), 0o700);
        for node in NODES {
            assert_eq!(mode(folder.join(format!("{node}.key"))), 0o600);
        }
        assert!(folder.join("storage/scribe").is_dir());
        let system = config::load(&first.config, Some("scribe"), &registry()).unwrap();
        assert_eq!(system.warnings, [""; 0]);
        assert!(system.local.is_some());

        let before = contents(&folder);
        let second = prepare(&folder, &registry()).unwrap();
        assert!(!second.new);
        assert_eq!((second.nodes, second.inject), (first.nodes, first.inject));
        assert_eq!(contents(&folder), before);
    }

    #[test]
    fn the_warnings_of_other_nodes_are_none() {
        let temporary = tempfile::tempdir().unwrap();
        let testnet = prepare(temporary.path(), &registry()).unwrap();
        for node in NODES {
            let loaded = config::load(&testnet.config, Some(node), &registry()).unwrap();
            assert_eq!(loaded.warnings, [""; 0]);
        }
        let port = testnet.inject.unwrap().port();
        assert!(PORTS.contains(&port));
        let text = fs::read_to_string(&testnet.config).unwrap();
        assert!(text.contains(&format!("bindPort: {port}\n")), "{text}");
    }

    #[test]
    fn folders_of_others_are_left_alone() {
        for (name, content) in [
            ("letter.txt", &b"Dear Ann"[..]),
            ("config.yml", b"system:\n"),
            ("config.yml", b""),
            ("config.yml", b"\xff\xfe binary \xff\xfe\xff\xfe\xff\xfe\xff\xfe\xff\xfe"),
            (".hidden", b""),
        ] {
            let temporary = tempfile::tempdir().unwrap();
            fs::write(temporary.path().join(name), content).unwrap();
            let before = contents(temporary.path());
            let error = prepare(temporary.path(), &registry()).unwrap_err();
            assert!(matches!(error, TestnetError::Foreign(_)), "{name}: {error}");
            assert_eq!(contents(temporary.path()), before);
        }
        let temporary = tempfile::tempdir().unwrap();
        let file = temporary.path().join("file");
        fs::write(&file, "").unwrap();
        let error = prepare(&file, &registry()).unwrap_err().to_string();
        assert!(error.contains("Not a directory"), "{error}");
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        let temporary = tempfile::tempdir().unwrap();
        let testnet = prepare(temporary.path(), &registry()).unwrap();
        let system = config::load(&testnet.config, None, &registry()).unwrap().system;
        let (node, address) = used_addresses(&system).pop().unwrap();
        let _held = TcpListener::bind(address).unwrap();
        match prepare(temporary.path(), &registry()).unwrap_err() {
            TestnetError::PortTaken { node: named, port, .. } => {
                assert_eq!((named, port), (node.name.clone(), address.port()));
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn what_its_owner_broke_is_reported_before_anything_runs() {
        let temporary = tempfile::tempdir().unwrap();
        let testnet = prepare(temporary.path(), &registry()).unwrap();
        fs::remove_file(temporary.path().join("injector.key")).unwrap();
        let error = prepare(temporary.path(), &registry()).unwrap_err().to_string();
        assert!(error.contains("injector.key"), "{error}");
        fs::write(&testnet.config, format!("{MARK}\nsystem: [\n")).unwrap();
        let error = prepare(temporary.path(), &registry()).unwrap_err();
        assert!(matches!(error, TestnetError::Config(_)), "{error}");
    }

    #[test]
    fn nothing_is_left_of_what_could_not_be_made() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path();
        fs::write(folder.join("scribe.key"), "precious").unwrap();
        let config = folder.join("config.yml");
        let error = make(folder, folder.to_str().unwrap(), &config).unwrap_err();
        assert!(matches!(error, TestnetError::Key(_)), "{error}");
        assert_eq!(contents(folder), [(folder.join("scribe.key"), b"precious".to_vec())]);
    }

    #[test]
    fn ports_are_different() {
        let mut ports = free_ports().unwrap().to_vec();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 4);
    }
}
