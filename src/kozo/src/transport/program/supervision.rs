//! Keeps the program running: starts it again, with pauses, when it has failed.

use std::sync::Arc;
use std::time::Duration;

use kozo_core::pauses::Pauses;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::error;

use super::session;
use super::shared::Shared;
use crate::class;

/// Pauses before a program that has failed is started again.
const PAUSES: Pauses = Pauses::new(Duration::from_secs(1), Duration::from_secs(60));

/// A program that ran for so long is taken to be well: its next failure is a first one again.
const WELL: Duration = Duration::from_secs(60);

/// How long it may take to end a program: a little more than [`Process::stop`](crate::process::Process::stop) does.
const STOP: Duration = Duration::from_secs(2);

/// Keeps the program running until it is stopped. Dropped, it ends the program at once.
pub(super) struct Supervisor {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Starts the program.
    pub(super) fn begin(shared: &Arc<Shared>) -> Supervisor {
        shared.starting();
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(supervise(Arc::clone(shared), stopping));
        Supervisor { stop, task }
    }

    /// Lets the program come to its end; ends it if it does not in time.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        let _ = timeout(STOP, &mut self.task).await;
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn supervise(shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    let mut pauses = PAUSES;
    loop {
        let started = Instant::now();
        shared.starting();
        let ended = session::run(&shared, stopping.clone()).await;
        let Err(problem) = ended else { return };
        if started.elapsed() >= WELL {
            pauses.reset();
        }
        let pause = pauses.after_failure();
        error!(
            class = class::TRANSPORT_FAILED,
            transport = shared.setup.name,
            "failed: {problem}; restarting in {} s",
            pause.as_secs()
        );
        shared.failed(&problem);
        tokio::select! {
            () = sleep(pause) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
    }
}
