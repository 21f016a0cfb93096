//! The hidden mode `kozo guard`: ends what is left of programs when their Node has been killed.
//!
//! A Node that stops leaves nothing behind, and systemd ends all that is in the control group of a service. A Node that was
//! started by hand and is killed can end nothing: its programs get a signal ([`super::launch`]), but what they have started
//! does not. So such a Node starts a guard with its first program, and tells it through a pipe which programs run. When the pipe
//! is closed, the Node has gone. Then the guard ends each process that is in the session of a program, says in its
//! environment that it comes from one, or descends from such a process; and itself.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, BufRead, Write as _};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, setsid};

use super::orphans::{self, Run};
use super::{launch, launcher, usage};

/// How often it is looked for processes that were forked during the look before.
const LOOKS: usize = 100;

/// The Node's side of its guard.
pub(super) struct Guard {
    child: Child,
    pipe: ChildStdin,
    /// The program that has the mode `guard`.
    kozo: OsString,
}

/// Whether nothing else ends what this process leaves behind: it is not the main process of a service of systemd.
pub(super) fn is_needed() -> bool {
    let main = std::env::var("SYSTEMD_EXEC_PID").ok();
    main.and_then(|pid| pid.parse().ok()) != Some(std::process::id())
}

impl Guard {
    /// Starts the guard of this process. It has nothing of the Node but its own end of the pipe.
    pub(super) fn start(kozo: &OsStr) -> io::Result<Guard> {
        let mut command = Command::new(kozo);
        command
            .args(["guard", &launcher::runs_of(std::process::id())])
            .env_clear()
            .current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let pipe = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        // One that hangs must not hold up the Node.
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Guard { child, pipe, kozo: kozo.to_owned() })
    }

    /// Tells it that this program runs, or does not any more.
    pub(super) fn tell(&mut self, pid: u32, runs: bool) -> io::Result<()> {
        let sign = if runs { '+' } else { '-' };
        self.pipe.write_all(format!("{sign}{pid}\n").as_bytes())
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The program that it was started as.
    pub(super) fn kozo(&self) -> &OsStr {
        &self.kozo
    }

    /// Lets it end what is left, and then itself.
    pub(super) fn dismiss(self) -> Child {
        self.child
    }

    /// Ends it at once.
    pub(super) fn kill(mut self) -> Child {
        // It may have ended already.
        let _ = self.child.kill();
        self.child
    }
}

/// Waits until the Node has gone, and ends what is left of its programs: those of runs that begin like this.
pub fn run(runs: &str) -> ExitCode {
    // It has to outlive the Node, whatever that gets: a Ctrl-C, a terminal that is closed. SIGKILL it gets all the same.
    let _ = SigSet::all().thread_block();
    let _ = setsid();
    launch::close_what_is_open();
    let left = listen(io::stdin().lock());
    let comes_from_one = |process: &Process| {
        left.contains(&process.session)
            || matches!(orphans::run_of(process.pid), Run::Named(run) if run.starts_with(runs))
    };
    end(comes_from_one);
    ExitCode::SUCCESS
}

/// The programs that ran when the Node said its last.
fn listen(pipe: impl BufRead) -> HashSet<u32> {
    let mut running = HashSet::new();
    for line in pipe.lines().map_while(Result::ok) {
        match (line.get(..1), line.get(1..).and_then(|pid| pid.parse().ok())) {
            (Some("+"), Some(pid)) => running.insert(pid),
            (Some("-"), Some(pid)) => running.remove(&pid),
            _ => false,
        };
    }
    running
}

/// Ends all processes of which this is so, and what descends from them.
fn end(is_one: impl Fn(&Process) -> bool) {
    let mut ended = HashSet::new();
    for _ in 0..LOOKS {
        // Who is stopped forks no more, and keeps its children: so none gets away while the others are killed.
        let mut stopped = HashSet::new();
        for _ in 0..LOOKS {
            let all = processes();
            let found = with_descendants(&all, all.iter().filter(|process| is_one(process)));
            let new = |pid: &u32| !ended.contains(pid) && !stopped.contains(pid);
            let new: Vec<_> = found.into_iter().filter(new).collect();
            if new.is_empty() {
                break;
            }
            new.iter().for_each(|pid| signal(*pid, Signal::SIGSTOP));
            stopped.extend(new);
        }
        if stopped.is_empty() {
            return;
        }
        stopped.iter().for_each(|pid| signal(*pid, Signal::SIGKILL));
        ended.extend(stopped);
    }
}

/// Who has gone by itself is as good as ended.
fn signal(pid: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
}

/// A process, as `/proc` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: u32,
    parent: u32,
    session: u32,
}

/// All processes but this one.
fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != std::process::id()).filter_map(process).collect()
}

fn process(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut numbers = usage::fields(&stat)?.skip(1).map(str::parse);
    let mut next = || numbers.next()?.ok();
    let (parent, _group, session) = (next()?, next()?, next()?);
    Some(Process { pid, parent, session })
}

/// These, and what descends from them.
fn with_descendants<'p>(all: &[Process], some: impl Iterator<Item = &'p Process>) -> HashSet<u32> {
    let mut found: HashSet<u32> = some.map(|process| process.pid).collect();
    loop {
        let before = found.len();
        let children: Vec<_> =
            all.iter().filter(|process| found.contains(&process.parent)).collect();
        found.extend(children.iter().map(|process| process.pid));
        if found.len() == before {
            return found;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_last_is_known() {
        let said = "+7\n+8\n-7\n+9\nnonsense\n\n+x\n-10\n+1";
        assert_eq!(listen(said.as_bytes()), HashSet::from([8, 9, 1]));
    }

    #[test]
    fn descendants_are_found_in_any_order() {
        let all = [(5, 4), (4, 3), (3, 2), (6, 1), (2, 1)].map(|(pid, parent)| Process {
            pid,
            parent,
            session: 0,
        });
        let of_three = all.iter().filter(|process| process.pid == 3);
        assert_eq!(with_descendants(&all, of_three), HashSet::from([3, 4, 5]));
        assert!(with_descendants(&all, [].iter()).is_empty());
    }

    #[test]
    fn this_process_is_as_the_system_says() {
        let own = process(std::process::id());
        let parent = nix::unistd::getppid().as_raw().cast_unsigned();
        let session = nix::unistd::getsid(None).map(|pid| pid.as_raw().cast_unsigned());
        assert_eq!(own.map(|own| (own.parent, Ok(own.session))), Some((parent, session)));
    }
}
