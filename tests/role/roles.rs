//! Roles of a real Node.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::json;

use super::support::{ByHand, Folder, example};

#[test]
fn a_role_receives_and_sends_in_both_encodings() {
    for encoding in ["msgpack", "json"] {
        let folder = Folder::new("bell: {type: doorbell}");
        let folder = folder.describe("doorbell", |said| said["encoding"] = encoding.into());
        let node = folder.start();
        let mut tester = folder.attach(&["rung"]);
        let data = json!({"times": 2, "notes": ["dö", null, -1.5], "tune": {"$base64": "AP8K"}});
        let rung = tester.order_until_answered("ring", "front \"door\"", &data);
        assert_eq!((&rung["kind"], &rung["role"]), (&json!("event"), &json!("bell")), "{encoding}");
        assert_eq!(rung["channel"], "front \"door\"");
        assert_eq!(rung["data"], data);
        node.wait_for("ding dong");
        assert!(node.stop().success());
    }
}

#[test]
fn a_node_asks_a_program_what_it_is() {
    let folder = Folder::new("bell: {type: doorbell}");
    let node = folder.start();
    let mut tester = folder.attach(&["rung"]);
    let rung = tester.order_until_answered("ring", "front", &json!(7));
    assert_eq!(rung["data"], 7);
    assert!(node.stop().success());
}

#[test]
fn what_a_role_stores_is_there_when_its_node_starts_again() {
    let folder = Folder::new("counter: {step: 5}");
    let node = folder.start();
    let mut tester = folder.attach(&["counted"]);
    let counted = tester.order_until_answered("count", "a", &json!(null));
    assert_eq!((&counted["kind"], &counted["channel"]), (&json!("reply"), &json!("a")));
    let first = counted["data"].as_u64().unwrap();
    assert_eq!(first, 5);
    node.wait_for("1 roles know of 5");
    let log = node.log();
    assert!(node.stop().success());
    let node = folder.start();
    assert!(!log.contains("did not stop"), "{log}");
    let mut tester = folder.attach(&["counted"]);
    let counted = tester.order_until_answered("count", "a", &json!(null));
    assert!(counted["data"].as_u64().unwrap() > first, "{counted}");
    // Several Orders may have been sent by then. The Role has done the last one, and waits, when it has logged it.
    tester.order("count", "last", &json!(null));
    let last = super::support::until("counted the last", || {
        let counted = tester.message();
        (counted["channel"] == "last").then(|| counted["data"].clone())
    });
    node.wait_for(&format!("roles know of {last}"));
    assert!(node.stop().success());
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    // It was told to stop, and said its last.
    assert!(log.contains(&format!("counted {last}")), "{log}");
}

#[test]
fn why_a_role_fails_is_in_the_log() {
    let folder = Folder::new("counter: {limit: 0}");
    let node = folder.start();
    let mut tester = folder.attach(&["nothing"]);
    super::support::until("failed", || {
        tester.order("count", "a", &json!(null));
        node.log().contains("it has counted to 0").then_some(())
    });
}

#[test]
fn a_role_that_asks_after_it_is_told_to_stop_ends() {
    let folder = Folder::new("");
    let mut command = folder.command(&example("counter"));
    command.env("KOZO_RUN", "/").env("KOZO_ROLE", "counter").stdin(Stdio::piped());
    let mut counter = ByHand::start(&mut command);
    let order = json!({"method": "message", "params": {"time": 1, "node": "clock", "boot": "1", "id": 1,
        "role": "tester", "kind": "order", "type": "count", "data": null}});
    let start = json!({"method": "start", "params": {"node": "clock", "role": "counter", "type": "counter",
        "options": {"step": 1, "limit": 9}}});
    let stop = json!({"method": "stop"});
    let mut input = counter.0.stdin.take().unwrap();
    input.write_all(format!("{start}\n{order}\n{order}\n{stop}\n").as_bytes()).unwrap();
    // The Node keeps the pipe open.
    let (status, text) = counter.end();
    assert!(status.success(), "{text}");
    drop(input);
}

#[test]
fn a_flood_is_held_back_and_nothing_of_it_is_lost() {
    for encoding in ["msgpack", "json"] {
        let folder = Folder::new("flood: {size: 100}");
        let folder = folder.describe("flood", |said| said["encoding"] = encoding.into());
        let _node = folder.start();
        let mut tester = folder.attach(&["data", "sent", "flooded"]);
        const COUNT: u64 = 20_000;
        let mut message = tester.order_until_answered("flood", "all", &json!(COUNT));
        for number in 0..COUNT {
            assert_eq!(message["type"], "data", "{encoding}: {number}");
            message = tester.message();
        }
        assert_eq!(message["type"], "sent", "{encoding}");
        let flooded = tester.message();
        assert_eq!(flooded["data"]["count"], COUNT);
    }
}

#[test]
fn a_program_that_a_person_starts_attaches_itself_and_ends_with_its_node() {
    let folder = Folder::new("");
    let node = folder.start();
    let mut tester = folder.attach(&["rung"]);
    let start = || ByHand::start(&mut folder.command(&example("doorbell")));
    let first = start();
    assert_eq!(tester.order_until_answered("ring", "a", &json!(1))["role"], "doorbell");
    drop(first);
    let mut named = folder.command(&example("counter"));
    let counter = ByHand::start(named.args(["--name", "tester", "--set", "step=2"]));
    let (status, text) = counter.end();
    assert!(!status.success() && text.contains("already"), "{text}");
    let bells = [start(), start()];
    // Both ring, under two names.
    let mut names = Vec::new();
    super::support::until("rung by both", || {
        let name = tester.order_until_answered("ring", "a", &json!(2))["role"].clone();
        if !names.contains(&name) {
            names.push(name);
        }
        (names.len() == 2).then_some(())
    });
    names.sort_by_key(ToString::to_string);
    assert_eq!(names, ["doorbell", "doorbell-2"]);
    assert!(node.stop().success());
    for bell in bells {
        let (status, text) = bell.end();
        assert!(status.success(), "{text}");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_told_so() {
    let folder = Folder::new("");
    let run = |arguments: &[&str]| {
        let output = folder.command(&example("counter")).args(arguments).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run(&["--bell"]), (false, "unknown argument --bell: see --help\n".to_owned()));
    assert_eq!(
        run(&["--node", "x"]),
        (false, "the Node 'x' does not run on this machine\n".to_owned())
    );
    assert_eq!(
        run(&["--set", "a=1"]),
        (false, "there is no option 'a': there are step, limit\n".to_owned())
    );
}
