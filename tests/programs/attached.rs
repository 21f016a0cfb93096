//! Programs that attach themselves to a real Node.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::support::{KOZO, Program, SystemFolder};

/// A program that has attached itself, which says no more.
fn attach(socket: &Path, name: &str) -> UnixStream {
    let mut stream = UnixStream::connect(socket).unwrap();
    let request = format!(r#"{{"id": 0, "method": "attach", "params": {{"name": "{name}"}}}}"#);
    stream.write_all(format!("{request}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(stream.try_clone().unwrap()).read_line(&mut answer).unwrap();
    assert!(answer.contains("\"result\""), "{answer}");
    stream
}

#[test]
fn programs_that_do_not_close_are_ended_together_and_counted() {
    let system = SystemFolder::new("").node("deaf", "").write();
    let mut command = system.command(Path::new(KOZO), "deaf");
    let mut node = Program::start("deaf", command.env("XDG_RUNTIME_DIR", system.path()));
    node.log.wait_for("runs");
    let socket = system.path().join("kozo/deaf/role");
    let attached: Vec<_> =
        (0..200).map(|number| attach(&socket, &format!("deaf{number}"))).collect();
    let (status, took) = node.stop(Signal::SIGTERM);
    assert!(status.success(), "{status}");
    assert!((Duration::from_secs(2)..Duration::from_secs(4)).contains(&took), "{took:?}");
    node.log.wait_for("200 roles ('deaf0', 'deaf1', 'deaf2' and 197 more) did not stop");
    assert_eq!(node.log.count("did not stop"), 1);
    drop(attached);
}
