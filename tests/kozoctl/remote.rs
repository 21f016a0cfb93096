//! `--host`: the same on another machine. There is no other machine here, so `ssh` is a shell that does
//! with its arguments as sshd does: joins them and gives them to the user's shell.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::kit::{System, Workspace, text};

/// Everything but the way there.
const SSH: &str = "#!/bin/sh
printf '%s\\n' \"$@\" > arguments
while [ \"$1\" != -- ]; do shift; done
shift
[ \"$1\" = away ] && { echo 'ssh: no route' >&2; exit 255; }
shift
exec sh -c \"$*\"
";

fn ssh(workspace: &Workspace) {
    let file = workspace.path().join("ssh");
    fs::write(&file, SSH).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_command_runs_there_as_it_was_given_here() {
    let system = System::running();
    let workspace = &system.workspace;
    ssh(workspace);
    let run = |line: &str| workspace.bash(&format!("PATH=$PWD:$PATH; {line}"));
    let output = run("kozoctl -H pi -n attic roles --json");
    let there: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(there[0]["name"], "timer1");
    let arguments = fs::read_to_string(workspace.path().join("arguments")).unwrap();
    assert_eq!(arguments, "--\npi\nkozoctl -n attic roles --json\n");
    // Exit codes, standard input and whatever a shell might take apart arrive.
    let output =
        run("echo '\"x\"' | kozoctl --host=pi -n attic inject event \"it's \\$HOME; x\" -");
    assert_eq!(output.status.code(), Some(6), "{}", text(&output.stderr));
    let output = run("kozoctl -n attic role 'no \"body\"' -Hpi");
    assert_eq!(output.status.code(), Some(5));
    assert!(text(&output.stderr).contains("no role 'no \"body\"'"));
    let output = run("kozoctl -H away status");
    assert_eq!(output.status.code(), Some(8));
    assert_eq!(text(&output.stderr), "ssh: no route\nkozoctl: ssh cannot reach away\n");
    // A name cannot be an option of ssh.
    let output = run("kozoctl --host=-oProxyCommand=x status; head -1 arguments");
    assert!(text(&output.stdout).starts_with("--\n"));
}

#[test]
fn several_hosts_take_turns_and_get_the_same_input() {
    let system = System::running();
    let workspace = &system.workspace;
    ssh(workspace);
    let run = |line: &str| workspace.bash(&format!("PATH=$PWD:$PATH; {line}"));
    let add = "kozoctl -H pi,po config add-peer - --file $PWD/new.yml <kozo.yml";
    let output = run(add);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let answers = text(&output.stdout);
    let (first, second) = answers.split_once("po:\n").unwrap();
    assert!(first.starts_with("pi:\n") && first.contains("added"), "{answers}");
    assert!(second.contains("already"), "{answers}");
    assert!(text(&output.stderr).ends_with("kozoctl: done on 2 hosts\n"));
    // One that cannot be reached does not keep the others from it; its exit code is told.
    let output = run("kozoctl -H away -H pi -n attic --json role timer1");
    assert_eq!(output.status.code(), Some(8));
    let lines: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], serde_json::json!({"host": "away", "exit": 255, "answer": null}));
    assert_eq!(lines[1]["exit"], 0);
    assert_eq!(lines[1]["answer"]["name"], "timer1");
    let told = text(&output.stderr);
    assert!(told.ends_with("kozoctl: done on 1 of 2 hosts; failed on away\n"), "{told}");
    let output = run("kozoctl -H pi,po monitor");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("takes one host only"));
}

#[test]
fn a_host_without_kozoctl_is_no_host_without_a_node() {
    let workspace = Workspace::new();
    fs::write(workspace.path().join("ssh"), "#!/bin/sh\nexec sh -c no-such-kozoctl\n").unwrap();
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(workspace.path().join("ssh"), mode).unwrap();
    let output = workspace.bash("PATH=$PWD:$PATH; kozoctl -H pi status");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("kozoctl is not installed on pi"),
        "{}",
        text(&output.stderr)
    );
}
