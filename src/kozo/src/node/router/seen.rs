//! What has come from a Peer, so that no Message comes twice.

use std::collections::VecDeque;

/// Runs of a Peer that are remembered besides the latest. An honest Peer goes back to none of them; one that lies
/// can repeat only what so many other runs of it have sent something after.
const EARLIER: usize = 16;

/// The last Message of each of the last runs of a Peer.
#[derive(Debug, Default)]
pub(super) struct Seen {
    latest: Run,
    /// The one that was the latest most recently comes first.
    earlier: VecDeque<Run>,
}

#[derive(Debug, Default)]
struct Run {
    boot: u64,
    sequence: u64,
}

impl Seen {
    /// The sequence number of the last Message of this run, for its reader to keep: 0 if none has come.
    pub(super) fn sequence(&mut self, boot: u64) -> &mut u64 {
        if self.latest.boot != boot {
            self.turn_to(boot);
        }
        &mut self.latest.sequence
    }

    #[cold]
    fn turn_to(&mut self, boot: u64) {
        let known = self.earlier.iter().position(|run| run.boot == boot);
        let run = known.and_then(|at| self.earlier.remove(at));
        let before = std::mem::replace(&mut self.latest, run.unwrap_or(Run { boot, sequence: 0 }));
        if before.sequence > 0 {
            self.earlier.truncate(EARLIER - 1);
            self.earlier.push_front(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_runs_are_remembered_and_no_more() {
        let mut seen = Seen::default();
        for boot in 0..100 {
            *seen.sequence(boot) = boot + 1;
            assert_eq!(*seen.sequence(boot), boot + 1);
        }
        assert_eq!(seen.earlier.len(), EARLIER);
        for boot in (84..100).chain(84..100) {
            assert_eq!(*seen.sequence(boot), boot + 1);
        }
        // Runs that say nothing push none out.
        for boot in 200..300 {
            assert_eq!(*seen.sequence(boot), 0);
        }
        assert_eq!(*seen.sequence(84), 85);
        assert_eq!(*seen.sequence(83), 0);
    }
}
