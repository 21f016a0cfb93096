//! What a reload does to links, and to the Messages on them.

use std::sync::Arc;
use std::time::Duration;

use kozo::config::{ConnectPolicy, LocalNode, NodeConfig, System};
use kozo::status::LinkState;
use kozo::wire::Frame;
use tokio::time::{Instant, sleep};

use crate::kit::client::{Client, messages};
use crate::kit::memory::Network;
use crate::kit::{Plan, Running, TestSystem, new_key};

/// The configuration of a Node with something else in its own part: all its links depend on that.
fn changed(node: &Running, change: impl FnOnce(&mut NodeConfig)) -> LocalNode {
    let mut local = node.node.local();
    change(Arc::make_mut(&mut local.config));
    local
}

/// The same with something else in the part of a Peer.
fn changed_peer(node: &Running, peer: &str, change: impl FnOnce(&mut NodeConfig)) -> LocalNode {
    let mut local = node.node.local();
    let mut nodes = local.system.nodes.clone();
    let found = nodes.iter_mut().find(|node| node.name == peer).unwrap();
    change(Arc::make_mut(found));
    local.system = Arc::new(System { nodes });
    local
}

fn heartbeat(seconds: u64) -> impl FnOnce(&mut NodeConfig) {
    move |config| config.options.heartbeat = Duration::from_secs(seconds)
}

/// Messages for this Peer that were counted when they were sent: handed on, dropped, or still there.
fn counted(node: &Running, peer: &str) -> u64 {
    let status = node.peer(peer);
    let dropped: u64 = status.dropped.values().sum();
    status.sent + dropped - node.dropped(peer, "lost") + status.queue_length as u64
}

#[tokio::test(start_paused = true)]
async fn links_are_replaced_each_by_itself_and_every_message_is_counted() {
    let plan = Plan::default().outgoing(100_000);
    let system = TestSystem::new(Network::new(), &["clock", "porter", "scribe"], plan);
    let (clock, mut scribe) = system.start_both("clock", "scribe").await;
    let mut porter = system.start("porter").await;
    clock.until_up("porter").await;
    porter.until_up("clock").await;
    let mut sent = 0;
    let mut send = || {
        let went = clock.send(sent);
        assert_eq!(went.peers + went.unreachable, 2, "message {sent} finds both");
        sent += 1;
    };
    for round in 1..=5 {
        (0..10).for_each(|_| send());
        system.network.freeze("clock", "porter");
        let begun = Instant::now();
        let done = clock.node.reload(changed(&clock, heartbeat(10 + round))).await.unwrap();
        assert_eq!(done.peers, ["porter", "scribe"]);
        assert!(begun.elapsed() < Duration::from_millis(100), "nobody waits for who is hung");
        while clock.peer("scribe").sessions == round {
            send();
            assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", clock.peer("scribe"));
            sleep(Duration::from_millis(1)).await;
        }
        while begun.elapsed() < Duration::from_secs(8) {
            send();
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(clock.peer("porter").state, LinkState::Down);
        system.network.thaw("clock", "porter");
        clock.until_up("porter").await;
        porter.until_up("clock").await;
    }
    send();
    sleep(Duration::from_secs(1)).await;
    let received = scribe.numbers();
    let peer = clock.peer("scribe");
    let missing: Vec<_> = (0..sent).filter(|number| !received.contains(number)).collect();
    assert!(received.iter().copied().eq(0..sent), "all, in order: not {missing:?}, {peer:?}");
    assert!(peer.dropped.is_empty(), "{peer:?}");
    let received = porter.numbers();
    assert!(received.is_sorted_by(|a, b| a < b), "in order, each once");
    assert_eq!(received.len() as u64 + clock.dropped("porter", "lost"), clock.peer("porter").sent);
    for name in ["porter", "scribe"] {
        assert_eq!(counted(&clock, name), sent, "{:?}", clock.peer(name));
        assert_eq!(clock.peer(name).sessions, 6, "the sum goes on");
    }
    assert!(clock.dropped("porter", "link_down") > 0);
}

#[tokio::test(start_paused = true)]
async fn links_do_not_depend_on_where_programs_are() {
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let (clock, scribe) = system.start_both("clock", "scribe").await;
    let since = clock.peer("scribe").since;
    let elsewhere = |config: &mut NodeConfig| {
        config.options.role_path.push("/srv/roles".into());
        config.options.transport_path.push("/srv/transports".into());
        config.options.import_path.push("/srv/python".into());
    };
    let done = clock.node.reload(changed(&clock, elsewhere)).await.unwrap();
    assert_eq!(done.peers, Vec::<String>::new());
    assert_eq!((clock.peer("scribe").state, clock.peer("scribe").since), (LinkState::Up, since));
    assert_eq!(scribe.peer("clock").state, LinkState::Up);
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_has_sent_goes_on_being_counted() {
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let (clock, mut scribe) = system.start_both("clock", "scribe").await;
    for round in 1..=5 {
        clock.send(2 * round);
        clock.send(2 * round + 1);
        assert_eq!((scribe.next().await.1, scribe.next().await.1), (2 * round, 2 * round + 1));
        scribe.node.reload(changed(&scribe, heartbeat(10 + round))).await.unwrap();
        scribe.until("another", |scribe| scribe.peer("clock").sessions == round + 1).await;
        clock.until("another", |clock| clock.peer("scribe").sessions == round + 1).await;
    }
    assert_eq!(scribe.peer("clock").received, 10);
    assert_eq!((clock.peer("scribe").sent, clock.dropped("scribe", "lost")), (10, 0));
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_down_stays_down_since_then_and_what_waits_for_it_waits() {
    let policy = |name: &str| match name {
        "porter" => (ConnectPolicy::Constant, ConnectPolicy::OnDemand),
        _ => (ConnectPolicy::Constant, ConnectPolicy::Constant),
    };
    let names = ["clock", "porter", "scribe"];
    let system = TestSystem::new(Network::new(), &names, Plan { policy, ..Plan::default() });
    let clock = system.start("clock").await;
    for number in 0..3 {
        clock.send(number);
    }
    clock.until("tried", |clock| clock.peer("porter").state == LinkState::Down).await;
    let before = ["porter", "scribe"].map(|name| clock.peer(name));
    let mut changes = clock.node.changes();
    clock.node.reload(changed(&clock, heartbeat(7))).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    for before in before {
        let after = clock.peer(&before.name);
        assert_eq!((after.state, after.since), (before.state, before.since));
        assert_eq!((after.dropped, after.queue_length), (before.dropped, before.queue_length));
    }
    assert_eq!(clock.dropped("scribe", "link_down"), 3);
    while let Ok(change) = changes.try_recv() {
        assert!(!matches!(change, kozo::node::Change::Peer(_)), "{change:?}");
    }
    let mut porter = system.start("porter").await;
    for number in 0..3 {
        assert_eq!(porter.next().await.1, number);
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_closed_by_request_stays_closed() {
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let (clock, scribe) = system.start_both("clock", "scribe").await;
    clock.node.disconnect_peer("scribe").await.unwrap();
    clock.until("closed", |clock| clock.peer("scribe").state == LinkState::Disabled).await;
    clock.node.reload(changed(&clock, heartbeat(7))).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(clock.peer("scribe").state, LinkState::Disabled);
    clock.send(1);
    assert_eq!(clock.dropped("scribe", "link_down"), 1);
    clock.node.connect_peer("scribe").await.unwrap();
    clock.until_up("scribe").await;
    scribe.until_up("clock").await;
}

/// Of many reloads in a row none waits for another, and the last one holds.
#[tokio::test(start_paused = true)]
async fn reloads_in_a_row() {
    let plan = Plan::default().outgoing(100_000);
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], plan);
    let (clock, mut scribe) = system.start_both("clock", "scribe").await;
    for number in 0..100 {
        clock.send(number);
        clock.node.reload(changed(&clock, heartbeat(7 + number % 2))).await.unwrap();
        for _ in 0..number {
            tokio::task::yield_now().await;
        }
    }
    clock.until("up again", |clock| clock.peer("scribe").sessions > 1).await;
    clock.send(100);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(counted(&clock, "scribe"), 101, "{:?}", clock.peer("scribe"));
    let received = scribe.numbers();
    assert!(received.is_sorted_by(|a, b| a < b), "in order, each once");
    assert_eq!(received.last(), Some(&100));
    assert_eq!(received.len() as u64 + clock.dropped("scribe", "lost"), clock.peer("scribe").sent);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_no_longer_the_peers_is_told_so_at_once() {
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let mut scribe = system.start("scribe").await;
    let mut clock = Client::greeted(&system, "clock", "scribe", 7).await;
    scribe.until_up("clock").await;
    let begun = Instant::now();
    let key = new_key();
    let rekeyed =
        changed_peer(&scribe, "clock", |config| config.public_key = key.public_key().clone());
    scribe.node.reload(rekeyed).await.unwrap();
    clock.send(&messages("clock", 7, &[1, 2, 3])).await;
    let reason = clock.frame(|frame| match frame {
        Frame::Bye(reason) => Some(reason),
        _ => None,
    });
    assert_eq!(reason.await, "the configuration no longer allows it");
    assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
    let _clock = Client::connect(&system, "clock", key, "scribe").await.unwrap();
    assert!(Client::connect(&system, "clock", system.key("clock"), "scribe").await.is_err());
    sleep(Duration::from_secs(10)).await;
    assert_eq!(scribe.numbers(), [0_u64; 0]);
}
