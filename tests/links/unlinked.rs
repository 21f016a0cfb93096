//! A Peer that sends what its link has not asked for: before the link knows of the session, after it has
//! given it up, and more at once than any Role wants.

use std::time::Duration;

use bytes::BytesMut;
use kozo::interest::{Interest, Pattern};
use kozo::message::Message;
use kozo::queue::Limits;
use kozo::wire::{self, Control, Frame};
use nix::time::{ClockId, clock_gettime};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use crate::ALLOCATOR;
use crate::kit::client::{Client, hello, messages};
use crate::kit::memory::Network;
use crate::kit::{Plan, Running, TestSystem};

fn system() -> TestSystem {
    TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default())
}

/// Whichever side decides.
const CLIENTS: [(&str, &str); 2] = [("clock", "scribe"), ("scribe", "clock")];

async fn connected(system: &TestSystem, name: &str, to: &str) -> Client {
    Client::connect(system, name, system.key(name), to).await.unwrap()
}

async fn until_unlinked(node: &Running, messages: u64) {
    node.until("counted", |node| node.refused("unlinked") == messages).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_never_says_what_it_wants_delivers_nothing() {
    for (name, node) in CLIENTS {
        let system = system();
        let mut other = system.start(node).await;
        let mut client = connected(&system, name, node).await;
        client.say(&Control::Hello(&hello(7))).await;
        client.say(&Control::Use).await;
        client.send(&messages(name, 7, &[1, 2, 3])).await;
        sleep(Duration::from_secs(9)).await;
        assert_eq!(other.numbers(), [0_u64; 0]);
        client.ended().await;
        until_unlinked(&other, 3).await;
        assert_eq!((other.numbers().len(), other.peer(name).received), (0, 0));
        assert_eq!(other.peer(name).sessions, 0);
    }
}

/// All of it is there before the link has heard of the session: it waits, and comes.
#[tokio::test(start_paused = true)]
async fn what_comes_with_the_greeting_waits_for_the_link() {
    for (name, node) in CLIENTS {
        let system = system();
        let mut other = system.start(node).await;
        let mut client = connected(&system, name, node).await;
        let mut bytes = BytesMut::new();
        wire::encode(&Control::Hello(&hello(7)), &mut bytes);
        wire::encode(&Control::Interest(&[Interest::any()]), &mut bytes);
        wire::encode(&Control::Use, &mut bytes);
        let all: Vec<u64> = (1..=20_000).collect();
        for some in all.chunks(5_000) {
            wire::encode_messages(&messages(name, 7, some), &mut bytes);
        }
        client.write(&bytes).await;
        for number in all {
            assert_eq!(other.next().await, (name.to_owned(), number));
        }
        assert_eq!((other.refused("unlinked"), other.peer(name).received), (0, 20_000));
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_disconnect_nothing_comes_on_any_session() {
    for (name, node) in CLIENTS {
        let system = system();
        let mut other = system.start(node).await;
        let mut client = Client::greeted(&system, name, node, 7).await;
        other.until_up(name).await;
        client.send(&messages(name, 7, &[1])).await;
        assert_eq!(other.next().await.1, 1);
        other.node.disconnect_peer(name).await.unwrap();
        // What was sent before the other side has heard of it, and said so, still counts.
        client.frame(|frame| matches!(frame, Frame::Finish).then_some(())).await;
        client.send(&messages(name, 7, &[2])).await;
        client.say(&Control::Finished(0)).await;
        assert_eq!(other.next().await.1, 2);
        client.frame(|frame| matches!(frame, Frame::Bye(_)).then_some(())).await;
        client.send(&messages(name, 7, &[3, 4])).await;
        until_unlinked(&other, 2).await;

        let mut again = connected(&system, name, node).await;
        let mut bytes = BytesMut::new();
        wire::encode(&Control::Hello(&hello(7)), &mut bytes);
        wire::encode(&Control::Interest(&[Interest::any()]), &mut bytes);
        wire::encode(&Control::Use, &mut bytes);
        wire::encode_messages(&messages(name, 7, &[5, 6, 7]), &mut bytes);
        again.write(&bytes).await;
        until_unlinked(&other, 5).await;
        assert_eq!((other.numbers().len(), other.peer(name).received), (0, 2));
    }
}

/// A session beside the one in use is known to the link: what comes on it comes.
#[tokio::test(start_paused = true)]
async fn a_candidate_may_deliver_until_it_is_closed() {
    let system = system();
    let mut clock = system.start("clock").await;
    let _first = Client::greeted(&system, "scribe", "clock", 7).await;
    clock.until_up("scribe").await;
    let mut second = Client::greeted(&system, "scribe", "clock", 7).await;
    second.send(&messages("scribe", 7, &[1])).await;
    assert_eq!(clock.next().await.1, 1);
}

/// Nothing is kept of a frame before the hello that is larger than a hello.
#[tokio::test(start_paused = true)]
async fn before_the_hello_frames_are_small() {
    let system = system();
    let _scribe = system.start("scribe").await;
    for kind in [1, 3, 10, 77] {
        let mut client = connected(&system, "clock", "scribe").await;
        let mut header = vec![kind];
        header.extend(4097_u32.to_le_bytes());
        client.write(&header).await;
        let began = Instant::now();
        client.ended().await;
        assert!(began.elapsed() < Duration::from_secs(2), "kind {kind}: {:?}", began.elapsed());
    }
}

/// What is larger than any queue is not kept while it comes, and ends nothing.
#[tokio::test(start_paused = true)]
async fn a_message_larger_than_any_queue_is_counted_and_costs_no_other() {
    let mut plan = Plan { queue: Limits { length: 10, size: 100_000 }, ..Plan::default() };
    plan.options.outgoing_queue.size = 16 * 1024 * 1024;
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], plan);
    let mut scribe = system.start("scribe").await;
    let mut client = Client::greeted(&system, "clock", "scribe", 7).await;
    scribe.until_up("clock").await;
    client.send(&messages("clock", 7, &[1])).await;
    // Only its beginning: it is counted before the rest has come.
    let mut bytes = BytesMut::new();
    wire::encode_messages(&[large("clock", 7, 2, 10_000_000)], &mut bytes);
    let (begin, rest) = bytes.split_at(1000);
    client.write(begin).await;
    scribe.until("counted", |scribe| scribe.refused("too_large") == 1).await;
    client.write(rest).await;
    client.send(&messages("clock", 7, &[3])).await;
    assert_eq!((scribe.next().await.1, scribe.next().await.1), (1, 3));
    assert_eq!((scribe.peer("clock").received, scribe.peer("clock").sessions), (3, 1));
}

fn large(node: &str, boot: u64, sequence: u64, size: usize) -> Message {
    let small = messages(node, boot, &[sequence]).remove(0);
    Message::new(small.head().clone(), sequence, 1, vec![0xc0; size].into()).unwrap()
}

/// Processor time of this thread, however busy the machine is.
fn worked() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

/// However much is in a frame, other tasks have their turn meanwhile.
#[tokio::test]
async fn a_frame_full_of_messages_does_not_hold_the_loop() {
    let origin = [&[5][..], b"clock", &7_u64.to_le_bytes(), &[0]].concat();
    let head = |number: u32| {
        let message_type = format!("{number:06}");
        [&[0, 0, 1, b'r', 6], message_type.as_bytes(), &[0]].concat()
    };
    // The same again and again (unwanted; then such as have come before), and each of its own type.
    let unwanted = [&head(0)[..], &[1, 1, 0, 0xc0].repeat(900_000)].concat();
    let doubled = [&head(0)[..], &[1, 0, 0, 0xc0].repeat(900_000)].concat();
    let heads: Vec<_> =
        (0..250_000).map(|number| [&head(number)[..], &[1, 1, 0, 0xc0]].concat()).collect();
    for (what, payload) in [("unwanted", unwanted), ("doubled", doubled), ("heads", heads.concat())]
    {
        let plan = Plan {
            interests: vec![Interest::exactly(kozo::message::Kind::Log, "x")],
            ..Plan::default()
        };
        let system = TestSystem::new(Network::new(), &["clock", "scribe"], plan);
        let scribe = system.start("scribe").await;
        let mut client = Client::greeted(&system, "clock", "scribe", 7).await;
        scribe.until_up("clock").await;
        let length = u32::try_from(origin.len() + payload.len()).unwrap().to_le_bytes();
        let frame = [&[3][..], &length, &origin, &payload].concat();
        client.write(&frame).await;
        client.say(&Control::Heartbeat(wire::Heartbeat { sent: 77, received: 0 })).await;
        let mut longest = Duration::ZERO;
        let looks = async {
            let mut before = worked();
            loop {
                yield_now().await;
                let now = worked();
                longest = longest.max(now - before);
                before = now;
            }
        };
        let answered = client
            .frame(|frame| matches!(frame, Frame::Echo(echo) if echo.sent == 77).then_some(()));
        tokio::select! {
            () = looks => {}
            () = answered => {}
        }
        println!("{what}: {longest:?} at a time");
        assert!(scribe.peer("clock").received >= 250_000);
        assert!(longest < Duration::from_millis(25), "{what}: {longest:?}");
    }
}

/// Sends Messages of all sizes, more than a queue holds, and waits until they have come.
async fn flood(client: &mut Client, round: u64) {
    let small: Vec<_> = (round * 10_000 + 1..(round + 1) * 10_000).collect();
    client.send(&messages("clock", 7, &small)).await;
    for (step, size) in [100, 10_000, 1_000_000, 4_000_000].into_iter().enumerate() {
        let sequence = (round + 1) * 10_000 + u64::try_from(step).unwrap();
        client.send(&[large("clock", 7, sequence, size)]).await;
    }
    client.say(&Control::Heartbeat(wire::Heartbeat { sent: round, received: 0 })).await;
    let answer = |frame| matches!(frame, Frame::Echo(echo) if echo.sent == round).then_some(());
    client.frame(answer).await;
}

/// Interest without end, Messages of all sorts: when it is over, what is kept is as much as before.
#[tokio::test]
async fn what_a_flood_took_is_given_back() {
    let plan = Plan { roles: |_| &["deaf"], queue: Limits::default(), ..Plan::default() };
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], plan);
    let scribe = system.start("scribe").await;
    let allocated = async |client| {
        drop(client);
        scribe.until_down("clock").await;
        // What was kept for those who look on goes as well.
        sleep(Duration::from_millis(100)).await;
        ALLOCATOR.allocated()
    };
    let mut client = Client::greeted(&system, "clock", "scribe", 7).await;
    scribe.until_up("clock").await;
    flood(&mut client, 0).await;
    let before = allocated(client).await;

    let mut client = Client::greeted(&system, "clock", "scribe", 7).await;
    scribe.until_up("clock").await;
    let pattern = |number: u32| Interest {
        message_type: Pattern::new(&format!("{number:06}*")),
        ..Interest::any()
    };
    let patterns: Vec<_> = (0..1000).map(pattern).collect();
    // A thousand at a time that are told apart, and sixty thousand at once.
    for round in 1..=15 {
        client.say(&Control::Interest(&patterns)).await;
        let payload = [&[255, 9][..], b"123456*78", &[0, 1, b'*', 1, b'*']].concat().repeat(60_000);
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        client.write(&[&[2][..], &length, &payload].concat()).await;
        flood(&mut client, round).await;
    }
    let during = ALLOCATOR.allocated();
    let after = allocated(client).await;
    println!("{before} bytes before, {during} in the end, {after} after it");
    // An index that keeps the room for a thousand patterns takes more.
    assert!(after < before + 160 * 1024, "{before} bytes before, {after} after");
}
