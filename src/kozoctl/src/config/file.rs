//! The configuration on disk: read, and changed in one step.
//!
//! A change is a new file that takes the place of the old one, so that a program that reads it (a Node that is
//! told to reload, systemd's generator) sees the one or the other. It keeps the owner and the mode of
//! the old one. Where the path is a link, what it leads to is changed.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use kozo_core::places::CONFIG;
use nix::unistd::{AccessFlags, access};

use crate::failure::{Exit, Failure};
use crate::shell::this_command;

/// Nothing larger is read; the daemon reads no larger files either.
const LARGEST: u64 = 4 * 1024 * 1024;

/// Nodes run as a user of their own, and must be able to read it. Nothing in it is secret.
const MODE: u32 = 0o644;

/// A configuration that is there or will be. As long as this lives, no other kozoctl changes it.
#[derive(Debug)]
pub(super) struct ConfigFile {
    /// The file, as it was named: for messages.
    pub(super) shown: String,
    /// The file, absolute and not a link.
    pub(super) path: PathBuf,
    /// Its folder.
    pub(super) folder: PathBuf,
    /// Whether it is the one that this machine's services run with.
    pub(super) service: bool,
    _lock: Option<File>,
}

impl ConfigFile {
    /// Finds the file, and makes sure that it may be written to.
    ///
    /// # Errors
    /// When it may not be, or there is no such folder.
    pub(super) fn open(file: &Path) -> Result<ConfigFile, Failure> {
        let shown = file.to_string_lossy().into_owned();
        let failed = |error: io::Error| unwritten(&shown, &error);
        let path = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if path == Path::new(CONFIG) && !folder.exists() {
            make_folder(folder, 0o755).map_err(failed)?;
        }
        let folder = fs::canonicalize(folder).map_err(failed)?;
        let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::IsADirectory.into()))?;
        let path = folder.join(name);
        if path.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        access(&folder, AccessFlags::W_OK | AccessFlags::X_OK)
            .map_err(|error| failed(error.into()))?;
        // Some network file systems lock no folders; there, two at once are the user's care.
        let lock = File::open(&folder).ok().filter(|folder| folder.lock().is_ok());
        let service = path == Path::new(CONFIG);
        Ok(ConfigFile { shown, path, folder, service, _lock: lock })
    }

    /// The text that is there, if any.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn read(&self) -> Result<Option<String>, Failure> {
        match read_text(&self.shown, File::open(&self.path)) {
            Ok(text) => Ok(Some(text)),
            Err(Unread::Absent) => Ok(None),
            Err(Unread::Failed(failure)) => Err(failure),
        }
    }

    /// Puts a text there, durably and in one step.
    ///
    /// # Errors
    /// When it cannot be written. Then what was there still is.
    pub(super) fn write(&self, text: &str) -> Result<(), Failure> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = self.folder.join(format!(".{name}.new"));
        let written = self.write_to(&temporary, text);
        written.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            unwritten(&self.shown, &error)
        })
    }

    fn write_to(&self, temporary: &Path, text: &str) -> io::Result<()> {
        // One that a crash has left behind: the lock says that no program is writing it.
        match fs::remove_file(temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
        file.write_all(text.as_bytes())?;
        let mode = match fs::metadata(&self.path) {
            Ok(old) => {
                let new = file.metadata()?;
                if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                    fchown(&file, Some(old.uid()), Some(old.gid()))?;
                }
                old.mode() & 0o7777
            }
            Err(_) => MODE,
        };
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(temporary, &self.path)?;
        File::open(&self.folder)?.sync_all()
    }
}

/// Makes a folder with exactly this mode, and says whether it was not there.
///
/// # Errors
/// When it cannot be made.
pub(super) fn make_folder(folder: &Path, mode: u32) -> io::Result<bool> {
    match DirBuilder::new().mode(mode).create(folder) {
        Ok(()) => {
            fs::set_permissions(folder, Permissions::from_mode(mode))?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Why there is no text.
pub(super) enum Unread {
    /// There is no such file.
    Absent,
    /// Something else.
    Failed(Failure),
}

/// All that can be read, which must be text of a sensible size.
///
/// # Errors
/// When it is not, or cannot be read.
pub(super) fn read_text(shown: &str, source: io::Result<impl Read>) -> Result<String, Unread> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Unread::Absent,
        io::ErrorKind::PermissionDenied => Unread::Failed(not_allowed("read", shown, &error)),
        _ => Unread::Failed(Failure::failed(format_args!("cannot read {shown}: {error}"))),
    };
    let mut bytes = Vec::new();
    source.and_then(|source| source.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        let told = format!("{shown} is larger than {} MiB", LARGEST >> 20);
        return Err(Unread::Failed(Failure::failed(told)));
    }
    String::from_utf8(bytes)
        .map_err(|_| Unread::Failed(Failure::failed(format_args!("{shown} is not UTF-8 text"))))
}

/// What is said when something cannot be written, and what to run then.
pub(super) fn unwritten(shown: &str, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::PermissionDenied => not_allowed("write", shown, error),
        _ => Failure::failed(format_args!("cannot write {shown}: {error}")),
    }
}

fn not_allowed(what: &str, shown: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::NotAllowed, format_args!("cannot {what} {shown}: {error}"))
        .hint(format!("Run it as root: sudo {}", this_command()))
}
