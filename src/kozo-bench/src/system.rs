//! The System of a benchmark: a configuration as a user would write it, with keys from a folder.
//!
//! One sender and one receiver are the Nodes `a`, which listens, and `b`, which connects. In a fan-out
//! the sender is `a`, and the receivers are `r0`, `r1`…: they are all started alike, so the sender makes
//! a key for each, and each receiver takes one that is still free.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use kozo::keygen;
use ssh_key::PublicKey;

use crate::arguments::{Arguments, Part, QUEUE};
use crate::certificate;
use crate::error::BenchError;

/// Bytes that wait in each queue at most, where the default would be 4 MiB: what waits is still in the
/// processor's cache when it is its turn.
const QUEUE_SIZE: &str = "512KiB";

/// What a process needs to be a Node.
pub(super) struct Setup {
    /// The configuration.
    pub(super) text: String,
    /// The Node that it is.
    pub(super) node: String,
}

/// Finds or makes the keys, and writes the configuration around them.
///
/// # Errors
/// When a key is missing or cannot be read.
pub(super) fn prepare(arguments: &Arguments) -> Result<Setup, BenchError> {
    let Arguments { part, addr, ref certs, ref transport, queue, .. } = *arguments;
    let a = certificate::public_key(&certs.join("a.crt"))?;
    let transport = transport.as_deref();
    let mut text = format!("outgoingQueueLength: {queue}\noutgoingQueueSize: {QUEUE_SIZE}\n");
    if let Some(folder) = transport.and_then(Path::parent) {
        text.push_str(&format!("transportPath: {}\n", quoted(folder)));
    }
    text.push_str("system:\n");
    let sends = if arguments.listens() { part } else { part.other() };
    write_node(&mut text, "a", &certs.join("a.key"), &a, sends, way(transport, Some(addr)))?;
    let other = sends.other();
    let mut node = "a".to_owned();
    // Only the process itself knows where a Node that connects could be reached.
    let own = if arguments.listens() { None } else { Some(free_address(addr)?) };
    if arguments.fanout == 1 {
        let b = certificate::public_key(&certs.join("b.crt"))?;
        write_node(&mut text, "b", &certs.join("b.key"), &b, other, way(transport, own))?;
        if own.is_some() {
            node = "b".to_owned();
        }
    } else if own.is_some() {
        let (name, path) = take_key(certs, addr, arguments.fanout)?;
        let key = read_public(&path)?;
        write_node(&mut text, &name, &path, &key, other, way(transport, own))?;
        node = name;
    } else {
        for number in 0..arguments.fanout {
            let path = key_file(certs, addr, number, "key");
            for old in [&path, &key_file(certs, addr, number, "taken")] {
                // Of an earlier benchmark at the same address, if there is one.
                let _ = fs::remove_file(old);
            }
            let key = keygen::generate(&path, "")?;
            write_node(&mut text, &format!("r{number}"), &path, &key, other, String::new())?;
        }
    }
    Ok(Setup { text, node })
}

fn write_node(
    text: &mut String,
    name: &str,
    private: &Path,
    public: &PublicKey,
    part: Part,
    transports: String,
) -> Result<(), BenchError> {
    let (private, public, role) = (quoted(private), public.to_openssh()?, part.name());
    text.push_str(&format!(
        "    {name}:\n        privateKey: {private}\n        publicKey: {public}\n        roles:\n            \
         {role}:\n                messageQueueLength: {QUEUE}\n                messageQueueSize: {QUEUE_SIZE}\n{transports}"
    ));
    Ok(())
}

/// How a Node at this address is reached, if it has one.
fn way(transport: Option<&Path>, address: Option<SocketAddr>) -> String {
    let Some(address) = address else { return String::new() };
    let (ip, port) = (address.ip(), address.port());
    let name = transport.and_then(Path::file_stem).unwrap_or("tcp".as_ref());
    let options = format!("address: '{ip}', bindAddress: '{ip}', port: {port}");
    let transport = format!("{}: {{{options}}}", quoted(Path::new(name)));
    format!("        transports:\n            {transport}\n")
}

/// A path as a text of YAML.
fn quoted(path: &Path) -> String {
    serde_json::to_string(&path.to_string_lossy()).unwrap_or_default()
}

/// An address that is free: a Node has one even if, as here, no other is told of it.
fn free_address(near: SocketAddr) -> Result<SocketAddr, BenchError> {
    Ok(TcpListener::bind((near.ip(), 0))?.local_addr()?)
}

/// The key of a receiver: with the extension `key` before it is taken, and `taken` then.
fn key_file(certs: &Path, addr: SocketAddr, number: u16, extension: &str) -> PathBuf {
    certs.join(format!("kozo-{}-r{number}.{extension}", addr.port()))
}

/// Takes a key that no other receiver has taken: only one of them can rename it.
fn take_key(certs: &Path, addr: SocketAddr, fanout: u16) -> Result<(String, PathBuf), BenchError> {
    for number in 0..fanout {
        let taken = key_file(certs, addr, number, "taken");
        if fs::rename(key_file(certs, addr, number, "key"), &taken).is_ok() {
            return Ok((format!("r{number}"), taken));
        }
    }
    Err(BenchError::NoKey(certs.to_owned()))
}

fn read_public(path: &Path) -> Result<PublicKey, BenchError> {
    let file = |source| BenchError::File { path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(file)?;
    Ok(ssh_key::PrivateKey::from_openssh(text)?.public_key().clone())
}
