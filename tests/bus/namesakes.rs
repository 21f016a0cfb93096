//! Two daemons of one name on one machine: a testnet beside the service.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use kozo_client::{Client, Error, Lookup, Way};
use tempfile::TempDir;

use crate::kit::memory::Network;
use crate::kit::{Plan, TestSystem};
use crate::private_bus::PrivateBus;
use crate::{NO_BUS, Served, soon};

/// A folder in which this Node has its control socket.
fn parent_of(served: &Served) -> TempDir {
    let parent = tempfile::tempdir().unwrap();
    symlink(served.socket.parent().unwrap(), parent.path().join("clock")).unwrap();
    parent
}

fn lookup(bus: &str, parents: &[&TempDir]) -> Lookup {
    let folders = parents.iter().map(|parent| parent.path().to_owned()).collect();
    Lookup { system_bus: Some(bus.to_owned()), folders }
}

fn socket(parent: &TempDir) -> PathBuf {
    parent.path().join("clock/bus")
}

async fn boot(lookup: &Lookup, node: &str) -> u64 {
    let client = Client::find(lookup, Some(node)).await.unwrap();
    assert_eq!(client.node(), "clock");
    soon(client.describe()).await.unwrap().boot
}

#[tokio::test]
async fn a_client_never_speaks_to_the_wrong_one_of_two_namesakes() {
    let bus = PrivateBus::start();
    let system = TestSystem::new(Network::new(), &["clock"], Plan::default());
    let first = Served::start(&system, "clock", &bus.address).await;
    let second =
        Served::alone(&TestSystem::new(Network::new(), &["clock"], Plan::default()), "clock").await;
    let (at_first, at_second) = (parent_of(&first), parent_of(&second));

    // One daemon, wherever it is found.
    for lookup in [lookup(&bus.address, &[&at_first]), lookup(NO_BUS, &[&at_first, &at_first])] {
        assert_eq!(boot(&lookup, "clock").await, first.running.boot());
        assert_eq!(Client::find(&lookup, None).await.unwrap().node(), "clock");
        assert_eq!(lookup.running().await.len(), 1);
    }
    for (lookup, ways) in [
        (
            lookup(NO_BUS, &[&at_first, &at_second]),
            [Way::Socket(socket(&at_first)), Way::Socket(socket(&at_second))],
        ),
        (
            lookup(&bus.address, &[&at_first, &at_second]),
            [Way::SystemBus, Way::Socket(socket(&at_second))],
        ),
        (lookup(&bus.address, &[&at_second]), [Way::SystemBus, Way::Socket(socket(&at_second))]),
    ] {
        for node in [Some("clock"), None] {
            let error = Client::find(&lookup, node).await.unwrap_err();
            let Error::Namesakes(found) = error else { panic!("{error:?}") };
            let found_ways: Vec<_> = found.iter().map(|found| found.way.clone()).collect();
            assert_eq!(found_ways, ways);
            for (found, served) in found.iter().zip([&first, &second]) {
                assert_eq!(boot(&lookup, &found.unmistakable()).await, served.running.boot());
            }
        }
        assert_eq!(lookup.running().await.len(), 2);
    }
    // One that has gone is not taken for the other.
    let both = lookup(NO_BUS, &[&at_first, &at_second]);
    drop(second);
    assert_eq!(boot(&both, "clock").await, first.running.boot());
    let gone = Client::find(&both, Some("org.kozo.Node1.clock")).await.unwrap_err();
    assert!(matches!(gone, Error::NoDaemon { .. }), "{gone:?}");
}
