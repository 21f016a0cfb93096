//! A System of two Nodes on this machine, and `kozoctl` beside it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub(crate) const KOZOCTL: &str = env!("CARGO_BIN_EXE_kozoctl");

/// Long enough for the slowest machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The daemon, which the whole workspace's tests build into the same folder.
fn kozo() -> PathBuf {
    let path = Path::new(KOZOCTL).with_file_name("kozo");
    assert!(path.exists(), "the daemon is not built: cargo build --bin kozo");
    path
}

/// A folder in which Nodes may run, and `kozoctl` commands that see no others.
pub(crate) struct Workspace {
    folder: TempDir,
}

impl Workspace {
    pub(crate) fn new() -> Workspace {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("run")).unwrap();
        Workspace { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Lets a program see this folder only.
    pub(crate) fn within(&self, command: &mut Command) {
        command
            .current_dir(self.path())
            .env("XDG_RUNTIME_DIR", self.path().join("run"))
            .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/kozo-test-bus")
            .env("COLUMNS", "80")
            .env_remove("RUNTIME_DIRECTORY")
            .stdin(Stdio::null());
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(KOZOCTL);
        self.within(&mut command);
        command.args(arguments);
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs lines of bash, in which `kozoctl` is the one under test.
    pub(crate) fn bash(&self, script: &str) -> Output {
        self.bash_command(script).output().unwrap()
    }

    pub(crate) fn bash_command(&self, script: &str) -> Command {
        let folder = Path::new(KOZOCTL).parent().unwrap();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        self.within(&mut command);
        command.args(["-c", script]).env("PATH", path);
        command
    }

    /// What a command that works answers.
    pub(crate) fn answer(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", both(&output));
        text(&output.stdout)
    }

    /// The answer in JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let answer = self.answer(&[arguments, &["--json"]].concat());
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// What a command that ends with this exit code says on standard error.
    pub(crate) fn failure(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", both(&output));
        text(&output.stderr)
    }
}

/// Two Nodes, called as no other in any test, since those of this user are found wherever they run:
/// attic, whose timer ticks five times a second, and cellar, which listens to it.
pub(crate) struct System {
    pub(crate) workspace: Workspace,
    nodes: Vec<(String, Child)>,
}

impl System {
    /// With the configuration and the keys, and no Node running.
    pub(crate) fn prepared() -> System {
        let workspace = Workspace::new();
        let key = |node: &str| {
            workspace.answer(&["keygen", &format!("{node}.key")]).trim_end().to_owned()
        };
        let sockets = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let [attic, cellar] = sockets.map(|socket| socket.local_addr().unwrap().port());
        let text = CONFIG
            .replace("FOLDER", &workspace.path().to_string_lossy())
            .replace("ATTIC_KEY", &key("attic"))
            .replace("CELLAR_KEY", &key("cellar"))
            .replace("ATTIC_PORT", &attic.to_string())
            .replace("CELLAR_PORT", &cellar.to_string());
        fs::write(workspace.path().join("kozo.yml"), text).unwrap();
        System { workspace, nodes: Vec::new() }
    }

    /// With both Nodes, and the link between them up.
    pub(crate) fn running() -> System {
        let mut system = System::prepared();
        system.start("attic");
        system.start("cellar");
        for (node, peer) in [("attic", "cellar"), ("cellar", "attic")] {
            system.workspace.answer(&[
                "-n",
                node,
                "wait",
                &format!("peer={peer}"),
                "--timeout",
                "60s",
            ]);
        }
        system
    }

    /// Starts a Node, and returns when it answers.
    pub(crate) fn start(&mut self, node: &str) {
        let mut command = Command::new(kozo());
        self.workspace.within(&mut command);
        let log = fs::File::create(self.workspace.path().join(format!("{node}.stderr"))).unwrap();
        command.args(["kozo.yml", node]).env("KOZO_STOP_WITH_PARENT", "1");
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.nodes.push((node.to_owned(), child));
        let answers = || self.workspace.run(&["-n", node, "status"]).status.success();
        until(&format!("{node} answers"), answers);
    }

    /// Ends a Node as a crash does.
    pub(crate) fn kill(&mut self, node: &str) {
        let at = self.nodes.iter().position(|(name, _)| name == node).unwrap();
        let (_, mut child) = self.nodes.remove(at);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// The most memory that a Node has taken, in bytes.
    pub(crate) fn most_memory(&self, node: &str) -> u64 {
        let (_, child) = self.nodes.iter().find(|(name, _)| name == node).unwrap();
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Changes the configuration.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let file = self.workspace.path().join("kozo.yml");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from));
        fs::write(file, text.replacen(from, to, 1)).unwrap();
    }
}

impl Drop for System {
    fn drop(&mut self) {
        for (_, child) in &mut self.nodes {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

const CONFIG: &str = "\
heartbeat: 1s
system:
    attic:
        privateKey: FOLDER/attic.key
        publicKey: ATTIC_KEY
        roles:
            timer1:
                type: timer
                tick: 200ms
                log: false
        transports:
            tcp:
                address: 127.0.0.1
                bindAddress: 127.0.0.1
                port: ATTIC_PORT
    cellar:
        privateKey: FOLDER/cellar.key
        publicKey: CELLAR_KEY
        roleStorage: FOLDER/storage
        roles:
            cuckoo:
                timer: timer1
                log: false
            logger:
                file: FOLDER/cellar.log
                description: Keeps what is logged
        transports:
            tcp:
                address: 127.0.0.1
                bindAddress: 127.0.0.1
                port: CELLAR_PORT
";

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// All that a program has said, for messages about it.
pub(crate) fn both(output: &Output) -> String {
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits for a program to end by itself.
pub(crate) fn ended(child: &mut Child) -> ExitStatus {
    let mut status = None;
    until("the program ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}
