//! The first steps of the README and a closer look at the testnet, typed as they are written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const KOZO: &str = env!("CARGO_BIN_EXE_kozo");

/// The code blocks of a chapter: what is behind the three backticks, and what is between.
fn blocks(document: &str, chapter: &str) -> Vec<(String, String)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(document);
    let text = std::fs::read_to_string(file).unwrap();
    let (_, text) = text.split_once(&format!("\n## {chapter}\n")).expect("this chapter");
    let (text, _) = text.split_once("\n## ").expect("a chapter behind it");
    text.split("```")
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

/// So that it stops its Nodes too, however the test ends.
impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = kill(self.pid(), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// Types the blocks of a chapter in two terminals, and returns what the second one showed.
fn type_in(document: &str, chapter: &str, folder: &Path) -> String {
    let mut testnet = None;
    let mut shown = String::new();
    for (info, script) in blocks(document, chapter) {
        match info.as_str() {
            "sh in one terminal" => {
                let terminal = Terminal::open(&script, folder);
                terminal.until("Cuckoo!");
                testnet = Some(terminal);
            }
            "sh" | "sh in another terminal" | "sh after the testnet" => {
                if info == "sh after the testnet" {
                    testnet.take().into_iter().for_each(Terminal::interrupt);
                }
                let output = bash(&script, folder).output().unwrap();
                let (stdout, stderr) = (output.stdout, output.stderr);
                let text = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
                assert!(output.status.success(), "{script}\n{text}");
                shown.push_str(&text);
            }
            other => panic!("what is to be done with a block '{other}'?"),
        }
    }
    shown
}

fn assert_shown(shown: &str, promised: &[&str]) {
    for promised in promised {
        assert!(shown.contains(promised), "no '{promised}' in:\n{shown}");
    }
}

fn write_program(path: &Path, script: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, format!("#!/bin/bash\n{script}\n")).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_start_works_as_written() {
    let folder = tempfile::tempdir().unwrap();
    // The programs are built already, and the folder is no checkout.
    std::fs::write(folder.path().join("Makefile"), "testnet:\n\t@exec kozo testnet\n").unwrap();
    let shown = type_in("README.md", "Start", folder.path());
    assert_shown(
        &shown,
        &["Peers: 2 of 2 up", "scribe answered in", "timer1@clock", "queued for 1 peer"],
    );
}

#[test]
fn a_closer_look_at_the_testnet_works_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let shown = type_in("docs/testnet.md", "A closer look", folder.path());
    let promised = [
        "clock.key",
        "ok: queued for 1 peer",
        "ok: no one is interested",
        "Peers: 2 of 2 up",
        "scribe answered in",
        r#""type":"tick""#,
        "did you mean `tick`?",
        "exit code 1",
        "Hello from JSON",
        "ssh-ed25519",
        "Cuckoo! timer1@clock",
        "bell@clock: done",
    ];
    assert_shown(&shown, &promised);
}

/// What stands for a machine: a folder with programs that come before those of the system. The
/// configuration is in the folder, `sudo` only runs its arguments, and `systemctl` only starts a Node.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new(node: &str) -> Machine {
        let machine = Machine { folder: tempfile::tempdir().unwrap() };
        let kozoctl = Path::new(KOZO).with_file_name("kozoctl");
        assert!(kozoctl.exists(), "the client is not built: cargo build --bin kozoctl");
        for (name, script) in [
            ("sudo", "exec \"$@\"".to_owned()),
            (
                "kozoctl",
                // Other Nodes may run here, which are no affair of this machine.
                format!(
                    "case $1 in
                        config) set -- \"$@\" --file kozo.yml ;;
                        *) set -- --node {node} \"$@\" ;;
                    esac
                    exec '{}' \"$@\"",
                    kozoctl.display()
                ),
            ),
            (
                "systemctl",
                "[ \"$1 $2\" = 'enable --now' ] || exit 1
                kozo kozo.yml \"${3#kozo@}\" >log 2>&1 & echo $! >pid
                # As of a service of type notify, this returns when the Node is ready.
                for _ in {1..300}; do
                    kozoctl status >/dev/null 2>&1 && exit
                    sleep 0.1
                done
                exit 1"
                    .to_owned(),
            ),
        ] {
            write_program(&machine.path().join("bin").join(name), &script);
        }
        machine
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs lines of the README, and returns all that they said.
    fn run(&self, script: &str) -> String {
        let path = format!("PATH=\"{}:$PATH\"\n", self.path().join("bin").display());
        let mut command = bash(&(path + script), self.path());
        command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/kozo-test-bus");
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let log = std::fs::read_to_string(self.path().join("log")).unwrap_or_default();
        assert!(output.status.success(), "{script}\n{text}\n{log}");
        text
    }
}

/// Its Node stops with it.
impl Drop for Machine {
    fn drop(&mut self) {
        let pid = std::fs::read_to_string(self.path().join("pid")).ok();
        if let Some(pid) = pid.and_then(|pid| pid.trim().parse().ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }
}

#[test]
fn two_machines_work_as_written() {
    let machines = ["clock", "scribe"].map(|name| (name, Machine::new(name)));
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = sockets.map(|socket| socket.local_addr().unwrap().port());
    let mut shown = String::new();
    for (info, script) in blocks("README.md", "Two machines") {
        let name = info.strip_prefix("sh on ").unwrap();
        let at = machines.iter().position(|(machine, _)| *machine == name).unwrap();
        let here = format!("127.0.0.1 --port {}", ports[at]);
        shown += &machines[at].1.run(&script.replace(&format!("{name}.local"), &here));
        // What a person takes across.
        let block = format!("{name}.yml");
        let other = &machines[1 - at].1;
        std::fs::copy(machines[at].1.path().join(&block), other.path().join(&block)).unwrap();
    }
    assert_shown(&shown, &["clock: added to", "scribe: added to", "stays on this machine", "tick"]);
}
