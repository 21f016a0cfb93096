//! The processes that were started here, as the whole process knows them: whose end is waited for.

use std::collections::HashMap;
use std::io;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// All of them. One for the process, as its children are the process's too.
static REGISTRY: Mutex<Option<Registry>> = Mutex::new(None);

/// The processes that were started here.
#[derive(Default)]
pub(super) struct Registry {
    /// Those that were not seen to end: process id and run.
    running: HashMap<u32, String>,
    /// Children that were not started here.
    others: Vec<u32>,
    /// Those that were killed, and are not waited for by anyone.
    killed: Vec<Child>,
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
        let child = command.spawn()?;
        self.running.insert(child.id(), run.to_owned());
        Ok(child)
    }

    /// Forgets a process that has ended and was waited for.
    pub(super) fn ended(&mut self, pid: u32) {
        self.running.remove(&pid);
    }

    /// Takes over a process that was killed: when it has ended, the system is told to forget it.
    pub(super) fn killed(&mut self, child: Child) {
        self.running.remove(&child.id());
        self.killed.push(child);
        self.reap_killed();
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
