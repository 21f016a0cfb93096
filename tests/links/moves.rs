//! Links move to the best Transport there is.

use std::time::Duration;

use kozo::config::ConnectPolicy;
use kozo::transport::Priority;
use tokio::time::{sleep, timeout};

use crate::kit::memory::Network;
use crate::kit::{Plan, Running, TestSystem};

const WAYS: &[(&str, Priority)] = &[("radio", Priority::Bad), ("wire", Priority::Best)];

/// Sends both ways for so long, as fast as the queues take it.
async fn talk(clock: &Running, scribe: &Running, seconds: u64, sent: &mut u64) {
    for _ in 0..seconds * 1000 {
        clock.send(*sent);
        scribe.send(*sent);
        *sent += 1;
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn moving_under_load_loses_and_overtakes_nothing() {
    for network in [Network::new(), Network::vouching()] {
        let plan = Plan { transports: WAYS, ..Plan::default() }.retry(2).outgoing(10_000);
        let system = TestSystem::new(network, &["clock", "scribe"], plan);
        system.network.close("wire");
        let (mut clock, mut scribe) = system.start_both("clock", "scribe").await;
        assert_eq!(clock.peer("scribe").transport.as_deref(), Some("radio"));
        let mut sent = 0;
        talk(&clock, &scribe, 1, &mut sent).await;
        system.network.open("wire");
        talk(&clock, &scribe, 4, &mut sent).await;
        for (node, other) in [(&clock, "scribe"), (&scribe, "clock")] {
            assert_eq!(node.peer(other).transport.as_deref(), Some("wire"));
            assert_eq!(node.peer(other).sessions, 1, "it was never down");
        }
        sleep(Duration::from_secs(10)).await;
        assert_eq!(system.network.streams("clock", "scribe"), 1, "the old session is gone");
        for (node, other) in [(&mut scribe, "clock"), (&mut clock, "scribe")] {
            assert_eq!(node.numbers(), (0..sent).collect::<Vec<_>>());
            assert!(node.peer(other).dropped.is_empty());
        }
    }
}

/// One who watches a link is told when it is carried by something else, though it was never down.
#[tokio::test(start_paused = true)]
async fn a_move_is_told() {
    let plan = Plan { transports: WAYS, ..Plan::default() }.retry(2);
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], plan);
    system.network.close("wire");
    let (clock, scribe) = system.start_both("clock", "scribe").await;
    for (node, other) in [(&clock, "scribe"), (&scribe, "clock")] {
        let mut changes = node.node.changes();
        system.network.open("wire");
        let moved = async {
            while node.peer(other).transport.as_deref() != Some("wire") {
                changes.recv().await.unwrap();
            }
        };
        timeout(Duration::from_secs(30), moved).await.expect("a change is told");
        assert_eq!(node.peer(other).sessions, 1, "it was never down");
    }
}

/// What is still under way on the old session comes before what is sent on the new one.
#[tokio::test(start_paused = true)]
async fn what_a_slow_session_carries_still_comes_first() {
    let plan = Plan { transports: WAYS, ..Plan::default() }.retry(2).outgoing(10_000);
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], plan);
    system.network.close("wire");
    let (mut clock, mut scribe) = system.start_both("clock", "scribe").await;
    system.network.open("wire");
    system.network.freeze_one("radio", "clock", "scribe");
    let mut sent = 0;
    talk(&clock, &scribe, 4, &mut sent).await;
    assert!(system.network.streams("clock", "scribe") >= 2, "they have met on the wire");
    for node in [&mut clock, &mut scribe] {
        assert_eq!(node.numbers(), [0_u64; 0], "all of it waits for the radio");
    }
    system.network.thaw("clock", "scribe");
    talk(&clock, &scribe, 1, &mut sent).await;
    sleep(Duration::from_secs(1)).await;
    for (node, other) in [(&mut scribe, "clock"), (&mut clock, "scribe")] {
        assert_eq!(node.numbers(), (0..sent).collect::<Vec<_>>());
        assert!(node.peer(other).dropped.is_empty());
        assert_eq!(node.peer(other).transport.as_deref(), Some("wire"));
    }
}

/// The old session never comes to its end: it is given up, and the new one is used.
#[tokio::test(start_paused = true)]
async fn a_dead_session_does_not_hold_up_a_better_one() {
    let plan = Plan { transports: WAYS, ..Plan::default() }.retry(2).outgoing(10_000);
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], plan);
    system.network.close("wire");
    let (clock, mut scribe) = system.start_both("clock", "scribe").await;
    clock.send(1);
    assert_eq!(scribe.next().await.1, 1);
    system.network.open("wire");
    system.network.freeze_one("radio", "clock", "scribe");
    let moved = |node: &Running| node.peer("scribe").transport.as_deref() == Some("wire");
    clock.until("on the wire", moved).await;
    clock.send(2);
    let began = tokio::time::Instant::now();
    assert_eq!(scribe.next().await.1, 2);
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_worse_way_is_taken_when_the_better_one_breaks() {
    let plan = Plan { transports: WAYS, ..Plan::default() };
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], plan);
    let (clock, mut scribe) = system.start_both("clock", "scribe").await;
    assert_eq!(clock.peer("scribe").transport.as_deref(), Some("wire"));
    system.network.close("wire");
    let began = tokio::time::Instant::now();
    let on_the_radio = |peer: &'static str| {
        move |node: &Running| node.peer(peer).transport.as_deref() == Some("radio")
    };
    clock.until("on the radio", on_the_radio("scribe")).await;
    scribe.until("on the radio", on_the_radio("clock")).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    clock.send(1);
    assert_eq!(scribe.next().await.1, 1);
    system.network.open("wire");
    let moved = |node: &Running| node.peer("scribe").transport.as_deref() == Some("wire");
    clock.until("back on the wire", moved).await;
}

/// An attempt over the Transport that hangs takes five seconds; one of a program may take half a minute.
#[tokio::test(start_paused = true)]
async fn a_way_that_takes_long_does_not_hold_up_one_that_comes_up_meanwhile() {
    let policy = |name: &str| match name {
        "scribe" => (ConnectPolicy::Never, ConnectPolicy::Constant),
        _ => (ConnectPolicy::Constant, ConnectPolicy::Constant),
    };
    let plan = Plan { transports: WAYS, policy, ..Plan::default() }.retry(60);
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], plan);
    system.network.close("wire");
    system.network.freeze_one("radio", "clock", "scribe");
    let (_scribe, clock) = (system.start("scribe").await, system.start("clock").await);
    sleep(Duration::from_millis(1500)).await;
    system.network.open("wire");
    let up = timeout(Duration::from_millis(1500), clock.until_up("scribe")).await;
    assert!(up.is_ok(), "{:?}", clock.peer("scribe"));
    assert_eq!(clock.peer("scribe").transport.as_deref(), Some("wire"));
}
