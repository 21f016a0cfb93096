//! What a process takes of the machine.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};

/// What a process takes of the machine, without its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Memory that it has resident, in bytes.
    pub memory: u64,
    /// Processor time that it has used, in microseconds.
    pub cpu_time: u64,
}

/// What this process takes; none if there is no such process.
pub fn usage(pid: u32) -> Option<Usage> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    let setting = |name| sysconf(name).ok().flatten().and_then(|value| u64::try_from(value).ok());
    let pages = resident_pages(&read("statm")?)?;
    let ticks = ticks(&read("stat")?)?;
    Some(Usage {
        memory: pages.saturating_mul(setting(SysconfVar::PAGE_SIZE)?),
        cpu_time: ticks.saturating_mul(1_000_000 / setting(SysconfVar::CLK_TCK)?.max(1)),
    })
}

/// The second field of `/proc/PID/statm`.
fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_whitespace().nth(1)?.parse().ok()
}

/// `utime` and `stime` of `/proc/PID/stat`.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = fields(stat)?.skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// The fields of `/proc/PID/stat` from the third on: behind the name, which may have anything in it.
pub(super) fn fields(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_the_kernel() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 100 0 0 0 12 30 0 0 20 0 1 0 5 6 7";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(resident_pages("100 25 10 1 0 20 0\n"), Some(25));
        let own = usage(std::process::id()).unwrap();
        assert!(own.memory > 100_000, "{own:?}");
        assert_eq!(usage(u32::MAX), None);
    }
}
