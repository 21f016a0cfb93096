//! `--host`: the same command on other machines.
//!
//! Like `systemctl -H`, this leaves the network, the keys and the right to log in to ssh. What runs
//! there is that machine's own `kozoctl`, so all of its commands work, and its exit code is ours.
//! With several hosts they take turns, so that ssh may ask for a password; a summary says how it went.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::thread;

use serde_json::{Value, json};

use crate::failure::{Exit, Failure};
use crate::output::{BOLD, Output, say};
use crate::shell::quote;

/// What ssh ends with when it fails itself.
const SSH_FAILED: i32 = 255;

/// What a shell ends with when it does not find a program.
const NOT_FOUND: i32 = 127;

/// Runs the command line on the host, or on each of them.
///
/// # Errors
/// When ssh does not run, or does not reach the only host.
pub(crate) fn run(
    hosts: &[OsString],
    arguments: Vec<OsString>,
    output: Output,
) -> Result<ExitCode, Failure> {
    match hosts {
        [host] => on_one(host, &remote(arguments)),
        hosts => on_each(hosts, arguments, output),
    }
}

fn ssh(host: &OsStr, remote: &OsStr, has_terminal: bool) -> Command {
    let mut command = Command::new("ssh");
    command.args(has_terminal.then_some("-t")).arg("--").arg(host).arg(remote);
    command
}

fn on_one(host: &OsStr, remote: &OsStr) -> Result<ExitCode, Failure> {
    // Only then there are colours, and Ctrl-C arrives; but it makes one of both outputs.
    let has_terminal =
        io::stdin().is_terminal() && io::stdout().is_terminal() && io::stderr().is_terminal();
    let status = ssh(host, remote, has_terminal).status().map_err(not_run)?;
    ended(host, status)
}

/// What is said when ssh does not run.
pub(crate) fn not_run(error: io::Error) -> Failure {
    Failure::failed(format_args!("cannot run ssh: {error}"))
}

/// What the end of ssh means.
///
/// # Errors
/// When it did not reach the host, or `kozoctl` is not installed there.
pub(crate) fn ended(host: &OsStr, status: ExitStatus) -> Result<ExitCode, Failure> {
    let shown = host.to_string_lossy();
    match status.code() {
        Some(SSH_FAILED) => {
            Err(Failure::new(Exit::Unreachable, format_args!("ssh cannot reach {shown}")))
        }
        Some(NOT_FOUND) => {
            let failure = Failure::failed(format_args!("kozoctl is not installed on {shown}"));
            Err(failure.hint(format!("Install it: ssh {shown} apt install kozoctl")))
        }
        Some(code) => Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)),
        None => Err(Failure::failed(format_args!("ssh to {shown} ended: {status}"))),
    }
}

/// One host after the other. The exit code is that of the first that fails.
fn on_each(
    hosts: &[OsString],
    arguments: Vec<OsString>,
    output: Output,
) -> Result<ExitCode, Failure> {
    let input = input(&arguments)?;
    let remote = remote(arguments);
    let mut failed = Vec::new();
    let mut exit = ExitCode::SUCCESS;
    for host in hosts {
        let name = host.to_string_lossy();
        let ran = if output.json {
            collected(host, &remote, &input, output)?
        } else {
            output.line(&output.paint(BOLD, &format!("{name}:")))?;
            with_input(ssh(host, &remote, false), &input)?.0
        };
        if ran.success() {
            continue;
        }
        let code = match ended(host, ran) {
            Ok(code) => code,
            Err(failure) => failure.report(),
        };
        if failed.is_empty() {
            exit = code;
        }
        failed.push(name);
    }
    match failed.as_slice() {
        [] => say(&format!("kozoctl: done on {} hosts", hosts.len())),
        names => say(&format!(
            "kozoctl: done on {} of {} hosts; failed on {}",
            hosts.len() - names.len(),
            hosts.len(),
            names.join(", ")
        )),
    }
    Ok(exit)
}

/// Standard input, if the command reads it: each host gets the same.
fn input(arguments: &[OsString]) -> Result<Vec<u8>, Failure> {
    let mut input = Vec::new();
    if arguments.iter().any(|argument| argument == "-") {
        let unread = |error| Failure::failed(format_args!("cannot read standard input: {error}"));
        io::stdin().lock().read_to_end(&mut input).map_err(unread)?;
    }
    Ok(input)
}

/// One line of JSON for the host: its name, the exit code, and what it answered.
fn collected(
    host: &OsStr,
    remote: &OsStr,
    input: &[u8],
    output: Output,
) -> Result<ExitStatus, Failure> {
    let mut command = ssh(host, remote, false);
    command.stdout(Stdio::piped());
    let (status, said) = with_input(command, input)?;
    let answers = serde_json::Deserializer::from_slice(&said).into_iter::<Value>();
    let mut answers: Vec<_> = answers.map_while(Result::ok).collect();
    let answer = match answers.len() {
        0 => Value::Null,
        1 => answers.remove(0),
        _ => Value::Array(answers),
    };
    let line = json!({"host": host.to_string_lossy(), "exit": status.code(), "answer": answer});
    output.line(&line.to_string())?;
    Ok(status)
}

/// Runs a command with this standard input, and gives what it wrote, if that is not shown.
fn with_input(mut command: Command, input: &[u8]) -> Result<(ExitStatus, Vec<u8>), Failure> {
    let mut child = command.stdin(Stdio::piped()).spawn().map_err(not_run)?;
    let to = child.stdin.take();
    let done = thread::scope(|scope| {
        // One that ends without reading all of it says why by its exit code.
        scope.spawn(move || to.map(|mut to| to.write_all(input)));
        child.wait_with_output()
    });
    let done = done.map_err(not_run)?;
    Ok((done.status, done.stdout))
}

/// The command for the shell on the other side.
fn remote(arguments: Vec<OsString>) -> OsString {
    let mut command = b"kozoctl".to_vec();
    for argument in without_host(arguments) {
        command.push(b' ');
        quote(argument.as_bytes(), &mut command);
    }
    OsString::from_vec(command)
}

/// The arguments but for the host. They have been parsed already, so what looks like an option here
/// is one.
fn without_host(arguments: Vec<OsString>) -> Vec<OsString> {
    let mut kept = Vec::with_capacity(arguments.len());
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let bytes = argument.as_bytes();
        if bytes == b"--" {
            kept.push(argument);
            kept.extend(arguments);
            break;
        }
        if bytes == b"-H" || bytes == b"--host" {
            // What follows is its value.
            arguments.next();
        } else if !bytes.starts_with(b"-H") && !bytes.starts_with(b"--host=") {
            kept.push(argument);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(arguments: &[&str]) -> OsString {
        remote(arguments.iter().map(OsString::from).collect())
    }

    #[test]
    fn the_host_goes_and_all_else_arrives_as_it_is() {
        for (arguments, wanted) in [
            (&["-H", "pi", "status"][..], "kozoctl status"),
            (&["status", "--host=pi", "--json"], "kozoctl status --json"),
            (&["-Hpi", "-n", "clock", "roles"], "kozoctl -n clock roles"),
            (
                &["inject", "event", "it's", "--host", "pi", "{\"a\": [1]}"],
                "kozoctl inject event 'it'\\''s' '{\"a\": [1]}'",
            ),
            (&["-H", "pi", "monitor", "tick*", ""], "kozoctl monitor 'tick*' ''"),
            (&["-H", "pi", "inject", "log", "--", "-H"], "kozoctl inject log -- -H"),
        ] {
            assert_eq!(line(arguments), wanted);
        }
    }
}
