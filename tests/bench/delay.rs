//! How much a link carries through a long delay, beside what TCP carries through the same: 16 KiB
//! Messages and bare bytes through a proxy that carries 1 Gbit/s and holds everything back for 200 ms in each direction.
//!
//! Each is measured twice, with twice as much the second time. The difference is what is carried once a link has
//! found out how much the line carries, which takes it some of these long round trips. Bare TCP is spared that here,
//! as its acknowledgements come from the proxy, at once.
//!
//! `cargo bench -p kozo-bench --bench delay`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "part.rs"]
mod part;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use part::{Part, Setup};

const DELAY: Duration = Duration::from_millis(200);

/// What the proxy carries, in bytes a second.
const RATE: f64 = 125e6;

/// How late the proxy may wake up without losing what the line could have carried meanwhile.
const LATE: Duration = Duration::from_millis(2);

/// The most that it takes at a time.
const PIECE: usize = 64 * 1024;

const SIZE: usize = 16 * 1024;
const COUNT: usize = 60_000;

/// Carries one direction. It takes no more than the rate allows, so no more than rate × delay is ever under way.
fn carry(mut from: TcpStream, mut to: TcpStream) {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
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
        let mut free = Instant::now();
        while let Ok(length @ 1..) = from.read(&mut piece) {
            free = free.max(Instant::now() - LATE) + Duration::from_secs_f64(length as f64 / RATE);
            thread::sleep(free.saturating_duration_since(Instant::now()));
            if sender.send((free + DELAY, piece[..length].to_vec())).is_err() {
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
            // The other side does not listen yet: the one that connects will try again.
            let (Ok(near), Ok(far)) = (near, TcpStream::connect(to)) else { continue };
            near.set_nodelay(true).unwrap();
            far.set_nodelay(true).unwrap();
            carry(near.try_clone().unwrap(), far.try_clone().unwrap());
            carry(far, near);
        }
    });
    address
}

/// Seconds from the first byte that comes to the last of so many Messages, over bare TCP.
fn bare(count: usize) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut near = TcpStream::connect(proxy(listener.local_addr().unwrap())).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    let writer = thread::spawn(move || {
        for _ in 0..count {
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
    assert_eq!(received, count * SIZE);
    began.elapsed().as_secs_f64()
}

/// The same with two Nodes.
fn link(count: usize) -> f64 {
    let setup = Setup::new();
    let more = ["--size", &SIZE.to_string(), "--count", &count.to_string()];
    let mut recv = Part::start(&setup, "recv", &more).ready();
    let mut send = Part::start_at(proxy(setup.address), &setup, "send", &more).ready();
    send.go();
    let result = recv.result();
    assert_eq!(result["lost"], 0, "{result}");
    let time = result["last_ns"].as_u64().unwrap() - result["first_ns"].as_u64().unwrap();
    time as f64 / 1e9
}

/// Bytes a second, of the first half and of the second.
fn rates(time: fn(usize) -> f64) -> [f64; 2] {
    let (once, twice) = (time(COUNT), time(2 * COUNT));
    [once, twice - once].map(|time| (COUNT * SIZE) as f64 / time)
}

fn main() {
    let (bare, link) = (rates(bare), rates(link));
    for (half, when) in ["from the first byte on", "once both have opened"].iter().enumerate() {
        let (bare, link) = (bare[half], link[half]);
        println!(
            "{when}: TCP {:.1} MB/s, link {:.1} MB/s: {:.2}",
            bare / 1e6,
            link / 1e6,
            link / bare
        );
    }
}
