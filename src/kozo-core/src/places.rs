//! Where things are on a machine: the configuration, what Nodes write, and above all their control sockets.
//!
//! A Node that systemd started has its socket in the folder that systemd made for it, any other in the
//! folder of the user who started it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::names::check_node_name;

/// The configuration, where all Nodes of a machine have it.
pub const CONFIG: &str = "/etc/kozo/kozo.yml";

/// Where the service keeps what Nodes store. Every Node may write there.
pub const STATE: &str = "/var/lib/kozo";

/// The folder in [`STATE`] with what programs that are Roles said of themselves.
pub const DESCRIPTIONS: &str = "descriptions";

/// Where the service writes logs.
pub const LOGS: &str = "/var/log/kozo";

/// Name of the socket in the folder of its Node.
pub const SOCKET: &str = "bus";

/// Name of the socket beside it, at which programs attach themselves as Roles.
pub const ROLE_SOCKET: &str = "role";

/// Where systemd makes the folders of its Nodes.
pub const SYSTEM: &str = "/run/kozo";

/// The folder for the control socket of a Node that this process is.
///
/// `$RUNTIME_DIRECTORY` if systemd set it, else `$XDG_RUNTIME_DIR/kozo/NODE`, else
/// `/tmp/kozo-UID/NODE`. None for what is not the name of a Node.
pub fn own_folder(node: &str) -> Option<PathBuf> {
    if let Some(folder) = of_systemd() {
        return Some(folder);
    }
    let parent =
        variable("XDG_RUNTIME_DIR").map_or_else(temporary, |xdg| Path::new(&xdg).join("kozo"));
    check_node_name(node).is_ok().then(|| parent.join(node))
}

/// Where this process keeps what programs said of themselves: with what else the service keeps, or with what its user
/// can do without.
pub fn own_descriptions() -> Option<PathBuf> {
    let of_service = variable("STATE_DIRECTORY").map(|folders| first(&folders));
    let cache = || variable("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || variable("HOME").map(|home| Path::new(&home).join(".cache"));
    let of_user = || cache().or_else(home).map(|cache| cache.join("kozo"));
    of_service.or_else(of_user).map(|folder| folder.join(DESCRIPTIONS))
}

/// The folder that systemd has made for the Node that this process is, if it has.
pub fn of_systemd() -> Option<PathBuf> {
    variable("RUNTIME_DIRECTORY").map(|folders| first(&folders))
}

/// The first of several folders, between which there are colons.
fn first(folders: &OsStr) -> PathBuf {
    folders.to_string_lossy().split(':').next().unwrap_or_default().into()
}

/// The folder of this user where there is no better one.
pub fn temporary() -> PathBuf {
    PathBuf::from(format!("/tmp/kozo-{}", geteuid()))
}

/// All folders in which there may be folders of Nodes that this user can reach.
pub fn parents() -> Vec<PathBuf> {
    let mut parents = vec![PathBuf::from(SYSTEM)];
    if let Some(xdg) = variable("XDG_RUNTIME_DIR") {
        parents.push(Path::new(&xdg).join("kozo"));
    }
    parents.push(PathBuf::from(format!("/run/user/{}/kozo", geteuid())));
    parents.push(temporary());
    parents.dedup();
    parents
}

/// Whether only root and this user can have put something there.
pub fn is_trustworthy(folder: &Path) -> bool {
    fs::symlink_metadata(folder).is_ok_and(|found| {
        let ours = found.uid() == geteuid().as_raw() || found.uid() == 0;
        found.is_dir() && (folder == Path::new(SYSTEM) || (ours && found.mode() & 0o022 == 0))
    })
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
