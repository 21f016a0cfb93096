//! Standard output that is closed, full, or read no further.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::kit::{Place, System, both, ended, text};

/// Every command, each so that it ends by itself and works.
const COMMANDS: &[&str] = &[
    "--help",
    "--version",
    "-n attic status",
    "-n attic status --json",
    "-n attic roles",
    "-n attic role timer1",
    "-n attic role timer1 restart",
    "-n attic peers",
    "-n attic peer cellar",
    "-n attic peer cellar connect",
    "-n attic inject log log 1",
    "-n attic monitor --count 1",
    "-n attic monitor --count 1 --json",
    "-n attic wait peer=cellar role=timer1 --json",
    "-n attic ping cellar",
    "-n attic reload",
    "config check kozo.yml",
    "config show kozo.yml",
    "config show kozo.yml --json",
    "completion bash",
    "completion zsh",
    "completion fish",
];

#[test]
fn a_closed_output_is_no_reason_to_panic() {
    let system = System::running();
    for command in COMMANDS {
        for script in [
            format!("kozoctl {command} >&-"),
            format!("kozoctl {command} >&- 2>&-"),
            format!("kozoctl {command} <&- >&-"),
        ] {
            let output = system.place.bash(&script);
            assert_eq!(output.status.code(), Some(0), "{script}: {}", both(&output));
        }
    }
}

#[test]
fn a_full_disk_is_told() {
    let system = System::running();
    for command in COMMANDS {
        let output = system.place.bash(&format!("kozoctl {command} >/dev/full"));
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {told}");
        assert!(told.contains("cannot write the answer: No space left"), "{command}: {told}");
        // Nobody can be told, and so nobody is.
        let output = system.place.bash(&format!("kozoctl {command} >/dev/full 2>&1"));
        assert_eq!(output.status.code(), Some(1), "{command}");
    }
}

#[test]
fn whoever_reads_no_further_is_left_in_peace() {
    let system = System::running();
    for command in COMMANDS.iter().chain(&["-n attic monitor", "-n attic status --watch"]) {
        // The reader is gone before anything is written.
        let output = system.place.bash(&format!("exec 3> >(true); wait $!; kozoctl {command} >&3"));
        assert_eq!(output.status.code(), Some(0), "{command}: {}", both(&output));
        assert_eq!(text(&output.stderr), "", "{command}");
    }
    let output = system.place.bash("kozoctl -n attic monitor --json | head -1");
    assert_eq!(text(&output.stdout).lines().count(), 1);
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_monitor_does_not_wait_for_a_message_to_see_that_nobody_reads() {
    let system = System::running();
    for arguments in [
        &["-n", "attic", "monitor", "never-sent"][..],
        // It has something to write once only, and then to watch.
        &["-n", "attic", "role", "timer1", "--watch", "--json"],
    ] {
        let mut command = system.place.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert!(ended(&mut child).success());
    }
}

#[test]
fn watching_shows_every_change() {
    let system = System::running();
    let arguments = ["-n", "attic", "role", "timer1", "--watch", "--json"];
    let mut child = system.place.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut until = |state: &str| {
        let wanted = |line: &String| {
            let role: serde_json::Value = serde_json::from_str(line).unwrap();
            role["state"] == state
        };
        assert!(lines.by_ref().map_while(Result::ok).any(|line| wanted(&line)));
    };
    until("running");
    system.place.answer(&["-n", "attic", "role", "timer1", "stop"]);
    until("stopped");
    system.place.answer(&["-n", "attic", "role", "timer1", "start"]);
    until("running");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn help_fits_eighty_columns_and_leaves_nothing_out() {
    let place = Place::new();
    let mut commands = vec![Vec::new()];
    let mut seen = 0;
    while let Some(command) = commands.pop() {
        for option in ["--help", "-h"] {
            let arguments = [&command[..], &[option.to_owned()]].concat();
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            let help = place.answer(&arguments);
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{arguments:?}: {line}");
            }
            assert!(help.contains("Usage: kozoctl"), "{arguments:?}");
            if option == "-h" {
                let below = help.split("\nCommands:\n").nth(1).unwrap_or_default();
                let below = below.lines().take_while(|line| !line.is_empty());
                let names = below.filter_map(|line| {
                    let name = line.strip_prefix("  ")?;
                    name.split_whitespace().next().filter(|_| !name.starts_with(' '))
                });
                commands.extend(names.map(|name| [&command[..], &[name.to_owned()]].concat()));
            }
        }
        seen += 1;
    }
    assert_eq!(seen, 18, "commands with help");
}
