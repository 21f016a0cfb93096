//! What descends from programs and has outlived them.
//!
//! A process whose parent ends becomes the Node's own child, as the Node is a *child subreaper*: so it stays a
//! descendant of the Node, however often it forks, and cannot pass for someone else's. It may live as long as the run of
//! the program that it comes from, which its environment says. When that is over, or it does not say, it is
//! killed.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::registry::{self, Registry};
use super::{environment, usage};

/// Whether orphans come to this process.
static ADOPTS: AtomicBool = AtomicBool::new(false);

/// How long the last orphans have to go when the Node ends.
const END: Duration = Duration::from_millis(500);

/// When one is looked at again that is just becoming another program.
const SOON: Duration = Duration::from_millis(5);

/// Makes this process the parent of all orphans among its descendants. All children that it gets from now on must be
/// programs of [`super::Launcher`].
///
/// # Errors
/// When the system refuses.
pub fn adopt() -> io::Result<()> {
    prctl::set_child_subreaper(true)?;
    // A shell that became the Node may have had children before.
    registry::with(|registry| registry.leave_alone(children()));
    ADOPTS.store(true, Ordering::Relaxed);
    Ok(())
}

/// Looks after the orphans that come. Takes a runtime.
///
/// # Errors
/// When the system refuses.
pub fn attend() -> io::Result<()> {
    let mut ended = signal(SignalKind::child())?;
    tokio::spawn(async move {
        loop {
            // The first time for those that came before.
            let is_sure = end();
            tokio::select! {
                ended = ended.recv() => if ended.is_none() { return },
                () = sleep(SOON), if !is_sure => {}
            }
        }
    });
    Ok(())
}

/// Ends the orphans whose run is over, and forgets those that have ended. False if some could not be told yet: they are to
/// be looked at again.
pub(super) fn end() -> bool {
    registry::with(|registry| {
        registry.reap_killed();
        if !ADOPTS.load(Ordering::Relaxed) {
            return true;
        }
        let orphans = orphans(registry).into_iter();
        let unsure: Vec<_> = orphans.filter(|pid| !end_orphan(registry, *pid)).collect();
        registry.note_unsure(&unsure);
        unsure.is_empty()
    })
}

/// The children of this process that nothing here waits for.
fn orphans(registry: &Registry) -> Vec<u32> {
    children().into_iter().filter(|pid| !registry.knows(*pid)).collect()
}

/// Waits until no program and no orphan is left, but not for long; then until the guard has gone.
pub async fn end_all() {
    until_over().await;
    registry::with(Registry::dismiss_guard);
    until_over().await;
    registry::with(Registry::kill_rest);
}

async fn until_over() {
    let deadline = Instant::now() + END;
    let is_over = || registry::with(|registry| registry.is_empty() && orphans(registry).is_empty());
    while !is_over() && Instant::now() < deadline {
        end();
        sleep(Duration::from_millis(5)).await;
    }
}

/// Ends an orphan whose run is over. False if that cannot be told yet.
fn end_orphan(registry: &Registry, pid: u32) -> bool {
    let process = Pid::from_raw(pid.cast_signed());
    if !matches!(waitpid(process, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive)) {
        return true;
    }
    let is_over = match run_of(pid) {
        Run::Named(run) => !registry.runs(&run),
        // The first process of a container is given others' orphans too.
        Run::Unnamed => std::process::id() != 1,
        Run::NotYet if !registry.is_long_unsure(pid) => return false,
        Run::NotYet => true,
    };
    if is_over {
        // It is our child and not waited for, so the number is still its own.
        let _ = kill(process, Signal::SIGKILL);
    }
    true
}

/// The run that a process says it belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// This one.
    Named(String),
    /// None.
    Unnamed,
    /// It is just becoming another program, and says nothing. Who says nothing for long hides.
    NotYet,
}

/// The run that a process says it belongs to.
pub(super) fn run_of(pid: u32) -> Run {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    // What becomes another program meanwhile shows nothing, or only what was read until then.
    if environment_size(pid) != Some(environment.len()) {
        return Run::NotYet;
    }
    let prefix = format!("{}=", environment::RUN);
    let mut variables = environment.split(|byte| *byte == 0);
    let run = variables.find_map(|variable| variable.strip_prefix(prefix.as_bytes()));
    run.and_then(|run| String::from_utf8(run.to_vec()).ok()).map_or(Run::Unnamed, Run::Named)
}

/// Bytes of the environment that a process was started with; none while it is just becoming another program.
fn environment_size(pid: u32) -> Option<usize> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // `startcode`, `env_start` and `env_end` of proc_pid_stat(5), fields 26, 50 and 51; the first of these is field 3. The
    // kernel sets `startcode` last: before that the environment of the next program seems to end where it begins.
    let mut fields = usage::fields(&stat)?.skip(26 - 3).map(str::parse::<usize>);
    let code = fields.next()?.ok()?;
    let (start, end) = (fields.nth(50 - 27)?.ok()?, fields.next()?.ok()?);
    end.checked_sub(start).filter(|_| code != 0 && end != 0)
}

/// The children of this process.
fn children() -> Vec<u32> {
    listed_children().unwrap_or_else(searched_children)
}

/// As the kernel lists them, if it does.
fn listed_children() -> Option<Vec<u32>> {
    let mut children = Vec::new();
    for thread in fs::read_dir("/proc/self/task").ok()? {
        let listed = match fs::read_to_string(thread.ok()?.path().join("children")) {
            Ok(listed) => listed,
            // The thread may have ended; but a kernel that has no such file has it for none.
            Err(_) if !fs::exists("/proc/thread-self/children").unwrap_or(false) => return None,
            Err(_) => continue,
        };
        children.extend(listed.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    Some(children)
}

/// As they are found among all processes.
fn searched_children() -> Vec<u32> {
    let own = std::process::id();
    let is_child = |pid: &u32| parent(*pid) == Some(own);
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_child).collect()
}

/// The parent of a process.
pub(super) fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    usage::fields(&stat)?.nth(1)?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_process_says_its_run() {
        let run = |variable: Option<&str>| {
            let mut command = std::process::Command::new("sleep");
            command.arg("60").env_clear();
            variable.map(|run| command.env(environment::RUN, run));
            let mut child = command.spawn().unwrap();
            let deadline = std::time::Instant::now() + Duration::from_secs(30);
            let mut run = Run::NotYet;
            while run == Run::NotYet && std::time::Instant::now() < deadline {
                run = run_of(child.id());
            }
            child.kill().unwrap();
            child.wait().unwrap();
            run
        };
        assert_eq!(run(Some("7.1")), Run::Named("7.1".to_owned()));
        assert_eq!(run(None), Run::Unnamed);
    }

    #[test]
    fn a_process_that_becomes_another_program_again_and_again_is_not_taken_for_one_without_a_run() {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "exec sh -c \"$0\" \"$0\"", "exec sh -c \"$0\" \"$0\""]);
        let mut child = command.env_clear().env(environment::RUN, "7.1").spawn().unwrap();
        let looks = (0..20_000).map(|_| run_of(child.id()));
        let mut named = 0;
        let unnamed = looks
            .inspect(|run| named += usize::from(matches!(run, Run::Named(_))))
            .filter(|run| *run == Run::Unnamed)
            .count();
        let goes_on = matches!(child.try_wait(), Ok(None));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(unnamed, 0);
        assert!(goes_on && named > 0, "it was there to be looked at: {named}");
    }

    #[test]
    fn both_ways_find_the_same_children() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let listed = listed_children();
        let searched = searched_children();
        assert!(searched.contains(&child.id()), "{searched:?}");
        assert!(listed.is_none_or(|listed| listed.contains(&child.id())));
        assert_eq!(parent(child.id()), Some(std::process::id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!searched_children().contains(&child.id()));
    }
}
