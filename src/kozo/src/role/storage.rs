//! What a Role keeps on disk: one value, in one file of the folder `roleStorage`.
//!
//! A value is MessagePack. Saving writes a second file beside the first, makes it durable and puts it
//! in the first one's place, so that a power cut leaves the old value or the new one, never half of
//! each. A file that cannot be read as a value, or is larger than any that is saved, is set aside, not
//! deleted. Roles get theirs through [`crate::role::RoleContext`].

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rmpv::Value;

use crate::pack;

/// Nesting of arrays and maps beyond which a file is not read: more than any Message has.
const MAX_DEPTH: usize = 256;

/// Larger files are not read, and larger values not saved: a little more than a Message can have.
const LARGEST: usize = crate::message::MAX_MESSAGE + 64 * 1024;

/// A value may have a few more values in it than a Message of its size.
const MORE_VALUES: usize = 1024;

/// Copies of corrupt files that are kept for one Role; then no more are set aside.
const MAX_CORRUPT: u32 = 1000;

/// Where one Role keeps one value. Clones, and others made for the same Role, may be used at once.
#[derive(Clone, Debug)]
pub struct Storage {
    folder: PathBuf,
    file_name: String,
}

/// Why a value was not loaded or not saved. Each names the path that it is about.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The folder is not there and cannot be made.
    #[error(
        "cannot use the folder of roleStorage, {}: {source}; create it, or correct roleStorage",
        path.display()
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is there, but not readable.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The value was not written; the one before it is still there.
    #[error("{} cannot be written: {source}; the value before it is kept", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The value is too large, so it was not written; the one before it is still there.
    #[error("{} is not written: {problem}; the value before it is kept", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// In which way.
        problem: String,
    },
    /// The file is corrupt and could not be set aside.
    #[error("{} is corrupt and cannot be renamed: {source}; move it away", path.display())]
    SetAside {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The thread that did the work is gone: the daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
}

impl Storage {
    /// The storage of the Role of this name, in the folder `roleStorage`. Touches no disk.
    pub fn new(folder: &Path, role: &str) -> Storage {
        Storage { folder: folder.to_owned(), file_name: file_name(role) }
    }

    /// The file that holds the value.
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.file_name)
    }

    /// The value saved last; `None` when there is none. A corrupt file counts as none: it is renamed
    /// to `NAME.corrupt-1` (or the next free number) and the daemon's log says so.
    ///
    /// # Errors
    /// When the folder or the file cannot be used.
    pub async fn load(&self) -> Result<Option<Value>, StorageError> {
        let storage = self.clone();
        let work = tokio::task::spawn_blocking(move || storage.load_now());
        work.await.unwrap_or(Err(StorageError::Stopping))
    }

    /// Replaces the value. When this returns without error, the new value survives a power cut.
    ///
    /// # Errors
    /// When it is too large or could not be written; the value before it is still there.
    pub async fn save(&self, value: &Value) -> Result<(), StorageError> {
        let mut encoded = Vec::new();
        // Writing to memory cannot fail.
        let _ = rmpv::encode::write_value(&mut encoded, value);
        // What is written now will have to be read.
        check(&encoded).map_err(|problem| StorageError::TooLarge { path: self.path(), problem })?;
        let storage = self.clone();
        let work = tokio::task::spawn_blocking(move || storage.save_now(&encoded));
        work.await.unwrap_or(Err(StorageError::Stopping))
    }

    fn load_now(&self) -> Result<Option<Value>, StorageError> {
        let _lock = self.open_folder()?;
        let path = self.path();
        let bytes = match read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StorageError::Read { path, source }),
        };
        match decode(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(problem) => {
                let aside = self
                    .set_aside()
                    .map_err(|source| StorageError::SetAside { path: path.clone(), source })?;
                tracing::warn!(
                    class = crate::class::STORAGE_CORRUPT,
                    "{} is corrupt ({problem}); it is now {}, and its Role starts without it",
                    path.display(),
                    aside.display()
                );
                Ok(None)
            }
        }
    }

    fn save_now(&self, encoded: &[u8]) -> Result<(), StorageError> {
        let folder = self.open_folder()?;
        self.replace(&folder, encoded)
            .map_err(|source| StorageError::Write { path: self.path(), source })
    }

    fn replace(&self, folder: &File, encoded: &[u8]) -> io::Result<()> {
        let temporary = self.folder.join(format!(".{}.new", self.file_name));
        // One that a crash left behind; it may belong to a link elsewhere or have other rights.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        let written = file.write_all(encoded).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // On a full disk its room is better free; the error to report is the first one.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        fs::rename(&temporary, self.path())?;
        folder.sync_all()
    }

    /// Opens the folder, made if need be, and holds a lock on it while it is open: two that save at
    /// once, even two daemons, would otherwise write into one temporary file.
    fn open_folder(&self) -> Result<File, StorageError> {
        let error = |source| StorageError::Folder { path: self.folder.clone(), source };
        let folder = match File::open(&self.folder) {
            Err(absent) if absent.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new()
                    .mode(0o700)
                    .create(&self.folder)
                    .or_else(exists)
                    .map_err(error)?;
                File::open(&self.folder).map_err(error)?
            }
            other => other.map_err(error)?,
        };
        if !folder.metadata().map_err(error)?.is_dir() {
            return Err(error(io::ErrorKind::NotADirectory.into()));
        }
        // Some network file systems lock no folders. There, one daemon per folder is the user's care.
        let _ = folder.lock();
        Ok(folder)
    }

    fn set_aside(&self) -> io::Result<PathBuf> {
        for number in 1..=MAX_CORRUPT {
            let aside = self.folder.join(format!("{}.corrupt-{number}", self.file_name));
            match fs::symlink_metadata(&aside) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::rename(self.path(), &aside)?;
                    return Ok(aside);
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other(format!("{MAX_CORRUPT} corrupt files are already kept")))
    }
}

fn exists(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

/// The name of a Role as that of a file: letters, digits, `-` and `_` stand for themselves, every
/// other byte is `%` and two digits. So no name leaves the folder, and none has a dot: what is
/// written beside the file can never be another Role's.
pub(crate) fn file_name(role: &str) -> String {
    let mut name = String::with_capacity(role.len());
    for character in role.chars() {
        if character.is_alphanumeric() || matches!(character, '-' | '_') {
            name.push(character);
        } else {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to memory cannot fail.
                let _ = write!(name, "%{byte:02X}");
            }
        }
    }
    name
}

/// The content of a file, or as much of it as shows that it is too large.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether the bytes are one value that is not too large.
fn check(bytes: &[u8]) -> Result<(), String> {
    if bytes.len() > LARGEST {
        return Err(format!("it is larger than {LARGEST} bytes"));
    }
    let most = pack::most_values(bytes.len()) + MORE_VALUES;
    pack::check(bytes, MAX_DEPTH, most).map_err(|problem| problem.to_string())
}

fn decode(mut bytes: &[u8]) -> Result<Value, String> {
    check(bytes)?;
    // It counts every array or map twice, and up to three for what is in the innermost.
    rmpv::decode::read_value_with_max_depth(&mut bytes, 2 * MAX_DEPTH + 3)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn value(number: i64) -> Value {
        Value::Array(vec![Value::from(number), Value::from("text"), Value::Nil])
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::new(folder.path(), "cuckoo");
        assert_eq!(storage.load().await.unwrap(), None);
        for number in 0..3 {
            storage.save(&value(number)).await.unwrap();
            assert_eq!(storage.load().await.unwrap(), Some(value(number)));
        }
        assert_eq!(names(folder.path()), ["cuckoo"]);
        let mode = fs::metadata(storage.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[tokio::test]
    async fn no_name_leaves_the_folder_or_meets_another() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        let roles = ["../escaped", "..", ".", "a/b", "a%2Fb", "cuckoo.corrupt-1", "時計", "a b\n"];
        for (number, role) in roles.iter().enumerate() {
            Storage::new(&inner, role).save(&Value::from(number)).await.unwrap();
        }
        for (number, role) in roles.iter().enumerate() {
            let loaded = Storage::new(&inner, role).load().await.unwrap();
            assert_eq!(loaded, Some(Value::from(number)), "{role}");
        }
        assert_eq!(names(folder.path()), ["inner"]);
        assert_eq!(names(&inner).len(), roles.len());
    }

    #[tokio::test]
    async fn a_corrupt_file_is_set_aside_and_never_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::new(folder.path(), "cuckoo");
        for (bytes, aside) in [
            (&b""[..], "cuckoo.corrupt-1"),
            (b"\x93\x01", "cuckoo.corrupt-2"),
            (b"\x01\x02", "cuckoo.corrupt-3"),
            (&[0x91; 5000], "cuckoo.corrupt-4"),
        ] {
            fs::write(storage.path(), bytes).unwrap();
            assert_eq!(storage.load().await.unwrap(), None);
            assert_eq!(fs::read(folder.path().join(aside)).unwrap(), bytes);
        }
        storage.save(&value(1)).await.unwrap();
        assert_eq!(storage.load().await.unwrap(), Some(value(1)));
        assert_eq!(names(folder.path()).len(), 5);
    }

    #[tokio::test]
    async fn what_is_too_large_is_neither_read_nor_saved() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::new(folder.path(), "cuckoo");
        storage.save(&value(1)).await.unwrap();
        let many = Value::Array(vec![Value::Nil; 1_000_000]);
        let long = Value::from(vec![0; LARGEST]);
        for large in [&many, &long] {
            let error = storage.save(large).await.unwrap_err();
            assert!(matches!(error, StorageError::TooLarge { .. }), "{error}");
            assert_eq!(storage.load().await.unwrap(), Some(value(1)));
        }
        for (large, aside) in [(&many, "cuckoo.corrupt-1"), (&long, "cuckoo.corrupt-2")] {
            let mut encoded = Vec::new();
            rmpv::encode::write_value(&mut encoded, large).unwrap();
            fs::write(storage.path(), &encoded).unwrap();
            assert_eq!(storage.load().await.unwrap(), None);
            assert!(folder.path().join(aside).exists());
        }
        let deep = (0..MAX_DEPTH).fold(Value::Nil, |inner, _| Value::Array(vec![inner]));
        storage.save(&deep).await.unwrap();
        assert_eq!(storage.load().await.unwrap(), Some(deep));
    }

    #[tokio::test]
    async fn a_crash_before_the_rename_costs_only_the_new_value() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::new(folder.path(), "cuckoo");
        storage.save(&value(1)).await.unwrap();
        let left_behind = folder.path().join(".cuckoo.new");
        fs::write(&left_behind, b"\x93\x02\xa4te").unwrap();
        assert_eq!(storage.load().await.unwrap(), Some(value(1)));
        storage.save(&value(2)).await.unwrap();
        assert_eq!(storage.load().await.unwrap(), Some(value(2)));
        assert_eq!(names(folder.path()), ["cuckoo"]);
    }

    #[tokio::test]
    async fn the_temporary_file_is_never_written_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, "precious").unwrap();
        symlink(&elsewhere, folder.path().join(".cuckoo.new")).unwrap();
        Storage::new(folder.path(), "cuckoo").save(&value(1)).await.unwrap();
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "precious");
    }

    #[tokio::test]
    async fn saves_at_once_leave_one_whole_value() {
        let folder = tempfile::tempdir().unwrap();
        let saves = (0..32).map(|number| {
            let storage = Storage::new(folder.path(), "cuckoo");
            tokio::spawn(async move { storage.save(&value(number)).await })
        });
        for save in saves.collect::<Vec<_>>() {
            save.await.unwrap().unwrap();
        }
        let loaded = Storage::new(folder.path(), "cuckoo").load().await.unwrap().unwrap();
        assert!((0..32).any(|number| loaded == value(number)));
        assert_eq!(names(folder.path()), ["cuckoo"]);
    }

    #[tokio::test]
    async fn the_folder_is_made_but_not_the_ones_above_it() {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("storage");
        assert_eq!(Storage::new(&made, "cuckoo").load().await.unwrap(), None);
        assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o7777, 0o700);

        let deep = folder.path().join("missing/storage");
        for result in [
            Storage::new(&deep, "cuckoo").load().await.map(|_| ()),
            Storage::new(&deep, "cuckoo").save(&Value::Nil).await,
        ] {
            let text = result.unwrap_err().to_string();
            assert!(text.contains("missing/storage") && text.contains("create it"), "{text}");
        }
    }

    #[tokio::test]
    async fn something_in_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Storage::new(&file, "cuckoo").load().await.unwrap_err();
        assert!(matches!(&error, StorageError::Folder { path, .. } if *path == file), "{error}");

        let storage = Storage::new(folder.path(), "cuckoo");
        fs::create_dir(storage.path()).unwrap();
        let error = storage.load().await.unwrap_err();
        assert!(matches!(&error, StorageError::Read { .. }), "{error}");
        let error = storage.save(&Value::Nil).await.unwrap_err();
        assert!(matches!(&error, StorageError::Write { .. }), "{error}");
        assert!(error.to_string().contains("cuckoo cannot be written"), "{error}");
    }

    #[tokio::test]
    async fn a_folder_that_vanishes_costs_only_the_new_value() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("storage");
        let storage = Storage::new(&inner, "cuckoo");
        storage.save(&value(1)).await.unwrap();
        let aside = folder.path().join("aside");
        fs::rename(&inner, &aside).unwrap();
        fs::write(&inner, "in the way").unwrap();
        assert!(storage.save(&value(2)).await.is_err());
        fs::remove_file(&inner).unwrap();
        fs::rename(&aside, &inner).unwrap();
        assert_eq!(storage.load().await.unwrap(), Some(value(1)));
        storage.save(&value(3)).await.unwrap();
        assert_eq!(storage.load().await.unwrap(), Some(value(3)));
    }
}
