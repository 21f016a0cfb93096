//! Messages that are injected on one Node and seen on another.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::kit::{DEADLINE, System, ended, until};

/// A running `kozoctl monitor`.
struct Monitor {
    child: Child,
    lines: Receiver<String>,
}

impl Monitor {
    fn start(system: &System, arguments: &[&str]) -> Monitor {
        let mut command = system.workspace.command(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Monitor { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).unwrap()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns when a Message of this type that attic sends goes to cellar: when its monitor is known.
fn until_wanted(system: &System, message_type: &str) {
    let inject = ["-n", "attic", "inject", "event", message_type, "\"first\""];
    until("the monitor's interest arrives", || system.workspace.run(&inject).status.success());
}

#[test]
fn data_arrives_as_it_was_sent() {
    let system = System::running();
    let monitor = Monitor::start(&system, &["-n", "cellar", "monitor", "pro?e", "--json"]);
    until_wanted(&system, "probe");
    assert_eq!(serde_json::from_str::<Value>(&monitor.line()).unwrap()["data"], "first");
    for data in [
        json!({"a": [1, 2.5, "é", null, true]}),
        json!([u64::MAX, i64::MIN, 0, -1, 1e300, 9_007_199_254_740_993_u64]),
        json!({"$base64": "AAEC/w=="}),
        json!({"nested": {"bytes": {"$base64": ""}}, "list": [{"$base64": "gA=="}]}),
        json!("a line\nand another\u{1b}[2J"),
        json!({"with = sign": "a=b", "": {}}),
        json!(null),
        json!(-5),
    ] {
        let inject = ["-n", "attic", "inject", "event", "probe", "--channel", "kitchen"];
        system.workspace.answer(&[&inject[..], &[&data.to_string()]].concat());
        let seen: Value = serde_json::from_str(&monitor.line()).unwrap();
        assert_eq!(seen["data"], data);
        assert_eq!(seen["channel"], "kitchen");
        assert_eq!((&seen["kind"], &seen["type"]), (&json!("event"), &json!("probe")));
        assert_eq!(seen["node"], "attic");
        // What was seen can be sent again.
        let again = seen["data"].to_string();
        system.workspace.answer(&[&inject[..], &[&again]].concat());
        assert_eq!(serde_json::from_str::<Value>(&monitor.line()).unwrap()["data"], data);
    }
}

#[test]
fn data_may_be_pairs_or_come_from_standard_input() {
    let system = System::running();
    let monitor = Monitor::start(&system, &["-n", "cellar", "monitor", "door", "--json"]);
    until_wanted(&system, "door");
    monitor.line();
    let data = || serde_json::from_str::<Value>(&monitor.line()).unwrap()["data"].clone();
    let door = ["-n", "attic", "inject", "order", "door"];
    let pairs = ["open=true", "room=3", "by=the cat"];
    system.workspace.answer(&[&door[..], &pairs].concat());
    assert_eq!(data(), json!({"open": true, "room": 3, "by": "the cat"}));
    let output = system.workspace.bash("echo '[1, 2]' | kozoctl -n attic inject order door -");
    assert!(output.status.success());
    assert_eq!(data(), json!([1, 2]));
    system.workspace.answer(&door);
    assert_eq!(data(), json!(null));
}

#[test]
fn people_see_one_harmless_line_for_each() {
    let system = System::running();
    let monitor = Monitor::start(&system, &["-n", "cellar", "monitor", "door"]);
    until_wanted(&system, "door");
    assert!(monitor.line().ends_with(" event door inject@attic: first"));
    let data = r#"{"said": "\u001b[2J\n", "bytes": {"$base64": "AA=="}}"#;
    system.workspace.answer(&["-n", "attic", "inject", "event", "door", "-c", "kit\nchen", data]);
    let line = monitor.line();
    let wanted = r#" event door [kit\nchen] inject@attic: {"bytes":{"$base64":"AA=="},"said":"\u001b[2J\n"}"#;
    assert!(line.ends_with(wanted), "{line}");
}

#[test]
fn only_what_is_asked_for_is_shown() {
    let system = System::running();
    let workspace = &system.workspace;
    let one = |filter: &[&str]| {
        let arguments = [&["-n", "cellar", "monitor", "--count", "1"], filter].concat();
        workspace.json(&arguments)
    };
    for filter in [&["t*k"][..], &["--role", "timer?"], &["--from", "at*"], &["-k", "event"]] {
        let seen = one(filter);
        assert_eq!((&seen["type"], &seen["role"]), (&json!("tick"), &json!("timer1")));
    }
    // The others are there, and not shown.
    let monitor = Monitor::start(&system, &["-n", "cellar", "monitor", "--channel", "hall"]);
    let inject = ["-n", "attic", "inject", "event", "door", "-c", "hall"];
    until("the monitor's interest arrives", || workspace.run(&inject).status.success());
    assert!(monitor.line().contains("door [hall]"));
}

#[test]
fn whoever_cannot_keep_up_is_told_how_much_was_skipped() {
    let system = System::running();
    let workspace = &system.workspace;
    assert!(workspace.bash("mkfifo go").status.success());
    // A reader that reads one line, and the others when it is told to.
    let script = "kozoctl -n attic monitor flood --json --once |
                  { head -c 100; read -r _ < go; cat; } > seen";
    let mut reader = workspace.bash_command(script).spawn().unwrap();
    let seen = || std::fs::read_to_string(workspace.path().join("seen")).unwrap_or_default();
    let big = format!("\"{}\"", "x".repeat(100_000));
    let flood = ["-n", "attic", "inject", "event", "flood", &big];
    until("the monitor sees one", || {
        workspace.run(&flood);
        seen().contains("boot")
    });
    // More than fits into its queue and all that is on the way.
    for _ in 0..100 {
        workspace.run(&flood);
    }
    std::fs::write(workspace.path().join("go"), "\n").unwrap();
    until("it is told", || seen().contains("{\"skipped\":"));
    drop(system);
    ended(&mut reader);
}

#[test]
fn a_monitor_ends_with_its_node() {
    let mut system = System::running();
    let mut monitor = Monitor::start(&system, &["-n", "attic", "monitor", "--once"]);
    monitor.line();
    system.kill("attic");
    assert_eq!(ended(&mut monitor.child).code(), Some(3));
}

#[test]
fn a_monitor_goes_on_when_its_node_runs_again() {
    let mut system = System::running();
    let count = ["-n", "attic", "monitor", "--json", "--count", "100000"];
    let monitor = Monitor::start(&system, &count);
    let boot = || serde_json::from_str::<Value>(&monitor.line()).unwrap()["boot"].clone();
    let before = boot();
    system.kill("attic");
    system.start("attic");
    until("Messages of the new run are shown", || boot() != before);
}

#[test]
fn a_text_needs_no_quotes_of_json() {
    let system = System::running();
    let monitor = Monitor::start(&system, &["-n", "cellar", "monitor", "note", "--json"]);
    until_wanted(&system, "note");
    monitor.line();
    for words in [&["hello world"][..], &["hello", "world"], &["\"hello world\""]] {
        system.workspace.answer(&[&["-n", "attic", "inject", "log", "note"], words].concat());
        let seen: Value = serde_json::from_str(&monitor.line()).unwrap();
        assert_eq!((&seen["data"], &seen["kind"]), (&json!("hello world"), &json!("log")));
    }
}

#[test]
fn a_link_is_measured() {
    let system = System::running();
    system.workspace.answer(&["-n", "attic", "wait", "peer=cellar:up"]);
    let told =
        system.workspace.answer(&["-n", "attic", "bench", "cellar", "--time", "300ms", "--json"]);
    let result: serde_json::Value = serde_json::from_str(&told).unwrap();
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    assert!(number(&result["bytes"]) >= 64 * 1024, "{told}");
    assert!(number(&result["best_bytes_per_second"]) >= number(&result["bytes_per_second"]));
    let round_trip = &result["round_trip_time"];
    assert!(number(&round_trip["least"]) <= number(&round_trip["median"]), "{told}");
    let told = system.workspace.answer(&["-n", "attic", "bench", "cellar", "--time", "100ms"]);
    assert!(told.contains("round trip") && told.contains("MB/s"), "{told}");
    system.workspace.failure(&["-n", "attic", "bench", "nobody"], 5);
}
