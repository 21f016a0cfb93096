//! A Node that has nothing to do takes little memory, and sleeps.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

use super::support::{INJECTOR, Program, SystemFolder, memory, release};

/// Memory that users were promised, for the daemon as it is installed.
const MEMORY: u64 = 12_000_000;
/// The same for a build with debug information and without all optimisation.
const MEMORY_OF_TEST_BUILD: u64 = 16_000_000;

/// How often each thread of a process went to sleep so far.
fn sleeps(process: u32) -> HashMap<OsString, u64> {
    let of_thread = |thread: fs::DirEntry| {
        // It may have ended meanwhile.
        let status = fs::read_to_string(thread.path().join("status")).ok()?;
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        Some((thread.file_name(), count?.trim().parse().unwrap()))
    };
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.filter_map(|thread| of_thread(thread.unwrap())).collect()
}

/// How often all threads together did between two looks at them.
fn slept(before: &HashMap<OsString, u64>, after: &HashMap<OsString, u64>) -> u64 {
    after.iter().map(|(thread, count)| count - before.get(thread).unwrap_or(&0)).sum()
}

#[test]
fn an_idle_node_is_small_and_sleeps() {
    const WINDOW: Duration = Duration::from_secs(10);
    // In one interval of heartbeats, for each of two Peers: a heartbeat either way and an echo to
    // each, every one of them a wake-up or two, and once the timer for it.
    const MOST: u64 = 20;
    let roles =
        format!("{INJECTOR}, logger: {{file: LOGFILE}}, debugger: {{}}, cuckoo: {{log: false}}");
    let system = SystemFolder::new("heartbeat: 10");
    let roles = roles.replace("LOGFILE", &system.path().join("log").display().to_string());
    let system = system.node("a", &roles).node("b", "").node("c", "").write();
    let (program, limit) = match release() {
        Some(program) => (program, MEMORY),
        None => {
            eprintln!(
                "there is no release build (KOZO_RELEASE): memory of the test build is measured"
            );
            (env!("CARGO_BIN_EXE_kozo").into(), MEMORY_OF_TEST_BUILD)
        }
    };
    let start = |node| Program::start(node, &mut system.command(&program, node));
    let (a, _b, _c) = (start("a"), start("b"), start("c"));
    a.log.wait_for("link up peer=\"b\"");
    a.log.wait_for("link up peer=\"c\"");

    // The first seconds have work of their own: sessions that were one too many end.
    let mut windows = Vec::new();
    while windows.len() < 3 && windows.last().is_none_or(|wakes| *wakes > MOST) {
        let before = sleeps(a.id());
        sleep(WINDOW);
        windows.push(slept(&before, &sleeps(a.id())));
    }
    let size = memory(a.id(), "VmRSS");
    eprintln!("woken {windows:?} times in {WINDOW:?}; {} kB of memory", size / 1024);
    assert!(windows.last() <= Some(&MOST), "woken {windows:?} times in {WINDOW:?}");
    assert!(size < limit, "{size} bytes of memory");
}
