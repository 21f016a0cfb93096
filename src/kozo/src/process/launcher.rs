//! Starting the programs of a Role or Transport.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once, OnceLock};

use kozo_core::places;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::launch::Spec;
use super::limits::{self, Limits};
use super::running::Process;
use super::sandbox::{self, Gap};
use super::stderr::{LastLine, Lines, StderrBudget};
use super::{Owner, environment, registry};
use crate::config::{NodeConfig, System};

/// The program that this process runs, whatever has taken its place on disk since.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// A program to be started, and how.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// What is run: a path, or a name that is looked up in `PATH`.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables besides the usual ones, or in place of them.
    pub environment: Vec<(OsString, OsString)>,
    /// Usual variables that it does not get.
    pub without: Vec<&'static str>,
    /// How much of the machine it may take.
    pub limits: Limits,
    /// What it may reach although it would be hidden from it.
    pub granted: Vec<PathBuf>,
    /// Whether its standard input is a channel to the Node: then it has that as descriptor
    /// [`CHANNEL`](super::launch::CHANNEL) instead, and no input or output.
    pub channel: bool,
}

impl Launch {
    /// Of a program and its arguments.
    pub fn of(words: impl IntoIterator<Item = OsString>) -> Launch {
        let mut words = words.into_iter();
        let program = words.next().unwrap_or_default();
        Launch { program, arguments: words.collect(), ..Launch::default() }
    }
}

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// Its own folder cannot be made.
    #[error("cannot create its folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no process for it.
    #[error("cannot start {}: {source}", program.display())]
    Start {
        /// What was to be run.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Starts the programs of one Role or Transport.
#[derive(Clone, Debug)]
pub struct Launcher {
    node: String,
    owner: Owner,
    /// The program that has the mode `launch`.
    kozo: PathBuf,
    /// The folder that belongs to the Role or Transport.
    state: Option<PathBuf>,
    import_path: Vec<PathBuf>,
    hidden: Vec<PathBuf>,
    /// What a program may reach even below hidden paths, besides itself and its own folder.
    granted: Vec<PathBuf>,
    budget: StderrBudget,
}

impl Launcher {
    /// Of this Role or Transport of a Node.
    pub fn new(system: &System, node: &NodeConfig, owner: Owner) -> Launcher {
        let options = &node.options;
        let state = state(node).map(|folder| folder.join(owner.folder_name()));
        Launcher {
            node: node.name.clone(),
            owner,
            kozo: OWN_PROGRAM.into(),
            state,
            import_path: options.import_path.clone(),
            hidden: hidden(system, node),
            granted: [&*options.import_path, &options.role_path, &options.transport_path].concat(),
            budget: StderrBudget::default(),
        }
    }

    /// Of no Node yet: for a program that is asked what it is while the configuration is being read. So it is hidden
    /// where configurations and keys usually are, and all that the environment names.
    pub(super) fn without_node(import_path: &[PathBuf]) -> Launcher {
        let hidden = usually_hidden().chain(Path::new(places::CONFIG).parent().map(PathBuf::from));
        Launcher {
            node: String::new(),
            owner: Owner::Role("".into()),
            kozo: OWN_PROGRAM.into(),
            state: None,
            import_path: import_path.to_vec(),
            hidden: absolute(hidden),
            granted: Vec::new(),
            budget: StderrBudget::default(),
        }
    }

    /// Of a Role or Transport of a Node that hides nothing.
    #[cfg(test)]
    pub(crate) fn of_nothing(node: &str, owner: Owner, storage: Option<PathBuf>) -> Launcher {
        Launcher {
            node: node.to_owned(),
            kozo: OWN_PROGRAM.into(),
            state: storage.map(|folder| folder.join(owner.folder_name())),
            owner,
            import_path: Vec::new(),
            hidden: Vec::new(),
            granted: Vec::new(),
            budget: StderrBudget::default(),
        }
    }

    /// Starts them through another program than the one that runs: one that has the mode `launch`.
    pub fn through(mut self, kozo: &Path) -> Launcher {
        kozo.clone_into(&mut self.kozo);
        self
    }

    /// Lets its programs write to standard error what others of the same Role have left.
    pub(crate) fn with_budget(mut self, budget: StderrBudget) -> Launcher {
        self.budget = budget;
        self
    }

    /// The same, starting programs through what that one does, which may write to standard error what that one has left.
    pub(crate) fn in_place_of(&self, old: &Launcher) -> Launcher {
        let (kozo, budget) = (old.kozo.clone(), old.budget.clone());
        Launcher { kozo, budget, ..self.clone() }
    }

    /// Whether what this starts has the same folder and may reach the same as what that starts.
    pub fn confines_as(&self, other: &Launcher) -> bool {
        self.state == other.state
            && self.import_path == other.import_path
            && self.hidden == other.hidden
            && self.granted == other.granted
    }

    /// The folder that belongs to the Role or Transport, if there is one.
    pub fn folder(&self) -> Option<&Path> {
        self.state.as_deref()
    }

    /// Makes that folder if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make_folder(&self) -> Result<(), LaunchError> {
        let Some(folder) = &self.state else { return Ok(()) };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|source| LaunchError::Folder { path: folder.clone(), source })
    }

    /// Starts a program. What it writes to standard error is logged in the name of the Role or Transport. Takes a runtime, on whose
    /// own thread this is to be called: the program is killed when the thread ends that has started it.
    ///
    /// That the program itself cannot be run shows when it ends, see [`super::Exit`].
    ///
    /// # Errors
    /// When the system gives no process for it.
    pub fn start(
        &self,
        launch: &Launch,
        stdin: Stdio,
        stdout: Stdio,
    ) -> Result<Process, LaunchError> {
        static GAP: Once = Once::new();
        GAP.call_once(tell_gap);
        let failed = |source| LaunchError::Start { program: launch.program.clone().into(), source };
        self.make_folder()?;
        let run = run();
        let mut command = self.command(launch, &run).map_err(failed)?;
        command.stdin(stdin).stdout(stdout).stderr(Stdio::piped());
        // Before there is anything whose end could be missed.
        let ended = signal(SignalKind::child()).map_err(failed)?;
        let mut child =
            registry::with(|registry| registry.start(&mut command, &run)).map_err(failed)?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let last_line = LastLine::default();
        let lines = Lines {
            owner: self.owner.clone(),
            budget: self.budget.clone(),
            last: Arc::clone(&last_line),
        };
        let stderr = stderr.map(ChildStderr::from_std).transpose();
        let reader = tokio::spawn(async move {
            if let Ok(Some(stderr)) = stderr {
                lines.read(stderr).await;
            }
        });
        // From here on it is killed when it is dropped.
        let mut process = Process::new(child, ended, reader, last_line);
        process.stdin = stdin.map(ChildStdin::from_std).transpose().map_err(failed)?;
        process.stdout = stdout.map(ChildStdout::from_std).transpose().map_err(failed)?;
        Ok(process)
    }

    /// What starts the program, through `kozo launch`, as this run.
    pub(super) fn command(&self, launch: &Launch, run: &str) -> io::Result<Command> {
        let spec = serde_json::to_string(&self.spec(launch))?;
        let mut command = Command::new(&self.kozo);
        command.args(["launch", &spec, "--"]);
        command.arg(&launch.program).args(&launch.arguments);
        let state = self.state.as_deref();
        let usual = environment::of(&self.node, &self.owner, run, state, &self.import_path);
        command.env_clear().envs(usual);
        launch.without.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.envs(launch.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(state.unwrap_or(Path::new("/")));
        Ok(command)
    }

    fn spec(&self, launch: &Launch) -> Spec {
        static PROCESSES: OnceLock<u64> = OnceLock::new();
        let of_program = Path::new(&launch.program).is_absolute().then_some(&launch.program);
        let granted = self.granted.iter().cloned().chain(of_program.map(PathBuf::from));
        let own = self.state.iter().chain(&launch.granted).cloned();
        // What has something hidden in it is not granted as a whole.
        let is_sound = |path: &PathBuf| !self.hidden.iter().any(|hidden| hidden.starts_with(path));
        Spec {
            parent: std::process::id().cast_signed(),
            limits: launch.limits,
            processes: *PROCESSES.get_or_init(limits::processes),
            hidden: self.hidden.clone(),
            granted: granted.filter(is_sound).chain(own).collect(),
            channel: launch.channel,
        }
    }
}

/// What no program is to reach: private keys, what Nodes and other Roles keep, and the sockets of Nodes.
fn hidden(system: &System, node: &NodeConfig) -> Vec<PathBuf> {
    let nodes = || system.nodes.iter();
    let mut hidden: Vec<_> = nodes().map(|node| node.private_key.clone()).collect();
    hidden.extend(nodes().filter_map(|node| node.role_storage.clone()));
    hidden.extend(state(node));
    hidden.extend(usually_hidden());
    let mut hidden = absolute(hidden.into_iter());
    hidden.sort();
    // All of it goes through one argument of a command.
    hidden.dedup_by(|later, earlier| later.starts_with(earlier));
    hidden
}

/// What is hidden whatever the configuration says.
fn usually_hidden() -> impl Iterator<Item = PathBuf> {
    let named = ["CREDENTIALS_DIRECTORY", "STATE_DIRECTORY"].into_iter().filter_map(variable);
    named.chain(places::of_systemd()).chain(places::parents())
}

/// Relative ones are where the Node is, which a program is not.
fn absolute(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    paths.filter_map(|path| std::path::absolute(path).ok()).collect()
}

/// The folder of what this Node's Roles keep, if there is a good one.
fn state(node: &NodeConfig) -> Option<PathBuf> {
    let of_user = || {
        let home = || variable("HOME").map(|home| home.join(".local/state"));
        variable("XDG_STATE_HOME").or_else(home).map(|folder| folder.join("kozo"))
    };
    let usual =
        || variable("STATE_DIRECTORY").or_else(of_user).map(|folder| folder.join(&node.name));
    node.role_storage.clone().or_else(usual).and_then(|path| std::path::absolute(path).ok())
}

/// A path that the environment says. Of several, the first.
fn variable(name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name)?;
    let first = std::env::split_paths(&value).next()?;
    first.is_absolute().then_some(first)
}

/// A name for another run of a program.
pub(super) fn run() -> String {
    static RUNS: AtomicU64 = AtomicU64::new(1);
    format!("{}{}", runs_of(std::process::id()), RUNS.fetch_add(1, Ordering::Relaxed))
}

/// What the names of all runs of the programs of this Node begin with.
pub(super) fn runs_of(node: u32) -> String {
    format!("{node}.")
}

fn tell_gap() {
    match sandbox::gap() {
        Some(Gap::NoLandlock) => warn!(
            "this kernel has no Landlock: programs of Roles and Transports can read whatever the user of this node \
             can, including private keys and the state of other Roles"
        ),
        Some(Gap::Signals) => warn!(
            "this kernel does not stop programs of Roles and Transports from sending signals to other processes of \
             their user, including this node; Linux 6.12 and later do"
        ),
        Some(Gap::Sockets) => info!(
            "this kernel does not restrict the sockets to which programs of Roles and Transports connect, as Linux 7.1 \
             does; this node refuses them at its own sockets"
        ),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_has_a_name_of_its_own() {
        assert_ne!(run(), run());
    }
}
