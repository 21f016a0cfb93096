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
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output.stderr), "ssh: no route\n");
    // A name cannot be an option of ssh.
    let output = run("kozoctl --host=-oProxyCommand=x status; head -1 arguments");
    assert!(text(&output.stdout).starts_with("--\n"));
}
