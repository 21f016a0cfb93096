//! Parts of `kozo-bench`, started and heard as a comparison with other systems does it.
#![allow(unreachable_pub, missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use base64ct::{Base64, Encoding};
use serde_json::Value;
use ssh_key::{Algorithm, EcdsaCurve, LineEnding, PrivateKey};

/// A part, ended when dropped.
pub struct Part {
    pub child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Part {
    pub fn start(setup: &Setup, part: &str, more: &[&str]) -> Part {
        Part::start_at(setup.address, setup, part, more)
    }

    /// One that goes another way to the other side.
    pub fn start_at(address: SocketAddr, setup: &Setup, part: &str, more: &[&str]) -> Part {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kozo-bench"));
        command.args([part, "--addr", &address.to_string(), "--certs"]);
        command.arg(setup.folder.path()).args(more);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Part { child, lines }
    }

    pub fn line(&mut self) -> String {
        self.lines.next().expect("it goes on").unwrap()
    }

    pub fn ready(mut self) -> Part {
        assert_eq!(self.line(), "READY");
        self
    }

    pub fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }

    pub fn result(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let ended = self.child.wait().unwrap();
        assert!(ended.success() || std::thread::panicking(), "{ended}");
    }
}

/// The keys of both sides, and where they meet.
pub struct Setup {
    pub folder: tempfile::TempDir,
    pub address: SocketAddr,
}

impl Setup {
    pub fn new() -> Setup {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            write_pair(folder.path(), name);
        }
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Setup { folder, address }
    }
}

/// A key, and as much of a certificate as is read of one.
fn write_pair(folder: &Path, name: &str) {
    let algorithm = Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 };
    let key = PrivateKey::random(&mut rand::rng(), algorithm).unwrap();
    let file = folder.join(format!("{name}.key"));
    fs::write(&file, key.to_openssh(LineEnding::LF).unwrap()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let point = key.public_key().key_data().ecdsa().unwrap().as_sec1_bytes();
    let before = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
    let text = Base64::encode_string(&[before, point].concat());
    let certificate = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    fs::write(folder.join(format!("{name}.crt")), certificate).unwrap();
}
