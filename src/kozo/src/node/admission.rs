//! Connections that have come in and not yet said who they are: how many a Node puts up with.
//!
//! Anybody can open connections, so their number is bounded, in all and for one address. When one too
//! many comes it is not the newcomer that is turned away, for it may be a Peer, which needs only
//! milliseconds: the one that has been silent for longest goes, or else the oldest.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::transport::stream::Cutter;

/// Most such connections in all.
const MOST: usize = 128;
/// Most such connections from one address.
const MOST_OF_ONE: usize = 64;

/// Connections being greeted, oldest first.
#[derive(Debug, Default)]
pub struct Admission {
    entries: Mutex<Vec<Entry>>,
    entered: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    host: String,
    cutter: Cutter,
}

/// A place among the connections being greeted; given back when dropped.
#[derive(Debug)]
pub struct Place {
    admission: Arc<Admission>,
    id: u64,
}

impl Admission {
    /// Takes a connection in, and cuts another one where there are too many.
    pub fn enter(self: &Arc<Self>, address: &str, cutter: &Cutter) -> Place {
        let host = host_of(address).to_owned();
        let mut entries = self.lock();
        let of_host = entries.iter().filter(|entry| entry.host == host).count();
        if of_host >= MOST_OF_ONE {
            turn_away(&mut entries, |entry| entry.host == host);
        } else if entries.len() >= MOST {
            turn_away(&mut entries, |_| true);
        }
        let id = self.entered.fetch_add(1, Ordering::Relaxed);
        entries.push(Entry { id, host, cutter: cutter.clone() });
        Place { admission: Arc::clone(self), id }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn turn_away(entries: &mut Vec<Entry>, among: impl Fn(&Entry) -> bool) {
    let silent = entries.iter().position(|entry| among(entry) && !entry.cutter.has_heard());
    if let Some(at) = silent.or_else(|| entries.iter().position(among)) {
        entries.remove(at).cutter.cut();
    }
}

/// The address without its port.
fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.lock().retain(|entry| entry.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::transport::stream::Cuttable;

    fn hosts(admission: &Admission) -> Vec<(String, u64)> {
        admission.lock().iter().map(|entry| (entry.host.clone(), entry.id)).collect()
    }

    /// The cutter of a stream from which something was read.
    async fn heard() -> Cutter {
        let cutter = Cutter::new();
        Cuttable::new(&b"SSH"[..], &cutter).read_u8().await.unwrap();
        cutter
    }

    #[tokio::test]
    async fn the_longest_silent_of_an_address_goes_first() {
        let admission = Arc::new(Admission::default());
        let _speaks = admission.enter("10.0.0.1:0", &heard().await);
        let _silent: Vec<_> = (1..MOST_OF_ONE)
            .map(|port| admission.enter(&format!("10.0.0.1:{port}"), &Cutter::new()))
            .collect();
        let _other = admission.enter("10.0.0.2:1", &Cutter::new());
        let _one_too_many = admission.enter("10.0.0.1:999", &Cutter::new());
        let kept = hosts(&admission);
        assert_eq!(kept.len(), MOST_OF_ONE + 1);
        assert_eq!(kept[0].1, 0, "the one that speaks stays");
        assert!(!kept.iter().any(|(_, id)| *id == 1), "the oldest silent one went");
    }

    #[tokio::test]
    async fn a_place_turned_away_takes_no_other_with_it() {
        let admission = Arc::new(Admission::default());
        let cutter = heard().await;
        let _speak: Vec<_> = (1..MOST_OF_ONE)
            .map(|port| admission.enter(&format!("10.0.0.1:{port}"), &cutter))
            .collect();
        let silent = admission.enter("10.0.0.1:0", &Cutter::new());
        let _newcomer = admission.enter("10.0.0.1:999", &Cutter::new());
        drop(silent);
        assert_eq!(hosts(&admission).len(), MOST_OF_ONE, "the newcomer is still there");
    }

    #[test]
    fn a_place_is_given_back() {
        let admission = Arc::new(Admission::default());
        drop(admission.enter("10.0.0.1:1", &Cutter::new()));
        assert!(hosts(&admission).is_empty());
    }

    #[test]
    fn there_is_a_bound_in_all() {
        let admission = Arc::new(Admission::default());
        let _places: Vec<_> = (0..3 * MOST)
            .map(|host| admission.enter(&format!("10.0.{host}:1"), &Cutter::new()))
            .collect();
        assert_eq!(hosts(&admission).len(), MOST);
    }
}
