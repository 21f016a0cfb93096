//! An authenticated Peer that does not keep to the protocol.

use std::time::Duration;

use kozo::message::{Head, Message};
use kozo::status::LinkState;
use kozo::wire::{Control, Frame, Heartbeat, Hello};
use tokio::time::sleep;

use crate::kit::client::{Client, hello, messages};
use crate::kit::log::Log;
use crate::kit::memory::Network;
use crate::kit::{Plan, TestSystem};

fn system() -> TestSystem {
    TestSystem::new(Network::new(), &["clock", "porter", "scribe"], Plan::default())
}

/// A rule about who decides must not matter here: the client has either name.
const CLIENTS: [(&str, &str); 2] = [("clock", "scribe"), ("scribe", "clock")];

#[tokio::test(start_paused = true)]
async fn nobody_speaks_in_anothers_name() {
    for (name, node) in CLIENTS {
        let (log, system) = (Log::new(), system());
        let mut scribe = system.start(node).await;
        let mut client = Client::greeted(&system, name, node, 7).await;
        client.send(&messages("porter", 7, &[1, 2])).await;
        client.send(&messages(name, 8, &[3])).await;
        client.send(&messages(node, 7, &[4])).await;
        client.send(&messages("nobody", 7, &[5])).await;
        client.send(&messages(name, 7, &[6])).await;
        assert_eq!(scribe.next().await, (name.to_owned(), 6));
        assert_eq!(scribe.numbers(), [0_u64; 0]);
        assert_eq!(scribe.refused("forged"), 5);
        let line = log.one("in the name of");
        assert!(line.contains("'porter'") && line.contains(name), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_passes_on_what_is_anothers() {
    let system = system();
    let mut scribe = system.start("scribe").await;
    let mut client = Client::greeted(&system, "clock", "scribe", 7).await;
    let own = &messages("clock", 7, &[1])[0];
    let (kind, origin) = (own.kind(), own.origin().clone());
    let head = Head::new(origin, 1, kind, own.role(), own.message_type(), own.channel()).unwrap();
    let data = own.data().to_vec().into();
    let relayed = Message::new(head.into(), own.sequence(), own.timestamp(), data).unwrap();
    client.send(&[relayed]).await;
    client.send(&messages("clock", 7, &[2])).await;
    assert_eq!(scribe.next().await.1, 2);
    assert_eq!(scribe.refused("forged"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_comes_again_is_dropped_and_counted() {
    let system = system();
    let mut scribe = system.start("scribe").await;
    let mut client = Client::greeted(&system, "clock", "scribe", 7).await;
    client.send(&messages("clock", 7, &[1, 2, 2, 1, 3, 0])).await;
    client.send(&messages("clock", 7, &[3, 5, 4, 6])).await;
    for expected in [1, 2, 3, 5, 6] {
        assert_eq!(scribe.next().await.1, expected);
    }
    assert_eq!(scribe.refused("duplicate"), 5);

    // Another session of the same run goes on where this one was; another run begins anew.
    drop(client);
    let mut again = Client::greeted(&system, "clock", "scribe", 7).await;
    again.send(&messages("clock", 7, &[6, 7])).await;
    assert_eq!(scribe.next().await.1, 7);
    drop(again);
    let mut restarted = Client::greeted(&system, "clock", "scribe", 8).await;
    restarted.send(&messages("clock", 8, &[1])).await;
    assert_eq!(scribe.next().await.1, 1);
    assert_eq!(scribe.refused("duplicate"), 6);
}

/// Whichever of its runs a Peer says that it is.
#[tokio::test(start_paused = true)]
async fn what_comes_again_from_an_earlier_run_is_dropped_too() {
    let system = system();
    let mut scribe = system.start("scribe").await;
    let mut expected = 0;
    for (boot, counters) in [(7, &[1, 2][..]), (8, &[3, 4]), (7, &[1, 2, 5]), (8, &[4, 6])] {
        let mut client = Client::greeted(&system, "clock", "scribe", boot).await;
        client.send(&messages("clock", boot, counters)).await;
        for sequence in counters.iter().copied().filter(|sequence| *sequence > expected) {
            assert_eq!(scribe.next().await.1, sequence);
        }
        expected = counters.iter().copied().max().unwrap_or_default().max(expected);
        drop(client);
        scribe.until_down("clock").await;
    }
    assert_eq!(scribe.refused("duplicate"), 3);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_version_or_feature_is_refused_by_name() {
    let future = Hello { version: 2, ..hello(7) };
    let fancy = Hello { features: vec!["teleport".to_owned()], ..hello(7) };
    for (hello, expected) in [
        (future, "version 2 of the protocol is unknown, this is 1"),
        (fancy, "the feature 'teleport' is unknown"),
    ] {
        let (log, system) = (Log::new(), system());
        let scribe = system.start("scribe").await;
        for _ in 0..3 {
            let mut client =
                Client::connect(&system, "clock", system.key("clock"), "scribe").await.unwrap();
            client.say(&Control::Hello(&hello)).await;
            // What comes after it is not looked at: who knows what it means in that version.
            client.write(&[0xff; 100]).await;
            let bye = client.frame(|frame| match frame {
                Frame::Bye(reason) => Some(reason),
                _ => None,
            });
            assert_eq!(bye.await, expected);
            client.ended().await;
        }
        log.until("refused a connection").await;
        assert!(log.one("refused a connection").contains(expected));
        assert_ne!(scribe.peer("clock").state, LinkState::Up);
    }
}

/// What the other side is told it shows, too.
#[tokio::test(start_paused = true)]
async fn a_goodbye_says_why() {
    let (log, system) = (Log::new(), system());
    let scribe = system.start("scribe").await;
    let mut client = Client::greeted(&system, "clock", "scribe", 7).await;
    scribe.until_up("clock").await;
    client.say(&Control::Bye("out of\nink")).await;
    client.ended().await;
    scribe.until_down("clock").await;
    let line = log.one("link down");
    assert!(line.contains(r"closed by the peer: out of\nink"), "one line: {line}");
}

#[tokio::test(start_paused = true)]
async fn garbage_closes_the_session_and_nothing_else() {
    let mut too_large = vec![3, 0xff, 0xff, 0xff, 0xff];
    too_large.extend([0; 100]);
    let origin = [&[5][..], b"clock", &[7, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    let with_origin = |rest: &[u8]| {
        let length = u32::try_from(origin.len() + rest.len()).unwrap().to_le_bytes();
        [&[3][..], &length, &origin, rest].concat()
    };
    for (garbage, reason) in [
        (vec![3, 1, 0, 0, 0, 200], "malformed messages"),
        (too_large, "a frame of 4294967295 bytes"),
        (with_origin(&[0]), "malformed messages"),
        (
            with_origin(&[0, 9, 1, b't', 1, b'x', 0]),
            "malformed message: kind number 9 does not exist",
        ),
        (with_origin(&[0, 0, 0, 1, b'x', 0, 1, 1, 1, 7]), "malformed message: the role is 0 bytes"),
        (with_origin(&[1, 1, 1, 7]), "malformed messages"),
        (vec![1, 0, 0, 0, 0], "malformed hello"),
        (vec![2, 1, 0, 0, 0, 9], "malformed interest"),
    ] {
        let (log, system) = (Log::new(), system());
        let mut scribe = system.start("scribe").await;
        let porter = system.start("porter").await;
        scribe.until_up("porter").await;
        porter.until_up("scribe").await;
        let mut client = Client::greeted(&system, "clock", "scribe", 7).await;
        scribe.until_up("clock").await;
        client.send(&messages("clock", 7, &[1])).await;
        client.write(&garbage).await;
        client.ended().await;
        assert_eq!(scribe.next().await.1, 1);
        scribe.until_down("clock").await;
        let line = log.one("link down");
        assert!(line.contains(reason), "{line}");
        porter.send(2);
        assert_eq!(scribe.next().await, ("porter".to_owned(), 2));
    }
}

#[tokio::test(start_paused = true)]
async fn frames_before_the_hello_are_refused() {
    let (log, system) = (Log::new(), system());
    let _scribe = system.start("scribe").await;
    let mut client =
        Client::connect(&system, "clock", system.key("clock"), "scribe").await.unwrap();
    client.send(&messages("clock", 7, &[1])).await;
    client.ended().await;
    log.until("refused a connection").await;
    assert!(log.one("refused a connection").contains("a frame came before the hello"));
}

#[tokio::test(start_paused = true)]
async fn whoever_greets_and_says_nothing_is_dropped() {
    let system = system();
    let scribe = system.start("scribe").await;
    let mut client =
        Client::connect(&system, "clock", system.key("clock"), "scribe").await.unwrap();
    let began = tokio::time::Instant::now();
    client.ended().await;
    // And it has a second to hear why.
    assert!(began.elapsed() <= Duration::from_secs(11));
    assert_eq!(scribe.peer("clock").sessions, 0);
}

/// Frames that are allowed, though senseless, and very many of them.
#[tokio::test(start_paused = true)]
async fn a_flood_of_control_frames_is_lived_with() {
    let system = system();
    let mut scribe = system.start("scribe").await;
    let mut client = Client::greeted(&system, "clock", "scribe", 7).await;
    for _ in 0..2000 {
        client.say(&Control::Heartbeat(Heartbeat { sent: 1, received: u64::MAX })).await;
        client.say(&Control::Use).await;
        client.say(&Control::Finished(u64::MAX)).await;
        client.say(&Control::Interest(&[])).await;
    }
    client.send(&messages("clock", 7, &[1])).await;
    assert_eq!(scribe.next().await.1, 1);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scribe.peer("clock").state, LinkState::Up);
    assert_eq!(scribe.send(1).peers, 0, "it wants nothing any more");
}

/// A client that opens one session after the other, and keeps them all.
#[tokio::test(start_paused = true)]
async fn sessions_without_end_are_not_kept() {
    for (name, node) in CLIENTS {
        let system = system();
        let mut other = system.start(node).await;
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push(Client::greeted(&system, name, node, 7).await);
        }
        sleep(Duration::from_secs(20)).await;
        assert!(system.network.streams(name, node) <= 2, "{}", system.network.streams(name, node));
        assert_eq!(other.numbers(), [0_u64; 0]);
    }
}
