//! Types of Roles and Transports that are not built in: programs in folders, each with a description of what it does
//! and takes.
//!
//! [`find`] says which file a type is. Its [`Description`] is in a file `TYPE.json` beside it, or is what the program
//! prints when it is run with `--describe`; that is kept in a [`cache`], as a file is run only by the Node that is
//! to run it as a Role or a Transport. To look for programs and to read descriptions executes nothing.

pub mod cache;
pub mod description;
pub mod find;
mod transport;

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use cache::Cache;
pub use description::{Description, Encoding, Priority, TransportTraits};
use find::NotFound;

use crate::places::{DESCRIPTIONS, STATE};

/// What a program is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TypeKind {
    /// A Role.
    #[default]
    Role,
    /// A Transport.
    Transport,
}

impl TypeKind {
    /// As a description says it.
    pub fn name(self) -> &'static str {
        match self {
            TypeKind::Role => "role",
            TypeKind::Transport => "transport",
        }
    }

    /// As people are told.
    pub fn title(self) -> &'static str {
        match self {
            TypeKind::Role => "Role",
            TypeKind::Transport => "Transport",
        }
    }

    /// Where packages put programs of this kind.
    pub fn folder(self) -> &'static str {
        match self {
            TypeKind::Role => "/usr/lib/kozo/roles",
            TypeKind::Transport => "/usr/lib/kozo/transports",
        }
    }

    /// The variable with folders that have more of them, separated by colons.
    pub fn variable(self) -> &'static str {
        match self {
            TypeKind::Role => "KOZOROLEPATH",
            TypeKind::Transport => "KOZOTRANSPORTPATH",
        }
    }

    /// Our own types of this kind that are packages of their own: the type, and the package.
    fn packaged(self) -> &'static [(&'static str, &'static str)] {
        match self {
            TypeKind::Role => &[
                ("motion-detect", "kozo-role-motion-detect"),
                ("bluetooth-discover", "kozo-role-bluetooth-discover"),
            ],
            TypeKind::Transport => {
                &[("bluetooth", "kozo-transport-bluetooth"), ("onion", "kozo-transport-onion")]
            }
        }
    }

    /// The package that has this type, if it is one of ours.
    pub fn package(self, type_name: &str) -> Option<&'static str> {
        self.packaged().iter().find(|(name, _)| *name == type_name).map(|(_, package)| *package)
    }

    /// The folder for what programs of this kind said of themselves, in that for all kinds.
    pub fn cache_in(self, all: &Path) -> PathBuf {
        match self {
            TypeKind::Role => all.to_owned(),
            TypeKind::Transport => all.join("transports"),
        }
    }
}

/// Larger files are not taken for descriptions.
const LARGEST_DESCRIPTION: u64 = 256 * 1024;

/// A program that is a type of Roles or Transports. Another one, if its file has changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// The file.
    pub path: PathBuf,
    /// Which version of the file.
    pub file: FileVersion,
    /// What it says of itself.
    pub description: Description,
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileVersion {
    /// Bytes.
    pub size: u64,
    /// When it was last changed, in nanoseconds since the Unix epoch.
    pub modified: i64,
}

impl FileVersion {
    /// That of the file which is there now.
    ///
    /// # Errors
    /// When nothing can be learned of it.
    pub fn of(path: &Path) -> std::io::Result<FileVersion> {
        let found = fs::metadata(path)?;
        let modified =
            found.mtime().saturating_mul(1_000_000_000).saturating_add(found.mtime_nsec());
        Ok(FileVersion { size: found.size(), modified })
    }
}

/// Asks a program for its description, by running it.
pub trait Describe: Send + Sync {
    /// What it prints when it is run with `--describe`; with these folders in front of the import path of Python.
    ///
    /// # Errors
    /// Why it printed none, for people.
    fn describe(&self, program: &Path, import_path: &[PathBuf]) -> Result<String, String>;
}

/// Where programs of one kind are looked for, and how their descriptions are come by.
#[derive(Clone, Default)]
pub struct Programs {
    /// Which kind.
    pub kind: TypeKind,
    /// The folders before those that a configuration names.
    pub folders: Vec<PathBuf>,
    /// What programs said when they were run.
    pub cache: Option<Cache>,
    /// Runs them, if they may be run.
    pub describe: Option<Arc<dyn Describe>>,
    /// Whether a Node may start without those that are missing, if they were there before.
    pub may_be_missing: bool,
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Programs").field("folders", &self.folders).finish_non_exhaustive()
    }
}

/// Why a program is not known well enough to be a type.
#[derive(Clone, Debug, PartialEq)]
pub enum Unknown {
    /// There is no such program.
    Nowhere,
    /// There is one, but it does not say what it is, or not so that it can be understood.
    Bad(String),
    /// There is one, but it may not be run to ask it what it is.
    NotAsked(PathBuf),
}

impl Programs {
    /// Those that are installed on this machine, and those in the folders that the environment names. None of them
    /// is run.
    pub fn installed(kind: TypeKind) -> Programs {
        let more = std::env::var_os(kind.variable()).unwrap_or_default();
        let folders =
            std::iter::once(PathBuf::from(kind.folder())).chain(std::env::split_paths(&more));
        // An empty one would be the folder in which somebody happens to be.
        let folders = folders.filter(|folder| !folder.as_os_str().is_empty());
        let cache = Cache::new(kind.cache_in(&Path::new(STATE).join(DESCRIPTIONS)));
        Programs { kind, folders: folders.collect(), cache: Some(cache), ..Programs::default() }
    }

    /// All folders, with those that a configuration names.
    pub fn folders<'a>(&'a self, named: &'a [PathBuf]) -> impl Iterator<Item = &'a Path> + Clone {
        self.folders.iter().chain(named).map(PathBuf::as_path)
    }

    /// The program that is this type. It is run only if there is an `import_path` to run it with.
    ///
    /// # Errors
    /// Why there is none.
    pub fn find(
        &self,
        type_name: &str,
        named: &[PathBuf],
        import_path: Option<&[PathBuf]>,
    ) -> Result<Program, Unknown> {
        let path = match find::find(type_name, self.folders(named)) {
            Ok(path) => path,
            Err(NotFound::Nowhere) => return Err(Unknown::Nowhere),
            Err(bad) => return Err(Unknown::Bad(bad.to_string())),
        };
        let unreadable =
            |error| Unknown::Bad(format!("`{}` cannot be read: {error}", path.display()));
        let file = FileVersion::of(&path).map_err(unreadable)?;
        let describe = self.describe.as_ref().zip(import_path);
        let (from, text) = match described_beside(&path, type_name) {
            Some(found) => found?,
            None => match self.cache.as_ref().and_then(|cache| cache.get(type_name, &path, file)) {
                Some(text) => (format!("`{} --describe`", path.display()), text),
                None => {
                    let (describe, import_path) =
                        describe.ok_or_else(|| Unknown::NotAsked(path.clone()))?;
                    let text = describe.describe(&path, import_path).map_err(Unknown::Bad)?;
                    if let Some(cache) = &self.cache {
                        cache.put(type_name, &path, file, &text);
                    }
                    (format!("`{} --describe`", path.display()), text)
                }
            },
        };
        let description = Description::read(self.kind, type_name, &text)
            .map_err(|problem| Unknown::Bad(format!("{from}: {problem}")))?;
        Ok(Program { path, file, description })
    }

    /// Whether there was a program of this type on this machine before.
    pub fn was_seen(&self, type_name: &str) -> bool {
        self.kind.package(type_name).is_some()
            || self.cache.as_ref().is_some_and(|cache| cache.has(type_name))
    }
}

/// The file with the description of a program that lies beside it, if there is one: what it is called, and its text.
fn described_beside(program: &Path, type_name: &str) -> Option<Result<(String, String), Unknown>> {
    let path = program.with_file_name(format!("{type_name}.json"));
    let called = format!("`{}`", path.display());
    let read = || -> std::io::Result<Option<String>> {
        let found = match fs::metadata(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if !found.is_file() || found.len() > LARGEST_DESCRIPTION {
            let why = format!("it is not a file of at most {LARGEST_DESCRIPTION} bytes");
            return Err(std::io::Error::other(why));
        }
        fs::read_to_string(&path).map(Some)
    };
    match read() {
        Ok(text) => text.map(|text| Ok((called, text))),
        Err(error) => Some(Err(Unknown::Bad(format!("{called} cannot be read: {error}")))),
    }
}
