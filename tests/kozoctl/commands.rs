//! Every command that there is, for the tests that hold for all of them.

use std::collections::BTreeSet;
use std::process::Output;

use serde_json::Value;

use crate::kit::{System, Workspace, both, text};

/// What asks a Node, as it is written behind `kozoctl -n attic`: each ends by itself and works on a System
/// that runs, in this order, however often.
pub(crate) const OF_A_NODE: &[&str] = &[
    "",
    "status",
    "roles",
    "role timer1",
    "role timer1 stop",
    "role timer1 start",
    "role timer1 restart",
    "peers",
    "peer cellar",
    "peer cellar disconnect",
    "peer cellar connect",
    "wait peer=cellar role=timer1",
    "ping cellar",
    "bench cellar --time 100ms",
    "inject log log 1",
    "monitor --count 1",
    "reload",
    "attach --name NEW",
    "role try /bin/true --name NEW",
];

/// What needs none; `NEW` is a name that is not there.
pub(crate) const OF_NO_NODE: &[&str] = &[
    "config check kozo.yml",
    "config show kozo.yml",
    "config new NEW --address 127.0.0.1 --file NEW.yml",
    "config add-peer kozo.yml --file kozo.yml",
    "keygen NEW",
    "types",
    "role new NEW",
    "completion bash",
    "completion zsh",
    "completion fish",
];

/// All of them as a shell takes them, with and without `--json`. `NEW` stays in those of [`OF_NO_NODE`].
pub(crate) fn lines() -> Vec<String> {
    let of_a_node = OF_A_NODE.iter().map(|command| format!("-n attic {command}"));
    let of_no_node = OF_NO_NODE.iter().map(|command| (*command).to_owned());
    let plain: Vec<_> = of_a_node.chain(of_no_node).collect();
    plain.iter().flat_map(|line| [line.clone(), format!("{line} --json")]).collect()
}

/// The command with a name that was not there before in the place of `NEW`.
pub(crate) fn anew(line: &str, number: usize) -> String {
    line.replace("NEW", &format!("new-{number}"))
}

/// The names of all commands that `--help` lists, those of several words too.
pub(crate) fn named_by_help(workspace: &Workspace) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut groups = vec![String::new()];
    while let Some(group) = groups.pop() {
        let arguments: Vec<_> = group.split_whitespace().chain(["-h"]).collect();
        let help = workspace.answer(&arguments);
        let Some(below) = help.split("\nCommands:\n").nth(1) else {
            names.insert(group);
            continue;
        };
        let below = below.lines().take_while(|line| !line.is_empty());
        let below = below.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        let below = below.filter(|name| !name.is_empty() && *name != "help");
        groups.extend(below.map(|name| format!("{group} {name}").trim().to_owned()));
    }
    names
}

/// Whether something was said to be wrong; advice may come on standard error too.
pub(crate) fn complains(output: &Output) -> bool {
    let said = text(&output.stderr);
    said.contains("kozoctl: ") || said.contains("panicked")
}

#[test]
fn none_is_forgotten() {
    let workspace = Workspace::new();
    let tested = |name: &String| {
        let mut commands = OF_A_NODE.iter().chain(OF_NO_NODE);
        commands.any(|command| *command == name || command.starts_with(&format!("{name} ")))
    };
    let names = named_by_help(&workspace);
    assert!(names.len() >= 14, "{names:?}");
    let forgotten: Vec<_> = names.iter().filter(|name| !tested(name)).collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}

#[test]
fn each_works_and_answers_in_json_too() {
    let system = System::running();
    for (number, line) in lines().iter().enumerate() {
        let line = anew(line, number);
        let output = system.workspace.bash(&format!("kozoctl {line}"));
        assert_eq!(output.status.code(), Some(0), "{line}: {}", both(&output));
        assert!(!complains(&output), "{line}: {}", both(&output));
        // A script for a shell is no value, and what a program of one's own says is that program's.
        let is_other = line.starts_with("completion") || line.contains("role try");
        if line.ends_with("--json") && !is_other {
            let answer = serde_json::from_slice::<Value>(&output.stdout);
            assert!(answer.is_ok_and(|value| !value.is_null()), "{line}: {}", both(&output));
        }
    }
}
