//! The hidden mode `kozo launch`: gives up what a program is not to have, and becomes the program.
//!
//! It runs before there is a runtime, a log or a second thread, and reads nothing but its arguments. What it
//! sets is inherited by all that descends from the program, and none of it can be undone there.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{close, dup2_stdin, dup2_stdout, getppid, setsid};
use serde::{Deserialize, Serialize};

use super::limits::Limits;
use super::sandbox;

/// Its exit code when there is no program, after a line on standard error that says why.
pub const NOT_STARTED: i32 = 125;

/// The descriptor of a program's channel to the Node.
pub const CHANNEL: i32 = 3;

/// What the Node says of a program.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Spec {
    /// The process of the Node.
    pub(super) parent: i32,
    /// How much one process may take.
    pub(super) limits: Limits,
    /// How many processes and threads the user may have.
    pub(super) processes: u64,
    /// What it is not to reach.
    pub(super) hidden: Vec<PathBuf>,
    /// What it may reach although it is below one of those.
    pub(super) granted: Vec<PathBuf>,
    /// Whether standard input is a channel to the Node, which the program is to have as descriptor [`CHANNEL`].
    pub(super) channel: bool,
}

/// Becomes the program; returns only if that cannot be.
pub fn run(spec: &str, command: &[OsString]) -> ExitCode {
    let problem = match serde_json::from_str(spec) {
        Ok(spec) => become_program(&spec, command),
        Err(problem) => format!("kozo launch: {problem}"),
    };
    // When this fails too, only the exit code is left to say it.
    let _ = writeln!(std::io::stderr(), "{problem}");
    ExitCode::from(u8::try_from(NOT_STARTED).unwrap_or(u8::MAX))
}

/// Returns only what went wrong.
fn become_program(spec: &Spec, command: &[OsString]) -> String {
    let [program, arguments @ ..] = command else { return "there is no program".to_owned() };
    if let Err(problem) = give_up(spec) {
        return format!("the program cannot be confined: {problem}");
    }
    // This resets the signal mask and SIGPIPE too; all other signals have lost their handlers by the exec.
    let problem = Command::new(program).args(arguments).exec();
    format!("{} cannot be run: {problem}", program.to_string_lossy())
}

fn give_up(spec: &Spec) -> Result<(), String> {
    let failed = |what: &'static str| move |problem: nix::Error| format!("{what}: {problem}");
    // A session of its own: no terminal, and a group that can be killed as a whole.
    setsid().map_err(failed("setsid"))?;
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(failed("PR_SET_PDEATHSIG"))?;
    // A Node that ended before that sends no signal any more.
    if getppid().as_raw() != spec.parent {
        return Err("the Node has gone".to_owned());
    }
    close_what_is_open();
    if spec.channel {
        move_channel()?;
    }
    // The first to go when memory is short. Without a writable /proc it is as likely to go as others.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    spec.limits.apply(spec.processes).map_err(failed("setrlimit"))?;
    prctl::set_no_new_privs().map_err(failed("PR_SET_NO_NEW_PRIVS"))?;
    sandbox::enter(&spec.hidden, &spec.granted).map_err(|problem| problem.to_string())
}

/// Makes standard input descriptor [`CHANNEL`]. In its place is nothing to read, and what the program prints goes where
/// its errors go: neither is anything that the Node listens to.
fn move_channel() -> Result<(), String> {
    let failed = |what: &'static str| move |problem: nix::Error| format!("{what}: {problem}");
    let number = fcntl(io::stdin(), FcntlArg::F_DUPFD(CHANNEL)).map_err(failed("F_DUPFD"))?;
    if number != CHANNEL {
        return Err(format!("descriptor {CHANNEL} is in use"));
    }
    let null = File::open("/dev/null").map_err(|problem| format!("/dev/null: {problem}"))?;
    dup2_stdin(null).map_err(failed("dup2"))?;
    dup2_stdout(io::stderr()).map_err(failed("dup2"))
}

/// Closes all but the standard streams: what the Node was started with may be open here.
pub(super) fn close_what_is_open() {
    let opened = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers: Vec<i32> =
        opened.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        // The one of this list itself is closed already.
        let _ = close(number);
    }
}
