//! A running Node, and a program that is attached to it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The folder into which cargo puts programs.
fn built() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().to_owned()
}

/// An example of the crate.
pub fn example(name: &str) -> PathBuf {
    let path = built().join("examples").join(name);
    assert!(path.exists(), "the examples are not built: cargo build -p kozo-role --examples");
    path
}

/// The daemon, which the whole workspace's tests build into the same folder.
fn kozo() -> PathBuf {
    let path = built().join("kozo");
    assert!(path.exists(), "the daemon is not built: cargo build --bin kozo");
    path
}

/// Waits until the condition gives something.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "not {what} within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A folder with a System of one Node, `clock`, whose Roles are examples.
pub struct Folder(TempDir);

impl Folder {
    /// With these Roles, as the configuration has them.
    pub fn new(roles: &str) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        let path = folder.path();
        fs::create_dir(path.join("roles")).unwrap();
        fs::create_dir(path.join("storage")).unwrap();
        for name in ["doorbell", "counter", "flood"] {
            fs::copy(example(name), path.join("roles").join(name)).unwrap();
        }
        let key = path.join("key");
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key)
            .status();
        assert!(made.unwrap().success());
        let public = fs::read_to_string(path.join("key.pub")).unwrap();
        let shown = path.display();
        let config = format!(
            "rolePath: {shown}/roles\nsystem:\n  clock:\n    privateKey: {shown}/key\n    publicKey: {public}    \
             roleStorage: {shown}/storage\n    roles: {{{roles}}}\n"
        );
        fs::write(path.join("kozo.yml"), config).unwrap();
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Lets the Node speak so with the programs of a type, whatever they say of themselves.
    pub fn describe(self, program: &str, change: impl Fn(&mut Value)) -> Folder {
        let said = Command::new(example(program)).arg("--describe").output().unwrap().stdout;
        let mut said: Value = serde_json::from_slice(&said).unwrap();
        change(&mut said);
        fs::write(self.path().join(format!("roles/{program}.json")), said.to_string()).unwrap();
        self
    }

    /// A command that sees the Nodes in this folder only.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("XDG_RUNTIME_DIR", self.path())
            .env("XDG_CACHE_HOME", self.path())
            .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/kozo-test-bus")
            .stdin(Stdio::null());
        command
    }

    /// Runs the Node.
    pub fn start(&self) -> Running {
        let mut command = self.command(&kozo());
        command.arg(self.path().join("kozo.yml")).arg("clock");
        let log = self.path().join("log");
        let file = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        command.stderr(file.try_clone().unwrap()).stdout(file);
        Running { child: command.spawn().unwrap(), log }
    }

    /// A program that is attached to the Node, as soon as it runs, and wants all Messages of these types.
    pub fn attach(&self, types: &[&str]) -> Client {
        let socket = self.path().join("kozo/clock/role");
        let stream = until("attached", || UnixStream::connect(&socket).ok());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Client { reader: BufReader::new(stream.try_clone().unwrap()), stream };
        let interest: Vec<_> = types.iter().map(|name| json!({"type": name})).collect();
        let params = json!({"name": "tester", "interest": interest, "messageQueueLength": 1024});
        client.say(&json!({"id": 0, "method": "attach", "params": params}));
        assert!(client.next().get("result").is_some());
        assert_eq!(client.next()["method"], "start");
        client.say(&json!({"method": "ready"}));
        client
    }
}

/// A running Node; killed when dropped.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// All that it, and its programs, have written.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for this text in the log.
    pub fn wait_for(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "no '{text}' in:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops it, and says how it ended.
    pub fn stop(mut self) -> ExitStatus {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).unwrap();
        until("stopped", || self.child.try_wait().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that is attached.
pub struct Client {
    reader: BufReader<UnixStream>,
    stream: UnixStream,
}

impl Client {
    pub fn say(&mut self, line: &Value) {
        self.stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Sends an Order.
    pub fn order(&mut self, message_type: &str, channel: &str, data: &Value) {
        let params =
            json!({"kind": "order", "type": message_type, "channel": channel, "data": data});
        self.say(&json!({"method": "send", "params": params}));
    }

    /// The next line.
    pub fn next(&mut self) -> Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// The next Message.
    pub fn message(&mut self) -> Value {
        let mut line = self.next();
        assert_eq!(line["method"], "message", "{line}");
        line["params"].take()
    }

    /// Orders until a Role answers, as it may not be ready for the first ones; gives the answer.
    pub fn order_until_answered(
        &mut self,
        message_type: &str,
        channel: &str,
        data: &Value,
    ) -> Value {
        self.stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let answer = until("answered", || {
            self.order(message_type, channel, data);
            self.reader.fill_buf().ok().map(<[u8]>::to_vec)
        });
        assert!(!answer.is_empty(), "the Node has closed");
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        self.message()
    }
}

/// A program that was started by hand; killed when dropped.
pub struct ByHand(pub Child);

impl ByHand {
    pub fn start(command: &mut Command) -> ByHand {
        ByHand(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Waits until it has ended; gives how, and what it wrote to standard error.
    pub fn end(mut self) -> (ExitStatus, String) {
        let status = until("ended", || self.0.try_wait().unwrap());
        let mut text = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        (status, text)
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
