//! Who is not let in, and what is logged about it.

use std::time::Duration;

use kozo::session::SessionError;
use kozo::status::LinkState;
use kozo::wire::{Control, Frame, Heartbeat};
use tokio::time::sleep;

use crate::kit::client::{Client, hello, messages};
use crate::kit::log::Log;
use crate::kit::memory::Network;
use crate::kit::{Plan, TestSystem, new_key};

fn system() -> TestSystem {
    TestSystem::new(Network::new(), &["clock", "porter", "scribe"], Plan::default().retry(1))
}

fn fingerprint(key: &russh::keys::PrivateKey) -> String {
    kozo::session::ssh::fingerprint(key.public_key())
}

#[tokio::test(start_paused = true)]
async fn a_strangers_key() {
    let (log, system) = (Log::new(), system());
    let scribe = system.start("scribe").await;
    let stranger = new_key();
    for name in ["clock", "clock", "nobody\u{1b}[31m"] {
        let key = stranger.clone();
        let system = as_client(&system, name);
        let refused = Client::connect(&system, name, key, "scribe").await.err().unwrap();
        assert!(matches!(refused, SessionError::KeyRefused(_)), "{refused}");
    }
    log.until("refused a connection").await;
    let line = log.one("refused a connection");
    assert!(line.contains("which belongs to no Node, was presented for 'clock'"), "{line}");
    assert!(line.contains(&fingerprint(&stranger)), "{line}");

    sleep(Duration::from_secs(61)).await;
    let name = "nobody\u{1b}[31m";
    let _ = Client::connect(&as_client(&system, name), name, stranger, "scribe").await;
    log.until("(2 similar suppressed)").await;
    let lines = log.lines("refused a connection");
    assert_eq!(lines.len(), 2, "one a minute");
    assert!(lines[1].contains("(2 similar suppressed)"), "{}", lines[1]);
    assert!(lines[1].contains(r"'nobody\u{1b}[31m'"), "{}", lines[1]);
    assert_ne!(scribe.peer("clock").state, LinkState::Up);
}

/// The same System, in which a test connects under a name that is in no configuration.
fn as_client(system: &TestSystem, name: &str) -> TestSystem {
    let names = ["clock", "porter", "scribe", name];
    let names = if system.config.node(name).is_some() { &names[..3] } else { &names[..] };
    let mut other = TestSystem::new(system.network.clone(), names, system.plan.clone());
    other.adopt(system);
    other
}

#[tokio::test(start_paused = true)]
async fn the_right_key_under_another_name() {
    let (log, system) = (Log::new(), system());
    let _scribe = system.start("scribe").await;
    for name in ["porter", "scribe"] {
        let refused =
            Client::connect(&system, name, system.key("clock"), "scribe").await.err().unwrap();
        assert!(matches!(refused, SessionError::KeyRefused(_)), "{refused}");
    }
    log.until("refused a connection").await;
    let line = log.one("refused a connection");
    assert!(line.contains("the key of 'clock' was presented for 'porter'"), "{line}");
}

#[tokio::test(start_paused = true)]
async fn a_changed_host_key() {
    let (log, system) = (Log::new(), system());
    let changed = new_key();
    let _scribe = system.start_with("scribe", changed.clone(), |_| {}).await;
    let clock = system.start("clock").await;
    sleep(Duration::from_secs(50)).await;
    let line = log.one("its host key is");
    assert!(line.contains("peer=\"scribe\""), "{line}");
    assert!(line.contains(&format!("its host key is {}", fingerprint(&changed))), "{line}");
    assert!(line.contains(&fingerprint(&system.key("scribe"))), "{line}");
    // It is refused in the other direction as well.
    let line = log.one("which belongs to no Node");
    assert!(line.contains("presented for 'scribe'"), "{line}");
    let line = log.one("it refused our key");
    assert!(line.contains("peer=\"clock\"") && line.contains(&fingerprint(&changed)), "{line}");
    assert_ne!(clock.peer("scribe").state, LinkState::Up);
    assert!(clock.peer("scribe").last_error.unwrap().contains("its host key is"));

    sleep(Duration::from_secs(600)).await;
    let lines = log.lines("its host key is");
    assert!((9..=11).contains(&lines.len()), "one a minute: {}", lines.len());
    let kept_back: u64 = lines.iter().map(|line| more_before(line)).sum();
    assert!(kept_back > 300, "it is tried every second");
}

/// How many lines were suppressed before this one; it says nothing of none.
fn more_before(line: &str) -> u64 {
    let count = line.rsplit_once('(').map(|(_, rest)| rest.split(' ').next().unwrap());
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn a_cipher_that_the_other_side_does_not_have() {
    let (log, system) = (Log::new(), system());
    let cipher = |name: &'static str| {
        move |options: &mut kozo::config::RootOptions| options.cipher = Some(name.to_owned())
    };
    let clock = system.start_with("clock", system.key("clock"), cipher("aes256-ctr")).await;
    let modern = cipher("chacha20-poly1305@openssh.com");
    let _scribe = system.start_with("scribe", system.key("scribe"), modern).await;
    sleep(Duration::from_secs(50)).await;
    let lines = log.lines("no common cipher");
    assert_eq!(lines.len(), 4, "each side, calling and called: {lines:#?}");
    for line in lines {
        assert!(line.contains("aes256-ctr") && line.contains("chacha20-poly1305"), "{line}");
    }
    assert_ne!(clock.peer("scribe").state, LinkState::Up);
}

#[tokio::test(start_paused = true)]
async fn a_mac_that_the_other_side_does_not_have() {
    let (log, system) = (Log::new(), system());
    let mac = |name: &'static str| {
        move |options: &mut kozo::config::RootOptions| options.hmac = Some(name.to_owned())
    };
    let _clock = system.start_with("clock", system.key("clock"), mac("hmac-sha1")).await;
    let _scribe = system.start_with("scribe", system.key("scribe"), mac("hmac-sha2-256")).await;
    sleep(Duration::from_secs(50)).await;
    assert_eq!(log.lines("no common MAC").len(), 4, "{}", log.text());
}

/// Whatever one side insists on, a side that leaves the choice open can do; but what is only for those who ask
/// for it has to be asked for by both.
#[tokio::test(start_paused = true)]
async fn every_cipher_and_mac_is_spoken_with_who_has_all() {
    let ciphers = [
        "aes256-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
        "aes128-gcm@openssh.com",
        "aes256-ctr",
    ];
    let macs = [
        "hmac-sha2-512-etm@openssh.com",
        "hmac-sha2-256-etm@openssh.com",
        "hmac-sha2-512",
        "hmac-sha2-256",
        "hmac-sha1-etm@openssh.com",
        "hmac-sha1",
    ];
    let ciphers = ciphers.map(|cipher| (Some(cipher), None));
    let macs = macs.map(|mac| (Some("aes256-ctr"), Some(mac)));
    for (cipher, mac) in ciphers.into_iter().chain(macs) {
        let system = system();
        let change = |options: &mut kozo::config::RootOptions| {
            options.cipher = cipher.map(str::to_owned);
            options.hmac = mac.map(str::to_owned);
        };
        let clock = system.start_with("clock", system.key("clock"), change).await;
        let mut scribe =
            if mac.is_none_or(|mac| mac.starts_with("hmac-sha2-") && mac.contains("-etm")) {
                system.start("scribe").await
            } else {
                system.start_with("scribe", system.key("scribe"), change).await
            };
        clock.until_up("scribe").await;
        clock.send(1);
        assert_eq!(scribe.next().await.1, 1, "{cipher:?}, {mac:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whom_the_policies_keep_out() {
    use kozo::config::ConnectPolicy::Never;
    let (log, mut plan) = (Log::new(), Plan::default());
    plan.policy = |_| (Never, Never);
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], plan);
    let _scribe = system.start("scribe").await;
    let refused =
        Client::connect(&system, "clock", system.key("clock"), "scribe").await.err().unwrap();
    assert!(matches!(refused, SessionError::KeyRefused(_)), "{refused}");
    log.until("refused a connection").await;
    assert!(log.one("refused a connection").contains("the connection policies forbid"));
}

/// A Peer that is merely away is no refusal: one line, not one a minute.
#[tokio::test(start_paused = true)]
async fn a_peer_that_is_away_is_mentioned_once() {
    let (log, system) = (Log::new(), system());
    let _clock = system.start("clock").await;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(log.lines("cannot connect yet").len(), 2, "{}", log.text());
    assert_eq!(log.lines("refused:").len(), 0, "{}", log.text());
}

/// Two machines with one name and key: one of them has the link, and the log says so, at most once a
/// minute. They do not take it from each other for ever.
#[tokio::test(start_paused = true)]
async fn a_node_that_runs_twice() {
    // Both orders of names, for the rule that picks a session goes by them.
    for twin in ["alarm", "scribe"] {
        let (log, system) =
            (Log::new(), TestSystem::new(Network::new(), &["clock", twin], Plan::default()));
        let clock = system.start("clock").await;
        let first = system.start(twin).await;
        clock.until_up(twin).await;
        let second = system.start(twin).await;
        sleep(Duration::from_secs(300)).await;
        assert_eq!(clock.peer(twin).state, LinkState::Up);
        assert!(clock.peer(twin).sessions <= 3, "{:?}", clock.peer(twin));
        // A Peer that is turned away asks ever more rarely, though the link seems up to it for a moment.
        let asked = [&first, &second].map(|twin| twin.peer("clock").sessions);
        assert!(asked.iter().all(|sessions| *sessions < 200), "{asked:?}");
        let lines = log.lines(&format!("two machines run as '{twin}'"));
        assert!((2..=6).contains(&lines.len()), "{}", log.text());
        // When one of them is gone, the other one is welcome.
        second.node.stop().await;
        first.until_up("clock").await;
        clock.until_up(twin).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_twin_that_is_turned_away_changes_nothing_for_the_other() {
    let system = system();
    let mut scribe = system.start("scribe").await;
    let _first = Client::greeted(&system, "clock", "scribe", 7).await;
    scribe.until_up("clock").await;
    let mut second = Client::greeted(&system, "clock", "scribe", 8).await;
    second.send(&messages("clock", 8, &[1, 2, 3])).await;
    for number in 1..=3 {
        assert_eq!(scribe.next().await.1, number);
    }

    let mut twin = Client::connect(&system, "clock", system.key("clock"), "scribe").await.unwrap();
    twin.say(&Control::Hello(&hello(7))).await;
    twin.say(&Control::Interest(&[])).await;
    twin.frame(|frame| matches!(frame, Frame::Bye(_)).then_some(())).await;

    assert_eq!(scribe.send(1).peers, 1);
    second.send(&messages("clock", 8, &[4])).await;
    assert_eq!(scribe.next().await.1, 4);
    second.say(&Control::Heartbeat(Heartbeat { sent: 1, received: 0 })).await;
    let received = second.frame(|frame| match frame {
        Frame::Echo(echo) => Some(echo.received),
        _ => None,
    });
    assert_eq!(received.await, 4);
    assert_eq!(scribe.peer("clock").received, 4);
}

/// A Peer that breaks the protocol hears how, and so does the administrator of this Node.
#[tokio::test(start_paused = true)]
async fn nonsense_is_answered_with_a_reason() {
    let (log, system) = (Log::new(), system());
    let scribe = system.start("scribe").await;
    let mut client = Client::greeted(&system, "clock", "scribe", 7).await;
    scribe.until_up("clock").await;
    // A heartbeat without anything in it.
    client.write(&[4, 0, 0, 0, 0]).await;
    let reason = client.frame(|frame| match frame {
        Frame::Bye(reason) => Some(reason),
        _ => None,
    });
    assert_eq!(reason.await, "a malformed heartbeat frame");
    log.until("link down: a malformed heartbeat frame").await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_greet_hears_that_it_took_too_long() {
    let (_log, system) = (Log::new(), system());
    let _scribe = system.start("scribe").await;
    let mut client =
        Client::connect(&system, "clock", system.key("clock"), "scribe").await.unwrap();
    let reason = client.frame(|frame| match frame {
        Frame::Bye(reason) => Some(reason),
        _ => None,
    });
    assert_eq!(reason.await, "no answer within 10 seconds");
}
