//! `kozoctl attach`: makes a program a Role of a Node that runs, for as long as the program runs.
//!
//! This program says `attach` to the Node, at the socket beside its control socket or on a connection that it is given over the
//! system bus, and becomes the other program then, with the connection as its standard input and output. So nothing stands between the two, and signals and exit codes are
//! those of the program itself.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use kozo_client::{Client, Way, places};
use nix::poll::PollFlags;
use serde_json::{Map, Value, json};

use crate::cli::Attach;
use crate::failure::{Exit, Failure};
use crate::host;
use crate::output::{ready, say};
use crate::shell::quote;

/// Longest answer to `attach`, in bytes.
const LONGEST: usize = 64 * 1024;

/// What a Role says of itself when it attaches.
pub(crate) struct Introduction {
    /// Its name.
    pub(crate) name: String,
    /// All else: type, options, interest, encoding.
    pub(crate) more: Map<String, Value>,
}

impl Introduction {
    /// What the command line says.
    ///
    /// # Errors
    /// When it names neither a Role nor a program.
    pub(crate) fn new(command: &Attach) -> Result<Introduction, Failure> {
        let of_program = || {
            let program = Path::new(command.program.first()?);
            Some(program.file_stem()?.to_string_lossy().into_owned())
        };
        let user = || std::env::var("USER").ok().filter(|user| !user.is_empty());
        let name = command.name.clone().or_else(of_program).or_else(user);
        let name = name.ok_or_else(|| Failure::usage("name the Role: --name NAME"))?;
        let mut more = Map::new();
        if command.msgpack {
            more.insert("encoding".to_owned(), "msgpack".into());
        }
        Ok(Introduction { name, more })
    }
}

/// A connection to a Node on which a program can attach itself.
pub(crate) struct Door {
    stream: UnixStream,
    /// How it was come by, for people.
    place: String,
}

impl Door {
    /// The socket of the Node for that; for who cannot open it, what polkit may still allow on the bus.
    ///
    /// # Errors
    /// When the Node is not there, or opens neither.
    pub(crate) async fn open(client: &Client) -> Result<Door, Failure> {
        let socket = socket(client);
        let place = socket.display().to_string();
        match (UnixStream::connect(&socket), client.way()) {
            (Ok(stream), _) => Ok(Door { stream, place }),
            (Err(error), Way::Socket(_)) => Err(broken(&place, &error)),
            (Err(_), Way::SystemBus) => {
                let stream = client.attach().await?.into();
                Ok(Door { stream, place: "the system bus".to_owned() })
            }
        }
    }
}

/// The socket of a Node at which programs attach.
fn socket(client: &Client) -> PathBuf {
    match client.way() {
        Way::Socket(path) => path.with_file_name(places::ROLE_SOCKET),
        Way::SystemBus => Path::new(places::SYSTEM).join(client.node()).join(places::ROLE_SOCKET),
    }
}

fn broken(place: &str, error: &io::Error) -> Failure {
    let told = format_args!("cannot attach at {place}: {error}");
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::new(Exit::NotAllowed, told)
            .hint("Only root and members of the group 'kozo' may attach programs."),
        _ => Failure::new(Exit::NoDaemon, told),
    }
}

/// Becomes the program, at a Node of this machine that it has been attached to; without one, speaks for what is typed.
///
/// # Errors
/// When the program cannot be run.
pub(crate) fn run(
    stream: UnixStream,
    introduction: &Introduction,
    program: &[OsString],
) -> Result<(), Failure> {
    match program.split_first() {
        None => relay(stream, &introduction.name),
        Some((program, arguments)) => {
            let broken = |error| Failure::failed(format_args!("the connection is broken: {error}"));
            let input = OwnedFd::from(stream.try_clone().map_err(broken)?);
            let ends = (input.into(), OwnedFd::from(stream).into());
            Err(become_program(program, arguments, &introduction.name, ends))
        }
    }
}

/// Attaches to a Node of another machine, where its own `kozoctl` does that over ssh, and becomes the program here.
///
/// # Errors
/// When ssh or the program cannot be run, or ssh does not reach the machine.
pub(crate) fn run_remotely(
    host: &OsStr,
    node: Option<&str>,
    introduction: &Introduction,
    program: &[OsString],
) -> Result<ExitCode, Failure> {
    let Some((program, arguments)) = program.split_first() else { return Ok(ExitCode::SUCCESS) };
    let mut remote = b"kozoctl".to_vec();
    let msgpack = introduction.more.contains_key("encoding");
    let node = node.into_iter().flat_map(|node| ["--node", node]);
    let words = node.chain(["attach", "--name", &introduction.name]);
    for word in words.chain(msgpack.then_some("--msgpack")) {
        remote.push(b' ');
        quote(word.as_bytes(), &mut remote);
    }
    let mut ssh = Command::new("ssh")
        .arg("--")
        .arg(host)
        .arg(OsString::from_vec(remote))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(host::not_run)?;
    let (to, from) = (ssh.stdin.take(), ssh.stdout.take());
    let (Some(to), Some(from)) = (to, from.filter(is_speaking)) else {
        let status = ssh.wait().map_err(host::not_run)?;
        if status.success() {
            let host = host.to_string_lossy();
            return Err(Failure::failed(format_args!("kozoctl on {host} ended without a word")));
        }
        return host::ended(host, status);
    };
    Err(become_program(program, arguments, &introduction.name, (from.into(), to.into())))
}

/// Waits for the first byte, which is left for the program; whether one comes at all.
fn is_speaking(stream: &impl AsFd) -> bool {
    ready(stream.as_fd(), PollFlags::POLLIN).is_ok_and(|events| events.contains(PollFlags::POLLIN))
}

/// Says to a program that it is a run of a Role, as the Node says it to those that it starts; but it is none of the Node's.
const RUN: (&str, &str) = ("KOZO_RUN", "attached");

/// Becomes the program, as the Role of this name, with these as its input and output. Returns only if that fails.
fn become_program(
    program: &OsStr,
    arguments: &[OsString],
    role: &str,
    (input, output): (Stdio, Stdio),
) -> Failure {
    let (run, attached) = RUN;
    let mut command = Command::new(program);
    command.args(arguments).env(run, attached).env("KOZO_ROLE", role);
    let error = command.stdin(input).stdout(output).exec();
    Failure::failed(format_args!("cannot run {}: {error}", program.display()))
}

/// Says who is there.
///
/// # Errors
/// When the Node refuses.
pub(crate) fn attach(door: Door, introduction: &Introduction) -> Result<UnixStream, Failure> {
    let Door { mut stream, place } = door;
    let broken = |error: io::Error| broken(&place, &error);
    let mut params = introduction.more.clone();
    params.insert("name".to_owned(), introduction.name.clone().into());
    let request = json!({"jsonrpc": "2.0", "id": 0, "method": "attach", "params": params});
    stream.write_all(format!("{request}\n").as_bytes()).map_err(broken)?;
    let line = first_line(&mut stream).map_err(broken)?;
    let answer: Value = serde_json::from_slice(&line).map_err(|error| {
        Failure::failed(format_args!("invalid answer from the node at {place}: {error}"))
    })?;
    match answer.pointer("/error/message").and_then(Value::as_str) {
        None => Ok(stream),
        Some(refused) => Err(Failure::failed(format_args!("the node refuses: {refused}"))),
    }
}

/// The first line, and not a byte more: what follows is for the program.
fn first_line(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < LONGEST {
        if stream.read(&mut byte)? == 0 {
            return Err(io::Error::other("the node closed the connection"));
        }
        let [byte] = byte;
        if byte == b'\n' {
            return Ok(line);
        }
        line.push(byte);
    }
    Err(io::Error::other("its answer is too long"))
}

/// Carries standard input to the Node, and what the Node says to standard output, until either ends.
fn relay(stream: UnixStream, name: &str) -> Result<(), Failure> {
    if io::stdin().is_terminal() && io::stderr().is_terminal() {
        say(&format!(
            "Attached as the Role '{name}': each line is a JSON-RPC notification, Ctrl-D ends it."
        ));
        say("For example:");
        say(r#"  {"jsonrpc": "2.0", "method": "ready"}"#);
        say(
            r#"  {"jsonrpc": "2.0", "method": "interest", "params": {"patterns": [{"kind": "event"}]}}"#,
        );
        say(
            r#"  {"jsonrpc": "2.0", "method": "send", "params": {"kind": "event", "type": "hello"}}"#,
        );
    }
    let broken = |error| Failure::failed(format_args!("the connection is broken: {error}"));
    let mut to = stream.try_clone().map_err(broken)?;
    // It waits for input for as long as there may be some: it ends with the process.
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut from = stream;
    let mut stdout = io::stdout().lock();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).map_err(broken)?;
        let Some(said) = buffer.get(..length).filter(|said| !said.is_empty()) else {
            return Ok(());
        };
        stdout.write_all(said)?;
        stdout.flush()?;
    }
}
