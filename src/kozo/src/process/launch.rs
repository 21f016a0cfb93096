//! The hidden mode `kozo launch`: gives up what a program is not to have, and becomes the program.
//!
//! It runs before there is a runtime, a log or a second thread, and reads nothing but its arguments. What it
//! sets is inherited by all that descends from the program, and none of it can be undone there.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{close, getppid, setsid};
use serde::{Deserialize, Serialize};

use super::limits::Limits;
use super::sandbox;

/// Its exit code when there is no program, after a line on standard error that says why.
pub const NOT_STARTED: i32 = 125;

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
    // The first to go when memory is short. Without a writable /proc it is as likely to go as others.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    spec.limits.apply(spec.processes).map_err(failed("setrlimit"))?;
    prctl::set_no_new_privs().map_err(failed("PR_SET_NO_NEW_PRIVS"))?;
    sandbox::enter(&spec.hidden, &spec.granted).map_err(|problem| problem.to_string())
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
