//! The tour of the README, run as it is written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const KOZO: &str = env!("CARGO_BIN_EXE_kozo");

/// The code blocks of the tour: what is behind the three backticks, and what is between.
fn blocks() -> Vec<(String, String)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(file).unwrap();
    let (_, tour) = readme.split_once("\n## Tour\n").expect("a chapter 'Tour'");
    let (tour, _) = tour.split_once("\n## ").expect("a chapter behind the tour");
    tour.split("```")
        .skip(1)
        .step_by(2)
        .map(|block| block.split_once('\n').unwrap())
        .map(|(info, text)| (info.to_owned(), text.to_owned()))
        .collect()
}

fn bash(script: &str, folder: &Path) -> Command {
    let programs = Path::new(KOZO).parent().unwrap().display();
    let mut command = Command::new("bash");
    command.args(["-eu", "-o", "pipefail", "-c", script]).current_dir(folder);
    command.env("PATH", format!("{programs}:{}", std::env::var("PATH").unwrap()));
    // Control sockets are there, out of the way of other Nodes.
    command.env("XDG_RUNTIME_DIR", folder);
    command
}

/// A terminal in which something runs until it is interrupted.
struct Terminal {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Terminal {
    fn open(script: &str, folder: &Path) -> Terminal {
        let mut command = bash(&format!("exec {script}"), folder);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|l| sender.send(l))
        });
        Terminal { child, lines }
    }

    fn until(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while let Ok(line) = self.lines.recv_timeout(deadline - Instant::now()) {
            if line.contains(text) {
                return;
            }
        }
        panic!("the terminal never showed '{text}'");
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    fn interrupt(mut self) {
        kill(self.pid(), Signal::SIGINT).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

/// So that it stops its Nodes too, whatever has happened.
impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = kill(self.pid(), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

#[test]
fn the_tour_works_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = None;
    let mut shown = String::new();
    for (info, script) in blocks() {
        match info.as_str() {
            "sh in one terminal" => {
                let testnet = Terminal::open(&script, folder.path());
                testnet.until("Cuckoo!");
                terminal = Some(testnet);
            }
            "sh" | "sh after the testnet" => {
                if info != "sh" {
                    terminal.take().into_iter().for_each(Terminal::interrupt);
                }
                let output = bash(&script, folder.path()).output().unwrap();
                let (stdout, stderr) = (output.stdout, output.stderr);
                let text = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
                assert!(output.status.success(), "{script}\n{text}");
                shown.push_str(&text);
            }
            other => panic!("what is to be done with a block '{other}'?"),
        }
    }
    for promised in [
        "clock.key",
        "ok: queued for 1 peer",
        "ok: nobody is interested",
        "Peers: 2 of 2 up",
        "scribe answered in",
        r#""type":"tick""#,
        "did you mean `tick`?",
        "exit code 1",
        "Hello from JSON",
        "ssh-ed25519",
        "Cuckoo! timer1@clock",
    ] {
        assert!(shown.contains(promised), "no '{promised}' in:\n{shown}");
    }
}
