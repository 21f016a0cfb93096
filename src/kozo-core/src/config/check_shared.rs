//! What no two Nodes may have: a key, an address.

use std::collections::HashMap;

use super::checker::{Addresses, Checker};
use super::report::{Problem, quoted};

impl Checker<'_> {
    /// Two Nodes with one key are one to everybody else.
    pub(super) fn shared_keys(&mut self) {
        let mut first: HashMap<Vec<u8>, usize> = HashMap::new();
        for (index, (node, name, at, key)) in self.public_keys.iter().enumerate() {
            let Ok(bytes) = key.to_bytes() else { continue };
            let before = *first.entry(bytes).or_insert(index);
            let Some((other, other_name, other_at, _)) = self.public_keys.get(before) else {
                continue;
            };
            if before == index {
                continue;
            }
            // One place for both, where a whole block is an alias: then the names tell them apart.
            let (at, other_at) = if at == other_at { (name, other_name) } else { (at, other_at) };
            let title =
                format!("Nodes {} and {} have the same public key", quoted(other), quoted(node));
            self.problems.push(
                Problem::new(at.clone(), title)
                    .label("the same key again")
                    .other(other_at.clone(), "first here")
                    .note("the key identifies a Node: every Node needs its own"),
            );
        }
    }

    /// Who dials an address that two Nodes have finds one of them. That may be right where it is one of
    /// several, such as a private one in two houses; a Node that has no other cannot be reached.
    pub(super) fn shared_addresses(&mut self) {
        let all = std::mem::take(&mut self.addresses);
        let mut first: HashMap<&(String, u16), usize> = HashMap::new();
        for (index, addresses) in all.iter().enumerate() {
            // For each other that was there first: what both have.
            let mut shared: HashMap<usize, Vec<&(String, u16)>> = HashMap::new();
            for endpoint in &addresses.endpoints {
                let before = *first.entry(endpoint).or_insert(index);
                if all.get(before).is_some_and(|other| other.node != addresses.node) {
                    shared.entry(before).or_default().push(endpoint);
                }
            }
            for (before, both) in shared {
                let Some(other) = all.get(before) else { continue };
                let fewest = addresses.endpoints.len().min(other.endpoints.len());
                let problem = shared_address(addresses, other, &both);
                if both.len() == fewest {
                    self.problems.push(problem);
                } else {
                    self.warnings.push(problem);
                }
            }
        }
    }
}

fn shared_address(addresses: &Addresses, other: &Addresses, both: &[&(String, u16)]) -> Problem {
    let (host, port) = both.first().map_or(("", 0), |(host, port)| (host.as_str(), *port));
    // One place for both, where a whole block is an alias: then the names tell them apart.
    let same_place = addresses.at == other.at;
    let place = |of: &Addresses| if same_place { of.name.clone() } else { of.at.clone() };
    let title = format!(
        "Nodes {} and {} have the same address {}, port {port}",
        quoted(&other.node),
        quoted(&addresses.node),
        quoted(host)
    );
    Problem::new(place(addresses), title)
        .label("the same address again")
        .other(place(other), "first here")
        .note("a Node that connects to it reaches only one of them, and each of the two reaches itself")
        .help("give one of them another address, or another `port`")
}
