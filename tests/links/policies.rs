//! The table of connection policies, row by row, as two Nodes live it.

use std::time::Duration;

use kozo::config::ConnectPolicy::{self, Constant, Never, OnDemand};
use kozo::status::LinkState;
use kozo::wire::Frame;
use tokio::time::sleep;

use crate::kit::client::{Client, messages};
use crate::kit::log::Log;
use crate::kit::memory::Network;
use crate::kit::roles::STEADY;
use crate::kit::{Plan, Running, TestSystem};

/// What a Node of this name says of others, and of itself.
type Policies = fn(&str) -> (ConnectPolicy, ConnectPolicy);

/// The policies of Alice and Bob towards each other: Alice's `selfToOthers` and Bob's `othersToSelf`.
const ROWS: [Policies; 9] = [
    |node| if node == "alice" { (Constant, Never) } else { (Never, Constant) },
    |node| if node == "alice" { (Constant, Never) } else { (Never, OnDemand) },
    |node| if node == "alice" { (Constant, Never) } else { (Never, Never) },
    |node| if node == "alice" { (OnDemand, Never) } else { (Never, Constant) },
    |node| if node == "alice" { (OnDemand, Never) } else { (Never, OnDemand) },
    |node| if node == "alice" { (OnDemand, Never) } else { (Never, Never) },
    |node| if node == "alice" { (Never, Never) } else { (Never, Constant) },
    |node| if node == "alice" { (Never, Never) } else { (Never, OnDemand) },
    |_| (Never, Never),
];

/// What each row comes to, in the same order.
const MEANING: [ConnectPolicy; 9] =
    [Constant, OnDemand, Never, OnDemand, OnDemand, Never, Never, Never, Never];

#[tokio::test(start_paused = true)]
async fn nine_rows() {
    for (row, meaning) in ROWS.into_iter().zip(MEANING) {
        // Both orders of names, for the rule that picks a session goes by them.
        for (alice, bob) in [("alice", "bob"), ("alice", "aaron")] {
            let system = TestSystem::new(
                Network::new(),
                &[alice, bob],
                Plan { policy: row, ..Plan::default() },
            );
            let (alice, bob) = (system.start(alice).await, system.start(bob).await);
            sleep(Duration::from_secs(20)).await;
            assert_eq!(bob.send(0).peers, 0);
            assert_eq!(bob.dropped("alice", "policy"), 1, "nothing flows the other way");
            match meaning {
                Constant => constant(&system, &alice, bob).await,
                OnDemand => on_demand(&system, &alice, bob).await,
                Never => never(&system, &alice, bob).await,
            }
        }
    }
}

async fn constant(system: &TestSystem, alice: &Running, mut bob: Running) {
    assert_eq!(alice.peer(&bob.name).state, LinkState::Up, "without any message");
    assert_eq!(alice.send(1).peers, 1);
    assert_eq!(bob.next().await.1, 1);
    system.network.cut("alice", &bob.name);
    alice.until_down(&bob.name).await;
    assert_eq!((alice.send(2).peers, alice.send(3).unreachable), (0, 1));
    assert_eq!(alice.dropped(&bob.name, "link_down"), 2);
    system.network.heal("alice", &bob.name);
    alice.until_up(&bob.name).await;
    alice.send(4);
    assert_eq!(bob.next().await.1, 4, "what was sent during the cut is gone");
}

async fn on_demand(system: &TestSystem, alice: &Running, mut bob: Running) {
    assert_eq!(alice.peer(&bob.name).state, LinkState::Idle);
    assert_eq!(bob.peer("alice").state, LinkState::Disabled);
    assert_eq!(system.network.streams("alice", &bob.name), 0);
    assert_eq!(alice.send(1).peers, 1, "it is queued");
    assert_eq!(bob.next().await.1, 1, "the very message that made it connect");
    assert_eq!(alice.peer(&bob.name).state, LinkState::Up);

    system.network.cut("alice", &bob.name);
    alice.until_down(&bob.name).await;
    assert_eq!(alice.peer(&bob.name).state, LinkState::Idle);
    system.network.heal("alice", &bob.name);
    sleep(Duration::from_secs(600)).await;
    assert_eq!(alice.peer(&bob.name).state, LinkState::Idle, "until the next message");
    alice.send(2);
    assert_eq!(bob.next().await.1, 2);

    system.network.cut("alice", &bob.name);
    alice.until_down(&bob.name).await;
    alice.send(3);
    alice.send(4);
    sleep(Duration::from_secs(60)).await;
    assert_ne!(alice.peer(&bob.name).state, LinkState::Idle, "it is tried again and again");
    assert_eq!(alice.peer(&bob.name).queue_length, 2);
    system.network.heal("alice", &bob.name);
    assert_eq!(bob.next().await.1, 3, "they waited for the link they call for");
    assert_eq!(bob.next().await.1, 4);
    assert!(alice.peer(&bob.name).dropped.is_empty());
}

async fn never(system: &TestSystem, alice: &Running, mut bob: Running) {
    for node in [(alice, &bob), (&bob, alice)] {
        assert_eq!(node.0.peer(&node.1.name).state, LinkState::Disabled);
    }
    assert_eq!((alice.send(1).peers, alice.send(2).unreachable), (0, 1));
    assert_eq!(alice.dropped(&bob.name, "policy"), 2);
    sleep(Duration::from_secs(600)).await;
    assert_eq!(system.network.streams("alice", &bob.name), 0);
    assert_eq!(bob.numbers(), [0_u64; 0]);
}

/// No Message and no task waits for a link that is kept closed.
#[tokio::test(start_paused = true)]
async fn nothing_waits_for_a_link_that_is_closed_by_request() {
    let policy = |_: &str| (OnDemand, Constant);
    let roles =
        |node: &str| -> &[&str] { if node == "alice" { &["probe", "steady"] } else { &["probe"] } };
    let plan = Plan { policy, roles, ..Plan::default() };
    let system = TestSystem::new(Network::new(), &["alice", "bob"], plan.outgoing(10));
    system.network.cut("alice", "bob");
    let (alice, mut bob) = (system.start("alice").await, system.start("bob").await);
    alice.until("full", |alice| alice.peer("bob").queue_length == 10).await;
    alice.node.disconnect_peer("bob").await.unwrap();
    alice.until("done", |alice| alice.sent() == STEADY).await;
    assert_eq!(alice.dropped("bob", "link_down"), STEADY);
    assert_eq!(alice.peer("bob").state, LinkState::Disabled);

    system.network.heal("alice", "bob");
    alice.node.connect_peer("bob").await.unwrap();
    alice.until_up("bob").await;
    alice.send(STEADY);
    assert_eq!(bob.next().await.1, STEADY, "and nothing that is stale");
}

/// The directions share a session, and not their policies.
#[tokio::test(start_paused = true)]
async fn each_direction_by_itself() {
    let policy = |node: &str| match node {
        "alice" => (OnDemand, Constant),
        _ => (Constant, Constant),
    };
    let system =
        TestSystem::new(Network::new(), &["alice", "bob"], Plan { policy, ..Plan::default() });
    let (mut alice, mut bob) = system.start_both("alice", "bob").await;
    assert_eq!(alice.peer("bob").policy_out, ConnectPolicy::OnDemand.into());
    bob.send(1);
    assert_eq!(alice.next().await.1, 1);
    alice.send(2);
    assert_eq!(bob.next().await.1, 2);
    alice.until("one session", |_| system.network.streams("alice", "bob") == 1).await;

    system.network.cut("alice", "bob");
    alice.until_down("bob").await;
    bob.until_down("alice").await;
    alice.send(3);
    bob.send(4);
    assert_eq!((alice.dropped("bob", "link_down"), bob.dropped("alice", "link_down")), (0, 1));
    system.network.heal("alice", "bob");
    assert_eq!(bob.next().await.1, 3);
    assert_eq!(alice.numbers(), [0_u64; 0]);
}

/// A session is there for the other direction; a Peer with another configuration sends on it all the same.
#[tokio::test(start_paused = true)]
async fn a_direction_that_is_forbidden_stays_so_on_a_session_for_the_other() {
    let policy = |node: &str| if node == "bob" { (Constant, Never) } else { (Constant, Constant) };
    for other in ["alice", "carol"] {
        let log = Log::new();
        let system =
            TestSystem::new(Network::new(), &[other, "bob"], Plan { policy, ..Plan::default() });
        let mut bob = system.start("bob").await;
        let mut client = Client::greeted(&system, other, "bob", 7).await;
        bob.until_up(other).await;
        client.send(&messages(other, 7, &[1, 2])).await;
        client.send(&messages("bob", 7, &[3])).await;
        bob.until("refused", |bob| bob.refused("policy") == 2 && bob.refused("forged") == 1).await;
        assert_eq!(bob.numbers(), [0_u64; 0]);
        let line = log.one("connection policies forbid");
        assert!(line.contains(other), "{line}");

        assert_eq!(bob.send(4).peers, 1);
        let frame = client.frame(|frame| matches!(frame, Frame::Messages(_)).then_some(()));
        frame.await;
        assert_eq!((bob.peer(other).sessions, bob.peer(other).received), (1, 3));
    }
}
