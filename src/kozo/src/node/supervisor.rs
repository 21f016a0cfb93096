//! Supervision of Roles: runs each one, and starts it again with backoff when it fails.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, error, info};

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
    /// The program that it runs.
    process: Option<u32>,
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
            doing.process = None;
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

    /// Keeps which program the Role runs, and how its last one ended, if it says so.
    pub(super) fn set_program(&self, process: Option<u32>, exit: Option<String>) {
        let mut doing = self.lock();
        doing.process = process;
        if exit.is_some() {
            doing.last_exit = exit;
        }
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
            self.set_state(RoleState::Running);
            let result = self.run_once(context.clone()).await;
            let stopping = *context.stop.borrow();
            let problem = match result {
                Ok(()) if stopping => return self.stopped(),
                Ok(()) => {
                    info!(role = self.config.name, "finished");
                    self.set_state(RoleState::Finished);
                    return End::Finished;
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
            debug!(role = self.config.name, "starting again");
        }
    }

    fn failed(&self, problem: &RoleError, pause: Duration) {
        let seconds = pause.as_secs();
        error!(
            class = class::ROLE_FAILED,
            role = self.config.name,
            "failed: {problem}; it is started again in {seconds} s"
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
            process: doing.process.and_then(process_status),
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
