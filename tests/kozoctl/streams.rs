//! Standard output that is closed, full, or read no further.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::commands::{self, anew, complains};
use crate::kit::{System, Workspace, both, ended, text, until};

/// Every command, and what says something without being one.
fn lines() -> Vec<String> {
    let others = ["--help", "--version", "config --help"].map(str::to_owned);
    commands::lines().into_iter().chain(others).collect()
}

#[test]
fn a_closed_output_is_no_reason_to_panic() {
    let system = System::running();
    let mut number = 0;
    for line in lines() {
        for closed in [">&-", ">&- 2>&-", "<&- >&-"] {
            number += 1;
            let script = format!("kozoctl {} {closed}", anew(&line, number));
            let output = system.workspace.bash(&script);
            assert_eq!(output.status.code(), Some(0), "{script}: {}", both(&output));
        }
    }
}

#[test]
fn a_full_disk_is_told() {
    let system = System::running();
    // One has nothing to say when all is well, another leaves that to a program of its user.
    let says_nothing = |line: &String| {
        (line.contains(" wait ") && !line.ends_with("--json")) || line.contains("role try")
    };
    for (number, line) in lines().iter().filter(|line| !says_nothing(line)).enumerate() {
        let command = anew(line, 2 * number);
        let output = system.workspace.bash(&format!("kozoctl {command} >/dev/full"));
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {told}");
        assert!(told.contains("cannot write the answer: No space left"), "{command}: {told}");
        // Nobody can be told, and so nobody is.
        let command = anew(line, 2 * number + 1);
        let output = system.workspace.bash(&format!("kozoctl {command} >/dev/full 2>&1"));
        assert_eq!(output.status.code(), Some(1), "{command}");
    }
}

#[test]
fn whoever_reads_no_further_is_left_in_peace() {
    let system = System::running();
    let endless = ["-n attic monitor", "-n attic status --watch"].map(str::to_owned);
    for (number, line) in lines().iter().chain(&endless).enumerate() {
        let command = anew(line, number);
        // The reader is gone before anything is written.
        let output =
            system.workspace.bash(&format!("exec 3> >(true); wait $!; kozoctl {command} >&3"));
        assert_eq!(output.status.code(), Some(0), "{command}: {}", both(&output));
        assert!(!complains(&output), "{command}: {}", both(&output));
    }
    let output = system.workspace.bash("kozoctl -n attic monitor --json | head -1");
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
        let mut command = system.workspace.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert!(ended(&mut child).success());
    }
}

#[test]
fn watching_shows_every_change() {
    let system = System::running();
    let arguments = ["-n", "attic", "role", "timer1", "--watch", "--json"];
    let mut child = system.workspace.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut until = |state: &str| {
        let wanted = |line: &String| {
            let role: serde_json::Value = serde_json::from_str(line).unwrap();
            role["state"] == state
        };
        assert!(lines.by_ref().map_while(Result::ok).any(|line| wanted(&line)));
    };
    until("running");
    system.workspace.answer(&["-n", "attic", "role", "timer1", "stop"]);
    until("stopped");
    system.workspace.answer(&["-n", "attic", "role", "timer1", "start"]);
    until("running");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn watching_goes_on_when_the_node_runs_again() {
    let mut system = System::running();
    let arguments = ["-n", "attic", "status", "--watch", "--json"];
    let mut child = system.workspace.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut boot = || {
        let status: serde_json::Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
        status["boot"].clone()
    };
    let before = boot();
    system.kill("attic");
    system.start("attic");
    until("the new run is shown", || boot() != before);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn help_fits_eighty_columns() {
    let workspace = Workspace::new();
    let groups = ["", "config"].map(str::to_owned);
    for command in commands::named_by_help(&workspace).into_iter().chain(groups) {
        for option in ["--help", "-h"] {
            let arguments: Vec<_> = command.split_whitespace().chain([option]).collect();
            let help = workspace.answer(&arguments);
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{arguments:?}: {line}");
            }
            assert!(help.contains("Usage: kozoctl"), "{arguments:?}");
        }
    }
}
