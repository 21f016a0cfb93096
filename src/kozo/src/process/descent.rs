//! Whether a client is a program of this Node: one gets nothing at the Node's own sockets, however it asks.
//!
//! Two things tell, and each is enough. Who descends from the Node is a program of it: as the Node adopts orphans
//! ([`super::orphans`]), nothing that a program starts can get out of that line. And who is in the control group of a Node's
//! service is one of its processes, which also holds for other Nodes of the same user, and for what
//! somebody else has started there.
//!
//! A process has a number only while it lives, so a client that has ended could pass for another: the kernel is
//! asked whether the process that connected still has it, where it can tell (a pidfd). Where it cannot, the process that
//! has the number now must be the same user's; and in the service, all of that user's are in the control group of a Node.

use std::fs;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::geteuid;

use super::orphans::parent;

/// Processes on the way from one to its oldest ancestor: more than there are in any sound system.
const DEEPEST: usize = 1000;

/// What the service of a Node is called.
const UNIT: (&str, &str) = ("kozo@", ".service");

/// Whether this process, of this user, is a program of this Node or of another one of the same user, or cannot be told
/// from one. `pidfd` is the one of the process, where the kernel has given it.
pub fn is_program(user: u32, pid: i32, pidfd: Option<BorrowedFd<'_>>) -> bool {
    // A program cannot get to another user.
    if user != geteuid().as_raw() {
        return false;
    }
    // Zero is somewhere outside of where we could be, so it does not come from here.
    let Some(pid) = u32::try_from(pid).ok().filter(|pid| *pid != 0) else { return false };
    let own = std::process::id();
    // The Node itself, when it is a client.
    if pid == own {
        return false;
    }
    // Without /proc no program could have been started.
    if parent(own).is_none() {
        return false;
    }
    let is_program = descends(pid, own) || is_of_service(pid) || user_of(pid) != Some(user);
    // Now that it was looked at: was it still the same?
    let is_same = pidfd.is_none_or(|pidfd| number_of(pidfd) == Some(pid));
    is_program || !is_same
}

/// The same for who is at the other end of a Unix socket.
pub fn is_peer_program(socket: &impl AsFd) -> bool {
    let Ok(creds) = getsockopt(socket, sockopt::PeerCredentials) else { return true };
    // Linux before 6.5 has none.
    let pidfd = getsockopt(socket, sockopt::PeerPidfd).ok();
    is_program(creds.uid(), creds.pid(), pidfd.as_ref().map(AsFd::as_fd))
}

/// Whether a process descends from another one of the same user. One that has gone might.
fn descends(pid: u32, ancestor: u32) -> bool {
    let Some(mut above) = parent(pid) else { return true };
    let mut pid = pid;
    for _ in 0..DEEPEST {
        if above == ancestor {
            return true;
        }
        match parent(above) {
            Some(next) => (pid, above) = (above, next),
            // It has ended, and someone else has adopted this one: the Node, if it is of its line.
            None if parent(pid) != Some(above) => match parent(pid) {
                Some(next) => above = next,
                None => return true,
            },
            // The first process of all has no parent; and processes of other users may not be visible. Between
            // the Node and its programs there are none.
            None => return false,
        }
    }
    true
}

/// Whether a process is in the control group of the service of a Node.
fn is_of_service(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|groups| names_service(&groups))
}

/// Whether a control group, as in `/proc/PID/cgroup`, is that of the service of a Node, or within it.
fn names_service(groups: &str) -> bool {
    let (prefix, suffix) = UNIT;
    groups.split(['/', '\n']).any(|name| name.starts_with(prefix) && name.ends_with(suffix))
}

/// The effective user of a process.
fn user_of(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_whitespace().nth(1)?.parse().ok()
}

/// The number of the process behind a pidfd, as long as it has one.
fn number_of(pidfd: BorrowedFd<'_>) -> Option<u32> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    info.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn child(script: &str) -> Child {
        Command::new("sh").args(["-c", script]).spawn().unwrap()
    }

    fn is_ours(pid: u32) -> bool {
        is_program(geteuid().as_raw(), pid.cast_signed(), None)
    }

    #[test]
    fn who_descends_from_here_is_a_program() {
        let mut child = child("exec sleep 60");
        assert!(is_ours(child.id()));
        assert!(!is_program(geteuid().as_raw() + 1, child.id().cast_signed(), None));
        let own = std::process::id();
        assert!(!is_ours(own) && !is_ours(parent(own).unwrap()) && !is_ours(1));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_ours(child.id()), "who has gone is nobody that is known");
    }

    #[test]
    fn the_service_of_a_node_is_known_by_its_name() {
        for (groups, expected) in [
            ("0::/system.slice/system-kozo.slice/kozo@clock.service\n", true),
            ("0::/system.slice/system-kozo.slice/kozo@clock.service/sub\n", true),
            ("12:pids:/user.slice\n0::/user.slice/user-0.slice/session-1.scope\n", false),
            ("0::/system.slice/my-kozo@clock.service\n", false),
            ("", false),
        ] {
            assert_eq!(names_service(groups), expected, "{groups}");
        }
    }

    #[test]
    fn a_peer_is_looked_up_by_its_process() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(!is_peer_program(&one), "this process itself");
        let pidfd = getsockopt(&one, sockopt::PeerPidfd).ok();
        if let Some(pidfd) = pidfd {
            let number = number_of(pidfd.as_fd());
            assert_eq!(number, Some(std::process::id()));
        }
    }
}
