//! Waiting for something to become so.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::kit::{System, ended};

#[test]
fn what_is_so_is_not_waited_for() {
    let system = System::running();
    let begun = Instant::now();
    system.place.answer(&["-n", "clock", "wait", "peer=scribe:up", "role=timer1:running"]);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn what_does_not_happen_is_named() {
    let system = System::running();
    let wait = ["-n", "clock", "wait", "peer=scribe:idle", "role=timer1", "--timeout", "300ms"];
    let told = system.place.failure(&wait, 7);
    assert!(told.contains("within 300 ms") && told.contains("peer=scribe:idle (now up)"), "{told}");
    assert!(!told.contains("timer1"), "{told}");
}

#[test]
fn a_peer_that_comes_and_one_that_goes() {
    let mut system = System::prepared();
    system.start("clock");
    let waiting = |state: &str| {
        let condition = format!("peer=scribe:{state}");
        let arguments = ["-n", "clock", "wait", &condition, "--timeout", "60s"];
        system.place.command(&arguments).stdout(Stdio::null()).spawn().unwrap()
    };
    let mut wait = waiting("up");
    system.start("scribe");
    assert!(ended(&mut wait).success());
    let place = &system.place;
    let arguments = ["-n", "clock", "wait", "peer=scribe:waiting", "--timeout", "60s"];
    let mut wait = place.command(&arguments).stdout(Stdio::null()).spawn().unwrap();
    system.kill("scribe");
    assert!(ended(&mut wait).success());
}

#[test]
fn a_node_that_ends_ends_the_waiting() {
    let mut system = System::running();
    let arguments = ["-n", "clock", "wait", "peer=scribe:idle", "--timeout", "60s"];
    let mut wait = system.place.command(&arguments).spawn().unwrap();
    // It has to have begun: it is connected when the Node knows of it.
    std::thread::sleep(Duration::from_millis(200));
    system.kill("clock");
    assert_eq!(ended(&mut wait).code(), Some(3));
}
