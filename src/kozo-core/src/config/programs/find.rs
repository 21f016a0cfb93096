//! Which file is the program of a type.

use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Why no file is the program of a type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// No folder has one.
    #[error("there is no such program")]
    Nowhere,
    /// A folder has several, and nothing says which is meant.
    #[error("both `{}` and `{}` could be meant: rename one of them", .0.display(), .1.display())]
    Twice(PathBuf, PathBuf),
    /// There is a file of the right name, which nothing can run.
    #[error("`{}` is not executable: run `chmod +x` on it", .0.display())]
    NotExecutable(PathBuf),
}

/// What executes files in Python that cannot be executed by themselves. `-P`: a module comes from where the package of Debian or
/// `importPath` has put it, and not from where the program happens to run.
const PYTHON: &[&str] = &["python3", "-P", "-m", "kozo"];

/// The command that runs the program in a file: the file itself or, if it is in Python and cannot be executed by
/// itself, what executes it.
pub fn command(path: &Path) -> Vec<OsString> {
    let by_itself =
        || fs::metadata(path).is_ok_and(|found| is_executable(&found)) && names_interpreter(path);
    let runner: &[&str] = if is_python(path) && !by_itself() { PYTHON } else { &[] };
    runner.iter().map(OsString::from).chain([path.into()]).collect()
}

/// The program of a type: in the first folder that has a file of its name, with or without an extension, which is
/// executable or in Python.
///
/// # Errors
/// When there is none, or nothing says which.
pub fn find<'a>(
    type_name: &str,
    folders: impl Iterator<Item = &'a Path>,
) -> Result<PathBuf, NotFound> {
    let mut other = NotFound::Nowhere;
    for folder in folders {
        let mut found = in_folder(type_name, folder);
        found.sort();
        let mut programs = found.iter().filter(|file| file.is_program);
        match (programs.next(), programs.next()) {
            (Some(one), None) => return Ok(one.path.clone()),
            (Some(one), Some(two)) => {
                return Err(NotFound::Twice(one.path.clone(), two.path.clone()));
            }
            (None, _) => {}
        }
        if let (NotFound::Nowhere, Some(file)) = (&other, found.into_iter().next()) {
            other = NotFound::NotExecutable(file.path);
        }
    }
    Err(other)
}

/// The types whose programs are in a folder, as far as their names tell.
pub fn types_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut types: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let type_name = type_of(&name)?;
            fs::metadata(entry.path())
                .is_ok_and(|found| found.is_file())
                .then(|| type_name.to_owned())
        })
        .collect();
    types.sort();
    types.dedup();
    types
}

/// The type that a file of this name is, with or without an extension; none of descriptions, and of what editors leave
/// behind.
fn type_of(file_name: &str) -> Option<&str> {
    let (type_name, extension) = match file_name.split_once('.') {
        Some((type_name, extension)) => (type_name, Some(extension)),
        None => (file_name, None),
    };
    let is_program = extension.is_none_or(|extension| {
        extension != "json" && extension.chars().all(char::is_alphanumeric)
    });
    (is_program && is_file_name(type_name)).then_some(type_name)
}

/// Whether a type can have a program: what is in its name is to stay in the folder.
pub(super) fn is_file_name(type_name: &str) -> bool {
    let sound = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    !type_name.is_empty() && type_name.chars().all(sound)
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct File {
    path: PathBuf,
    is_program: bool,
}

fn is_python(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "py")
}

/// Whether it begins with `#!`. Without that, a text that is executable is run by a shell (execvp(3)).
fn names_interpreter(path: &Path) -> bool {
    let mut begin = [0; 2];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut begin));
    read.is_ok() && begin == *b"#!"
}

fn is_executable(found: &fs::Metadata) -> bool {
    found.permissions().mode() & 0o111 != 0
}

/// The files of a folder that are this type.
fn in_folder(type_name: &str, folder: &Path) -> Vec<File> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries
        .filter(|entry| entry.file_name().to_str().and_then(type_of) == Some(type_name))
        .filter_map(|entry| {
            let path = entry.path();
            let found = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
            let is_program = is_executable(&found) || is_python(&path);
            Some(File { path, is_program })
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn file(folder: &Path, name: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn the_first_folder_that_has_an_executable_wins() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = || [first.path(), second.path(), Path::new("/nowhere")].into_iter();
        assert_eq!(find("bell", folders()), Err(NotFound::Nowhere));
        let later = file(second.path(), "bell.sh", 0o755);
        assert_eq!(find("bell", folders()), Ok(later.clone()));
        file(first.path(), "bell.json", 0o755);
        file(first.path(), "bell.sh~", 0o755);
        file(first.path(), "bells", 0o755);
        file(first.path(), "bell.md", 0o644);
        assert_eq!(find("bell", folders()), Ok(later));
        let program = file(first.path(), "bell", 0o755);
        assert_eq!(find("bell", folders()), Ok(program.clone()));
        let twice = file(first.path(), "bell.awk", 0o755);
        assert_eq!(find("bell", folders()), Err(NotFound::Twice(program, twice)));
        assert_eq!(types_in(first.path()), ["bell", "bells"]);
    }

    #[test]
    fn what_cannot_be_run_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let folders = || std::iter::once(folder.path());
        let plain = file(folder.path(), "bell.sh", 0o644);
        assert_eq!(find("bell", folders()), Err(NotFound::NotExecutable(plain)));
    }

    #[test]
    fn python_need_not_be_executable() {
        let folder = tempfile::tempdir().unwrap();
        let folders = || std::iter::once(folder.path());
        let path = file(folder.path(), "gong.py", 0o644);
        assert_eq!(find("gong", folders()), Ok(path.clone()));
        assert_eq!(command(&path), ["python3", "-P", "-m", "kozo", path.to_str().unwrap()]);
        let path = file(folder.path(), "bell.py", 0o755);
        assert_eq!(command(&path), [path.as_os_str()]);
        fs::write(&path, "import kozo\n").unwrap();
        assert_eq!(command(&path).len(), PYTHON.len() + 1);
        let other = file(folder.path(), "gong", 0o755);
        let python = folder.path().join("gong.py");
        assert_eq!(find("gong", folders()), Err(NotFound::Twice(other, python)));
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("below");
        fs::create_dir(&below).unwrap();
        file(folder.path(), "bell", 0o755);
        for name in ["../bell", "..", ".", "", "/bin/sh", "a/b", "b?ll", "*"] {
            assert_eq!(find(name, std::iter::once(&*below)), Err(NotFound::Nowhere), "{name}");
        }
    }
}
