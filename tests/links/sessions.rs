//! Two Nodes come together, whichever of them dials.

use std::time::Duration;

use futures_util::future::join_all;
use kozo::interest::Interest;
use kozo::message::Draft;
use kozo::status::LinkState;
use kozo::wire::Control;
use rmpv::Value;

use crate::kit::client::{Client, hello, messages};
use crate::kit::log::Log;
use crate::kit::memory::Network;
use crate::kit::{Plan, Running, TestSystem};

#[tokio::test]
async fn a_message_reaches_the_other_node_as_it_was_sent() {
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let (clock, mut scribe) = system.start_both("clock", "scribe").await;
    let value = Value::Array(vec![Value::from("Cuckoo"), Value::from(3), Value::Nil]);
    let draft = Draft::order("open").channel(Some("door")).data(&value);
    let sent = clock.try_send(&draft).unwrap();
    assert_eq!((sent.roles, sent.peers, sent.unreachable), (1, 1, 0));
    let message = scribe.received.recv().await.unwrap();
    assert_eq!(message.to_string(), "order open from probe@clock on door");
    assert_eq!(message.value().unwrap(), value);
    assert_eq!(message.sequence(), sent.sequence);
}

/// Both start at the same instant, and both dial: one session comes of it. What is sent as soon as
/// both say that the link is up arrives, in order and once.
#[tokio::test]
async fn nodes_that_start_together_have_one_session() {
    for _ in 0..25 {
        join_all((0..8).map(|_| start_together())).await;
    }
}

async fn start_together() {
    let system =
        TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default().outgoing(1000));
    let (mut clock, mut scribe) = tokio::join!(system.start("clock"), system.start("scribe"));
    while ![&clock, &scribe].iter().all(|node| node.node_is_up()) {
        tokio::task::yield_now().await;
    }
    for number in 0..300 {
        clock.send(number);
        scribe.send(number);
        if number % 20 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for number in 0..300 {
        assert_eq!(scribe.next().await, ("clock".to_owned(), number));
        assert_eq!(clock.next().await, ("scribe".to_owned(), number));
    }
    clock.until("one session", |_| system.network.streams("clock", "scribe") == 1).await;
    for (node, other) in [(&clock, "scribe"), (&scribe, "clock")] {
        let peer = node.peer(other);
        assert_eq!((peer.state, peer.sessions), (LinkState::Up, 1));
        assert_eq!((peer.sent, peer.received), (300, 300));
        assert!(peer.dropped.is_empty(), "{:?}", peer.dropped);
    }
    // It is the same session on both sides, for it works both ways.
    clock.send(300);
    scribe.send(300);
    assert_eq!(scribe.next().await.1, 300);
    assert_eq!(clock.next().await.1, 300);
    tokio::join!(clock.node.stop(), scribe.node.stop());
    assert_eq!(system.network.streams("clock", "scribe"), 0, "nothing is left of it");
}

impl Running {
    fn node_is_up(&self) -> bool {
        use kozo::role::Host;
        self.node.status().peers.iter().all(|peer| peer.state == LinkState::Up)
    }
}

#[tokio::test(start_paused = true)]
async fn both_sides_measure_the_round_trip_at_once_and_again() {
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let (clock, scribe) = system.start_both("clock", "scribe").await;
    for (node, other) in [(&clock, "scribe"), (&scribe, "clock")] {
        let began = tokio::time::Instant::now();
        node.until("measured", |node| node.peer(other).round_trip_time.is_some()).await;
        assert!(began.elapsed().as_secs() < 1);
        assert!(node.peer(other).clock_skew.unwrap().abs() < 1_000_000, "one machine, one clock");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_sends_what_is_queued_and_leaves_nothing_behind() {
    let log = Log::new();
    let system =
        TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default().outgoing(1000));
    let (clock, mut scribe) = system.start_both("clock", "scribe").await;
    for number in 0..1000 {
        clock.send(number);
    }
    clock.node.stop().await;
    assert_eq!(system.network.streams("clock", "scribe"), 0);
    scribe.until_down("clock").await;
    assert_eq!(scribe.numbers(), (0..1000).collect::<Vec<_>>());
    assert!(log.one("link down").contains("shutting down"), "{}", log.one("link down"));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_hears_nothing_does_not_keep_a_node_from_stopping() {
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let (clock, _scribe) = system.start_both("clock", "scribe").await;
    system.network.freeze("clock", "scribe");
    clock.send(1);
    let began = tokio::time::Instant::now();
    clock.node.stop().await;
    assert!(began.elapsed().as_secs() < 5);
    system.network.thaw("clock", "scribe");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(system.network.streams("clock", "scribe"), 0, "its sessions end with it");
}

/// A session that loses the race may say what it wants after the one in use has said something newer.
#[tokio::test(start_paused = true)]
async fn the_peer_wants_what_it_says_on_the_session_in_use() {
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let mut scribe = system.start("scribe").await;
    let _first = Client::greeted(&system, "clock", "scribe", 7).await;
    scribe.until_up("clock").await;
    let mut late = Client::connect(&system, "clock", system.key("clock"), "scribe").await.unwrap();
    late.say(&Control::Hello(&hello(7))).await;
    late.say(&Control::Interest(&[])).await;
    late.send(&messages("clock", 7, &[1])).await;
    assert_eq!(scribe.next().await.1, 1);
    assert_eq!(scribe.send(2).peers, 1);
    late.say(&Control::Use).await;
    scribe.until("without wishes", |scribe| scribe.send(3).peers == 0).await;
    late.say(&Control::Interest(&[Interest::any()])).await;
    scribe.until("with wishes", |scribe| scribe.send(4).peers == 1).await;
}

/// However much is asked of a link at once, its session goes on, and everybody is answered.
#[tokio::test(start_paused = true)]
async fn a_crowd_that_measures_a_busy_link_does_no_harm() {
    let system =
        TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default().outgoing(10_000));
    let (clock, mut scribe) = system.start_both("clock", "scribe").await;
    for round in 0..10 {
        let one_way = join_all((0..500).map(|_| clock.node.ping_peer("scribe", 0)));
        let other_way = join_all((0..500).map(|_| scribe.node.ping_peer("clock", 0)));
        let traffic = async {
            for number in 0..500 {
                clock.send(round * 500 + number);
                tokio::task::yield_now().await;
            }
        };
        let (one, other, ()) = tokio::join!(one_way, other_way, traffic);
        for (node, other) in [(&clock, "scribe"), (&scribe, "clock")] {
            assert_eq!((node.peer(other).state, node.peer(other).sessions), (LinkState::Up, 1));
        }
        let refused: Vec<_> = one.into_iter().chain(other).filter_map(Result::err).collect();
        assert!(refused.is_empty(), "{} of 1000: {:?}", refused.len(), refused[0]);
    }
    for number in 0..5000 {
        assert_eq!(scribe.next().await.1, number);
    }
}

/// More than the stream holds, in both directions at the same time: neither side waits for ever.
#[tokio::test(start_paused = true)]
async fn both_directions_can_be_full_at_once() {
    for network in [Network::new(), Network::vouching()] {
        let system = TestSystem::new(network, &["clock", "scribe"], Plan::default());
        let (mut clock, mut scribe) = system.start_both("clock", "scribe").await;
        let data = Value::from(vec![0_u8; 100_000]);
        for _ in 0..40 {
            for node in [&clock, &scribe] {
                node.try_send(&Draft::event("picture").data(&data)).unwrap();
            }
        }
        let second = tokio::time::Instant::now() + Duration::from_secs(1);
        for node in [&mut clock, &mut scribe] {
            for _ in 0..80 {
                let message = tokio::time::timeout_at(second, node.received.recv()).await;
                assert_eq!(message.expect("at once").unwrap().message_type(), "picture");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn both_directions_can_carry_one_large_message_at_once() {
    let mut plan = Plan::default();
    plan.options.outgoing_queue.size = 16 * 1024 * 1024;
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], plan);
    let (mut clock, mut scribe) = system.start_both("clock", "scribe").await;
    let data = Value::from(vec![0_u8; 10_000_000]);
    let second = tokio::time::Instant::now() + Duration::from_secs(1);
    for node in [&clock, &scribe] {
        node.try_send(&Draft::event("film").data(&data)).unwrap();
    }
    for node in [&mut clock, &mut scribe] {
        for _ in 0..2 {
            let message = tokio::time::timeout_at(second, node.received.recv()).await;
            assert_eq!(message.expect("at once").unwrap().message_type(), "film");
        }
    }
}
