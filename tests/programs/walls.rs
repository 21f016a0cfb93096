//! Programs of Roles that try what they are not to do, in a real Node: it goes on, and nothing of them is left.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::support::{Program, SystemFolder, kozo, until};

/// A Node with a Role that runs this script once, whose lines another Role prints.
fn start(node: &str, script: &str) -> (SystemFolder, Program) {
    let system = SystemFolder::new("");
    let path = system.path().join("script");
    fs::write(&path, script).unwrap();
    let run = format!("run: [/bin/sh, {}]", path.display());
    let roles = format!(
        "walled: {{type: exec, every: 1h, {run}, send: {{kind: log, type: log}}}}, \
         logger: {{file: /dev/null}}"
    );
    let system = system.node(node, &roles).write();
    let program = system.start(node);
    (system, program)
}

/// Whether a process of this number does something.
fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

/// The processes that a script has named: `name PID`.
fn pid(program: &Program, name: &str) -> String {
    let line = program.printed.wait_for(&format!("{name} ")).text;
    line.rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn a_program_gets_at_nothing_of_its_node() {
    // Its parent is the Node. Both clients are tried: the program itself, and one that has left its line.
    let script = format!(
        "node=$PPID; cd \"$(dirname \"$0\")\"
        try() {{ name=$1; shift; if \"$@\" > /dev/null 2>&1; then echo \"$name done\"; else echo \"$name refused\"; fi; }}
        try key cat wall.key; try storage ls wall-storage/other; try memory sh -c \": < /proc/$node/mem\"
        try files ls /proc/$node/root/; try signal kill -0 $node
        ask() {{ timeout 10 '{}' --reload wall; }}
        try reload ask
        (setsid sh -c 'sleep 0.1; timeout 10 \"$0\" --reload wall; echo $? > '\"$STATE_DIRECTORY\"/answer '{}' > /dev/null 2>&1 &)
        while [ ! -s \"$STATE_DIRECTORY/answer\" ]; do sleep 0.05; done
        echo \"answer $(cat \"$STATE_DIRECTORY/answer\")\"; echo over",
        super::support::KOZO, super::support::KOZO,
    );
    let (system, mut node) = start("wall", &script);
    fs::write(system.storage("wall").join("other"), "secret").unwrap();
    node.printed.wait_for("over");
    let printed = node.printed.text();
    let done: Vec<_> = printed.lines().filter(|line| line.ends_with(" done")).collect();
    // A folder can be listed; what is in it cannot be read.
    let may = ["storage"];
    assert!(done.iter().all(|line| may.iter().any(|name| line.contains(name))), "{printed}");
    for name in ["key", "memory", "files", "signal", "reload"] {
        assert!(printed.contains(&format!("{name} refused")), "{name}: {printed}");
    }
    assert!(!printed.contains("answer 0"), "{printed}");
    node.log.wait_for("a program of a node was turned away from the control socket");
    // Who is none of its programs is served as ever.
    assert!(kozo(["--reload", "wall"]).status().unwrap().success());
    assert!(node.stop(Signal::SIGTERM).0.success());
}

#[test]
fn what_a_program_has_started_ends_with_the_node() {
    let script = "trap '' TERM; sleep 600 & echo \"child $!\"
        (setsid sh -c 'setsid sleep 601 & echo \"orphan $!\"' &)
        echo \"leader $$\"; while :; do sleep 1; done";
    let (_system, mut node) = start("hanging", script);
    let pids = ["child", "orphan", "leader"].map(|name| pid(&node, name));
    assert!(pids.iter().all(|pid| lives(pid)), "{pids:?}");
    let (status, took) = node.stop(Signal::SIGTERM);
    assert!(status.success() && took < Duration::from_secs(4), "{status} after {took:?}");
    // The last of them got their signal before the Node ended.
    until("gone", || pids.iter().all(|pid| !lives(pid)).then_some(()));
}

#[test]
fn a_program_does_not_outlive_a_node_that_is_killed() {
    let (_system, mut node) = start("killed", "echo \"leader $$\"; exec sleep 600");
    let leader = pid(&node, "leader");
    node.kill();
    until("gone", || (!lives(&leader)).then_some(()));
}

#[test]
fn a_fork_bomb_is_bounded_and_the_node_goes_on() {
    // Root's processes are not counted, so this needs another user, who is left alone by everybody else.
    let script = "(while :; do sleep 600 & done) 2> /dev/null; exec sleep 601";
    let user = 54_321;
    if !nix::unistd::geteuid().is_root() {
        return super::support::skipped("a fork bomb of another user");
    }
    let system = SystemFolder::new("");
    let path = system.path().join("script");
    fs::write(&path, script).unwrap();
    let roles = format!(
        "walled: {{type: exec, every: 1h, run: [/bin/sh, {}]}}, timer: {{tick: 0.1}}, logger: {{file: /dev/null}}",
        path.display()
    );
    let system = system.node("bombed", &roles).write();
    let owned = Command::new("chown").args(["-R", &format!("{user}")]).arg(system.path()).status();
    assert!(owned.unwrap().success());
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={user}"), "--clear-groups", "--", super::support::KOZO]);
    command.env_remove("KOZO_LOG").env("HOME", system.path()).arg(system.config()).arg("bombed");
    let mut node = Program::start("bombed", &mut command);
    node.printed.wait_for("Tick");
    let count = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let is_theirs = |status: String| status.contains(&format!("Uid:\t{user}\t"));
        processes
            .filter(|entry| fs::read_to_string(entry.path().join("status")).is_ok_and(is_theirs))
            .count()
    };
    let deadline = Instant::now() + Duration::from_secs(3);
    let mut most = 0;
    while Instant::now() < deadline {
        most = most.max(count());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!((400..700).contains(&most), "{most}");
    let ticks = node.printed.count("Tick");
    until("ticking", || (node.printed.count("Tick") > ticks + 3).then_some(()));
    assert!(node.stop(Signal::SIGTERM).0.success());
    until("gone", || (count() == 0).then_some(()));
}
