//! The System of a benchmark: a configuration as a user would write it, with keys from a folder.
//!
//! One sender and one receiver are the Nodes `a`, which listens, and `b`, which connects. In a fan-out
//! the sender is `a`, and the receivers are `r0`, `r1`…: they are all started alike, so the sender makes
//! a key for each, and each receiver takes one that is still free.

use std::fmt::Write as _;
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
    let Arguments { part, addr, ref certs, queue, .. } = *arguments;
    let a = certificate::public_key(&certs.join("a.crt"))?;
    let mut text =
        format!("outgoingQueueLength: {queue}\noutgoingQueueSize: {QUEUE_SIZE}\nsystem:\n");
    let sends = if arguments.listens() { part } else { part.other() };
    write_node(&mut text, "a", &certs.join("a.key"), &a, sends, Some(addr))?;
    let other = sends.other();
    let mut node = "a".to_owned();
    // Only the process itself knows where a Node that connects could be reached.
    let own = if arguments.listens() { None } else { Some(free_address(addr)?) };
    if arguments.fanout == 1 {
        let b = certificate::public_key(&certs.join("b.crt"))?;
        write_node(&mut text, "b", &certs.join("b.key"), &b, other, own)?;
        if own.is_some() {
            node = "b".to_owned();
        }
    } else if own.is_some() {
        let (name, path) = take_key(certs, addr, arguments.fanout)?;
        let key = read_public(&path)?;
        write_node(&mut text, &name, &path, &key, other, own)?;
        node = name;
    } else {
        for number in 0..arguments.fanout {
            let path = key_file(certs, addr, number, "key");
            for old in [&path, &key_file(certs, addr, number, "taken")] {
                // Of an earlier benchmark at the same address, if there is one.
                let _ = fs::remove_file(old);
            }
            let key = keygen::generate(&path, "")?;
            write_node(&mut text, &format!("r{number}"), &path, &key, other, None)?;
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
    address: Option<SocketAddr>,
) -> Result<(), BenchError> {
    let private = serde_json::to_string(&private.to_string_lossy()).unwrap_or_default();
    let (public, role) = (public.to_openssh()?, part.name());
    let mut node = format!(
        "    {name}:\n        privateKey: {private}\n        publicKey: {public}\n        roles:\n            \
         {role}:\n                messageQueueLength: {QUEUE}\n                messageQueueSize: {QUEUE_SIZE}\n"
    );
    if let Some(address) = address {
        let (ip, port) = (address.ip(), address.port());
        // Writing to a String cannot fail.
        let _ = write!(
            node,
            "        transports:\n            tcp:\n                address: '{ip}'\n                \
             bindAddress: '{ip}'\n                port: {port}\n"
        );
    }
    text.push_str(&node);
    Ok(())
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
