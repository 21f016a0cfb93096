//! A program that runs.

use std::process::Child;
use std::sync::PoisonError;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::exit::Exit;
use super::stderr::LastLine;
use super::usage::{Usage, usage};
use super::{orphans, registry};

/// How long a program that was asked to stop has until it gets SIGTERM.
const ASKED: Duration = Duration::from_secs(1);

/// How long it has from then until it gets SIGKILL. Both together are less than a Role has to stop.
const TERMINATED: Duration = Duration::from_millis(500);

/// How long the last lines of standard error may take, when something else still has it open.
const LAST_LINES: Duration = Duration::from_millis(200);

/// A program that runs. Dropped, it is killed at once, with its whole process group.
pub struct Process {
    /// Its standard input, if it is a pipe.
    pub stdin: Option<ChildStdin>,
    /// Its standard output, if it is a pipe.
    pub stdout: Option<ChildStdout>,
    pid: Pid,
    /// Not there any more once it has been handed over to be forgotten.
    child: Option<Child>,
    /// Tells that some process has ended.
    ended: tokio::signal::unix::Signal,
    /// Reads standard error, until there is no more of it.
    stderr: Option<JoinHandle<()>>,
    last_line: LastLine,
    exit: Option<Exit>,
}

impl Process {
    pub(super) fn new(
        child: Child,
        ended: tokio::signal::unix::Signal,
        stderr: JoinHandle<()>,
        last_line: LastLine,
    ) -> Process {
        // The system gives no number that is no pid.
        let pid = Pid::from_raw(child.id().cast_signed());
        let (stdin, stdout, stderr) = (None, None, Some(stderr));
        Process { stdin, stdout, pid, child: Some(child), ended, stderr, last_line, exit: None }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// What it takes of the machine now; none once it has ended.
    pub fn usage(&self) -> Option<Usage> {
        self.exit.is_none().then(|| usage(self.pid())).flatten()
    }

    /// The last line that it wrote to standard error, as it is logged; empty if it wrote none.
    pub fn last_line(&self) -> String {
        self.last_line.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has ended. What is left of its process group is killed then. Cancel safe.
    pub async fn wait(&mut self) -> Exit {
        let exit = loop {
            if let Some(exit) = self.look() {
                break exit;
            }
            // An end between the look and this is remembered.
            self.ended.recv().await;
        };
        if let Some(stderr) = &mut self.stderr {
            if timeout(LAST_LINES, &mut *stderr).await.is_err() {
                stderr.abort();
            }
            self.stderr = None;
        }
        exit
    }

    /// Ends a program that was asked to stop: if it does not end by itself, the whole group gets SIGTERM after a
    /// second, and SIGKILL after another half. Cancel safe.
    pub async fn stop(&mut self) -> Exit {
        match timeout(ASKED, self.wait()).await {
            Ok(exit) => exit,
            Err(_) => self.terminate().await,
        }
    }

    /// Ends it: the whole group gets SIGTERM, and after half a second SIGKILL. Cancel safe.
    pub async fn terminate(&mut self) -> Exit {
        self.signal(Signal::SIGTERM);
        tokio::select! {
            exit = self.wait() => return exit,
            () = sleep(TERMINATED) => {}
        }
        self.signal(Signal::SIGKILL);
        self.wait().await
    }

    /// Sends a signal to its whole group. The group is there as long as the process has not been waited for.
    fn signal(&self, signal: Signal) {
        if self.exit.is_none() {
            signal_group(self.pid, signal);
        }
    }

    /// How it ended, if it has.
    fn look(&mut self) -> Option<Exit> {
        if self.exit.is_some() {
            return self.exit;
        }
        if !has_ended(self.pid) {
            return None;
        }
        signal_group(self.pid, Signal::SIGKILL);
        let child = self.child.take();
        let status = child.and_then(|child| registry::with(|registry| registry.reap(child)));
        self.exit = Some(status.map_or(Exit::Unknown, Exit::from));
        // What has left the group belongs to no run any more.
        orphans::end();
        self.exit
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stderr.iter().for_each(JoinHandle::abort);
        self.signal(Signal::SIGKILL);
        if let Some(child) = self.child.take() {
            registry::with(|registry| registry.killed(child));
        }
    }
}

/// Whether a child has ended. It stays a zombie, so that nothing else can have its number while its group is killed.
pub(super) fn has_ended(child: Pid) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    // Also where the signal that ended it is one that nix does not know.
    !matches!(waitid(Id::Pid(child), flags), Ok(WaitStatus::StillAlive) | Err(Errno::EINTR))
}

/// A group that has gone is as good as one that has got it. The process itself gets it too: between its start and
/// [`setsid`](nix::unistd::setsid) there is no group yet.
pub(super) fn signal_group(leader: Pid, signal: Signal) {
    let _ = killpg(leader, signal);
    let _ = kill(leader, signal);
}
