//! How much a link carries through a long delay, beside what TCP carries through the same: 16 KiB
//! Messages and bare bytes through a proxy that holds everything back for 200 ms in each direction.
//!
//! `cargo bench --bench delay`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const DELAY: Duration = Duration::from_millis(200);

/// Pieces that are under way in one direction at most, and their largest size: so the proxy carries no more
/// than 64 MiB in 200 ms.
const UNDER_WAY: usize = 1024;
const PIECE: usize = 64 * 1024;

const SIZE: usize = 16 * 1024;
const COUNT: usize = 60_000;

/// Carries one direction.
fn carry(mut from: TcpStream, mut to: TcpStream) {
    let (sender, receiver) = mpsc::sync_channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    thread::spawn(move || {
        for (at, piece) in receiver {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    thread::spawn(move || {
        let mut piece = vec![0; PIECE];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            if sender.send((Instant::now() + DELAY, piece[..length].to_vec())).is_err() {
                break;
            }
        }
    });
}

/// A proxy that leads to this address; where it listens.
fn proxy(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for near in listener.incoming() {
            // Nobody there yet: whoever connected will try again.
            let (Ok(near), Ok(far)) = (near, TcpStream::connect(to)) else { continue };
            near.set_nodelay(true).unwrap();
            far.set_nodelay(true).unwrap();
            carry(near.try_clone().unwrap(), far.try_clone().unwrap());
            carry(far, near);
        }
    });
    address
}

/// Bytes a second from the first that comes to the last, over bare TCP.
fn bare() -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut near = TcpStream::connect(proxy(listener.local_addr().unwrap())).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    let writer = thread::spawn(move || {
        for _ in 0..COUNT {
            near.write_all(&[7; SIZE]).unwrap();
        }
    });
    let mut buffer = vec![0; PIECE];
    let mut received = far.read(&mut buffer).unwrap();
    let began = Instant::now();
    while let Ok(length @ 1..) = far.read(&mut buffer) {
        received += length;
    }
    writer.join().unwrap();
    received as f64 / began.elapsed().as_secs_f64()
}

struct Part {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Part {
    fn start(part: &str, address: SocketAddr, certs: &Path) -> Part {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kozo"))
            .args(["bench", part, "--addr", &address.to_string(), "--certs"])
            .arg(certs)
            .args(["--size", &SIZE.to_string(), "--count", &COUNT.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut part = Part { child, lines };
        assert_eq!(part.line(), "READY");
        part
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("it says something").unwrap()
    }

    fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Keys and certificates for the two sides.
fn certificates(folder: &Path) {
    for name in ["a", "b"] {
        let made = Command::new("openssl")
            .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split(' '))
            .args(["-subj", &format!("/CN={name}"), "-keyout", &format!("{name}.key")])
            .args(["-out", &format!("{name}.crt")])
            .current_dir(folder)
            .stderr(Stdio::null())
            .status();
        assert!(made.unwrap().success());
    }
}

/// The same with two Nodes.
fn link() -> f64 {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut recv = Part::start("recv", free, folder.path());
    let mut send = Part::start("send", proxy(free), folder.path());
    send.go();
    let result: serde_json::Value = serde_json::from_str(&recv.line()).unwrap();
    assert_eq!(result["lost"], 0, "{result}");
    let time = result["last_ns"].as_u64().unwrap() - result["first_ns"].as_u64().unwrap();
    (COUNT * SIZE) as f64 / (time as f64 / 1e9)
}

fn main() {
    let (bare, link) = (bare(), link());
    println!("TCP {:.1} MB/s, link {:.1} MB/s: {:.2}", bare / 1e6, link / 1e6, link / bare);
}
