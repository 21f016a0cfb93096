//! How programs end, and that nothing of them is left.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use kozo::process::{Exit, Launch, orphans, usage};
use tokio::time::Instant;

use super::support::{Place, first_line, lives, run, until};

#[tokio::test]
async fn how_a_program_ended_is_told() {
    let place = Place::new();
    for (script, words) in [
        ("exit 3", "exited with code 3"),
        ("kill -SEGV $$", "was killed by SIGSEGV"),
        ("true", "exited with code 0"),
    ] {
        assert_eq!(place.run(script).await.1.to_string(), words);
    }
    let mut process = place.shell("echo one >&2; printf '\\033[1mtwo' >&2; exit 1");
    assert_eq!(process.wait().await, Exit::Code(1));
    assert_eq!(process.wait().await, Exit::Code(1), "it stays so");
    assert_eq!(process.last_line(), "\\x1b[1mtwo");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let launch = Launch { program: "/not/there".into(), ..Launch::default() };
    let mut process = Place::new().launcher().start(&launch, Stdio::null(), Stdio::null()).unwrap();
    assert_eq!(process.wait().await.to_string(), "could not be started");
    let line = process.last_line();
    assert!(line.starts_with("/not/there cannot be run: No such file or directory"), "{line}");
}

#[tokio::test]
async fn who_ignores_it_all_is_killed_with_its_children() {
    let place = Place::new();
    let mut process = place.shell("trap '' TERM; sleep 600 & echo $!; while :; do wait; done");
    let child: u32 = first_line(&mut process).await.parse().unwrap();
    let asked = Instant::now();
    assert_eq!(process.stop().await.to_string(), "was killed by SIGKILL");
    let took = asked.elapsed();
    assert!((Duration::from_millis(1500)..Duration::from_secs(3)).contains(&took), "{took:?}");
    until("gone", || !lives(child)).await;
}

#[tokio::test]
async fn who_ends_in_time_is_left_in_peace() {
    let place = Place::new();
    let mut process =
        place.shell("trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.01; done");
    assert_eq!(first_line(&mut process).await, "up");
    assert_eq!(process.terminate().await, Exit::Code(5));
    let mut process = place.shell("exit 6");
    assert_eq!(process.stop().await, Exit::Code(6));
}

#[tokio::test]
async fn what_stays_in_the_group_ends_with_its_leader() {
    let place = Place::new();
    let mut process = place.shell("sleep 600 & echo $!");
    let child: u32 = first_line(&mut process).await.parse().unwrap();
    process.wait().await;
    until("gone", || !lives(child)).await;
}

#[tokio::test]
async fn a_program_that_is_dropped_is_killed() {
    let place = Place::new();
    let mut process = place.shell("sleep 600 & echo $!; wait");
    let (leader, child) = (process.pid(), first_line(&mut process).await.parse().unwrap());
    assert!(lives(leader) && lives(child));
    drop(process);
    until("gone", || !lives(leader) && !lives(child)).await;
}

#[tokio::test]
async fn usage_is_that_of_the_program() {
    let mut process = Place::new()
        .shell("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo done; sleep 600");
    assert_eq!(first_line(&mut process).await, "done");
    let used = process.usage().unwrap();
    assert!(used.memory > 100_000 && used.cpu_time > 0, "{used:?}");
    // Between two looks the shell may still start its `sleep`: what it holds settles.
    until("both tell the same", || usage(process.pid()) == process.usage()).await;
    process.terminate().await;
    assert_eq!(process.usage(), None);
}

/// Who leaves its group and its parent is found all the same. In a process of its own, as nextest has it: all
/// children of this process are taken for programs.
#[tokio::test]
async fn who_forks_twice_ends_with_its_program() {
    orphans::adopt().unwrap();
    orphans::attend().unwrap();
    let place = Place::new();
    // Both are adopted while the program runs; the second one hides where it comes from.
    let script = "setsid sh -c 'setsid sleep 600 & echo $!' & wait; \
                  setsid sh -c 'exec env -i setsid sh -c \"sleep 601 & echo \\$!; exec sleep 602\" &' ; \
                  exec sleep 603";
    let mut process = place.shell(script);
    let known: u32 = first_line(&mut process).await.parse().unwrap();
    let hidden: u32 = first_line(&mut process).await.parse().unwrap();
    // Another program comes and goes, and the orphans are looked at.
    place.run("true").await;
    until("gone", || !lives(hidden)).await;
    assert!(lives(known), "its program still runs");
    process.terminate().await;
    until("gone", || !lives(known)).await;
    orphans::end_all().await;
    let children = fs::read_to_string("/proc/thread-self/children").unwrap();
    assert_eq!(children.trim(), "", "none is left, not even a zombie");
}

/// In a process of its own, like the test above.
#[tokio::test]
async fn a_guard_that_was_killed_is_replaced() {
    let place = Place::new();
    let mut first = place.shell("sleep 600 & echo $!; wait");
    first_line(&mut first).await;
    let children = || {
        let children = fs::read_to_string("/proc/thread-self/children").unwrap();
        children.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<u32>>()
    };
    let guards = |but: u32| {
        let is_guard = |pid: &u32| *pid != but && *pid != first.pid() && lives(*pid);
        children().into_iter().filter(is_guard).collect::<Vec<u32>>()
    };
    let guard = guards(0)[0];
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(guard.cast_signed()),
        nix::sys::signal::SIGKILL,
    )
    .unwrap();
    until("killed", || !lives(guard)).await;
    place.run("true").await;
    let other = guards(guard);
    assert_eq!(other.len(), 1, "{other:?}");
    drop(first);
    orphans::end_all().await;
    assert_eq!(children(), Vec::<u32>::new());
}

#[tokio::test]
async fn a_thousand_runs_leave_nothing() {
    let place = Place::new();
    let launcher = place.launcher();
    let launch = Launch { program: "/bin/true".into(), ..Launch::default() };
    let files = || fs::read_dir("/proc/self/fd").unwrap().count();
    let start = || launcher.start(&launch, Stdio::piped(), Stdio::piped()).unwrap();
    run(start()).await;
    let before = files();
    let started = Instant::now();
    for number in 0..1000 {
        let process = start();
        // Every tenth is dropped before it has ended.
        if number % 10 > 0 {
            assert!(run(process).await.1.is_success());
        }
    }
    eprintln!("{:?} a run", started.elapsed() / 1000);
    assert_eq!(files(), before);
    let children = || fs::read_to_string("/proc/thread-self/children").unwrap();
    until("reaped", || {
        drop(start());
        // The last one that was dropped, and the guard.
        children().split_whitespace().count() <= 2
    })
    .await;
}
