//! The Nodes as processes: started together, stopped together, none left behind.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::TestnetError;
use super::screen::{self, Line};
use crate::daemon::STOP_WITH_PARENT;

/// How long the Nodes have to stop before they are killed.
const STOP: Duration = Duration::from_secs(5);

/// How long it may take to show the last lines when all is to stop.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How far the stop has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    Not,
    Asked,
    /// The user asked once more, and did not want to wait.
    AtOnce,
    /// Some did not stop in time.
    TooSlow,
}

/// A Node's process that came to an end.
struct Ended {
    node: usize,
    status: io::Result<ExitStatus>,
}

/// Starts `PROGRAM CONFIG NODE` for every Node and returns when all have ended, which they do by
/// themselves, or because of `stops`: at the first they are asked to stop, at the second killed.
/// The lines go to the screen.
pub(super) async fn run(
    program: &Path,
    config: &Path,
    nodes: &[String],
    mut stops: mpsc::Receiver<()>,
    lines: mpsc::Sender<Line>,
    mut written: oneshot::Receiver<io::Result<()>>,
) -> Result<(), TestnetError> {
    let (stop, stop_seen) = watch::channel(Stop::Not);
    let mut processes = JoinSet::new();
    for (node, name) in nodes.iter().enumerate() {
        let child = start(program, config, name)
            .map_err(|source| TestnetError::Start { program: program.to_owned(), source })?;
        let process = Process { node, stop: stop_seen.clone(), lines: lines.clone() };
        processes.spawn(process.attend(child));
    }
    let mut failed = Vec::new();
    let mut output = None;
    let mut deadline = None;
    loop {
        tokio::select! {
            ended = processes.join_next() => match ended {
                None => break,
                Some(Ok(ended)) => {
                    if let Some(why) = failure(&ended.status, *stop.borrow()) {
                        failed.extend(nodes.get(ended.node).map(|name| format!("{name} ({why})")));
                    }
                }
                Some(Err(error)) => failed.push(error.to_string()),
            },
            Some(()) = stops.recv() => {
                if *stop.borrow() == Stop::Not {
                    say(&lines, "Stopping all Nodes; Ctrl-C once more kills them.");
                    stop.send_replace(Stop::Asked);
                    deadline = Some(Instant::now() + STOP);
                } else {
                    stop.send_replace(Stop::AtOnce);
                }
            }
            result = &mut written, if output.is_none() => {
                // Without a reader there is no point in going on.
                output = Some(result.unwrap_or(Ok(())));
                if *stop.borrow() == Stop::Not {
                    stop.send_replace(Stop::Asked);
                    deadline = Some(Instant::now() + STOP);
                }
            }
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                deadline = None;
                if *stop.borrow() == Stop::Asked {
                    stop.send_replace(Stop::TooSlow);
                }
            }
        }
    }
    drop(lines);
    let output = match output {
        Some(output) => output,
        None => match timeout(LAST_LINES, written).await {
            Ok(Ok(result)) => result,
            // A terminal that shows nothing now is not waited for.
            _ => Ok(()),
        },
    };
    match output {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(TestnetError::Output(error)),
        _ if failed.is_empty() => Ok(()),
        _ => Err(TestnetError::Failed(failed)),
    }
}

fn start(program: &Path, config: &Path, node: &str) -> io::Result<Child> {
    Command::new(program)
        .arg(config)
        .arg(node)
        .env(STOP_WITH_PARENT, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // In the group of the testnet, Ctrl-C would reach them twice: from the terminal and from us,
        // and a second signal means to stop without care.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// Shows a line if there is room, which there is unless the terminal shows nothing anyway.
fn say(lines: &mpsc::Sender<Line>, text: &str) {
    let _ = lines.try_send(Line { node: None, text: text.into() });
}

/// What is wrong with the way in which a process ended, if anything.
fn failure(status: &io::Result<ExitStatus>, stop: Stop) -> Option<String> {
    let status = match status {
        Ok(status) => status,
        Err(error) => return Some(error.to_string()),
    };
    let killed = status.signal() == Some(Signal::SIGKILL as i32);
    let fine = match stop {
        Stop::Not => status.success(),
        // It may have been too young to know what to do on SIGTERM.
        Stop::Asked => status.success() || status.signal() == Some(Signal::SIGTERM as i32),
        Stop::AtOnce => true,
        Stop::TooSlow if killed => {
            return Some(format!("did not stop within {} s", STOP.as_secs()));
        }
        Stop::TooSlow => status.success(),
    };
    (!fine).then(|| status.to_string())
}

/// What attends to one process.
struct Process {
    node: usize,
    stop: watch::Receiver<Stop>,
    lines: mpsc::Sender<Line>,
}

impl Process {
    /// Shows all its lines and that it started and ended; stops it when told.
    async fn attend(mut self, mut child: Child) -> Ended {
        if let Some(id) = child.id() {
            let remark = format!("started, process {id}");
            tokio::select! {
                () = self.remark(&remark) => {}
                () = self.enough() => {}
            }
        }
        let mut pipes = JoinSet::new();
        if let Some(pipe) = child.stdout.take() {
            pipes.spawn(screen::copy(self.node, pipe, self.lines.clone()));
        }
        if let Some(pipe) = child.stderr.take() {
            pipes.spawn(screen::copy(self.node, pipe, self.lines.clone()));
        }
        let status = self.until_ended(&mut child).await;
        let remark = match &status {
            Ok(status) => format!("ended, {status}"),
            Err(error) => format!("lost: {error}"),
        };
        let last_lines = async {
            while pipes.join_next().await.is_some() {}
            self.remark(&remark).await;
        };
        tokio::select! {
            () = last_lines => {}
            () = self.enough() => {}
        }
        Ended { node: self.node, status }
    }

    /// Returns when nothing waits for the screen any more: it may be stuck.
    async fn enough(&self) {
        let mut stop = self.stop.clone();
        // An error means that the other end is gone.
        let _ = stop.wait_for(|stop| *stop != Stop::Not).await;
        sleep(LAST_LINES).await;
    }

    async fn until_ended(&mut self, child: &mut Child) -> io::Result<ExitStatus> {
        let mut done = Stop::Not;
        loop {
            let next = tokio::select! {
                status = child.wait() => return status,
                next = self.stop.wait_for(|stop| *stop > done) => next.map_or(Stop::AtOnce, |stop| *stop),
            };
            // As long as its end was not seen here, its number is no other's.
            let id = child.id().and_then(|id| i32::try_from(id).ok());
            match (next, id) {
                (Stop::Asked, Some(id)) => {
                    // It fails for a process that has just ended.
                    let _ = signal::kill(Pid::from_raw(id), Signal::SIGTERM);
                }
                _ => {
                    let _ = child.start_kill();
                }
            }
            done = if next == Stop::Asked { Stop::Asked } else { return child.wait().await };
        }
    }

    /// Shows a line about the Node.
    async fn remark(&self, text: &str) {
        let text = format!("— {text}").into_bytes();
        // When nothing is shown any more, neither is this.
        let _ = self.lines.send(Line { node: Some(self.node), text }).await;
    }
}
