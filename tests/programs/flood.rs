//! Connections from people who are no Peers.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use kozo::session::ssh::HANDSHAKE_TIMEOUT;

use super::support::{SystemFolder, memory};

const CONNECTIONS: usize = 500;
/// What users were promised for Peers meanwhile.
const SOON: Duration = Duration::from_secs(2);
/// What users were promised for memory.
const MEMORY: u64 = 60_000_000;
/// What a busy machine may add to a time limit.
const SLACK: Duration = Duration::from_secs(2);

/// Connects, and says nothing, or what makes no sense, or what SSH clients say first and no more.
fn connect(address: &(String, u16), number: usize) -> (Instant, TcpStream) {
    let opened = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    let text: &[u8] = match number % 4 {
        0 => b"SSH-2.0-OpenSSH_9.2p1\r\n",
        1 => b"GET / HTTP/1.1\r\nHost: clock\r\n\r\n\x00\xff\xfe",
        _ => b"",
    };
    // It may have been turned away already.
    let _ = stream.write_all(text);
    (opened, stream)
}

/// Whether the other side closes the connection until then.
fn is_closed(stream: &mut TcpStream, deadline: Instant) -> bool {
    let mut bytes = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1)))).unwrap();
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn five_hundred_strangers_keep_no_peer_out() {
    let system = SystemFolder::new("").node("a", "").node("b", "").write();
    let a = system.start("a");
    a.log.wait_for("runs");
    let address = (system.address("a").to_owned(), 6020);
    let files = || fs::read_dir(format!("/proc/{}/fd", a.id())).unwrap().count();
    let files_before = files();

    let mut strangers: Vec<_> =
        (0..CONNECTIONS / 2).map(|number| connect(&address, number)).collect();
    let b = system.start("b");
    strangers.extend((CONNECTIONS / 2..CONNECTIONS).map(|number| connect(&address, number)));
    let up = a.log.wait_for("link up").at - b.started;
    eprintln!("link up after {up:?}");
    assert!(up < SOON, "link up only after {up:?}");

    for (number, (opened, stream)) in strangers.iter_mut().enumerate() {
        let deadline = *opened + HANDSHAKE_TIMEOUT + SLACK;
        assert!(is_closed(stream, deadline), "connection {number} is still open");
    }
    let (most, now) = (memory(a.id(), "VmHWM"), memory(a.id(), "VmRSS"));
    eprintln!("memory: at most {} kB, now {} kB", most / 1024, now / 1024);
    assert!(most < MEMORY, "{most} bytes");
    assert!(files() < files_before + 8, "{} files are open", files());
    assert_eq!(a.log.count("link down"), 0, "{}", a.log.text());
    assert!(a.log.count("refused a connection") <= 2, "{}", a.log.text());
}
