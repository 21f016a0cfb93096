//! What programs said of themselves when they were run with `--describe`: kept for as long as their files stay the
//! same, so that a Node starts without running each of them first.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::find::is_file_name;
use super::{FileVersion, LARGEST_DESCRIPTION};

/// A folder with a file for each type.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    path: PathBuf,
    #[serde(flatten)]
    file: FileVersion,
    description: String,
}

impl Cache {
    /// The cache in this folder, which need not be there yet.
    pub fn new(folder: PathBuf) -> Cache {
        Cache { folder }
    }

    /// What this program said, if its file is still the same.
    pub(super) fn get(&self, type_name: &str, path: &Path, file: FileVersion) -> Option<String> {
        let at = self.at(type_name);
        // A text in JSON is longer than itself.
        fs::metadata(&at).ok().filter(|found| found.len() <= 8 * LARGEST_DESCRIPTION)?;
        let entry: Entry = serde_json::from_slice(&fs::read(at).ok()?).ok()?;
        (entry.path == path && entry.file == file).then_some(entry.description)
    }

    /// Whether there ever was a program of this type.
    pub(super) fn has(&self, type_name: &str) -> bool {
        is_file_name(type_name) && self.at(type_name).is_file()
    }

    /// Keeps what a program said. If that fails, the program is asked once more the next time.
    pub(super) fn put(&self, type_name: &str, path: &Path, file: FileVersion, description: &str) {
        let entry = Entry { path: path.to_owned(), file, description: description.to_owned() };
        let Ok(text) = serde_json::to_vec(&entry) else { return };
        let at = self.at(type_name);
        // Another Node of this machine may write it at the same time.
        let new = at.with_extension(format!("new-{}", std::process::id()));
        let written = fs::create_dir_all(&self.folder)
            .and_then(|()| fs::write(&new, text))
            .and_then(|()| fs::rename(&new, at));
        if written.is_err() {
            let _ = fs::remove_file(new);
        }
    }

    /// The name of a type is that of a program that was found, so it is one of a file.
    fn at(&self, type_name: &str) -> PathBuf {
        self.folder.join(format!("{type_name}.json"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_holds_as_long_as_the_file_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("descriptions"));
        let (path, file) = (Path::new("/r/bell"), FileVersion { size: 3, modified: 7 });
        assert!(!cache.has("bell"));
        assert_eq!(cache.get("bell", path, file), None);
        cache.put("bell", path, file, "{\"x\": \"\n\"}");
        assert_eq!(cache.get("bell", path, file).unwrap(), "{\"x\": \"\n\"}");
        assert_eq!(cache.get("bell", path, FileVersion { modified: 8, ..file }), None);
        assert_eq!(cache.get("bell", Path::new("/s/bell"), file), None);
        assert!(cache.has("bell") && !cache.has("../descriptions/bell"));
        fs::write(folder.path().join("descriptions/bell.json"), "{").unwrap();
        assert_eq!(cache.get("bell", path, file), None);
    }
}
