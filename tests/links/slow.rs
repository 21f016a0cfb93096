//! A slow Peer or Role makes no other wait.

use std::time::Duration;

use kozo::queue::Limits;
use kozo::status::RoleState;
use kozo::wire::{Control, Echo, Frame};
use tokio::time::{Instant, sleep};

use crate::kit::client::Client;
use crate::kit::memory::Network;
use crate::kit::roles::STEADY;
use crate::kit::{Plan, TestSystem};

#[tokio::test(start_paused = true)]
async fn a_deaf_role_loses_its_own_messages_only() {
    let plan = Plan {
        roles: |node| if node == "scribe" { &["deaf", "probe"] } else { &["probe"] },
        queue: Limits { length: 16, size: 1024 * 1024 },
        ..Plan::default()
    };
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], plan);
    let (clock, mut scribe) = system.start_both("clock", "scribe").await;
    for number in 0..1000 {
        clock.send(number);
        assert_eq!(scribe.next().await.1, number);
    }
    let deaf = scribe.role("deaf");
    assert_eq!((deaf.received, deaf.dropped, deaf.queue_length), (1000, 984, 16));
    assert_eq!(scribe.role("probe").dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_delays_nobody() {
    let system = TestSystem::new(Network::new(), &["clock", "porter", "scribe"], Plan::default());
    let (clock, mut porter) = system.start_both("clock", "porter").await;
    let mut scribe = system.start("scribe").await;
    clock.until_up("scribe").await;
    porter.until_up("scribe").await;
    system.network.freeze("clock", "scribe");
    let began = Instant::now();
    // Enough to fill the stream and the session's window several times.
    let data = rmpv::Value::from(vec![0_u8; 100_000]);
    for number in 0..100 {
        clock.try_send(&kozo::message::Draft::event("picture").data(&data)).unwrap();
        clock.send(number);
        let picture = porter.received.recv().await.unwrap();
        assert_eq!(picture.message_type(), "picture");
        assert_eq!(porter.next().await.1, number);
    }
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    assert!(clock.dropped("scribe", "queue_full") > 0, "{:?}", clock.peer("scribe"));
    assert!(clock.peer("scribe").queue_size <= 4 * 1024 * 1024);
    assert!(clock.peer("porter").dropped.is_empty());
    scribe.send(7);
    assert_eq!(porter.next().await.1, 7);

    // What comes after the thaw is in order, and ends with the newest.
    system.network.thaw("clock", "scribe");
    sleep(Duration::from_secs(1)).await;
    let came = std::iter::from_fn(|| scribe.received.try_recv().ok());
    let counters: Vec<_> = came
        .filter(|message| message.origin().node == "clock")
        .map(|message| message.sequence())
        .collect();
    assert!(counters.is_sorted_by(|a, b| a < b));
    assert_eq!(counters.last(), Some(&200));
    let dropped = clock.dropped("scribe", "queue_full");
    assert_eq!(counters.len() as u64 + dropped, 200);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_loses_nothing() {
    let plan = Plan {
        roles: |node| if node == "clock" { &["steady"] } else { &["probe"] },
        queue: Limits { length: 16, size: 1024 * 1024 },
        ..Plan::default().outgoing(16)
    };
    let system = TestSystem::new(Network::new(), &["clock", "porter", "scribe"], plan);
    let (mut porter, mut scribe) = (system.start("porter").await, system.start("scribe").await);
    let clock = system.start("clock").await;
    scribe.until("some have come", |node| node.peer("clock").received > 0).await;
    // The slowest holds up the sender, and no other.
    system.network.freeze("clock", "porter");
    sleep(Duration::from_secs(5)).await;
    system.network.thaw("clock", "porter");
    for number in 0..STEADY {
        let expected = ("clock".to_owned(), number);
        assert_eq!((scribe.next().await, porter.next().await), (expected.clone(), expected));
    }
    for peer in ["porter", "scribe"] {
        assert_eq!(clock.dropped(peer, "queue_full"), 0);
    }
    assert_eq!((scribe.role("probe").dropped, porter.role("probe").dropped), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_is_not_kept_from_stopping() {
    let plan = Plan {
        roles: |node| if node == "clock" { &["steady"] } else { &["probe"] },
        ..Plan::default().outgoing(16)
    };
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], plan);
    let scribe = system.start("scribe").await;
    let clock = system.start("clock").await;
    clock.until("done", |node| node.role("steady").state == RoleState::Finished).await;
    system.network.freeze("clock", "scribe");
    clock.node.start_role("steady").await.unwrap();
    let waits = |node: &crate::kit::Running| node.peer("scribe").queue_length == 16;
    clock.until("full", waits).await;
    let began = Instant::now();
    clock.node.stop_role("steady").await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(clock.role("steady").state, RoleState::Stopped);
    drop(scribe);
}

#[tokio::test(start_paused = true)]
async fn messages_go_before_the_padding_that_measures_a_link() {
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let (clock, mut scribe) = system.start_both("clock", "scribe").await;
    // So that most of the padding waits when the Messages come.
    system.network.freeze("clock", "scribe");
    let padding = clock.node.ping_peer("scribe", 32 * 1024 * 1024);
    tokio::pin!(padding);
    tokio::select! {
        took = &mut padding => panic!("through a frozen link: {took:?}"),
        () = sleep(Duration::from_millis(100)) => {}
    }
    for number in 0..100 {
        clock.send(number);
    }
    system.network.thaw("clock", "scribe");
    for number in 0..100 {
        tokio::select! {
            biased;
            took = &mut padding => panic!("before Message {number}: {took:?}"),
            (_, came) = scribe.next() => assert_eq!(came, number),
        }
    }
    padding.await.unwrap();
    assert!(clock.peer("scribe").dropped.is_empty(), "{:?}", clock.peer("scribe"));
}

#[tokio::test(start_paused = true)]
async fn the_echo_of_a_later_heartbeat_answers_for_the_padding_too() {
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let scribe = system.start("scribe").await;
    let mut clock = Client::greeted(&system, "clock", "scribe", 7).await;
    scribe.until_up("clock").await;
    let answer = async {
        // One since it is up, and the one behind the padding: clock is slow, and hears the next before it answers.
        for _ in 0..2 {
            clock.frame(heartbeat).await;
        }
        let answer = async {
            let sent = clock.frame(heartbeat).await;
            clock.say(&Control::Echo(Echo { sent, received: 0, clock: 0 })).await;
        };
        let (took, ()) = tokio::join!(scribe.node.ping_peer("clock", 0), answer);
        took.unwrap();
    };
    let (took, ()) = tokio::join!(scribe.node.ping_peer("clock", 1), answer);
    took.unwrap();
}

fn heartbeat(frame: Frame) -> Option<u64> {
    if let Frame::Heartbeat(heartbeat) = frame { Some(heartbeat.sent) } else { None }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_role_that_has_finished() {
    let plan = Plan {
        roles: |node| if node == "scribe" { &["probe"] } else { &["brief", "steady"] },
        queue: Limits { length: 16, size: 1024 * 1024 },
        ..Plan::default()
    };
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], plan);
    let (clock, mut scribe) = system.start_both("clock", "scribe").await;
    for number in 0..STEADY {
        assert_eq!(scribe.next().await.1, number);
    }
    assert_eq!(clock.role("brief").state, RoleState::Finished);
}

/// Bytes of a Message of a flood.
const FLOOD: usize = 256;

/// What came of a flood on a slow line, in which four times as much is sent as the line carries.
struct Flood {
    /// How old each Message was when it came, beyond the time that the line takes.
    ages: Vec<Duration>,
    /// How long each ping took, beyond the round trip.
    pings: Vec<Duration>,
    sent: u64,
}

async fn flood(rate: u32, delay: Duration, time: Duration) -> Flood {
    let system = TestSystem::new(
        Network::slow(rate, delay),
        &["clock", "scribe"],
        Plan::default().outgoing(4),
    );
    let (clock, mut scribe) = system.start_both("clock", "scribe").await;
    let pause = Duration::from_secs(1).mul_f64(FLOOD as f64 / f64::from(rate) / 4.0);
    let (begun, data) = (Instant::now(), vec![0; FLOOD]);
    let mut flood = Flood { ages: Vec::new(), pings: Vec::new(), sent: 0 };
    let mut made = Vec::new();
    let mut ping = Box::pin(clock.node.ping_peer("scribe", 0));
    let mut ticks = tokio::time::interval(pause);
    while begun.elapsed() < time {
        tokio::select! {
            took = &mut ping => {
                flood.pings.push(Duration::from_micros(took.unwrap()).saturating_sub(2 * delay));
                ping = Box::pin(clock.node.ping_peer("scribe", 0));
            }
            Some(message) = scribe.received.recv() => {
                let number = usize::try_from(message.sequence()).unwrap() - 1;
                let made: &Instant = &made[number];
                flood.ages.push(made.elapsed().saturating_sub(delay));
            }
            _ = ticks.tick() => {
                clock.try_send(&kozo::message::Draft::event("news").bytes(&data)).unwrap();
                made.push(Instant::now());
            }
        }
    }
    drop(ping);
    // All of it is accounted for.
    flood.sent = made.len() as u64;
    let all = |_: &crate::kit::Running| {
        let came = scribe.peer("clock").received;
        came + clock.dropped("scribe", "queue_full") == flood.sent
    };
    clock.until("all is accounted for", all).await;
    assert_eq!(clock.peer("scribe").dropped.len(), 1, "{:?}", clock.peer("scribe"));
    assert_eq!(clock.peer("scribe").sessions, 1);
    flood
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test(start_paused = true)]
async fn news_on_a_slow_line_is_young_and_the_line_is_used() {
    for (rate, bound) in [(12_500, 400), (125_000, 80), (1_250_000, 60)] {
        for delay in [10, 150] {
            let time = Duration::from_secs(20);
            let mut flood = flood(rate, Duration::from_millis(delay), time).await;
            let bound = Duration::from_millis(bound);
            let (age, ping) = (median(&mut flood.ages), median(&mut flood.pings));
            let of = format!("{rate} B/s, {delay} ms");
            assert!(age < bound && ping < bound, "{of}: {age:?} {ping:?}");
            let used = flood.ages.len() as f64 * FLOOD as f64 / f64::from(rate) / 20.0;
            // The rest is what is said of each Message, and SSH.
            assert!(used > 0.6, "{of}: {used}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_echoes_nothing_gets_little() {
    const SENT: u64 = 1000;
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default().outgoing(4));
    let scribe = system.start("scribe").await;
    let mut clock = Client::greeted(&system, "clock", "scribe", 7).await;
    scribe.until_up("clock").await;
    let data = vec![0; FLOOD];
    for _ in 0..SENT {
        scribe.try_send(&kozo::message::Draft::event("news").bytes(&data)).unwrap();
        sleep(Duration::from_millis(1)).await;
    }
    let peer = scribe.peer("clock");
    assert!((20..=32).contains(&peer.sent), "{peer:?}");
    assert!(peer.backlog < 9 * 1024, "{peer:?}");
    assert_eq!(peer.sent + scribe.dropped("clock", "queue_full") + 4, SENT);
    // What it says it has heard makes room for more.
    let sent = clock.frame(heartbeat).await;
    clock.say(&Control::Echo(Echo { sent, received: 0, clock: 0 })).await;
    let sent = clock.frame(heartbeat).await;
    clock.say(&Control::Echo(Echo { sent, received: 0, clock: 0 })).await;
    scribe.until("more is sent", |node| node.peer("clock").sent > peer.sent).await;
}
