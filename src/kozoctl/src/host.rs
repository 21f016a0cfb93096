//! `--host`: the same command on another machine.
//!
//! Like `systemctl -H`, this leaves the network, the keys and the right to log in to ssh. What runs
//! there is that machine's own `kozoctl`, so all of its commands work, and its exit code is ours.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::{Command, ExitCode};

use crate::failure::{Exit, Failure};
use crate::shell::quote;

/// What ssh ends with when it fails itself.
const SSH_FAILED: i32 = 255;

/// Runs the command line on the host.
///
/// # Errors
/// When ssh does not run, or does not get there.
pub(crate) fn run(host: &OsStr, arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
    let mut command = Command::new("ssh");
    // Only then there are colours, and Ctrl-C arrives; but it makes one of both outputs.
    if io::stdin().is_terminal() && io::stdout().is_terminal() && io::stderr().is_terminal() {
        command.arg("-t");
    }
    command.arg("--").arg(host).arg(remote(arguments));
    let status = command
        .status()
        .map_err(|error| Failure::failed(format_args!("cannot run ssh: {error}")))?;
    match status.code() {
        Some(SSH_FAILED) => Err(Failure::Silent(Exit::NoDaemon)),
        Some(code) => Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)),
        None => Err(Failure::failed(format_args!("ssh was ended: {status}"))),
    }
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
