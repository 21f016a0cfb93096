//! `kozo bench`: the parts say what whoever starts them goes by, and nothing of a flood is lost.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

use base64ct::{Base64, Encoding};
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, EcdsaCurve, PrivateKey};
use serde_json::Value;

use super::support::{kozo, until};

/// A part, ended when dropped.
struct Part {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Part {
    fn start(place: &Place, part: &str, more: &[&str]) -> Part {
        let mut command = kozo(["bench", part, "--addr", &place.address.to_string(), "--certs"]);
        command.arg(place.folder.path()).args(more);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Part { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("it goes on").unwrap()
    }

    fn ready(mut self) -> Part {
        assert_eq!(self.line(), "READY");
        self
    }

    fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }

    fn result(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let ended = until("ended", || self.child.try_wait().unwrap());
        assert!(ended.success() || std::thread::panicking(), "{ended}");
    }
}

/// Where a benchmark is.
struct Place {
    folder: tempfile::TempDir,
    address: SocketAddr,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            write_pair(folder.path(), name);
        }
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Place { folder, address }
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

#[track_caller]
fn assert_complete(result: &Value, count: u64) {
    for (field, expected) in [
        ("received", count),
        ("expected", count),
        ("lost", 0),
        ("out_of_order", 0),
        ("wrong_size", 0),
    ] {
        assert_eq!(result[field], expected, "{field} of {result}");
    }
    assert!(result["last_ns"].as_u64() > result["first_ns"].as_u64());
}

#[test]
fn nothing_of_a_flood_is_lost() {
    for (size, count) in [("64", 50_000), ("16384", 2000)] {
        let (place, text) = (Place::new(), count.to_string());
        let more = ["--size", size, "--count", &text];
        let mut recv = Part::start(&place, "recv", &more).ready();
        let mut send = Part::start(&place, "send", &more).ready();
        send.go();
        assert_complete(&recv.result(), count);
        assert_eq!(send.result()["sent"], count);
    }
}

#[test]
fn one_floods_many() {
    let place = Place::new();
    let more = ["--count", "20000", "--fanout", "3"];
    let mut send = Part::start(&place, "send", &more);
    assert_eq!(send.line(), "LISTENING");
    let recvs = [(); 3].map(|()| Part::start(&place, "recv", &more));
    let mut recvs = recvs.map(Part::ready);
    let mut send = send.ready();
    send.go();
    recvs.iter_mut().for_each(|recv| assert_complete(&recv.result(), 20_000));
}

#[test]
fn round_trips_are_measured() {
    let place = Place::new();
    let _echo = Part::start(&place, "echo", &[]).ready();
    let mut ping = Part::start(&place, "ping", &["--count", "500"]).ready();
    ping.go();
    let result = ping.result();
    assert_eq!(result["rounds"], 500);
    let time = |field: &str| result[field].as_f64().unwrap();
    assert!(0.0 < time("rtt_min_us") && time("rtt_min_us") <= time("rtt_p50_us"));
    assert!(time("rtt_p50_us") <= time("rtt_p99_us") && time("rtt_p999_us") <= time("rtt_max_us"));
}

#[test]
fn pauses_are_seen_and_both_sides_recover() {
    let place = Place::new();
    let mut watch = Part::start(&place, "watch", &[]).ready();
    let _drip = Part::start(&place, "drip", &[]);
    assert!(watch.line().starts_with("FIRST "));
    drop(watch);
    let mut watch = Part::start(&place, "watch", &[]).ready();
    assert!(watch.line().starts_with("FIRST "));
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = kozo(["bench", "recv", "--addr", "127.0.0.1:1", "--certs"]);
    let output = command.arg(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("a.crt"), "{said}");
}
