//! Asking the user for a password on the terminal, where nothing else does.

use std::io::Read as _;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long it has to begin.
const START: Duration = Duration::from_secs(5);

/// polkit's own agent for terminals, as `systemctl` starts it too; ended when dropped.
#[derive(Debug)]
pub(crate) struct Agent(Child);

impl Agent {
    /// Starts one for this process, which does nothing where the session has one already. None if there
    /// is no such program; then polkit cannot ask.
    pub(crate) async fn start() -> Option<Agent> {
        let mut child = Command::new("pkttyagent")
            .args(["--notify-fd=1", "--fallback"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let begun = child.stdout.take();
        let agent = Agent(child);
        // It closes this when it is registered, or ends.
        let wait = move || begun.map(|mut end: ChildStdout| end.read(&mut [0]));
        let _ = timeout(START, spawn_blocking(wait)).await;
        Some(agent)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // By SIGTERM, so that it leaves the terminal as it was.
        if let Ok(id) = i32::try_from(self.0.id()) {
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        let _ = self.0.wait();
    }
}
