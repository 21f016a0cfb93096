//! Messages from one Node to another: the first one soon, and then every one.

use std::fs;
use std::time::{Duration, Instant};

use super::support::{
    INJECTOR, Injector, Program, SystemFolder, address, fresh_key, kozo, numbers,
};

/// What users were promised for the first tick.
const SOON: Duration = Duration::from_secs(2);

/// The configuration of the first README, with keys, paths and addresses that exist here.
fn seeds_example(system: &SystemFolder, tick: &str) {
    let mut text = include_str!("../config/seeds-late.yml").to_owned();
    for (node, old) in [("clock", "10.13.37.2"), ("scribe", "10.13.37.51")] {
        let own = address();
        let key = system.path().join(node);
        let public = fresh_key(&key);
        let block = text.find(&format!("    {node}:\n")).unwrap();
        let (before, after) = text.split_at(block);
        let old_key = after.lines().find(|line| line.contains("publicKey")).unwrap();
        let after = after
            .replacen("/var/lib/kozo/mykey", &key.display().to_string(), 1)
            .replacen(old_key, &format!("        publicKey: {public}"), 1)
            .replacen(&format!("{old},"), &format!("{own},"), 1)
            // Both run on this machine: each has to leave the port to the other.
            .replacen(" tcp:\n", &format!(" tcp:\n                bindAddress: {own}\n"), 1);
        text = format!("{before}{after}");
    }
    let folder = system.path().display();
    text = text.replace("/var/lib/kozo/storage", &format!("{folder}/storage"));
    text = text.replace("/var/log/kozo", &format!("{folder}"));
    text = text.replace("tick: 60", tick);
    assert!(text.contains(".onion") && text.contains("clock.local, 127."), "{text}");
    fs::write(system.config(), text).unwrap();
}

fn start(system: &SystemFolder, node: &str) -> Program {
    Program::start(node, &mut kozo([system.config().as_os_str(), node.as_ref()]))
}

fn first_tick(tick: &str, first: &str, second: &str) {
    let system = SystemFolder::new("");
    seeds_example(&system, tick);
    let clock_is_second = second == "clock";
    let first = start(&system, first);
    first.log.wait_for("runs");
    let second = start(&system, second);
    let scribe = if clock_is_second { &first } else { &second };
    let line = scribe.printed.wait_for("Cuckoo! timer1@clock: ");
    let took = line.at - second.started;
    eprintln!("first tick after {took:?} ({tick})");
    assert!(took < SOON, "first tick only after {took:?}");
}

#[test]
fn the_seeds_example_ticks_soon_when_the_clock_comes_second() {
    // The very file: the next tick would come a minute later.
    first_tick("tick: 60", "scribe", "clock");
}

#[test]
fn the_seeds_example_ticks_soon_when_the_clock_was_there_before() {
    first_tick("tick: 1", "clock", "scribe");
}

#[test]
fn a_thousand_events_a_second_all_arrive_in_order() {
    const EACH_SECOND: u64 = 1000;
    const ALL: u64 = 10 * EACH_SECOND;
    // After a pause that the machine made, not all that was missed is made up for at once.
    const AT_ONCE: u64 = 50;
    let system =
        SystemFolder::new("").node("a", INJECTOR).node("b", "cuckoo: {log: false}").write();
    let (_a, b) = (system.start("a"), system.start("b"));
    b.log.wait_for("link up");
    let mut injector = Injector::connect(&system, "a");
    let began = Instant::now();
    let mut sent = 0;
    while sent < ALL {
        let due = began.elapsed().as_millis() as u64 * EACH_SECOND / 1000;
        let next = due.min(sent + AT_ONCE).min(ALL);
        injector.numbers(sent..next);
        for _ in sent..next {
            assert_eq!(injector.answer(), "ok: queued for 1 peer");
        }
        sent = next;
        std::thread::sleep(Duration::from_millis(2));
    }
    b.printed.wait_for(&format!("Cuckoo! injector@a: {}", ALL - 1));
    let arrived = numbers(&b.printed);
    assert!(arrived.iter().copied().eq(0..ALL), "{} of {ALL} arrived", arrived.len());
}
