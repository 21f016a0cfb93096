//! Supervision of Roles: runs each one, and starts it again with backoff when it fails.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::class;
use crate::config::RoleConfig;
use crate::interest::Interest;
use crate::process::{self, Usage};
use crate::role::{Inbox, RoleContext, RoleError, RoleType};
use crate::status::{ProcessStatus, RoleState, RoleStatus};
use kozo_core::pauses::Pauses;

/// Pauses before a Role that has failed is started again.
const PAUSES: Pauses = Pauses::new(Duration::from_secs(1), Duration::from_secs(60));
/// A Role that ran for so long is taken to be well: its next failure is a first one again.
const WELL: Duration = Duration::from_secs(60);

/// A Role and how it is doing.
pub(super) struct Supervised {
    /// Its configuration.
    pub(super) config: RoleConfig,
    /// Its queue.
    pub(super) inbox: Arc<Inbox>,
    role_type: Arc<dyn RoleType>,
    doing: Mutex<Doing>,
    changed: Box<dyn Fn() + Send + Sync>,
}

/// Why a Role runs no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It had nothing left to do.
    Finished,
    /// It was to stop.
    Stopped,
}

#[derive(Default)]
struct Doing {
    state: RoleState,
    status: Option<String>,
    problem: Option<String>,
    last_error: Option<String>,
    restarts: u64,
    /// The programs that it runs, the oldest first.
    processes: Vec<u32>,
    last_exit: Option<String>,
}

impl Supervised {
    /// A Role that has not begun. `changed` is called when it does something else than before.
    pub(super) fn new(
        config: RoleConfig,
        role_type: Arc<dyn RoleType>,
        changed: Box<dyn Fn() + Send + Sync>,
    ) -> Supervised {
        let inbox = Arc::new(Inbox::new(config.queue));
        let doing = Mutex::new(Doing { state: RoleState::Starting, ..Doing::default() });
        Supervised { config, inbox, role_type, doing, changed }
    }

    /// Keeps what the Role does.
    pub(super) fn set_state(&self, state: RoleState) {
        {
            let mut doing = self.lock();
            doing.state = state;
            // What a Role said of itself holds as long as it runs.
            doing.status = None;
            doing.problem = None;
            doing.processes.clear();
        }
        (self.changed)();
    }

    /// Keeps that the Role runs, if it was starting.
    pub(super) fn set_running(&self) {
        {
            let mut doing = self.lock();
            if doing.state != RoleState::Starting {
                return;
            }
            // What it has said of itself while it started still holds.
            doing.state = RoleState::Running;
        }
        (self.changed)();
    }

    /// Keeps what the running Role says of itself.
    pub(super) fn set_status(&self, status: Option<String>) {
        self.set(|doing| &mut doing.status, status);
    }

    /// Keeps what the running Role says is in its way.
    pub(super) fn set_problem(&self, problem: Option<String>) {
        self.set(|doing| &mut doing.problem, problem);
    }

    fn set(&self, which: fn(&mut Doing) -> &mut Option<String>, text: Option<String>) {
        let before = std::mem::replace(which(&mut self.lock()), text.clone());
        if before != text {
            (self.changed)();
        }
    }

    /// Keeps that a process is a program of the Role, or is not any more.
    pub(super) fn set_process(&self, pid: u32, runs: bool) {
        let processes = &mut self.lock().processes;
        processes.retain(|known| *known != pid);
        processes.extend(runs.then_some(pid));
    }

    /// Keeps how its last program ended.
    pub(super) fn set_exit(&self, exit: String) {
        self.lock().last_exit = Some(exit);
    }

    /// What it wants.
    pub(super) fn interests(&self) -> Vec<Interest> {
        self.role_type.interests(&self.config)
    }

    /// Runs the Role until it has finished or is to stop.
    pub(super) async fn run(&self, context: RoleContext) -> End {
        let mut pauses = PAUSES;
        loop {
            let started = Instant::now();
            self.set_state(self.first_state());
            let result = self.run_once(context.clone()).await;
            let stopping = *context.stop.borrow();
            let problem = match result {
                Ok(()) if stopping => return self.stopped(),
                Ok(()) => {
                    info!(role = self.config.name, "finished");
                    self.set_state(RoleState::Finished);
                    return End::Finished;
                }
                Err(problem) if stopping => {
                    warn!(role = self.config.name, "failed while stopping: {problem}");
                    return self.stopped();
                }
                Err(problem) => problem,
            };
            if !self.role_type.restarts() {
                error!(class = class::ROLE_FAILED, role = self.config.name, "failed: {problem}");
                self.set_failed(&problem);
                context.stopped().await;
                return self.stopped();
            }
            if started.elapsed() >= WELL {
                pauses.reset();
            }
            let pause = pauses.after_failure();
            self.failed(&problem, pause);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = context.stopped() => return self.stopped(),
            }
            debug!(role = self.config.name, "restarting");
        }
    }

    /// What a Role is in that has just begun.
    pub(super) fn first_state(&self) -> RoleState {
        if self.role_type.says_running() { RoleState::Starting } else { RoleState::Running }
    }

    fn failed(&self, problem: &RoleError, pause: Duration) {
        let seconds = pause.as_secs();
        error!(
            class = class::ROLE_FAILED,
            role = self.config.name,
            "failed: {problem}; restarting in {seconds} s"
        );
        self.lock().restarts += 1;
        self.set_failed(problem);
    }

    fn set_failed(&self, problem: &RoleError) {
        self.lock().last_error = Some(problem.to_string());
        self.set_state(RoleState::Failed);
    }

    fn stopped(&self) -> End {
        self.set_state(RoleState::Stopped);
        End::Stopped
    }

    /// In a task of its own, so that not even a panic in a Role reaches the Node.
    async fn run_once(&self, context: RoleContext) -> Result<(), RoleError> {
        let role = self.role_type.build(&self.config);
        // A set, because it ends its tasks when it is dropped: a Role that does not stop by itself.
        let mut task = JoinSet::new();
        task.spawn(role.run(context));
        match task.join_next().await {
            Some(Ok(result)) => result,
            Some(Err(panic)) => Err(RoleError(panic.to_string())),
            None => Ok(()),
        }
    }

    /// The Role at this moment, but for what it sent.
    pub(super) fn status(&self) -> RoleStatus {
        let counters = self.inbox.counters();
        let doing = self.lock();
        RoleStatus {
            name: self.config.name.clone(),
            role_type: self.config.role_type.clone(),
            description: self.config.description.clone(),
            state: doing.state,
            status: doing.status.clone(),
            problem: doing.problem.clone(),
            last_error: doing.last_error.clone(),
            restarts: doing.restarts,
            process: doing.processes.iter().find_map(|pid| process_status(*pid)),
            last_exit: doing.last_exit.clone(),
            sent: 0,
            received: counters.received,
            dropped: counters.dropped,
            queue_length: counters.length,
            queue_size: counters.size,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A program at this moment; none if it has gone.
fn process_status(pid: u32) -> Option<ProcessStatus> {
    let Usage { memory, cpu_time } = process::usage(pid)?;
    Some(ProcessStatus { pid, memory, cpu_time })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::role::testing::configure;

    fn supervised() -> Supervised {
        let role_type = crate::roles::built_in().pop().unwrap();
        let run = crate::config::OptionValue::Text("true".to_owned());
        let config = configure(&*role_type, &[("run", run)]);
        Supervised::new(config, role_type, Box::new(|| {}))
    }

    #[test]
    fn of_several_programs_the_one_is_shown_that_has_run_longest() {
        let supervised = supervised();
        let shown = || supervised.status().process.map(|process| process.pid);
        let mut first = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let second = std::process::id();
        supervised.set_process(first.id(), true);
        supervised.set_process(second, true);
        assert_eq!(shown(), Some(first.id()));
        // One that has gone is not shown, even if that was not said yet.
        first.kill().unwrap();
        first.wait().unwrap();
        assert_eq!(shown(), Some(second));
        supervised.set_process(first.id(), false);
        supervised.set_exit("exited with code 3".to_owned());
        assert_eq!(shown(), Some(second), "the other one still runs");
        supervised.set_process(second, false);
        assert_eq!(shown(), None);
        assert_eq!(supervised.status().last_exit.as_deref(), Some("exited with code 3"));
    }

    #[test]
    fn a_role_runs_only_if_it_was_starting() {
        let supervised = supervised();
        let state = || supervised.status().state;
        supervised.set_status(Some("warm".to_owned()));
        supervised.set_running();
        assert_eq!(state(), RoleState::Running);
        assert_eq!(supervised.status().status.as_deref(), Some("warm"));
        for late in [RoleState::Failed, RoleState::Stopped, RoleState::Finished] {
            supervised.set_state(late);
            supervised.set_running();
            assert_eq!(state(), late);
        }
    }
}
