//! Signals: the daemon stops in time whatever hangs, and opens its log files anew.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::support::{DeadNameServer, INJECTOR, Injector, Program, SystemFolder, skipped, until};

/// What users were promised for a stop.
const STOP: Duration = Duration::from_secs(5);

fn stops(node: &mut Program, signal: Signal, within: Duration) {
    let (status, took) = node.stop(signal);
    assert!(status.success(), "{status}: {}", node.log.text());
    assert!(took < within, "stopped only after {took:?}: {}", node.log.text());
}

#[test]
fn stops_when_asked() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let system = SystemFolder::new("").node("a", "timer: {}").node("b", "").write();
        let (mut a, b) = (system.start("a"), system.start("b"));
        b.log.wait_for("link up");
        stops(&mut a, signal, Duration::from_secs(1));
        let down = b.log.wait_for("link down").text;
        assert!(down.contains("shutting down"), "{down}");
    }
}

#[test]
fn what_was_sent_before_the_stop_arrives() {
    let system =
        SystemFolder::new("").node("a", INJECTOR).node("b", "cuckoo: {log: false}").write();
    let (mut a, b) = (system.start("a"), system.start("b"));
    a.log.wait_for("link up");
    let mut injector = Injector::connect(&system, "a");
    for number in 0..100 {
        injector.number(number);
    }
    stops(&mut a, Signal::SIGTERM, STOP);
    b.printed.wait_for("Cuckoo! injector@a: 99");
}

#[test]
fn stops_though_no_peer_can_be_reached() {
    // From a range that documents use for examples: nobody answers there.
    let system = SystemFolder::new("").node("a", "").node("b", "").write();
    let text = fs::read_to_string(system.config()).unwrap();
    let (b, nowhere) = (system.address("b"), "nowhere.invalid, 192.0.2.1, 2001:db8::1");
    let text = text.replace(&format!("address: {b},"), &format!("address: \"{nowhere}\","));
    fs::write(system.config(), text).unwrap();
    let mut a = system.start("a");
    a.log.wait_for("runs");
    stops(&mut a, Signal::SIGTERM, STOP);
}

#[test]
fn stops_though_it_does_not_listen_yet() {
    let system = SystemFolder::new("").node("a", "").write();
    let Some(server) = DeadNameServer::start(system.path()) else { return skipped("a slow start") };
    let text = fs::read_to_string(system.config()).unwrap();
    let bind = format!("bindAddress: {}", system.address("a"));
    fs::write(system.config(), text.replace(&bind, "bindAddress: a.example")).unwrap();
    let Some(mut a) = system.start_among_mounts("a", &server.script) else {
        return skipped("a slow start");
    };
    server.wait_for_question();
    stops(&mut a, Signal::SIGTERM, STOP);
    assert_eq!(a.log.count("listening"), 0, "{}", a.log.text());
}

#[test]
fn stops_though_a_peer_hangs() {
    let system = SystemFolder::new("").node("a", INJECTOR).node("b", "cuckoo: {}").write();
    let (mut a, b) = (system.start("a"), system.start("b"));
    a.log.wait_for("link up");
    b.signal(Signal::SIGSTOP);
    // Until the sockets of both are full, and the queue behind them.
    let mut injector = Injector::connect(&system, "a");
    let line = format!("('event', 'tick', None, '{}')", "x".repeat(100_000));
    for _ in 0..200 {
        assert_eq!(injector.say(&line), "ok: queued for 1 peer");
    }
    stops(&mut a, Signal::SIGTERM, STOP);
}

/// A Node whose logger hangs: nobody reads from the pipe that it opens as its file.
fn hanging() -> (SystemFolder, Program) {
    let system = SystemFolder::new("");
    let pipe = system.path().join("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let roles = format!("logger: {{file: {}}}, timer: {{}}", pipe.display());
    let system = system.node("a", &roles).write();
    let node = system.start("a");
    node.printed.wait_for("Tick: ");
    (system, node)
}

#[test]
fn stops_though_a_role_hangs() {
    let (_system, mut node) = hanging();
    stops(&mut node, Signal::SIGTERM, STOP);
}

#[test]
fn stops_at_once_when_asked_twice() {
    let (_system, mut node) = hanging();
    node.signal(Signal::SIGTERM);
    node.log.wait_for("a second signal stops at once");
    // What comes sooner is taken for the same signal, sent to the process and to its group.
    sleep(Duration::from_millis(400));
    stops(&mut node, Signal::SIGINT, Duration::from_millis(500));
    node.log.wait_for("stopped at once");
}

#[test]
fn log_files_are_opened_anew_when_asked() {
    let system = SystemFolder::new("");
    let file = system.path().join("log");
    let renamed = system.path().join("log.1");
    let roles = format!("logger: {{file: {}, flushEvery: 1}}, {INJECTOR}", file.display());
    let system = system.node("a", &roles).write();
    let mut node = system.start("a");
    let mut injector = Injector::connect(&system, "a");
    let has = |file, part: &str| fs::read_to_string(file).is_ok_and(|text| text.contains(part));
    injector.say("('log', 'before')");
    until("logging", || has(&file, "before").then_some(()));
    fs::rename(&file, &renamed).unwrap();
    node.signal(Signal::SIGHUP);
    // At once, not when the next line comes: logrotate is about to compress the old one.
    until("opened anew", || file.exists().then_some(()));
    injector.say("('log', 'after')");
    until("logging on", || has(&file, "after").then_some(()));
    assert!(has(&renamed, "before") && !has(&renamed, "after") && !has(&file, "before"));
    assert!(node.runs());
    stops(&mut node, Signal::SIGTERM, STOP);
}
