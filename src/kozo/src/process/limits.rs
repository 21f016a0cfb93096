//! How much of the machine one program may take.

use std::fs;

use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

/// Processes and threads that all programs of a Node may have together, besides those that its user had when
/// the Node started its first program.
///
/// The kernel counts a whole user for `RLIMIT_NPROC`, so this is no share of one program: it is what ends a fork
/// bomb, while the Node itself, which has no such limit, goes on. `TasksMax=` of the service is larger
/// by more than this (`kozo-generator`).
const PROCESSES: u64 = 512;

/// How much of the machine one process of a program may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory that it may write to (`RLIMIT_DATA`). Address space as such is not limited: interpreters that
    /// compile at run time reserve far more of it than they use.
    pub memory: u64,
    /// File descriptors.
    pub files: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { memory: 512 * 1024 * 1024, files: 1024 }
    }
}

impl Limits {
    /// Sets them for this process, with this many processes for its user. No program leaves a core dump: it has what
    /// Messages it saw in it.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn apply(self, processes: u64) -> nix::Result<()> {
        for (resource, limit) in [
            (Resource::RLIMIT_CORE, 0),
            (Resource::RLIMIT_DATA, self.memory),
            (Resource::RLIMIT_NOFILE, self.files),
            (Resource::RLIMIT_NPROC, processes),
        ] {
            // What the Node has got itself is all that there is to give.
            let (_, most) = nix::sys::resource::getrlimit(resource)?;
            let limit = at_most(limit, most);
            setrlimit(resource, limit, limit)?;
        }
        Ok(())
    }
}

/// The lower of two limits, in what the system counts limits in: 32 bits on armhf, 64 elsewhere.
fn at_most<L: Ord + TryFrom<u64>>(limit: u64, most: L) -> L {
    match L::try_from(limit) {
        Ok(limit) => limit.min(most),
        Err(_) => most,
    }
}

/// How many processes and threads the user of this Node may have, for its programs.
pub(super) fn processes() -> u64 {
    let user = geteuid().as_raw();
    let mut total = PROCESSES;
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
        total += threads_of(&status, user).unwrap_or(0);
    }
    total
}

/// The threads of a process, from its `/proc/PID/status`, if it is this user's.
fn threads_of(status: &str, user: u32) -> Option<u64> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line?.split_whitespace().next()
    };
    if field("Uid")?.parse::<u32>().ok()? != user {
        return None;
    }
    field("Threads")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_fit_what_the_system_counts_in() {
        assert_eq!((at_most(5, 7_u64), at_most(9, 7_u64)), (5, 7));
        assert_eq!((at_most(5, 7_u32), at_most(1 << 40, 7_u32)), (5, 7));
    }

    #[test]
    fn threads_of_one_user_are_counted() {
        let status = "Name:\tkozo\nUid:\t7\t7\t7\t7\nThreads:\t12\n";
        assert_eq!((threads_of(status, 7), threads_of(status, 8)), (Some(12), None));
        assert_eq!(threads_of("", 7), None);
        assert!(processes() > PROCESSES, "this process itself counts");
    }
}
