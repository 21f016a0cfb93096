//! A running daemon.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::output::Output;
use super::until;

/// The daemon that is tested.
pub const KOZO: &str = env!("CARGO_BIN_EXE_kozo");

/// A command that runs the daemon, with nothing of the environment that it would heed.
pub fn kozo<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    clean(KOZO, arguments)
}

/// The release build, if there is one: `KOZO_RELEASE`, or where cargo puts it.
pub fn release() -> Option<PathBuf> {
    let given = std::env::var_os("KOZO_RELEASE").map(PathBuf::from);
    let built = || PathBuf::from(KOZO).parent()?.parent().map(|target| target.join("release/kozo"));
    given.or_else(built).filter(|path| path.exists())
}

pub(super) fn clean<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = A>,
) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_remove("KOZO_LOG")
        .env_remove("KOZO_STOP_WITH_PARENT")
        .stdin(Stdio::null());
    command
}

/// What happens to the lines that a program prints.
pub enum Reader {
    /// They are read.
    Reads,
    /// They are not, but might be: the pipe gets full.
    Sleeps,
    /// Nobody is there to read them.
    Gone,
}

/// A running daemon; killed when dropped.
pub struct Program {
    child: Child,
    unread: Option<ChildStdout>,
    /// When it was started.
    pub started: Instant,
    /// What it printed: its Roles' lines.
    pub printed: Output,
    /// What it logged.
    pub log: Output,
}

impl Program {
    /// Starts it.
    pub fn start(name: &str, command: &mut Command) -> Program {
        Program::start_with_reader(name, command, Reader::Reads)
    }

    /// Starts it with such a reader of what it prints.
    pub fn start_with_reader(name: &str, command: &mut Command, reader: Reader) -> Program {
        let started = Instant::now();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let output = format!("{name} (output)");
        let (printed, unread) = match reader {
            Reader::Reads => (Output::of(&output, stdout), None),
            Reader::Sleeps => (Output::of(&output, io::empty()), Some(stdout)),
            Reader::Gone => (Output::of(&output, io::empty()), None),
        };
        let log = Output::of(&format!("{name} (log)"), child.stderr.take().unwrap());
        Program { child, unread, started, printed, log }
    }

    /// Lets a reader that slept read.
    pub fn read(&mut self) {
        self.printed = Output::of("(output, read late)", self.unread.take().unwrap());
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> ExitStatus {
        until("ended", || self.child.try_wait().unwrap())
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops it with a signal; gives how it ended and how long that took.
    pub fn stop(&mut self, signal: Signal) -> (ExitStatus, Duration) {
        let asked = Instant::now();
        self.signal(signal);
        (self.wait(), asked.elapsed())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A figure of a process in `/proc/PID/status`: bytes for memory, else as it is there.
pub fn memory(process: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    let mut words = line.split_whitespace();
    let number: u64 = words.next().unwrap().parse().unwrap();
    if words.next() == Some("kB") { number * 1024 } else { number }
}
