//! Many Nodes, each joined to every other one.

use std::time::Duration;

use futures_util::future::join_all;
use kozo::role::Host;
use kozo::status::LinkState;
use tokio::time::{Instant, sleep};

use crate::kit::memory::Network;
use crate::kit::{Plan, Running, TestSystem};

async fn mesh(network: Network, size: usize) -> (TestSystem, Vec<Running>) {
    let names: Vec<_> = (0..size).map(|number| format!("node{number:02}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let system = TestSystem::new(network, &names, Plan::default());
    let nodes = join_all(names.iter().map(|name| system.start(name))).await;
    (system, nodes)
}

async fn until_joined(nodes: &[Running]) {
    let deadline = Instant::now() + Duration::from_secs(120);
    for node in nodes {
        while !node.node.status().peers.iter().all(|peer| peer.state == LinkState::Up) {
            assert!(Instant::now() < deadline, "{:#?}", node.node.status());
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Every Node sends one event, and every Node receives all of them, each once.
async fn everybody_hears_everybody(nodes: &mut [Running], number: u64) {
    for node in nodes.iter() {
        let sent = node.send(number);
        assert_eq!((sent.peers, sent.unreachable), (nodes.len() - 1, 0));
    }
    let others = nodes.len() - 1;
    for node in nodes {
        let mut heard = Vec::new();
        for _ in 0..others {
            let (from, came) = node.next().await;
            assert_eq!(came, number);
            heard.push(from);
        }
        heard.sort();
        heard.dedup();
        assert_eq!(heard.len(), others);
        assert_eq!(node.numbers(), [0_u64; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_nodes_half_of_them_cut_off_and_healed() {
    let (system, mut nodes) = mesh(Network::vouching(), 100).await;
    until_joined(&nodes).await;
    everybody_hears_everybody(&mut nodes, 1).await;
    let (near, far) = nodes.split_at(50);
    for (a, b) in near.iter().flat_map(|a| far.iter().map(move |b| (a, b))) {
        system.network.cut(&a.name, &b.name);
    }
    sleep(Duration::from_secs(30)).await;
    for node in &nodes {
        let up = node.node.status().peers.iter().filter(|peer| peer.state == LinkState::Up).count();
        assert_eq!(up, 49, "its own half");
        assert_eq!(node.send(2).unreachable, 50);
    }
    let (near, far) = nodes.split_at(50);
    for (a, b) in near.iter().flat_map(|a| far.iter().map(move |b| (a, b))) {
        system.network.heal(&a.name, &b.name);
    }
    until_joined(&nodes).await;
    for node in &mut nodes {
        assert_eq!(node.numbers(), [2; 49], "of its own half");
    }
    everybody_hears_everybody(&mut nodes, 3).await;
}

#[tokio::test]
async fn twenty_nodes_over_ssh() {
    let (_system, mut nodes) = mesh(Network::new(), 20).await;
    until_joined(&nodes).await;
    for number in 0..10 {
        everybody_hears_everybody(&mut nodes, number).await;
    }
}
