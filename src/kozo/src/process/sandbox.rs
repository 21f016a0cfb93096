//! What a program may reach: everything that its user may, but for hidden paths, and no other process.
//!
//! Landlock takes rights away from a process and all that descends from it. It knows only what is granted, and a
//! grant holds for a whole tree, so the way from `/` to each hidden path is walked, and everything beside it
//! is granted: in a folder on that way existing entries can be used, but none can be added or removed. All
//! folders can be listed.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, Scope,
};

/// The version of Landlock whose rights are known here. Of an older kernel, what it has is used.
const KNOWN: ABI = ABI::V9;

/// What the kernel cannot keep a program from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// It has no Landlock, or none that this process may use.
    NoLandlock,
    /// Sending signals to other processes of its user (Linux before 6.12).
    Signals,
    /// Connecting to sockets at hidden paths (Linux before 7.1).
    Sockets,
}

/// The largest gap that this kernel leaves, if any.
pub(super) fn gap() -> Option<Gap> {
    let ruleset = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    if ruleset().handle_access(AccessFs::ReadFile).is_err() {
        return Some(Gap::NoLandlock);
    }
    if ruleset().scope(Scope::Signal).is_err() {
        return Some(Gap::Signals);
    }
    ruleset().handle_access(AccessFs::ResolveUnix).is_err().then_some(Gap::Sockets)
}

/// Confines this process for good, as far as the kernel can: it reaches nothing at or below a hidden path but what
/// is granted there.
///
/// # Errors
/// When the kernel refuses what it should be able to do.
pub(super) fn enter(hidden: &[PathBuf], granted: &[PathBuf]) -> Result<(), RulesetError> {
    let all = AccessFs::from_all(KNOWN);
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .scope(Scope::Signal)?
        .create()?;
    let hidden: Vec<_> = hidden.iter().map(|path| resolved(path)).collect();
    for path in visible(&hidden) {
        ruleset = grant(ruleset, &path, all)?;
    }
    for path in granted {
        ruleset = grant(ruleset, path, all)?;
    }
    ruleset = grant(ruleset, Path::new("/"), AccessFs::ReadDir.into())?;
    ruleset.restrict_self()?;
    Ok(())
}

/// Adds a rule for what is at this path; none if there is nothing, or it cannot be reached anyway.
fn grant(
    ruleset: RulesetCreated,
    path: &Path,
    access: landlock::BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(opened) => ruleset.add_rule(PathBeneath::new(opened, access)),
        Err(_) => Ok(ruleset),
    }
}

/// The path without symbolic links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let mut rest: Vec<&OsStr> = Vec::new();
    let mut existing = path;
    loop {
        match (fs::canonicalize(existing), existing.parent(), existing.file_name()) {
            (Ok(found), _, _) => {
                return rest.iter().rev().fold(found, |path, name| path.join(name));
            }
            (Err(_), Some(parent), Some(name)) => {
                rest.push(name);
                existing = parent;
            }
            (Err(_), _, _) => return path.to_owned(),
        }
    }
}

/// The trees and files that have nothing hidden in them, and together with the hidden ones are everything.
fn visible(hidden: &[PathBuf]) -> Vec<PathBuf> {
    // There may be a key of each Node of a large System in one folder, and it is walked at each start of a program.
    let ways: HashSet<&Path> = hidden.iter().flat_map(|path| path.ancestors().skip(1)).collect();
    let hidden: HashSet<&Path> = hidden.iter().map(PathBuf::as_path).collect();
    let mut found = Vec::new();
    let mut to_see = vec![PathBuf::from("/")];
    while let Some(path) = to_see.pop() {
        if hidden.contains(&*path) {
            continue;
        }
        if !ways.contains(&*path) {
            found.push(path);
            continue;
        }
        // One that cannot be listed cannot be used either.
        to_see.extend(entries(&path).unwrap_or_default());
    }
    found
}

/// What is in a folder, but for symbolic links: a grant is for what they lead to, where that is.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_symlink() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn is_visible(hidden: &[PathBuf], path: &Path) -> bool {
        visible(hidden).iter().any(|tree| path.starts_with(tree))
    }

    #[test]
    fn everything_but_what_is_hidden_is_visible() {
        let folder = tempfile::tempdir().unwrap();
        let folder = fs::canonicalize(folder.path()).unwrap();
        for name in ["a", "b", "b/c"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        for name in ["key", "pub", "a/file", "b/c/file"] {
            fs::write(folder.join(name), "").unwrap();
        }
        std::os::unix::fs::symlink(folder.join("b"), folder.join("link")).unwrap();
        let hide = |names: &[&str]| -> Vec<PathBuf> {
            names.iter().map(|name| resolved(&folder.join(name))).collect()
        };
        let hidden = hide(&["key", "link/c", "not/yet", "b/missing"]);
        assert_eq!(hidden.get(1), Some(&folder.join("b/c")));
        for (name, expected) in [
            ("key", false),
            ("b/c", false),
            ("b/c/file", false),
            ("not", false),
            ("not/yet", false),
            ("b/missing", false),
            ("pub", true),
            ("a/file", true),
        ] {
            assert_eq!(is_visible(&hidden, &folder.join(name)), expected, "{name}");
        }
        for path in ["/usr/bin/true", "/proc/1/stat", "/dev/null"] {
            assert!(is_visible(&hidden, Path::new(path)), "{path}");
        }
        assert!(visible(&[]).iter().eq([Path::new("/")]));
        assert!(visible(&[PathBuf::from("/")]).is_empty());
    }
}
