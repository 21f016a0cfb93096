//! Asks a program what it is, by running it with `--describe`.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::{Exit, Launch, Launcher, launcher, orphans, registry, running};
use crate::config::programs::{self as types, Cache, Describe, find};
use kozo_core::places;

/// How long a program has to answer.
const TIME: Duration = Duration::from_secs(5);

/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// How long what it printed may take to be read once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Longer answers are not read, in bytes.
const LONGEST: u64 = 256 * 1024;

/// What is read of standard error, in bytes.
const LONGEST_COMPLAINT: u64 = 4096;

/// The programs of a kind on this machine. They are run to be asked what they are only if they may be.
pub fn installed(kind: types::TypeKind, may_run: bool) -> types::Programs {
    let installed = types::Programs::installed(kind);
    let describe = may_run.then(|| Arc::new(Asked) as Arc<dyn Describe>);
    let own = places::own_descriptions().map(|all| Cache::new(kind.cache_in(&all)));
    let cache = own.or(installed.cache);
    types::Programs { cache, describe, ..installed }
}

/// Runs programs.
struct Asked;

impl Describe for Asked {
    fn describe(&self, program: &Path, import_path: &[PathBuf]) -> Result<String, String> {
        let failed = |what: String| format!("`{} --describe` {what}", program.display());
        let answer = ask(program, import_path).map_err(failed)?;
        String::from_utf8(answer).map_err(|_| failed("does not print UTF-8".to_owned()))
    }
}

/// What it prints.
fn ask(path: &Path, import_path: &[PathBuf]) -> Result<Vec<u8>, String> {
    let launch = Launch::of(find::command(path).into_iter().chain(["--describe".into()]));
    let unstarted = |error: io::Error| format!("cannot be run: {error}");
    let run = launcher::run();
    let mut command =
        Launcher::without_node(import_path).command(&launch, &run).map_err(unstarted)?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = registry::with(|registry| registry.start(&mut command, &run));
    let mut child = child.map_err(unstarted)?;
    let answer = child.stdout.take().map(|stdout| read(stdout, LONGEST));
    let complaint = child.stderr.take().map(|stderr| read(stderr, LONGEST_COMPLAINT));
    let ended = end(child);
    // Its output is open no longer, unless something has left its group: then it is not waited for.
    let answer = answer.and_then(|answer| answer.recv_timeout(LAST_WORDS).ok());
    orphans::end();
    let exit = ended.ok_or_else(|| format!("does not end within {} s", TIME.as_secs()))?;
    match answer {
        // Then it is not read on, which ends most programs.
        Some(Ok(bytes)) if bytes.len() as u64 > LONGEST => {
            Err(format!("prints more than {LONGEST} bytes"))
        }
        _ if !exit.is_success() => Err(with_complaint(exit, complaint)),
        None => Err("leaves a process behind that holds its output open".to_owned()),
        Some(Err(error)) => Err(format!("cannot be read: {error}")),
        Some(Ok(bytes)) if bytes.is_empty() => Err("prints nothing".to_owned()),
        Some(Ok(bytes)) => Ok(bytes),
    }
}

/// What is said at one of its ends.
type Said = mpsc::Receiver<io::Result<Vec<u8>>>;

/// Reads what it prints, and a byte more than may be if there is more, while it is waited for that the program ends.
fn read(from: impl io::Read + Send + 'static, longest: u64) -> Said {
    let (sender, said) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = from.take(longest + 1).read_to_end(&mut bytes);
        let _ = sender.send(read.map(|_| bytes));
    });
    said
}

/// How it ended, and the last line that it wrote to standard error, if there is one.
fn with_complaint(exit: Exit, said: Option<Said>) -> String {
    let said = said.and_then(|said| said.recv_timeout(LAST_WORDS).ok()).and_then(Result::ok);
    let said = said.unwrap_or_default();
    let text = String::from_utf8_lossy(&said);
    match text.lines().map(str::trim).rfind(|line| !line.is_empty()) {
        Some(line) => format!("{exit}: {}", line.escape_debug()),
        None => exit.to_string(),
    }
}

/// Waits until it ends, and ends its group then, or when its time is over. None if it was.
fn end(child: Child) -> Option<Exit> {
    let pid = Pid::from_raw(child.id().cast_signed());
    let deadline = Instant::now() + TIME;
    let mut in_time = true;
    while in_time && !running::has_ended(pid) {
        thread::sleep(LOOK);
        in_time = Instant::now() < deadline;
    }
    running::signal_group(pid, Signal::SIGKILL);
    while !running::has_ended(pid) {
        thread::sleep(LOOK);
    }
    let status = registry::with(|registry| registry.reap(child));
    in_time.then_some(status.map_or(Exit::Unknown, Exit::from))
}
