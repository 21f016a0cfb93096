//! Cuts: Nodes that die, hang, come back, or start at the same instant.

use std::fs;
use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::support::{INJECTOR, Injector, SystemFolder, numbers, until};

/// What users were promised for Messages after a Node was started again.
const SOON: Duration = Duration::from_secs(2);

/// Sends numbers, a hundred a second, until `enough` says so; gives the next one.
fn send_until(injector: &mut Injector, mut number: u64, mut enough: impl FnMut() -> bool) -> u64 {
    while !enough() {
        injector.number(number);
        number += 1;
        sleep(Duration::from_millis(10));
    }
    number
}

#[test]
fn a_receiver_that_was_killed_gets_what_is_sent_after_its_start() {
    let system =
        SystemFolder::new("").node("a", INJECTOR).node("b", "cuckoo: {log: false}").write();
    let (a, mut b) = (system.start("a"), system.start("b"));
    a.log.wait_for("link up");
    let mut injector = Injector::connect(&system, "a");
    let next = send_until(&mut injector, 0, || numbers(&b.printed).len() > 20);

    b.kill();
    let until_cut = Instant::now() + Duration::from_millis(500);
    let first_after = send_until(&mut injector, next, || Instant::now() > until_cut);
    let b = system.start("b");
    send_until(&mut injector, first_after, || !numbers(&b.printed).is_empty());

    let took = b.printed.wait_for("Cuckoo! injector@a").at - b.started;
    eprintln!("messages again {took:?} after the start of the receiver");
    assert!(took < SOON, "only after {took:?}");
    let first = numbers(&b.printed)[0];
    assert!(first >= first_after, "{first} is from before the start, at {first_after}");
}

#[test]
fn a_sender_that_was_killed_is_heard_again_after_its_start() {
    let system =
        SystemFolder::new("").node("a", INJECTOR).node("b", "cuckoo: {log: false}").write();
    let (mut a, b) = (system.start("a"), system.start("b"));
    a.log.wait_for("link up");
    let mut injector = Injector::connect(&system, "a");
    send_until(&mut injector, 0, || numbers(&b.printed).len() > 20);

    a.kill();
    b.log.wait_for("link down");
    let (lines, before) = (b.printed.len(), numbers(&b.printed).len());
    let a = system.start("a");
    let mut injector = Injector::connect(&system, "a");
    send_until(&mut injector, 1_000_000, || numbers(&b.printed).len() > before);

    let took = b.printed.wait_after(lines, "Cuckoo! injector@a").at - a.started;
    eprintln!("messages again {took:?} after the start of the sender");
    assert!(took < SOON, "only after {took:?}");
    let after = numbers(&b.printed).split_off(before);
    assert!(after.iter().all(|number| *number >= 1_000_000), "{after:?}");
}

#[test]
fn a_peer_that_hangs_is_found_down_and_up_again() {
    // Three heartbeats, and what a busy machine may add.
    const DOWN: Duration = Duration::from_millis(3000 + 500);
    let system = SystemFolder::new("heartbeat: 1").node("a", "").node("b", "").write();
    let (a, b) = (system.start("a"), system.start("b"));
    a.log.wait_for("link up");
    b.log.wait_for("link up");
    for _ in 0..2 {
        let (lines, stopped) = (a.log.len(), Instant::now());
        b.signal(Signal::SIGSTOP);
        let down = a.log.wait_after(lines, "link down");
        assert!(down.text.contains("nothing received"), "{}", down.text);
        assert!(down.at - stopped < DOWN, "only after {:?}", down.at - stopped);
        let (lines, went_on) = (a.log.len(), Instant::now());
        b.signal(Signal::SIGCONT);
        let up = a.log.wait_after(lines, "link up").at - went_on;
        eprintln!("down after {:?}, up again after {up:?}", down.at - stopped);
    }
}

/// Connections that are established to port 6020 of this address, whoever made them.
fn connections(address: &str) -> usize {
    let address = u32::from_ne_bytes(address.parse::<Ipv4Addr>().unwrap().octets());
    let remote = format!("{address:08X}:{:04X}", 6020);
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[2] == remote && row[3] == "01").count()
}

#[test]
fn two_that_start_at_once_settle_on_one_session() {
    const TIMES: usize = 20;
    let system = SystemFolder::new("")
        .node("a", "t: {type: timer, tick: 50ms}, cuckoo: {timer: u}")
        .node("b", "u: {type: timer, tick: 50ms}, cuckoo: {timer: t}")
        .write();
    for _ in 0..TIMES {
        let pair = [system.start("a"), system.start("b")];
        pair[0].printed.wait_for("Cuckoo! u@b");
        pair[1].printed.wait_for("Cuckoo! t@a");
        let all = || connections(system.address("a")) + connections(system.address("b"));
        until("on one session", || (all() == 1).then_some(()));
        let lines = pair.each_ref().map(|node| node.printed.len());
        pair[0].printed.wait_after(lines[0], "Cuckoo! u@b");
        pair[1].printed.wait_after(lines[1], "Cuckoo! t@a");
        for node in &pair {
            let log = node.log.text();
            assert_eq!(node.log.count("link up"), 1, "{log}");
            assert_eq!(node.log.count("link down"), 0, "{log}");
        }
    }
}
