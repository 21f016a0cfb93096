//! The testnet with a shell in place of the daemon: `sh SCRIPT NODE` is started like
//! `kozo CONFIG NODE`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal;
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::*;

/// Long enough for the slowest machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// What was shown, for all who look.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Vec<u8>>>);

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shown {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    async fn until(&self, condition: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let text = self.text();
            if condition(&text) {
                return text;
            }
            assert!(Instant::now() < deadline, "{text}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

struct Running {
    _folder: TempDir,
    shown: Shown,
    stop: mpsc::Sender<()>,
    result: JoinHandle<Result<(), TestnetError>>,
}

impl Running {
    /// Runs a script for each Node.
    fn start(script: &str, nodes: &[&str]) -> Running {
        let shown = Shown::default();
        Running::start_to(script, nodes, shown.clone(), shown)
    }

    fn start_to(
        script: &str,
        nodes: &[&str],
        shown: Shown,
        out: impl Write + Send + 'static,
    ) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("script");
        std::fs::write(&config, script).unwrap();
        let nodes: Vec<String> = nodes.iter().map(|name| (*name).to_owned()).collect();
        let (stop, stops) = mpsc::channel(1);
        let result = tokio::spawn(async move {
            let (lines, written) = screen::start(&nodes, false, out).unwrap();
            processes::run(Path::new("/bin/sh"), &config, &nodes, stops, lines, written).await
        });
        Running { _folder: folder, shown, stop, result }
    }

    /// How it ended; by then no process is left.
    async fn ended(self) -> (Result<(), TestnetError>, String) {
        let result = timeout(DEADLINE, self.result).await.unwrap().unwrap();
        let text = self.shown.text();
        for id in processes_in(&text) {
            assert!(signal::kill(Pid::from_raw(id), None).is_err(), "{id} is left");
        }
        (result, text)
    }
}

fn processes_in(text: &str) -> Vec<i32> {
    let ids = text.lines().filter_map(|line| line.split_once("— started, process "));
    ids.map(|(_, id)| id.parse().unwrap()).collect()
}

#[tokio::test]
async fn lines_of_all_are_shown_behind_their_names() {
    let script = "echo out of $1\necho error of $1 >&2\nprintf 'no end'";
    let (result, text) = Running::start(script, &["clock", "it"]).ended().await;
    result.unwrap();
    for line in [
        "clock | out of clock\n",
        "clock | error of clock\n",
        "clock | no end\n",
        "it    | out of it\n",
        "it    | error of it\n",
        "it    | no end\n",
    ] {
        assert_eq!(text.matches(line).count(), 1, "{line}{text}");
    }
    for node in ["clock", "it   "] {
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with(node)).collect();
        assert!(lines.last().unwrap().ends_with("| — ended, exit status: 0"), "{text}");
    }
}

#[tokio::test]
async fn one_that_fails_is_named_and_the_others_go_on() {
    let script = "if [ $1 = bad ]; then exit 5; fi\n\
        trap 'echo bye of $1; exit 0' TERM\necho ready; while :; do sleep 0.01; done";
    let running = Running::start(script, &["good", "bad"]);
    let seen =
        |text: &str| text.contains("bad  | — ended, exit status: 5") && text.contains("ready");
    running.shown.until(seen).await;
    assert!(!running.result.is_finished());
    running.stop.send(()).await.unwrap();
    let (result, text) = running.ended().await;
    assert_eq!(result.unwrap_err().to_string(), "failed: bad (exit status: 5)");
    assert!(text.contains("good | bye of good"), "{text}");
    assert!(text.contains("Stopping all Nodes"), "{text}");
}

#[tokio::test]
async fn the_last_lines_of_a_stop_are_shown() {
    let script = "trap 'seq 1 2000; exit 0' TERM\necho ready; while :; do sleep 0.01; done";
    let running = Running::start(script, &["a", "b"]);
    running.shown.until(|text| text.matches("| ready").count() == 2).await;
    running.stop.send(()).await.unwrap();
    let (result, text) = running.ended().await;
    result.unwrap();
    assert_eq!(text.matches("| 2000\n").count(), 2);
    assert_eq!(text.matches("| — ended, exit status: 0").count(), 2);
}

#[tokio::test]
async fn one_that_does_not_stop_is_killed() {
    let script = "trap '' TERM\necho ready; while :; do sleep 0.1; done";
    let running = Running::start(script, &["deaf"]);
    running.shown.until(|text| text.contains("ready")).await;
    let began = Instant::now();
    running.stop.send(()).await.unwrap();
    let (result, _) = running.ended().await;
    let error = result.unwrap_err().to_string();
    assert_eq!(error, "failed: deaf (did not stop within 5 s)");
    assert!(began.elapsed() >= Duration::from_secs(5));

    let running = Running::start(script, &["deaf"]);
    running.shown.until(|text| text.contains("ready")).await;
    let began = Instant::now();
    running.stop.send(()).await.unwrap();
    running.stop.send(()).await.unwrap();
    let (result, _) = running.ended().await;
    result.unwrap();
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn an_output_that_is_gone_stops_all_quietly() {
    let (reader, writer) = io::pipe().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("stopped");
    let script = format!(
        "trap 'echo >{}; exit 0' TERM\nwhile :; do echo line; sleep 0.01; done",
        shell_word(mark.to_str().unwrap())
    );
    let running = Running::start_to(&script, &["a"], Shown::default(), writer);
    let mut lines = io::BufRead::lines(io::BufReader::new(reader));
    let first = tokio::task::spawn_blocking(move || lines.next().unwrap().unwrap()).await.unwrap();
    let (result, _) = running.ended().await;
    result.unwrap();
    assert!(mark.exists());
    let id = *processes_in(&format!("{first}\n")).first().unwrap();
    assert!(signal::kill(Pid::from_raw(id), None).is_err());
}

/// An output that takes nothing, like a terminal after Ctrl-S.
struct Stuck;

impl Write for Stuck {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        loop {
            std::thread::park();
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_output_that_is_stuck_does_not_keep_the_testnet() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("id");
    let path = shell_word(mark.to_str().unwrap());
    let script = format!("echo $$ >{path}.new; mv {path}.new {path}; yes");
    let running = Running::start_to(&script, &["a"], Shown::default(), Stuck);
    let deadline = Instant::now() + DEADLINE;
    while !mark.exists() {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(10)).await;
    }
    running.stop.send(()).await.unwrap();
    let (result, _) = running.ended().await;
    result.unwrap();
    let id: i32 = std::fs::read_to_string(mark).unwrap().trim().parse().unwrap();
    assert!(signal::kill(Pid::from_raw(id), None).is_err());
}

#[tokio::test]
async fn a_program_that_is_missing_is_named() {
    let (_stop, stops) = mpsc::channel(1);
    let nodes = ["clock".to_owned()];
    let (lines, written) = screen::start(&nodes, false, Shown::default()).unwrap();
    let program = Path::new("/nowhere/kozo");
    let config = Path::new("config.yml");
    let result = processes::run(program, config, &nodes, stops, lines, written).await;
    let error = result.unwrap_err().to_string();
    assert!(error.starts_with("cannot start /nowhere/kozo: "), "{error}");
}

#[test]
fn words_survive_the_shell() {
    for word in
        ["plain/path-1.yml", "", "with space", "it's", "$HOME `id` \"x\" \\", "構造", "a\nb", "~"]
    {
        let script = format!("printf %s {}", shell_word(word));
        let output = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
    }
}

#[test]
fn the_injection_works_by_copy_and_paste() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(&stream), &mut line).unwrap();
        stream.write_all(b"ok: queued for 1 peer\n").unwrap();
        line
    });
    let command = injection("127.0.0.1", port);
    let output = Command::new("/bin/sh").args(["-c", &command]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok: queued for 1 peer\n");
    assert_eq!(server.join().unwrap(), "('log', 'Hello from the shell')\n");
}

#[test]
fn the_welcome_says_what_to_try() {
    let testnet = |new, inject: Option<&str>| Testnet {
        folder: PathBuf::from("/home/ann/my net"),
        config: PathBuf::from("/home/ann/my net/config.yml"),
        nodes: vec!["clock".to_owned(), "scribe".to_owned()],
        inject: inject.map(|address| address.parse().unwrap()),
        new,
    };
    let program = Path::new("/usr/bin/kozo");
    let text = welcome(&testnet(true, Some("127.0.0.1:20004")), program);
    assert!(text.starts_with("Made a testnet in '/home/ann/my net': clock, scribe.\n"), "{text}");
    assert!(text.contains("/dev/tcp/127.0.0.1/20004 "), "{text}");
    assert!(text.contains("\n    /usr/bin/kozo '/home/ann/my net/config.yml' clock\n"), "{text}");
    assert!(text.contains("Ctrl-C"), "{text}");
    let text = welcome(&testnet(false, None), program);
    assert!(text.starts_with("Running the testnet in "), "{text}");
    assert!(!text.contains("/dev/tcp"), "{text}");
}
