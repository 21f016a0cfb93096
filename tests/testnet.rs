//! `kozo testnet` as a new user meets it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const KOZO: &str = env!("CARGO_BIN_EXE_kozo");

/// Long enough for the slowest machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A testnet that runs.
struct Testnet {
    process: Child,
    lines: mpsc::Receiver<String>,
    /// All lines so far.
    seen: Vec<String>,
}

impl Testnet {
    fn start(folder: &Path) -> Testnet {
        let mut process = Command::new(KOZO)
            .arg("testnet")
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines() {
                if sender.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        Testnet { process, lines, seen: Vec::new() }
    }

    /// The next line that is as wanted, or none within the time.
    fn next(&mut self, time: Duration, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + time;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if wanted(&line) {
                        return Some(line);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it ended:\n{}", self.seen.join("\n"))
                }
            }
        }
    }

    /// The next line of this Node with these words.
    fn until(&mut self, node: &str, words: &str) -> String {
        let wanted = |line: &str| line.starts_with(node) && line.contains(words);
        let line = self.next(DEADLINE, wanted);
        line.unwrap_or_else(|| panic!("no '{words}' of {node}:\n{}", self.seen.join("\n")))
    }

    /// The process of a Node, by its newest line about that.
    fn process_of(&self, node: &str) -> Pid {
        let mut lines = self.seen.iter().rev().filter(|line| line.starts_with(node));
        let id = lines.find_map(|line| line.split_once("— started, process ")).unwrap().1;
        Pid::from_raw(id.parse().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for the end. All lines are in `seen` then.
    fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => return self.process.wait().unwrap(),
                Err(RecvTimeoutError::Timeout) => panic!("no end:\n{}", self.seen.join("\n")),
            }
        }
    }
}

impl Drop for Testnet {
    fn drop(&mut self) {
        if self.process.try_wait().unwrap().is_none() {
            // Of a test that failed: the Nodes must not outlive it.
            self.signal(Signal::SIGTERM);
            let _ = self.process.wait();
        }
    }
}

fn exists(process: Pid) -> bool {
    kill(process, None).is_ok()
}

/// A port that is written in the configuration.
fn port(folder: &Path, option: &str) -> u16 {
    let text = fs::read_to_string(folder.join("config.yml")).unwrap();
    let option = format!("{option}: ");
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(&option)).unwrap();
    line.parse().unwrap()
}

/// All files but the log, with their contents.
fn made(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let names = ["config.yml", "clock.key", "scribe.key", "injector.key"];
    names.map(|name| (folder.join(name), fs::read(folder.join(name)).unwrap())).to_vec()
}

fn check(folder: &Path, node: &str) -> Output {
    let config = folder.join("config.yml");
    Command::new(KOZO).arg("--check").arg(config).arg(node).output().unwrap()
}

#[test]
fn ticks_answers_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("my net");
    let mut testnet = Testnet::start(&folder);
    testnet.until("scribe ", "Cuckoo! timer1@clock: ");
    let nodes = ["clock", "scribe", "injector"].map(|node| testnet.process_of(node));
    assert!(nodes.into_iter().all(exists));

    // What it says one can do, by copy and paste.
    let command = testnet.seen.iter().find(|line| line.contains("/dev/tcp/")).unwrap().clone();
    let deadline = Instant::now() + DEADLINE;
    loop {
        // The link from injector to scribe may still be on its way.
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        assert!(answer.starts_with("ok: ") && answer.ends_with('\n'), "{answer}");
        let hello =
            |line: &str| line.starts_with("scribe ") && line.ends_with("Hello from the shell");
        if testnet.next(Duration::from_secs(1), hello).is_some() {
            break;
        }
        assert!(Instant::now() < deadline, "{}", testnet.seen.join("\n"));
    }

    // The same from a program, and a line that is wrong.
    let mut stream = TcpStream::connect(("127.0.0.1", port(&folder, "bindPort"))).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"{\"kind\": \"log\", \"data\": \"Hello from JSON\"}\n('event'\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert!(answers.starts_with("ok: queued for 1 peer\nerror: "), "{answers}");
    testnet.until("scribe ", "Hello from JSON");

    testnet.signal(Signal::SIGINT);
    let status = testnet.ended();
    assert!(status.success(), "{status}\n{}", testnet.seen.join("\n"));
    assert!(!nodes.into_iter().any(exists));
    for node in ["clock ", "scribe ", "injector "] {
        let ended =
            |line: &String| line.starts_with(node) && line.ends_with("— ended, exit status: 0");
        assert!(testnet.seen.iter().any(ended), "{}", testnet.seen.join("\n"));
    }
    let log = fs::read_to_string(folder.join("scribe.log")).unwrap();
    assert!(log.contains("Hello from the shell") && log.contains("Hello from JSON"), "{log}");
}

#[test]
fn what_it_made_is_used_again_and_by_hand() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("net");
    let mut testnet = Testnet::start(&folder);
    testnet.until("scribe ", "Cuckoo! timer1@clock: ");

    // A second one of the same folder says that there is one.
    let second = Command::new(KOZO).arg("testnet").arg(&folder).output().unwrap();
    assert!(!second.status.success());
    let error = String::from_utf8(second.stderr).unwrap();
    assert!(error.contains("is in use"), "{error}");

    let before = made(&folder);
    testnet.signal(Signal::SIGTERM);
    assert!(testnet.ended().success(), "{}", testnet.seen.join("\n"));

    for node in ["clock", "scribe", "injector"] {
        let output = check(&folder, node);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    }

    let mut testnet = Testnet::start(&folder);
    testnet.until("scribe ", "The last cuckoo was timer1@clock: ");
    testnet.until("scribe ", "Cuckoo! timer1@clock: ");
    assert_eq!(made(&folder), before);

    // A Node that dies is reported, and one started by hand takes its place.
    let clock = testnet.process_of("clock");
    kill(clock, Signal::SIGKILL).unwrap();
    testnet.until("clock ", "— ended, signal: 9 (SIGKILL)");
    let mut by_hand = Command::new(KOZO)
        .arg(folder.join("config.yml"))
        .arg("clock")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // The first of these may be one that the dead clock sent.
    testnet.until("scribe ", "Cuckoo! timer1@clock: ");
    testnet.until("scribe ", "Cuckoo! timer1@clock: ");
    kill(Pid::from_raw(by_hand.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert!(by_hand.wait().unwrap().success());

    // The one that was killed counts as failed.
    testnet.signal(Signal::SIGINT);
    assert!(!testnet.ended().success());
}

#[test]
fn a_signal_that_comes_twice_at_once_is_one() {
    let temporary = tempfile::tempdir().unwrap();
    let mut testnet = Testnet::start(temporary.path());
    testnet.until("scribe ", "Cuckoo! timer1@clock: ");
    testnet.signal(Signal::SIGINT);
    testnet.signal(Signal::SIGTERM);
    let status = testnet.ended();
    let ended = |line: &&String| line.ends_with("— ended, exit status: 0");
    let seen = &testnet.seen;
    assert!(status.success() && seen.iter().filter(ended).count() == 3, "{}", seen.join("\n"));
}

#[test]
fn nobody_reading_it_stops_it() {
    let temporary = tempfile::tempdir().unwrap();
    let mut process = Command::new(KOZO)
        .arg("testnet")
        .arg(temporary.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains("Cuckoo!") {
        assert_ne!(output.read_line(&mut text).unwrap(), 0, "{text}");
    }
    drop(output);
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let started = text.lines().filter_map(|line| line.split_once("— started, process "));
    let ids: Vec<i32> = started.map(|(_, id)| id.parse().unwrap()).collect();
    assert_eq!(ids.len(), 3, "{text}");
    assert!(!ids.into_iter().map(Pid::from_raw).any(exists));
}

#[test]
fn folders_of_others_are_refused() {
    let temporary = tempfile::tempdir().unwrap();
    fs::write(temporary.path().join("letter.txt"), "Dear Ann").unwrap();
    let output = Command::new(KOZO).arg("testnet").arg(temporary.path()).output().unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("is not empty"), "{error}");
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1);
}

#[test]
fn a_port_that_another_program_has_is_named() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let mut testnet = Testnet::start(folder);
    testnet.until("scribe ", "Cuckoo!");
    testnet.signal(Signal::SIGINT);
    assert!(testnet.ended().success());
    let port = port(folder, "bindPort");
    let _held = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let output = Command::new(KOZO).arg("testnet").arg(folder).output().unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(&format!("port {port} of injector is in use")), "{error}");
}
