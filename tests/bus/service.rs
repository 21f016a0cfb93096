//! The built daemon and its control plane.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kozo_client::status::LinkState;
use kozo_client::{Client, Error, Lookup, Way};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::private_bus::PrivateBus;
use crate::{DEADLINE, NO_BUS, soon};

const KOZO: &str = env!("CARGO_BIN_EXE_kozo");

/// `kozo testnet` with folders and a bus of its own.
pub(crate) struct Testnet {
    process: Child,
    folder: TempDir,
    bus: String,
}

impl Testnet {
    pub(crate) fn start(bus: &str) -> Testnet {
        let folder = tempfile::tempdir().unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new(KOZO)
            .arg("testnet")
            .arg(folder.path().join("net"))
            .env("XDG_RUNTIME_DIR", folder.path())
            .env("DBUS_SYSTEM_BUS_ADDRESS", bus)
            .env_remove("RUNTIME_DIRECTORY")
            .stdin(Stdio::null())
            .stdout(log)
            .spawn()
            .unwrap();
        Testnet { process, folder, bus: bus.to_owned() }
    }

    /// By their sockets where there is no bus, and on the bus where there is one.
    fn lookup(&self) -> Lookup {
        let sockets = self.folder.path().join("kozo");
        let folders = if self.bus == NO_BUS { vec![sockets] } else { Vec::new() };
        Lookup { system_bus: Some(self.bus.clone()), folders }
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("net/config.yml")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Connects once the Node is there.
    pub(crate) async fn client(&self, node: &str) -> Client {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            match Client::find(&self.lookup(), Some(node)).await {
                Ok(client) => return client,
                Err(error) => {
                    assert!(tokio::time::Instant::now() < deadline, "{error:?}\n{}", self.log());
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            }
        }
    }

    pub(crate) async fn until_up(&self, client: &Client, peer: &str) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        let mut changes = client.changes().await.unwrap();
        loop {
            let status = soon(client.describe()).await.unwrap();
            let found = status.peers.iter().find(|found| found.name == peer);
            if found.is_some_and(|found| found.state == LinkState::Up) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{status:#?}\n{}", self.log());
            assert!(soon(changes.next()).await);
        }
    }

    fn stop(&mut self) {
        let process = Pid::from_raw(self.process.id().try_into().unwrap());
        let _ = kill(process, Signal::SIGTERM);
        let _ = self.process.wait();
    }
}

impl Drop for Testnet {
    fn drop(&mut self) {
        self.stop();
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn without_a_bus_the_socket_does_everything() {
    let mut testnet = Testnet::start(NO_BUS);
    let clock = testnet.client("clock").await;
    let socket = testnet.folder.path().join("kozo/clock/bus");
    assert_eq!(clock.way(), &Way::Socket(socket.clone()));
    // A process that could open it could lock it, and so keep the socket from the next daemon.
    let lock = fs::metadata(socket.with_file_name("lock")).unwrap();
    assert_eq!(lock.permissions().mode() & 0o777, 0o600);
    assert!(fs::symlink_metadata(&socket).unwrap().file_type().is_socket());
    assert_eq!((mode(&socket), mode(socket.parent().unwrap())), (0o600, 0o700));
    for node in ["scribe", "injector"] {
        testnet.client(node).await;
    }
    let running = testnet.lookup().running().await;
    let names: Vec<_> = running.iter().map(|found| &*found.node).collect();
    assert_eq!(names, ["clock", "injector", "scribe"]);
    testnet.until_up(&clock, "scribe").await;
    let sent = soon(clock.inject_json("log", "log", None, "\"hello\"")).await.unwrap();
    assert_eq!((sent.roles, sent.peers), (0, 1));
    testnet.stop();
    assert!(!socket.exists(), "the socket is taken away");
    let gone = soon(clock.describe()).await.unwrap_err();
    assert!(matches!(gone, Error::Gone(_)), "{gone:?}");
}

#[tokio::test]
async fn a_reload_touches_only_what_changed_and_a_bad_file_nothing() {
    let bus = PrivateBus::start();
    let testnet = Testnet::start(&bus.address);
    let clock = testnet.client("clock").await;
    assert_eq!(clock.way(), &Way::SystemBus);
    testnet.until_up(&clock, "scribe").await;
    // The others are compared too.
    testnet.until_up(&clock, "injector").await;
    let nothing = soon(clock.reload()).await.unwrap();
    assert_eq!(nothing, kozo_client::Reloaded::default());
    let before = soon(clock.describe()).await.unwrap();

    let text = fs::read_to_string(testnet.config()).unwrap();
    let role = text.find("            timer1:").expect("the testnet's clock has a timer1");
    let more = "            another-1.x:\n                type: timer\n                tick: 60\n";
    let changed = format!("{}{more}{}", &text[..role], &text[role..]);
    fs::write(testnet.config(), changed).unwrap();
    let done = soon(clock.reload()).await.unwrap();
    assert_eq!((&*done.roles, &*done.peers), (&["another-1.x".to_owned()][..], &[][..]));
    let after = soon(clock.describe()).await.unwrap();
    assert_eq!(after.roles.len(), before.roles.len() + 1);
    // In the order of the configuration, whenever they came.
    assert_eq!([&*after.roles[0].name, &*after.roles[1].name], ["another-1.x", "timer1"]);
    for (before, after) in before.peers.iter().zip(&after.peers) {
        assert_eq!((&before.state, before.since), (&after.state, after.since));
    }
    clock.role("another-1.x").stop().await.unwrap();

    fs::write(testnet.config(), text.replace("timer1:", "timer1: {")).unwrap();
    let refused = soon(clock.reload()).await.unwrap_err();
    let Error::InvalidConfiguration(why) = refused else { panic!("{refused:?}") };
    assert!(why.contains("config.yml:"), "{why}");
    assert_eq!(soon(clock.describe()).await.unwrap().roles.len(), after.roles.len());

    fs::write(testnet.config(), &text).unwrap();
    assert_eq!(soon(clock.reload()).await.unwrap().roles, ["another-1.x"]);
    let gone = clock.role("another-1.x").start().await.unwrap_err();
    assert!(matches!(gone, Error::NoSuchRole(_)), "{gone:?}");
}

/// A daemon that was killed leaves its socket; the next one replaces it, and one beside it does not.
#[tokio::test]
async fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
    let mut testnet = Testnet::start(NO_BUS);
    testnet.client("clock").await;
    testnet.stop();
    let start = || {
        Command::new(KOZO)
            .arg(testnet.config())
            .arg("clock")
            .env("XDG_RUNTIME_DIR", testnet.folder.path())
            .env("DBUS_SYSTEM_BUS_ADDRESS", NO_BUS)
            .env_remove("RUNTIME_DIRECTORY")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut first = start();
    let boot = soon(testnet.client("clock").await.describe()).await.unwrap().boot;
    // The port is taken too, so the second one does not start at all: what it says does not matter.
    let second = start().wait_with_output().unwrap();
    assert!(!second.status.success());
    assert_eq!(soon(testnet.client("clock").await.describe()).await.unwrap().boot, boot);
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(testnet.folder.path().join("kozo/clock/bus").exists());
    assert!(testnet.lookup().running().await.is_empty(), "no daemon listens there");
    let mut third = start();
    let other = soon(testnet.client("clock").await.describe()).await.unwrap().boot;
    third.kill().unwrap();
    third.wait().unwrap();
    assert_ne!(other, boot);
}
