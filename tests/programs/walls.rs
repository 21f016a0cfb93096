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
        "while [ ! -e \"$(dirname \"$0\")/go\" ]; do sleep 0.05; done; node=$PPID; cd \"$(dirname \"$0\")\"
        try() {{ name=$1; shift; if \"$@\" > /dev/null 2>&1; then echo \"$name done\"; else echo \"$name refused\"; fi; }}
        try key cat wall.key; try storage cat wall-storage/other; try memory sh -c \": < /proc/$node/mem\"
        try files ls /proc/$node/root/; try signal kill -0 $node
        ask() {{ timeout 10 '{}' --reload wall; }}
        try reload ask
        (setsid sh -c 'sleep 0.1; timeout 10 \"$0\" --reload wall; echo $? > '\"$STATE_DIRECTORY\"/answer '{}' > /dev/null 2>&1 &)
        while [ ! -s \"$STATE_DIRECTORY/answer\" ]; do sleep 0.05; done
        echo \"answer $(cat \"$STATE_DIRECTORY/answer\")\"; echo over",
        super::support::KOZO, super::support::KOZO,
    );
    let (system, mut node) = start("wall", &script);
    let other = system.storage("wall").join("other");
    fs::write(&other, "secret").unwrap();
    fs::write(system.path().join("go"), "").unwrap();
    node.printed.wait_for("over");
    let printed = node.printed.text();
    for name in ["key", "storage", "memory", "files", "signal", "reload"] {
        assert!(printed.contains(&format!("{name} refused")), "{name}: {printed}");
    }
    assert!(!printed.contains("answer 0"), "{printed}");
    assert_eq!(fs::read_to_string(other).unwrap(), "secret");
    node.log.wait_for("refused a program that a node started at the control socket");
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

/// The guard of a Node that runs.
fn guard(node: u32) -> Option<String> {
    let wanted = format!("guard\0{node}.\0");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut names = processes.filter_map(|entry| entry.file_name().into_string().ok());
    names.find(|pid| {
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline"));
        command.is_ok_and(|command| command.ends_with(&wanted))
    })
}

/// What runs on although its program ends: a child, one that has forgotten all that its program told it, one in a
/// session of its own, and one that nothing leads to any more but what it says in its environment.
const LEFT: &str = "sleep 600 & echo \"child $!\"
    env -i sleep 601 & echo \"bare $!\"
    setsid sleep 602 & echo \"session $!\"
    (setsid sh -c 'setsid sleep 603 & echo \"orphan $!\"' &)
    echo \"leader $$\"; while :; do sleep 1; done";
const NAMES: [&str; 5] = ["child", "bare", "session", "orphan", "leader"];

#[test]
fn nothing_outlives_a_node_that_is_killed() {
    let (_system, mut node) = start("killed", LEFT);
    let pids = NAMES.map(|name| pid(&node, name));
    let guard = guard(node.id()).unwrap();
    assert!(pids.iter().all(|pid| lives(pid)), "{pids:?}");
    node.kill();
    until("gone", || pids.iter().chain([&guard]).all(|pid| !lives(pid)).then_some(()));
}

#[test]
fn a_guard_goes_with_a_node_that_ends() {
    let (_system, mut node) = start("ended", LEFT);
    let pids = NAMES.map(|name| pid(&node, name));
    let guard = guard(node.id()).unwrap();
    // What ends the Node's own group or terminal ends the guard last.
    let guard_pid = nix::unistd::Pid::from_raw(guard.parse().unwrap());
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        nix::sys::signal::kill(guard_pid, signal).unwrap();
    }
    assert!(lives(&guard));
    assert!(node.stop(Signal::SIGTERM).0.success());
    assert!(!lives(&guard), "the Node waits for it");
    until("gone", || pids.iter().all(|pid| !lives(pid)).then_some(()));
}

#[test]
fn a_service_of_systemd_has_no_guard() {
    let system = SystemFolder::new("");
    let roles = "ran: {type: exec, every: 1h, run: echo ran, send: {kind: log, type: log}}, \
                 logger: {file: /dev/null}";
    let system = system.node("served", roles).write();
    let mut command = Command::new("sh");
    command.args(["-c", "SYSTEMD_EXEC_PID=$$ exec \"$0\" \"$1\" served", super::support::KOZO]);
    command.arg(system.config()).env_remove("KOZO_LOG");
    let mut node = Program::start("served", &mut command);
    node.printed.wait_for("ran");
    assert_eq!(guard(node.id()), None);
    assert!(node.stop(Signal::SIGTERM).0.success());
}

#[test]
fn what_is_hidden_follows_the_configuration() {
    // The key of a Node that the file has only later.
    let script =
        "cd \"$(dirname \"$0\")\"; cat later.key > /dev/null 2>&1 && echo read || echo refused";
    let system = SystemFolder::new("");
    let path = system.path().join("script");
    fs::write(&path, script).unwrap();
    let run = format!("run: [/bin/sh, {}]", path.display());
    let roles = format!(
        "walled: {{type: exec, every: 0.1, {run}, send: {{kind: log, type: log}}}}, \
         logger: {{file: /dev/null}}"
    );
    fs::write(system.key("later"), "secret").unwrap();
    let system = system.node("growing", &roles).write();
    let mut node = system.start("growing");
    node.printed.wait_for("read");
    assert_eq!(node.printed.count("refused"), 0);
    let system = system.node("later", "").write();
    assert!(kozo(["--reload", "growing"]).status().unwrap().success());
    node.printed.wait_for("refused");
    assert!(node.stop(Signal::SIGTERM).0.success());
    drop(system);
}

#[test]
fn a_program_that_is_asked_what_it_is_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let script = format!(
        r#"#!/bin/sh
        if [ "$1" = --describe ]; then
            setsid sleep 604 > /dev/null 2>&1 &
            echo $! > {}
            echo '{{"format": "1.0", "author": "", "version": "1", "description": "probes", "config": {{}}}}'
            exit
        fi
        read -r start
        echo '{{"method": "ready"}}'
        cat > /dev/null"#,
        pid_file.display()
    );
    let program = folder.path().join("probe");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let system = SystemFolder::new(&format!("rolePath: {}", folder.path().display()));
    let system = system.node("curious", "probe: {}").write();
    let mut node = system.start("curious");
    node.log.wait_for("runs");
    let left = fs::read_to_string(&pid_file).unwrap().trim().to_owned();
    until("gone", || (!lives(&left)).then_some(()));
    assert!(node.stop(Signal::SIGTERM).0.success());
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
