//! Keys of all types, ciphers and MACs of all names.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kozo::config::tables::{CIPHERS, HMACS};

use super::support::{Program, SystemFolder};

/// Makes a key as users do; gives the line of its public half.
fn ssh_keygen(path: &Path, arguments: &str) -> String {
    // What `SystemFolder` made is in the way.
    fs::remove_file(path).unwrap();
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-N", "", "-C", "clock at home", "-f"]).arg(path);
    assert!(command.args(arguments.split(' ')).status().unwrap().success(), "{arguments}");
    fs::read_to_string(path.with_extension("key.pub")).unwrap().trim().to_owned()
}

#[test]
fn keys_of_all_types_and_formats_work_with_each_other() {
    const KEYS: &[(&str, &str, &str)] = &[
        ("rsa2048", "-t rsa -b 2048", "BEGIN OPENSSH"),
        ("rsa2048pem", "-t rsa -b 2048 -m PEM", "BEGIN RSA"),
        ("rsa2048pkcs8", "-t rsa -b 2048 -m PKCS8", "BEGIN PRIVATE"),
        ("rsa4096", "-t rsa -b 4096", "BEGIN OPENSSH"),
        ("ed25519", "-t ed25519", "BEGIN OPENSSH"),
        ("ecdsa256", "-t ecdsa -b 256", "BEGIN OPENSSH"),
        ("ecdsa384pem", "-t ecdsa -b 384 -m PEM", "BEGIN EC"),
        ("ecdsa521", "-t ecdsa -b 521", "BEGIN OPENSSH"),
        ("ecdsa256pkcs8", "-t ecdsa -b 256 -m PKCS8", "BEGIN PRIVATE"),
    ];
    let mut system = SystemFolder::new("");
    for (name, arguments, format) in KEYS {
        system = system.node(name, "");
        let public_key = ssh_keygen(&system.key(name), arguments);
        let private_key = fs::read_to_string(system.key(name)).unwrap();
        assert!(private_key.contains(format), "{arguments} gave another format than {format}");
        system = system.with_key(name, &public_key);
    }
    let system = system.write();
    let nodes: Vec<Program> = KEYS.iter().map(|(name, ..)| system.start(name)).collect();
    for (node, (name, ..)) in nodes.iter().zip(KEYS) {
        for (peer, ..) in KEYS.iter().filter(|(peer, ..)| peer != name) {
            node.log.wait_for(&format!("link up peer=\"{peer}\""));
        }
        assert_eq!(node.log.count(" WARN "), 0, "{}", node.log.text());
    }
}

#[test]
fn every_cipher_and_every_mac_makes_a_link() {
    let ciphers = CIPHERS.iter().map(|name| format!("cipher: {name}"));
    let macs = HMACS.iter().map(|name| format!("hmac: {name}"));
    let both = HMACS.iter().map(|name| format!("cipher: aes256-ctr\nhmac: {name}"));
    for options in ciphers.chain(macs).chain(both) {
        let system = SystemFolder::new(&options).node("a", "").node("b", "").write();
        let (a, b) = (system.start("a"), system.start("b"));
        a.log.wait_for("link up");
        b.log.wait_for("link up");
    }
}

#[test]
fn different_ciphers_are_refused_and_both_are_named() {
    let system = SystemFolder::new("cipher: aes256-ctr")
        .node("a", "")
        .node_with("b", "", "overrideMainConfiguration: {cipher: aes128-ctr}")
        .write();
    let (a, b) = (system.start("a"), system.start("b"));
    for (node, here, there) in [(&a, "aes256-ctr", "aes128-ctr"), (&b, "aes128-ctr", "aes256-ctr")]
    {
        let line = node.log.wait_for("no common cipher").text;
        assert!(line.contains(&format!("here {here}, there {there}")), "{line}");
        assert_eq!(node.log.count("link up"), 0, "{}", node.log.text());
    }
    // It is tried again and again, and said once for each side that dialled.
    std::thread::sleep(Duration::from_secs(2));
    assert!(a.log.count("no common cipher") <= 2, "{}", a.log.text());
}
