//! A Node that has programs, but for everything else of a Node.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use kozo::config;
use kozo::process::{Exit, Launch, Launcher, Owner, Process};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take that has no time limit of its own to keep.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJT1wTqcxP8JEZ/8l1rrKs+1Trp8IGbBxgRFVdqVhUp/";

/// A Node's folder, with a key, a storage and programs.
pub(super) struct Place {
    folder: TempDir,
}

impl Place {
    pub(super) fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("storage")).unwrap();
        fs::write(folder.path().join("clock.key"), "secret key").unwrap();
        fs::write(folder.path().join("storage/other"), "secret value").unwrap();
        Place { folder }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What starts the programs of the Role `bell`.
    pub(super) fn launcher(&self) -> Launcher {
        let folder = self.folder.path().display();
        let text = format!(
            "importPath: {folder}/import\nsystem:\n  clock:\n    privateKey: {folder}/clock.key\n    \
             publicKey: {KEY}\n    roleStorage: {folder}/storage\n"
        );
        let loaded = config::check("test", &text, None, &kozo_core::types::built_in()).unwrap();
        let node = loaded.system.node("clock").unwrap();
        let bell = Owner::Role("bell".into());
        Launcher::new(&loaded.system, node, bell).through(Path::new(env!("CARGO_BIN_EXE_kozo")))
    }

    /// Starts a script of the shell.
    pub(super) fn shell(&self, script: &str) -> Process {
        self.launcher().start(&shell(script), Stdio::null(), Stdio::piped()).unwrap()
    }

    /// What a script of the shell prints, and how it ends.
    pub(super) async fn run(&self, script: &str) -> (String, Exit) {
        run(self.shell(script)).await
    }
}

pub(super) fn shell(script: &str) -> Launch {
    let arguments = ["-c", script].map(OsString::from).to_vec();
    Launch { program: "/bin/sh".into(), arguments, ..Launch::default() }
}

/// What a program prints until it ends.
pub(super) async fn run(mut process: Process) -> (String, Exit) {
    let mut stdout = process.stdout.take().unwrap();
    let mut printed = String::new();
    let both = async {
        stdout.read_to_string(&mut printed).await.unwrap();
        process.wait().await
    };
    let exit = timeout(PATIENCE, both).await.expect("the program did not end");
    (printed, exit)
}

/// Waits until this is so.
pub(super) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not {what} within {PATIENCE:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// The first line that a program prints.
pub(super) async fn first_line(process: &mut Process) -> String {
    let stdout = process.stdout.as_mut().unwrap();
    let mut line = String::new();
    while !line.ends_with('\n') {
        let byte = timeout(PATIENCE, stdout.read_u8()).await.expect("nothing was printed");
        line.push(char::from(byte.expect("it printed no line")));
    }
    line.trim().to_owned()
}

/// Whether this process is there and does something.
pub(super) fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}
