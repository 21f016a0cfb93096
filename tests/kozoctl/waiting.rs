//! Waiting for something to become so.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::kit::{System, ended, until};

#[test]
fn what_is_so_is_not_waited_for() {
    let system = System::running();
    let begun = Instant::now();
    system.workspace.answer(&["-n", "attic", "wait", "peer=cellar:up", "role=timer1:running"]);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn what_does_not_happen_is_named() {
    let system = System::running();
    let wait = ["-n", "attic", "wait", "peer=cellar:idle", "role=timer1", "--timeout", "300ms"];
    let told = system.workspace.failure(&wait, 7);
    assert!(
        told.contains("timed out after 300 ms") && told.contains("peer=cellar:idle (now up)"),
        "{told}"
    );
    assert!(!told.contains("timer1"), "{told}");
}

#[test]
fn a_peer_that_comes_and_one_that_goes() {
    let mut system = System::prepared();
    system.start("attic");
    let waiting = |state: &str| {
        let condition = format!("peer=cellar:{state}");
        let arguments = ["-n", "attic", "wait", &condition, "--timeout", "60s"];
        system.workspace.command(&arguments).stdout(Stdio::null()).spawn().unwrap()
    };
    let mut wait = waiting("up");
    system.start("cellar");
    assert!(ended(&mut wait).success());
    let workspace = &system.workspace;
    let arguments = ["-n", "attic", "wait", "peer=cellar:down", "--timeout", "60s"];
    let mut wait = workspace.command(&arguments).stdout(Stdio::null()).spawn().unwrap();
    system.kill("cellar");
    assert!(ended(&mut wait).success());
}

#[test]
fn a_node_that_ends_ends_the_waiting() {
    let mut system = System::running();
    let arguments = ["-n", "attic", "wait", "peer=cellar:idle", "--timeout", "60s"];
    let mut wait = system.workspace.command(&arguments).spawn().unwrap();
    let opened = format!("/proc/{}/fd", wait.id());
    until("it is connected", || {
        let files = std::fs::read_dir(&opened)
            .unwrap()
            .filter_map(|file| file.unwrap().path().read_link().ok());
        files.into_iter().any(|file| file.to_string_lossy().starts_with("socket:"))
    });
    system.kill("attic");
    assert_eq!(ended(&mut wait).code(), Some(3));
}
