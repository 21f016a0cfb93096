//! `kozo-bench`: the parts report what a comparison goes by, and nothing of a flood is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod part;

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use part::{Part, Setup};

#[track_caller]
fn assert_complete(result: &Value, count: u64) {
    for (field, expected) in [
        ("received", count),
        ("expected", count),
        ("lost", 0),
        ("out_of_order", 0),
        ("wrong_size", 0),
    ] {
        assert_eq!(result[field], expected, "{field} of {result}");
    }
    assert!(result["last_ns"].as_u64() > result["first_ns"].as_u64());
}

#[test]
fn nothing_of_a_flood_is_lost() {
    for (size, count) in [("64", 50_000), ("16384", 2000)] {
        let (setup, text) = (Setup::new(), count.to_string());
        let more = ["--size", size, "--count", &text];
        let mut recv = Part::start(&setup, "recv", &more).ready();
        let mut send = Part::start(&setup, "send", &more).ready();
        send.go();
        assert_complete(&recv.result(), count);
        let sent = send.result();
        assert_eq!(sent["sent"], count);
        assert!(sent["start_ns"].as_u64() < sent["end_ns"].as_u64(), "{sent}");
    }
}

#[test]
fn one_floods_many() {
    let setup = Setup::new();
    let more = ["--count", "20000", "--fanout", "3"];
    let mut send = Part::start(&setup, "send", &more);
    assert_eq!(send.line(), "LISTENING");
    let recvs = [(); 3].map(|()| Part::start(&setup, "recv", &more));
    let mut recvs = recvs.map(Part::ready);
    let mut send = send.ready();
    send.go();
    recvs.iter_mut().for_each(|recv| assert_complete(&recv.result(), 20_000));
}

#[test]
fn round_trips_are_measured() {
    let setup = Setup::new();
    let _echo = Part::start(&setup, "echo", &[]).ready();
    let mut ping = Part::start(&setup, "ping", &["--count", "500"]).ready();
    ping.go();
    let result = ping.result();
    assert_eq!(result["rounds"], 500);
    let time = |field: &str| result[field].as_f64().unwrap();
    assert!(0.0 < time("rtt_min_us") && time("rtt_min_us") <= time("rtt_p50_us"));
    assert!(time("rtt_p50_us") <= time("rtt_p99_us") && time("rtt_p99_us") <= time("rtt_p999_us"));
    assert!(time("rtt_p999_us") <= time("rtt_max_us"));
}

/// How long a sender is silent.
const PAUSE: Duration = Duration::from_millis(500);

/// How long a pause was that `watch` has seen.
fn pause(line: &str) -> Duration {
    let times = line.strip_prefix("GAP ").expect(line).split(' ');
    let times: Vec<u64> = times.map(|time| time.parse().unwrap()).collect();
    assert!(times.len() == 2 && times[1] - times[0] > 3_000_000, "{line}");
    Duration::from_nanos(times[1] - times[0])
}

#[test]
fn pauses_are_seen_and_both_sides_recover() {
    let setup = Setup::new();
    let mut watch = Part::start(&setup, "watch", &[]).ready();
    let drip = Part::start(&setup, "drip", &[]);
    assert!(watch.line().starts_with("FIRST "));
    let pid = Pid::from_raw(drip.child.id().try_into().unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    std::thread::sleep(PAUSE);
    kill(pid, Signal::SIGCONT).unwrap();
    // On a busy machine there are others too.
    while pause(&watch.line()) < PAUSE {}
    drop(watch);
    let mut watch = Part::start(&setup, "watch", &[]).ready();
    assert!(watch.line().starts_with("FIRST "));
}

/// More is sent than the queue holds: what does not come has been dropped, and counted.
#[test]
fn a_flood_is_accounted_for() {
    let setup = Setup::new();
    let more = ["--size", "256", "--pace", "50000", "--settle", "0.2", "--time", "0.6"];
    let mut sink = Part::start(&setup, "sink", &more).ready();
    let mut flood = Part::start(&setup, "flood", &[&more[..], &["--queue", "4"]].concat()).ready();
    flood.go();
    let sent = flood.result();
    assert_eq!(sent["sessions"], 1, "{sent}");
    assert!((1..=3).contains(&sent["pings"].as_u64().unwrap()), "{sent}");
    assert_eq!(sent["ping_unanswered"], 0, "{sent}");
    assert!(sent["ping_p50_ms"].as_f64() > Some(0.0), "{sent}");
    let dropped = |side: &Value| -> u64 {
        side["dropped"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        flood.go();
        sink.go();
        let (sent, came) = (flood.result(), sink.result());
        let known = came["received"].as_u64().unwrap() + dropped(&sent) + dropped(&came);
        if sent["sent"].as_u64() == Some(known) && sent["queued"] == 0 {
            assert!(came["counted"].as_u64() > Some(0), "{came}");
            assert!(came["age_p50_ms"].as_f64() <= came["age_max_ms"].as_f64(), "{came}");
            assert_eq!((&came["wrong_size"], &came["out_of_order"]), (&0.into(), &0.into()));
            break;
        }
        assert!(Instant::now() < deadline, "{sent} {came}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kozo-bench"));
    command.args(["recv", "--addr", "127.0.0.1:1", "--certs"]).arg(folder.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("a.crt"), "{said}");
}
