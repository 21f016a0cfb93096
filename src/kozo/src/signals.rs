//! The signals that a program in the foreground is asked by.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// Signals to stop that come so soon after another are the same: `timeout` and others send one to
/// the process and one to its group, and no one types Ctrl-C twice as fast.
const SAME: Duration = Duration::from_millis(300);

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// SIGINT or SIGTERM.
    Stop,
    /// SIGHUP: open files anew, or, for what has a terminal, that it is gone.
    Hangup,
}

/// The signals of this process.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    stopped: Option<Instant>,
}

impl Signals {
    /// Takes the signals over; from now on none of them ends the process.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            stopped: None,
        })
    }

    /// The next one. Cancel safe.
    pub async fn next(&mut self) -> Asked {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
                _ = self.hangup.recv() => return Asked::Hangup,
            }
            let now = Instant::now();
            if self.stopped.is_none_or(|before| now >= before + SAME) {
                self.stopped = Some(now);
                return Asked::Stop;
            }
        }
    }

    /// The next one to stop. Cancel safe.
    pub async fn stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }
}
