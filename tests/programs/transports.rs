//! Transports that are programs, in real Nodes: what links run over them, and what becomes of those when the programs do
//! what they like.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::{INJECTOR, Injector, Program, SystemFolder, numbers, until};

/// The Transport in shell that is in the manual.
const SOCAT: &str = include_str!("../../packaging/examples/socat.sh");

/// One that hands over descriptors.
const RELAY: &str = include_str!("transports/relay.py");

/// What is logged of a link that has moved to the better one.
const MOVED: &str = "link moved peer=\"b\" transport=\"quick\"";

/// The manual.
const PAGE: &str = include_str!("../../packaging/man/kozo-transport.7");

/// The folder of a System's own Transports, with these in it.
fn install(system: &SystemFolder, programs: &[(&str, &str)]) {
    for (name, text) in programs {
        let path = folder(system).join(name);
        fs::create_dir_all(folder(system)).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn folder(system: &SystemFolder) -> PathBuf {
    system.path().join("transports")
}

fn start(system: &SystemFolder, node: &str) -> Program {
    let mut command = system.command(Path::new(super::support::KOZO), node);
    Program::start(node, command.env("KOZOTRANSPORTPATH", folder(system)))
}

/// A cuckoo on `b` prints the numbers that are sent from `a`.
fn pair(transports: [&str; 2], programs: &[(&str, &str)]) -> SystemFolder {
    let system = SystemFolder::new("heartbeat: 1\nconnectionRetry: 1s")
        .node("a", INJECTOR)
        .over(transports[0])
        .node("b", "cuckoo: {log: false}")
        .over(transports[1])
        .write();
    install(&system, programs);
    system
}

/// The children of a process that run this program.
fn processes(parent: u32, name: &str) -> Vec<Pid> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    let children = children.unwrap_or_default();
    let pids = children.split_whitespace().map(|pid| pid.parse().unwrap());
    let runs = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|words| words.contains(name))
    };
    pids.filter(runs).map(Pid::from_raw).collect()
}

#[test]
fn the_transport_in_shell_carries_a_link() {
    let transports = ["socat: {host: ADDRESS}", "socat: {host: ADDRESS, port: 6022}"];
    let system = pair(transports, &[("socat", SOCAT)]);
    let (a, b) = (start(&system, "a"), start(&system, "b"));
    let up = a.log.wait_for("link up");
    assert!(up.text.contains("transport=\"socat\""), "{}", up.text);
    let mut injector = Injector::connect(&system, "a");
    (0..100).for_each(|number| drop(injector.number(number)));
    until("all came", || (numbers(&b.printed) == (0..100).collect::<Vec<_>>()).then_some(()));
    // A program that no longer listens does not pretend to.
    let child =
        |parent, name| processes(parent, name).first().map(|pid| pid.as_raw().cast_unsigned());
    let listener = until("it listens", || child(child(child(a.id(), "jq")?, "")?, "TCP-LISTEN"));
    kill(Pid::from_raw(listener.cast_signed()), Signal::SIGKILL).unwrap();
    a.log.wait_for("was killed by SIGTERM");
}

#[test]
fn the_manual_shows_that_program() {
    let (_, shown) = PAGE.split_once("\n.EX\n").unwrap();
    let (shown, _) = shown.split_once("\n.EE\n").unwrap();
    assert_eq!(shown.replace("\\-", "-").replace("\\e", "\\"), SOCAT.trim_end());
}

#[test]
fn a_link_moves_to_the_better_transport_and_outlives_the_programs_of_both() {
    let gate = tempfile::tempdir().unwrap();
    let open = gate.path().join("gate");
    let of = |port| {
        format!(
            "relay: {{host: ADDRESS, port: {port}}}, quick: {{host: ADDRESS, port: {}, gate: {}}}",
            port + 1,
            open.display()
        )
    };
    let system = pair([&of(7021), &of(7031)], &[("relay", RELAY), ("quick", RELAY)]);
    let (a, b) = (start(&system, "a"), start(&system, "b"));
    let up = a.log.wait_for("link up");
    assert!(up.text.contains("transport=\"relay\""), "{}", up.text);

    let mut injector = Injector::connect(&system, "a");
    let mut number = 0;
    let mut send_until = |condition: &dyn Fn() -> bool| {
        let first = number;
        until("it has happened", || {
            injector.number(number);
            number += 1;
            thread::sleep(Duration::from_millis(2));
            (number > first + 50 && condition()).then_some(())
        });
        number
    };
    send_until(&|| true);
    fs::write(&open, "").unwrap();
    let moved = send_until(&|| a.log.text().contains(MOVED));
    until("all came", || (numbers(&b.printed) == (0..moved).collect::<Vec<_>>()).then_some(()));
    assert_eq!(a.log.count("link down"), 0, "{}", a.log.text());

    // Cut: it goes back to the worse one, and what was under way is lost, but nothing comes twice or in another order.
    fs::remove_file(&open).unwrap();
    let (lines, cut) = (a.log.len(), gate.path().join("cut"));
    fs::write(&cut, "").unwrap();
    a.log.wait_after(lines, "link down");
    let up = a.log.wait_after(lines, "link up");
    assert!(up.text.contains("transport=\"relay\""), "{}", up.text);
    fs::remove_file(&cut).unwrap();
    let before = numbers(&b.printed).len();
    let first = send_until(&|| numbers(&b.printed).len() > before + 20);
    let all = numbers(&b.printed);
    assert!(all.is_sorted_by(|one, next| one < next), "{all:?}");

    // Whichever program is killed, streams go on that it has handed over.
    fs::write(&open, "").unwrap();
    let lines = a.log.len();
    a.log.wait_after(lines, MOVED);
    for name in ["relay", "quick"] {
        let killed: Vec<_> = [&a, &b].map(|node| processes(node.id(), name)).concat();
        assert_eq!(killed.len(), 2, "{name}");
        killed.iter().for_each(|pid| kill(*pid, Signal::SIGKILL).unwrap());
        a.log.wait_after(lines, "failed: the program was killed by SIGKILL");
        send_until(&|| {
            let now = [&a, &b].map(|node| processes(node.id(), name)).concat();
            now.len() == 2 && now.iter().all(|pid| !killed.contains(pid))
        });
    }
    let sent = send_until(&|| true);
    until("all came", || {
        numbers(&b.printed).ends_with(&(first..sent).collect::<Vec<_>>()).then_some(())
    });
    assert_eq!(a.log.count("link down"), 1, "{}", a.log.text());
}
