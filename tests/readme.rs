//! The tour of the README, and its first steps on two machines, run as they are written; its figures are
//! those that were measured, and its tables of options what the descriptions of the options say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use kozo_core::config::{OptionSpec, OptionValue, Presence, Schema, tables};
use kozo_core::types;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const KOZO: &str = env!("CARGO_BIN_EXE_kozo");

/// The code blocks of a chapter: what is behind the three backticks, and what is between.
fn blocks(chapter: &str) -> Vec<(String, String)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(file).unwrap();
    let (_, text) = readme.split_once(&format!("\n## {chapter}\n")).expect("this chapter");
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

#[test]
fn the_tour_works_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = None;
    let mut shown = String::new();
    for (info, script) in blocks("Tour") {
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
        "ok: no one is interested",
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

/// What stands for a machine: a folder with programs that come before those of the system. The
/// configuration is in the folder, `sudo` is nobody, and `systemctl` knows how to start a Node.
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
            let path = machine.path().join("bin").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, format!("#!/bin/bash\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
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
    for (info, script) in blocks("Two machines") {
        if info == "yaml" {
            continue;
        }
        let name = info.strip_prefix("sh on ").unwrap();
        let at = machines.iter().position(|(machine, _)| *machine == name).unwrap();
        let here = format!("127.0.0.1 --port {}", ports[at]);
        shown += &machines[at].1.run(&script.replace(&format!("{name}.local"), &here));
        // What a person takes across.
        let block = format!("{name}.yml");
        let other = &machines[1 - at].1;
        std::fs::copy(machines[at].1.path().join(&block), other.path().join(&block)).unwrap();
    }
    for promised in ["clock: added to", "scribe: added to", "stays on this machine", "tick"] {
        assert!(shown.contains(promised), "no '{promised}' in:\n{shown}");
    }
}

/// What `tests/bench/report` makes of the results that are kept.
fn report(results: &str, arguments: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/bench");
    let mut command = Command::new("python3");
    command.current_dir(&folder).arg("report").arg(results).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_figures_are_those_that_were_measured() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let table = report("results.json", &[]);
    assert!(readme.contains(&table), "the table of the README should be\n{table}");
    let plot = std::fs::read_to_string(root.join("tests/bench/results.svg")).unwrap();
    assert_eq!(
        plot,
        report("results.json", &["--plot"]),
        "run tests/bench/report results.json --plot"
    );
    let slow = report("slow.json", &["--slow"]);
    assert!(readme.contains(&slow), "the table of the slow lines should be\n{slow}");
    let plot = std::fs::read_to_string(root.join("tests/bench/slow.svg")).unwrap();
    assert_eq!(plot, report("slow.json", &["--slow", "--plot"]), "run it with --slow --plot");
}

/// An option as a row of a table, behind the column of its type.
fn row(spec: &OptionSpec) -> String {
    let default = match &spec.presence {
        Presence::Required => "required".to_owned(),
        Presence::Optional => "none".to_owned(),
        Presence::Default(OptionValue::Text(text)) if text.is_empty() => "empty".to_owned(),
        Presence::Default(value @ (OptionValue::Text(_) | OptionValue::Path(_))) => {
            format!("`{value}`")
        }
        Presence::Default(value) => value.to_string(),
    };
    format!("| `{}` | {default} | {} |\n", spec.name, spec.description)
}

fn options(specs: &[OptionSpec]) -> String {
    format!("| option | default | |\n|---|---|---|\n{}", specs.iter().map(row).collect::<String>())
}

/// The options of every Role or Transport, and those of each type.
fn types_and_options(what: &str, every: &[OptionSpec], schemas: &[Schema]) -> String {
    let mut table = format!("| {what} | option | default | |\n|---|---|---|---|\n");
    for (index, spec) in every.iter().enumerate() {
        let name = if index == 0 { format!("any {what} ") } else { String::new() };
        table += &format!("| {name}{}", row(spec));
    }
    for schema in schemas {
        table += &format!("| `{}` | | | {} |\n", schema.name, schema.summary());
        table.extend(schema.options.iter().map(|spec| format!("| {}", row(spec))));
    }
    table
}

#[test]
fn the_options_are_as_they_are_described() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let mut readme = std::fs::read_to_string(&file).unwrap();
    let types = types::built_in();
    let wanted = [
        options(tables::root()),
        options(tables::node()),
        types_and_options("Role", tables::every_role(), &types.roles),
        types_and_options("Transport", tables::every_transport(), &types.transports),
    ];
    // In a chapter of their own, as no built-in type has them.
    let of_programs = options(tables::every_program());
    assert!(readme.contains(&of_programs), "of Roles that are programs: {of_programs}");
    let (_, chapter) = readme.split_once("\n## The configuration\n").unwrap();
    let (chapter, _) = chapter.split_once("\n## ").unwrap();
    let paragraphs = chapter.split("\n\n").filter(|paragraph| paragraph.starts_with('|'));
    let there: Vec<_> = paragraphs.map(|table| format!("{}\n", table.trim_end())).collect();
    assert_eq!(there.len(), wanted.len(), "tables in the chapter");
    let mut differences = String::new();
    for (there, wanted) in there.iter().zip(&wanted) {
        let only_in = |one: &str, other: &str, sign: char| -> String {
            let lines = one.lines().filter(|line| other.lines().all(|known| known != *line));
            lines.map(|line| format!("{sign}{line}\n")).collect()
        };
        if there != wanted {
            differences += &only_in(there, wanted, '-');
            differences += &only_in(wanted, there, '+');
            readme = readme.replace(there, wanted);
        }
    }
    if std::env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always") {
        std::fs::write(&file, &readme).unwrap();
        return;
    }
    let same = there.iter().eq(&wanted);
    assert!(
        same,
        "the tables of options differ, `make snapshots` writes them anew:\n{differences}"
    );
}
