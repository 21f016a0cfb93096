//! The processes that were started here, as the whole process knows them: whose end is waited for.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

use super::guard::{self, Guard};

/// How long an orphan may say nothing of itself.
const SILENCE: Duration = Duration::from_secs(1);

/// All of them. One for the process, as its children are the process's too.
static REGISTRY: Mutex<Option<Registry>> = Mutex::new(None);

/// The processes that were started here.
#[derive(Default)]
pub(super) struct Registry {
    /// Those that were not seen to end: process id and run.
    running: HashMap<u32, String>,
    /// Children that were not started here.
    others: Vec<u32>,
    /// Those that are about to end, and are not waited for by anyone.
    killed: Vec<Child>,
    /// Orphans of which it cannot be told yet whether they may live, and since when.
    unsure: HashMap<u32, Instant>,
    /// What ends the others when this process is killed.
    guard: Option<Guard>,
    /// Whether it was told that there is none.
    is_unguarded: bool,
}

/// The registry, to oneself: meanwhile nothing is started, and no orphan is taken for one that was.
pub(super) fn with<T>(action: impl FnOnce(&mut Registry) -> T) -> T {
    let mut registry: MutexGuard<'_, Option<Registry>> =
        REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    action(registry.get_or_insert_default())
}

impl Registry {
    /// Starts a process as this run.
    pub(super) fn start(&mut self, command: &mut Command, run: &str) -> io::Result<Child> {
        self.reap_killed();
        if self.guard.is_none() && guard::is_needed() {
            self.start_guard(command.get_program());
        }
        let child = command.spawn()?;
        self.running.insert(child.id(), run.to_owned());
        self.tell_guard(child.id(), true);
        Ok(child)
    }

    /// Forgets a process that has ended and was waited for.
    pub(super) fn ended(&mut self, pid: u32) {
        if self.running.remove(&pid).is_some() {
            self.tell_guard(pid, false);
        }
    }

    /// Lets the system forget a process that has ended: nothing that is started meanwhile has its number.
    pub(super) fn reap(&mut self, mut child: Child) -> Option<ExitStatus> {
        let status = child.try_wait().ok().flatten();
        self.ended(child.id());
        status
    }

    /// Takes over a process that was killed: when it has ended, the system is told to forget it.
    pub(super) fn killed(&mut self, child: Child) {
        self.ended(child.id());
        self.killed.push(child);
        self.reap_killed();
    }

    /// Keeps which orphans say nothing of themselves yet, and forgets the others.
    pub(super) fn note_unsure(&mut self, pids: &[u32]) {
        self.unsure.retain(|pid, _| pids.contains(pid));
        for pid in pids {
            self.unsure.entry(*pid).or_insert_with(Instant::now);
        }
    }

    /// Whether an orphan has said nothing of itself for longer than it takes to become another program.
    pub(super) fn is_long_unsure(&self, pid: u32) -> bool {
        self.unsure.get(&pid).is_some_and(|since| since.elapsed() > SILENCE)
    }

    /// Lets the guard end: there is nothing left for it.
    pub(super) fn dismiss_guard(&mut self) {
        self.killed.extend(self.guard.take().map(Guard::dismiss));
    }

    /// Kills those that are about to end and do not.
    pub(super) fn kill_rest(&mut self) {
        self.killed.iter_mut().for_each(|child| {
            let _ = child.kill();
        });
    }

    fn start_guard(&mut self, kozo: &OsStr) {
        let started = Guard::start(kozo).and_then(|mut guard| {
            self.running.keys().try_for_each(|pid| guard.tell(*pid, true))?;
            Ok(guard)
        });
        match started {
            Ok(guard) => self.guard = Some(guard),
            Err(problem) if !self.is_unguarded => {
                self.is_unguarded = true;
                warn!(
                    "cannot start the guard; if this node is killed, processes of its programs may stay: {problem}"
                );
            }
            // It is tried again at each start, and was told once.
            Err(_) => {}
        }
    }

    fn tell_guard(&mut self, pid: u32, runs: bool) {
        let Some(guard) = &mut self.guard else { return };
        if guard.tell(pid, runs).is_err() {
            // It was killed, or hangs. Another one takes its place.
            let kozo = guard.kozo().to_owned();
            self.killed.extend(self.guard.take().map(Guard::kill));
            self.start_guard(&kozo);
        }
    }

    /// Leaves these children of the process to whoever may wait for them.
    pub(super) fn leave_alone(&mut self, others: Vec<u32>) {
        self.others = others;
    }

    /// Whether all that was started here has ended.
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.killed.is_empty()
    }

    /// Whether this process was started here, or is to be left alone.
    pub(super) fn knows(&self, pid: u32) -> bool {
        self.others.contains(&pid)
            || self.running.contains_key(&pid)
            || self.killed.iter().any(|child| child.id() == pid)
            || self.guard.as_ref().is_some_and(|guard| guard.pid() == pid)
    }

    /// Whether a process of this run still runs.
    pub(super) fn runs(&self, run: &str) -> bool {
        self.running.values().any(|running| running == run)
    }

    /// Lets the system forget those that were killed and have ended.
    pub(super) fn reap_killed(&mut self) {
        // One that cannot be asked about is no child any more.
        self.killed.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_nothing_for_long_is_known() {
        let mut registry = Registry::default();
        registry.note_unsure(&[7, 8]);
        assert!(!registry.is_long_unsure(7) && !registry.is_long_unsure(9));
        let long_ago = Instant::now().checked_sub(2 * SILENCE);
        registry.unsure.extend(long_ago.map(|since| (7, since)));
        registry.note_unsure(&[7, 9]);
        assert_eq!((registry.is_long_unsure(7), registry.is_long_unsure(9)), (true, false));
        registry.note_unsure(&[]);
        assert!(registry.unsure.is_empty());
    }
}
