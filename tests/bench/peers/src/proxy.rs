//! A slow line between two processes: `peerbench proxy --listen H:P --to H:P --rate BITS --rtt MS`.
//!
//! Each direction is a line of its own. It takes bytes at its rate, a small piece at a time, holds each for half the
//! round trip, and hands it on. It takes nothing from the sender that it cannot carry yet, and nothing at all while
//! the receiver does not take what has arrived: all that waits, waits in the sender. Besides what the line holds
//! (rate × delay, and two pieces at most) there are only the kernel's buffers of the proxy's sockets, which are made as small as
//! the kernel allows.
//!
//! Says `READY` once it listens; at each line on stdin says what it has carried so far, as a line of JSON; ends when
//! stdin is closed.

use crate::link::now_ns;
use crate::say;
use anyhow::{Context, Result, bail};
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::VecDeque;
use std::io::{BufRead, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex};

/// Bytes of a full packet's payload: no more arrive at once.
const PACKET: u64 = 1448;

/// What TCP may put into a packet: as on an Ethernet. On loopback it would be 64 KiB, and the kernel, which keeps room for
/// so many packets to send, would hold megabytes in the sender that are not there in front of a real line.
const SEGMENT: u32 = 1460;

/// What the sockets' buffers are asked to be.
const BUFFER: usize = 4096;

/// While something waits, the line may be so late for it, in nanoseconds, and still catch up: a process is not woken on
/// time to the microsecond, and a line that lost that time with each piece would be slower than it should be.
const LATE: u64 = 2_000_000;

/// One direction, which all connections share.
struct Line {
    /// Bits a second.
    rate: u64,
    /// Nanoseconds.
    delay: u64,
    /// Bytes taken at once: ten milliseconds' worth, and no more than a packet.
    piece: usize,
    /// When it can take more.
    free: Mutex<u64>,
    bytes: AtomicU64,
}

impl Line {
    fn new(rate: u64, delay: u64) -> Line {
        let piece = (rate / 8 / 100).clamp(16, PACKET) as usize;
        Line { rate, delay, piece, free: Mutex::new(0), bytes: AtomicU64::new(0) }
    }

    /// How long so many bytes occupy the line.
    fn occupied(&self, bytes: usize) -> u64 {
        (bytes as u128 * 8_000_000_000 / u128::from(self.rate)) as u64
    }

    /// Bytes that are on their way at most.
    fn holds(&self) -> usize {
        (u128::from(self.rate) * u128::from(self.delay) / 8_000_000_000) as usize + 2 * self.piece
    }

    /// Takes a piece once the line is free, which arrives at the time that is returned; nothing at the end. `waited`
    /// says that something was there as soon as the line had taken the piece before.
    fn take(&self, from: &mut TcpStream, piece: &mut Vec<u8>, waited: bool) -> std::io::Result<u64> {
        let mut free = self.free.lock().unwrap();
        while *free > now_ns() {
            let until = *free;
            drop(free);
            sleep_until(until);
            free = self.free.lock().unwrap();
        }
        piece.resize(self.piece, 0);
        let length = from.read(piece)?;
        piece.truncate(length);
        let late = if waited { LATE } else { 0 };
        *free = (*free).max(now_ns().saturating_sub(late)) + self.occupied(length);
        self.bytes.fetch_add(length as u64, Relaxed);
        Ok(*free + self.delay)
    }
}

fn sleep_until(ns: u64) {
    if now_ns() >= ns {
        return;
    }
    let until = libc::timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 };
    unsafe {
        while libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &until, std::ptr::null_mut())
            == libc::EINTR
        {}
    }
}

/// What is on its way in one direction of one connection.
#[derive(Default)]
struct Flight {
    state: Mutex<(VecDeque<(u64, Vec<u8>)>, usize)>,
    changed: Condvar,
    over: AtomicBool,
}

impl Flight {
    fn over(&self) {
        let _state = self.state.lock().unwrap();
        self.over.store(true, Relaxed);
        self.changed.notify_all();
    }

    /// Waits until it has room for more; false if the receiver is gone.
    fn has_room(&self, holds: usize) -> bool {
        let mut state = self.state.lock().unwrap();
        while state.1 >= holds && !self.over.load(Relaxed) {
            state = self.changed.wait(state).unwrap();
        }
        !self.over.load(Relaxed)
    }

    fn put(&self, arrives: u64, piece: Vec<u8>) {
        let mut state = self.state.lock().unwrap();
        state.1 += piece.len();
        state.0.push_back((arrives, piece));
        self.changed.notify_all();
    }

    /// The first piece, once it has arrived. It is held until `arrived` is called.
    fn next(&self) -> Option<Vec<u8>> {
        let mut state = self.state.lock().unwrap();
        let (arrives, piece) = loop {
            match state.0.pop_front() {
                Some(first) => break first,
                None if self.over.load(Relaxed) => return None,
                None => state = self.changed.wait(state).unwrap(),
            }
        };
        drop(state);
        sleep_until(arrives);
        Some(piece)
    }

    fn arrived(&self, bytes: usize) {
        self.state.lock().unwrap().1 -= bytes;
        self.changed.notify_all();
    }
}

/// Waits until there is something to read, or an end; whether that was there already.
fn wait_readable(stream: &TcpStream) -> bool {
    let mut fd = libc::pollfd { fd: stream.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    unsafe { libc::poll(&mut fd, 1, 0) == 1 || libc::poll(&mut fd, 1, -1) < 0 }
}

/// Carries one direction of a connection.
fn carry(mut from: TcpStream, mut to: TcpStream, line: Arc<Line>) {
    let flight = Arc::new(Flight::default());
    let (arriving, back) = (Arc::clone(&flight), from.try_clone());
    std::thread::spawn(move || {
        while let Some(piece) = arriving.next() {
            let written = to.write_all(&piece);
            arriving.arrived(piece.len());
            if written.is_err() {
                // Whoever sends to one who is gone is to know it.
                let _ = back.map(|back| back.shutdown(Shutdown::Both));
                break;
            }
        }
        arriving.over();
        let _ = to.shutdown(Shutdown::Write);
    });
    std::thread::spawn(move || {
        let mut piece = Vec::new();
        while flight.has_room(line.holds()) {
            let waited = wait_readable(&from);
            match line.take(&mut from, &mut piece, waited) {
                Ok(_) if piece.is_empty() => break,
                Ok(arrives) => flight.put(arrives, std::mem::take(&mut piece)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        flight.over();
    });
}

fn socket(address: SocketAddr) -> Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // What a socket gets that is accepted is what the listening one has.
    socket.set_recv_buffer_size(BUFFER)?;
    socket.set_send_buffer_size(BUFFER)?;
    socket.set_tcp_mss(SEGMENT)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

/// How important the kernel holds this process to be. A line is not slower because a machine is busy.
fn priority() -> &'static str {
    let parameters = libc::sched_param { sched_priority: 10 };
    unsafe {
        if libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameters) == 0 {
            return "real-time";
        }
        if libc::setpriority(libc::PRIO_PROCESS, 0, -20) == 0 { "nice -20" } else { "normal" }
    }
}

pub fn run(args: &[String]) -> Result<()> {
    let (mut listen, mut to, mut rate, mut rtt) = (None, None, None, None);
    for pair in args.chunks(2) {
        let [option, value] = pair else { bail!("an option without a value") };
        match option.as_str() {
            "--listen" => listen = Some(value.parse::<SocketAddr>()?),
            "--to" => to = Some(value.parse::<SocketAddr>()?),
            "--rate" => rate = Some(value.parse::<u64>()?),
            "--rtt" => rtt = Some(value.parse::<u64>()?),
            _ => bail!("unknown option {option}"),
        }
    }
    let usage = "usage: peerbench proxy --listen IP:PORT --to IP:PORT --rate BITS --rtt MS";
    let (listen, to) = (listen.context(usage)?, to.context(usage)?);
    let (rate, rtt) = (rate.filter(|rate| *rate >= 1000).context(usage)?, rtt.context(usage)?);

    let priority = priority();
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
    let listener = socket(listen)?;
    listener.set_reuse_address(true)?;
    listener.bind(&listen.into())?;
    listener.listen(64)?;
    let buffers = [listener.recv_buffer_size()?, listener.send_buffer_size()?];
    let lines = [(); 2].map(|()| Arc::new(Line::new(rate, rtt * 1_000_000 / 2)));
    let connections = Arc::new(AtomicU64::new(0));
    let (accepting, counted) = (lines.clone(), Arc::clone(&connections));
    std::thread::spawn(move || {
        loop {
            let Ok((near, _)) = listener.accept() else { continue };
            counted.fetch_add(1, Relaxed);
            let connect = || -> Result<[TcpStream; 4]> {
                let far = socket(to)?;
                far.connect(&to.into())?;
                near.set_tcp_nodelay(true)?;
                let (near, far) = (TcpStream::from(near), TcpStream::from(far));
                Ok([near.try_clone()?, far.try_clone()?, far, near])
            };
            // Nobody there yet: who connected will try again.
            let Ok([near, far, far_again, near_again]) = connect() else { continue };
            let [up, down] = accepting.clone();
            carry(near, far, up);
            carry(far_again, near_again, down);
        }
    });
    say("READY");
    for line in std::io::stdin().lock().lines() {
        line?;
        let [up, down] = lines.each_ref().map(|line| line.bytes.load(Relaxed));
        let report = json!({"ns": now_ns(), "up_bytes": up, "down_bytes": down, "connections": connections.load(Relaxed),
            "rate": rate, "rtt_ms": rtt, "rcvbuf": buffers[0], "sndbuf": buffers[1], "priority": priority});
        say(&report.to_string());
    }
    Ok(())
}
