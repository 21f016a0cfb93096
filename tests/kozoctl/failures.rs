//! What goes wrong, what is then said, and the exit code.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nix::unistd::geteuid;

use crate::commands::OF_A_NODE;
use crate::kit::{KOZOCTL, System, Workspace, text};

/// Every command that needs a Node, as it is to be called.
fn commands() -> impl Iterator<Item = Vec<&'static str>> {
    let watching = ["status --watch", "role timer1 --watch", "monitor tick --json"];
    let lines = OF_A_NODE.iter().copied().chain(watching);
    lines.map(|line| ["-n", "attic"].into_iter().chain(line.split_whitespace()).collect())
}

#[test]
fn without_a_daemon_it_says_where_it_looked_and_what_to_run() {
    let workspace = Workspace::new();
    for command in commands() {
        let told = workspace.failure(&command, 3);
        assert!(told.starts_with("kozoctl: node 'attic' does not run here\n"), "{told}");
        assert!(told.contains("run/kozo/attic/bus: No such file"), "{told}");
        assert!(told.contains("kozo CONFIG attic\n"), "{told}");
    }
}

#[test]
fn a_dead_node_is_as_none() {
    let mut system = System::running();
    system.kill("attic");
    let told = system.workspace.failure(&["-n", "attic", "status"], 3);
    assert!(told.contains("Connection refused"), "{told}");
}

#[test]
fn what_was_probably_meant_is_named() {
    let system = System::running();
    let told = |arguments: &[&str], code| system.workspace.failure(arguments, code);
    let node = told(&["-n", "atic", "status"], 3);
    assert!(node.contains("Did you mean 'attic'?\n  Running here: "), "{node}");
    assert!(!node.contains("tried"), "where there is nothing is of no interest: {node}");
    assert!(told(&["-n", "attic", "ping", "celar"], 5).contains("Did you mean 'cellar'?"));
    assert!(told(&["-n", "attic", "role", "timer"], 5).contains("Did you mean 'timer1'?"));
    let role = told(&["-n", "attic", "wait", "role=timr1", "--timeout", "0.1s"], 7);
    assert!(role.contains("role=timr1:running (no such Role yet; there are: "), "{role}");
}

#[test]
fn several_nodes_are_listed() {
    let system = System::running();
    let told = system.workspace.failure(&["roles"], 2);
    assert!(told.contains("attic") && told.contains("cellar"), "{told}");
    assert!(told.contains("kozoctl --node "), "{told}");
}

#[test]
fn unknown_names_are_answered_with_the_known_ones() {
    let system = System::running();
    for (what, known, commands) in [
        (
            "role 'nobody'",
            "timer1",
            &[
                &["role", "nobody"][..],
                &["role", "nobody", "--watch"],
                &["role", "nobody", "start"],
                &["role", "nobody", "stop"],
                &["role", "nobody", "restart"],
            ][..],
        ),
        (
            "peer 'nobody'",
            "cellar",
            &[
                &["peer", "nobody"],
                &["peer", "nobody", "connect"],
                &["peer", "nobody", "disconnect"],
                &["ping", "nobody"],
                &["wait", "peer=nobody"],
            ],
        ),
    ] {
        for command in commands {
            let told = system.workspace.failure(&[&["-n", "attic"], *command].concat(), 5);
            assert!(told.contains(what) && told.contains(known), "{command:?}: {told}");
        }
    }
}

#[test]
fn nobody_is_interested() {
    let system = System::running();
    let inject = ["-n", "attic", "inject", "event", "nothing"];
    let output = system.workspace.run(&inject);
    assert_eq!(output.status.code(), Some(6));
    assert!(output.stdout.is_empty() && text(&output.stderr).contains("no one is interested"));
    let output = system.workspace.run(&[&inject[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(6));
    assert!(text(&output.stdout).contains("\"peers\": 0"));
}

#[test]
fn wrong_usage_is_told_without_a_node() {
    let workspace = Workspace::new();
    for (arguments, part) in [
        (&["inject", "event", "x", "[1,"][..], "the data [1, is not JSON"),
        (&["inject", "log"], "kozoctl inject log note 'The cat is out'"),
        (&["inject"], "kozoctl inject log note 'The cat is out'"),
        (&["inject", "log", "hello world"], "kozoctl inject log note 'hello world'"),
        (&["inject", "log", "hello"], "kozoctl inject log note hello"),
        (&["inject", "order", "hello world"], "kozoctl inject order note 'hello world'"),
        (&["inject", "evnt", "x"], "possible values: event"),
        (&["wait", "peer=cellar:running"], "unknown state"),
        (&["wait"], "required"),
        (&["role", "timer1", "dance"], "possible values: start"),
        (&["role", "timer1", "stop", "--watch"], "cannot be used with"),
        (&["ping", "cellar", "--count", "0"], "0 is not in"),
        (&["frobnicate"], "unrecognized subcommand"),
    ] {
        let told = workspace.failure(arguments, 2);
        assert!(told.contains(part), "{arguments:?}: {told}");
    }
}

/// Makes a call of kozoctl with these arguments.
type Kozoctl<'a> = Box<dyn Fn(&[&str]) -> Command + 'a>;

/// The program as another user runs it, who cannot get at the Node: none but root can become one.
fn stranger(system: &System) -> Kozoctl<'_> {
    let workspace = &system.workspace;
    if geteuid().is_root() {
        // A copy, since the folder where the program was built may be closed to others.
        let copy = workspace.path().join("kozoctl");
        fs::copy(KOZOCTL, &copy).unwrap();
        for folder in ["", "run", "run/kozo"] {
            fs::set_permissions(workspace.path().join(folder), fs::Permissions::from_mode(0o755))
                .unwrap();
        }
        Box::new(move |arguments| {
            let mut command = Command::new("setpriv");
            workspace.within(&mut command);
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
            command.arg(&copy).args(arguments);
            command
        })
    } else {
        let folder = workspace.path().join("run/kozo/attic");
        fs::set_permissions(folder, fs::Permissions::from_mode(0o000)).unwrap();
        Box::new(move |arguments| workspace.command(arguments))
    }
}

#[test]
fn a_stranger_may_not() {
    let system = System::running();
    let stranger = stranger(&system);
    for command in commands() {
        let output = stranger(&command).output().unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{command:?}: {told}");
        assert!(told.contains("Permission denied"), "{told}");
    }
    let folder = system.workspace.path().join("run/kozo/attic");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
}
