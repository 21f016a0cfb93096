//! Connections that have come in and not yet said who they are: how many a Node puts up with.
//!
//! Any stranger can open connections, so their number is bounded. When one too many comes it is not the newcomer
//! that is turned away, for it may be a Peer. One goes from the network that has most of them: who is no Peer
//! yet and has waited longest since it last came forward, so that a Peer far away, which answers late, is
//! not taken for one that never will. Addresses that the configuration names, those that its names led to
//! when they were last looked up, and those that Peers lately came from, have places of their own.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::session::SessionError;
use crate::session::budget::Budget;
use crate::session::newcomer::Newcomer;
use crate::transport::network::{Network, ip_of};

/// Most such connections of strangers, and most from addresses that are known. Each takes about 50 kB. With
/// as many, a stranger who opens 600 a second from everywhere does not turn away a Peer that answers within 0.4 s.
const MOST: usize = 256;

/// While there is too much to do for strangers, a network has no more than this of them.
const FEW: usize = 8;

/// Addresses that one name may lead to and have places kept for.
const OF_A_NAME: usize = 16;

/// What the loop has to do for each connection before anything is computed.
const ACCEPTING: Duration = Duration::from_micros(30);

/// Connections being established, and where Peers are.
#[derive(Debug, Default)]
pub struct Admission {
    budget: Arc<Budget>,
    entries: Mutex<Vec<Entry>>,
    /// Where each Peer is: what the configuration says, and where it last came from.
    known: Mutex<HashMap<String, Known>>,
    entered: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    /// Where each configured address leads, as far as that is known.
    configured: HashMap<String, Vec<IpAddr>>,
    last: Option<IpAddr>,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    network: Network,
    newcomer: Newcomer,
}

/// A place among the connections being established; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    id: u64,
    /// Who has it.
    pub newcomer: Newcomer,
}

impl Admission {
    /// Takes a connection in, and cuts another one where there are too many.
    ///
    /// # Errors
    /// When more strangers wait already than are to be served, and enough of them from there.
    pub fn enter(self: &Arc<Self>, address: &str) -> Result<Permit, SessionError> {
        let known = self.is_known(address);
        let crowded = self.budget.is_crowded(known);
        let network = Network::of(address);
        let mut entries = self.lock();
        let of_network = entries.iter().filter(|entry| entry.network == network).count();
        if crowded && of_network >= FEW {
            return Err(SessionError::Crowded);
        }
        let of_kind = entries.iter().filter(|entry| entry.newcomer.is_known() == known).count();
        if of_kind >= MOST {
            turn_away(&mut entries, known, &network);
        }
        let id = self.entered.fetch_add(1, Ordering::Relaxed);
        let newcomer = Newcomer::new(Arc::clone(&self.budget), network.clone(), known);
        entries.push(Entry { id, network, newcomer: newcomer.clone() });
        drop(entries);
        self.budget.charge(ACCEPTING);
        Ok(Permit { admission: Arc::clone(self), id, newcomer })
    }

    /// Keeps places for a Peer at these addresses, and at no others that were configured before. Names have
    /// theirs when it is [`found`](Self::found) where they lead.
    pub fn expect<'a>(&self, peer: &str, addresses: impl Iterator<Item = &'a str>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let configured = &mut known.entry(peer.to_owned()).or_default().configured;
        let mut before = std::mem::take(configured);
        configured.extend(addresses.map(|address| {
            let found = || before.remove(address).unwrap_or_default();
            (address.to_owned(), ip_of(address).map_or_else(found, |ip| vec![ip]))
        }));
    }

    /// Keeps places where a configured address of a Peer leads now, and none where it led before.
    pub fn found(&self, peer: &str, address: &str, ips: &[IpAddr]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Another configuration may hold by now.
        if let Some(leads) = known.get_mut(peer).and_then(|peer| peer.configured.get_mut(address)) {
            *leads = ips.iter().take(OF_A_NAME).map(IpAddr::to_canonical).collect();
        }
    }

    /// Keeps places for a Peer at the address that it has just authenticated from.
    pub fn met(&self, peer: &str, address: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(known), Some(ip)) = (known.get_mut(peer), ip_of(address)) {
            known.last = Some(ip);
        }
    }

    /// Keeps no more places for what is no Peer any more.
    pub fn forget(&self, peer: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(peer);
    }

    pub(super) fn is_known(&self, address: &str) -> bool {
        let Some(ip) = ip_of(address) else { return false };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().any(|peer| {
            peer.last == Some(ip) || peer.configured.values().any(|leads| leads.contains(&ip))
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room for a newcomer from this network.
fn turn_away(entries: &mut Vec<Entry>, known: bool, newcomer: &Network) {
    let mut counts = HashMap::from([(newcomer, 1_usize)]);
    for entry in entries.iter().filter(|entry| entry.newcomer.is_known() == known) {
        *counts.entry(&entry.network).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or_default();
    let candidates = entries.iter().enumerate().filter(|(_, entry)| {
        entry.newcomer.is_known() == known && counts.get(&entry.network) == Some(&most)
    });
    let least = candidates.min_by_key(|(_, entry)| entry.newcomer.merit());
    if let Some(at) = least.map(|(at, _)| at) {
        entries.remove(at).newcomer.abort_handle().abort();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.lock().retain(|entry| entry.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use tokio::time::advance;

    use super::*;
    use crate::session::budget::Claim;

    fn ids(admission: &Admission) -> Vec<u64> {
        admission.lock().iter().map(|entry| entry.id).collect()
    }

    /// So many connections, a little after each other, one from each of these addresses in turn.
    async fn crowd(admission: &Arc<Admission>, count: usize, addresses: &[String]) -> Vec<Permit> {
        let mut places = Vec::new();
        for address in addresses.iter().cycle().take(count) {
            places.push(admission.enter(address).unwrap());
            advance(Duration::from_millis(1)).await;
        }
        places
    }

    fn cut(permit: &Permit) -> bool {
        permit.newcomer.abort_handle().is_aborted()
    }

    #[tokio::test(start_paused = true)]
    async fn the_network_that_has_most_gives_a_place() {
        let admission = Arc::new(Admission::default());
        let lone = admission.enter("10.0.0.2:1").unwrap();
        let flood = crowd(&admission, 3 * MOST, &["10.0.0.1:1".to_owned()]).await;
        assert!(!cut(&lone));
        assert_eq!(flood.iter().filter(|place| !cut(place)).count(), MOST - 1);
        assert!(flood.iter().rev().take(MOST - 1).all(|place| !cut(place)), "the oldest went");
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_ipv6_is_one() {
        let admission = Arc::new(Admission::default());
        let lone = admission.enter("[2001:db8:0:2::1]:1").unwrap();
        let all: Vec<_> = (1..1000).map(|host| format!("[2001:db8:0:1::{host:x}]:1")).collect();
        let _flood = crowd(&admission, 999, &all).await;
        assert!(!cut(&lone));
    }

    #[tokio::test(start_paused = true)]
    async fn who_came_forward_last_stays_longest() {
        let admission = Arc::new(Admission::default());
        let elsewhere = |part| (0..MOST).map(move |host| format!("10.{part}.{host}.1:1"));
        let distant = admission.enter("10.9.9.9:1").unwrap();
        let mut floods = Vec::new();
        for part in 0..4 {
            let addresses: Vec<_> = elsewhere(part).collect();
            floods.push(crowd(&admission, MOST - 50, &addresses).await);
            assert!(!cut(&distant));
            distant.newcomer.advance();
        }
        let addresses: Vec<_> = elsewhere(4).collect();
        floods.push(crowd(&admission, MOST, &addresses).await);
        assert!(cut(&distant), "that is not for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_keeps_its_place() {
        let admission = Arc::new(Admission::default());
        let peer = admission.enter("10.0.0.1:9").unwrap();
        peer.newcomer.admit();
        let _flood = crowd(&admission, 3 * MOST, &["10.0.0.1:1".to_owned()]).await;
        assert!(!cut(&peer));
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_kept_for_known_addresses() {
        let admission = Arc::new(Admission::default());
        let configured = ["10.0.0.1:6020", "scribe.local:6020", "[fe80::1]:6020"];
        admission.expect("scribe", configured.into_iter());
        admission.expect("clock", std::iter::empty());
        admission.met("clock", "10.0.0.7:50000");
        admission.met("nobody", "10.0.0.8:50000");
        for address in ["10.0.0.1:7", "[::ffff:10.0.0.1]:7", "[fe80::1]:7", "10.0.0.7:7"] {
            assert!(admission.is_known(address), "{address}");
        }
        assert!(!admission.is_known("10.0.0.8:7") && !admission.is_known("[fe80::2]:7"));
        let peer = admission.enter("10.0.0.1:7").unwrap();
        let everywhere: Vec<_> = (0..MOST).map(|host| format!("10.1.{host}.1:1")).collect();
        let _flood = crowd(&admission, 2 * MOST, &everywhere).await;
        assert!(!cut(&peer));
        admission.forget("scribe");
        assert!(!admission.is_known("10.0.0.1:7"));
    }

    #[test]
    fn places_are_kept_where_a_name_leads_now() {
        let admission = Admission::default();
        let ips = |texts: &[&str]| -> Vec<IpAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let is_known = |text: &str| admission.is_known(text);
        admission.found("scribe", "scribe.local:6020", &ips(&["10.0.0.1"]));
        admission.expect("scribe", ["scribe.local:6020", "10.0.0.9:6020"].into_iter());
        assert!(!is_known("10.0.0.1:7") && is_known("10.0.0.9:7"), "it was no Peer yet");
        admission.found("scribe", "scribe.local:6020", &ips(&["10.0.0.1", "::ffff:10.0.0.2"]));
        assert!(is_known("10.0.0.1:7") && is_known("10.0.0.2:7") && is_known("10.0.0.9:7"));
        admission.found("scribe", "scribe.local:6020", &ips(&["10.0.0.3"]));
        assert!(!is_known("10.0.0.1:7") && is_known("10.0.0.3:7"), "it has moved");

        admission.expect("scribe", ["scribe.local:6020", "new.local:6020"].into_iter());
        assert!(is_known("10.0.0.3:7") && !is_known("10.0.0.9:7"));
        admission.expect("scribe", std::iter::once("new.local:6020"));
        admission.found("scribe", "scribe.local:6020", &ips(&["10.0.0.3"]));
        assert!(!is_known("10.0.0.3:7"), "an attempt of the link before has come to its end");

        let many: Vec<_> =
            (0..1000).map(|host| format!("10.1.{}.{}", host / 250, host % 250)).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        admission.found("scribe", "new.local:6020", &ips(&many));
        assert_eq!(many.iter().filter(|ip| admission.is_known(ip)).count(), OF_A_NAME);
        admission.forget("scribe");
        assert!(!admission.is_known("10.1.0.0:7"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_turned_away_takes_no_other_with_it() {
        let admission = Arc::new(Admission::default());
        let mut flood = crowd(&admission, MOST + 1, &["10.0.0.1:1".to_owned()]).await;
        assert!(cut(&flood[0]));
        drop(flood.remove(0));
        assert_eq!(ids(&admission).len(), MOST);
        flood.clear();
        assert!(ids(&admission).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_much_to_do_is_closed_at_once_but_not_for_all_others() {
        let admission = Arc::new(Admission::default());
        admission.budget.charge(Duration::from_secs(1));
        let claim = Claim { network: Network::of("10.0.0.1:1"), known: false, steps: 0 };
        let turn = |_| tokio::spawn(Arc::clone(&admission.budget).turn(claim.clone()));
        let line = (0..100).map(turn);
        let _line: Vec<_> = line.collect();
        while !admission.budget.is_crowded(false) {
            tokio::task::yield_now().await;
        }
        let flood: Vec<_> = (0..100).map(|_| admission.enter("10.0.0.1:1")).collect();
        assert_eq!(flood.iter().filter(|place| place.is_ok()).count(), FEW);
        assert!(admission.enter("10.0.0.2:1").is_ok());
    }
}
