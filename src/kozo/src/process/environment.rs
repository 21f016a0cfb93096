//! The environment of a program: small, and the same however the Node was started.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::Owner;

/// Where programs are looked for if the Node does not know.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Folders to be put in front of the import path of programs in Python.
const IMPORT_PATH: &str = "KOZOIMPORTPATH";

/// Says which run of a program a process belongs to, for [`super::orphans`].
pub(super) const RUN: &str = "KOZO_RUN";

/// What is taken over from the environment of the Node besides `LC_*`.
const KEPT: &[&str] = &["PATH", "LANG", "LANGUAGE", "TZ"];

/// The variables of a program of this Role or Transport.
pub(super) fn of(
    node: &str,
    owner: &Owner,
    run: &str,
    state: Option<&Path>,
    import_path: &[PathBuf],
) -> Vec<(OsString, OsString)> {
    let is_kept = |name: &OsStr| {
        name.to_str().is_some_and(|name| KEPT.contains(&name) || name.starts_with("LC_"))
    };
    let mut variables = vec![("PATH".into(), PATH.into())];
    variables.extend(env::vars_os().filter(|(name, value)| is_kept(name) && !value.is_empty()));
    let mut set = |name: &str, value: &OsStr| variables.push((name.into(), value.to_owned()));
    set("HOME", state.map_or(OsStr::new("/"), Path::as_os_str));
    if let Some(state) = state {
        set("STATE_DIRECTORY", state.as_os_str());
        // In /tmp, where a Node may have its socket, nothing can be added.
        set("TMPDIR", state.as_os_str());
    }
    set("KOZO_NODE", node.as_ref());
    let (variable, name) = owner.variable();
    set(variable, name.as_ref());
    set(RUN, run.as_ref());
    let import_path = import_path.iter().map(|path| path.as_os_str().to_owned());
    let more = [IMPORT_PATH, "PYTHONPATH"].map(env::var_os).into_iter().flatten();
    let folders: Vec<_> = import_path.chain(more).filter(|path| !path.is_empty()).collect();
    if !folders.is_empty() {
        set("PYTHONPATH", &folders.join(OsStr::new(":")));
    }
    variables
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_small_and_says_where_the_program_is() {
        let bell = Owner::Role("bell".into());
        let variables = of("clock", &bell, "7.1", Some(Path::new("/s/bell")), &["/lib/a".into()]);
        let value = |name: &str| {
            let found = variables.iter().rfind(|(known, _)| known == name);
            found.map(|(_, value)| value.to_str().unwrap())
        };
        assert_eq!(value("KOZO_NODE"), Some("clock"));
        assert_eq!(value("KOZO_ROLE"), Some("bell"));
        assert_eq!((value("HOME"), value("STATE_DIRECTORY")), (Some("/s/bell"), Some("/s/bell")));
        assert!(value("PYTHONPATH").unwrap().starts_with("/lib/a"));
        assert!(value("PATH").is_some());
        for (name, _) in &variables {
            let name = name.to_str().unwrap();
            let ours = name.starts_with("KOZO_") || name.starts_with("LC_") || KEPT.contains(&name);
            assert!(
                ours || ["HOME", "STATE_DIRECTORY", "TMPDIR", "PYTHONPATH"].contains(&name),
                "{name}"
            );
        }
        let transport = Owner::Transport("tor".into());
        let bare = of("clock", &transport, "7.2", None, &[]);
        assert!(bare.contains(&("KOZO_TRANSPORT".into(), "tor".into())));
        assert!(!bare.iter().any(|(name, _)| name == "KOZO_ROLE"));
        assert!(bare.contains(&("HOME".into(), "/".into())));
        assert!(!bare.iter().any(|(name, _)| name == "STATE_DIRECTORY" || name == "TMPDIR"));
    }
}
