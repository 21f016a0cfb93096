//! Every Message that was sent is received, or dropped for a reason that is counted.

use std::time::Duration;

use kozo::interest::Interest;
use kozo::message::Draft;
use kozo::queue::Limits;
use kozo::role::SendError;
use kozo::wire::{Control, Frame, Heartbeat, Hello};
use rmpv::Value;
use tokio::time::sleep;

use crate::kit::client::{Client, hello};
use crate::kit::memory::Network;
use crate::kit::{Plan, TestSystem};

#[tokio::test(start_paused = true)]
async fn sessions_cut_with_messages_under_way_lose_what_is_counted_as_lost() {
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let (clock, mut scribe) = system.start_both("clock", "scribe").await;
    let mut sent = 0;
    let mut send = |many: u64| {
        for _ in 0..many {
            clock.send(sent);
            sent += 1;
        }
    };
    for round in 0..30 {
        for _ in 0..20 {
            send(17 * (round % 5) + 3);
            tokio::task::yield_now().await;
        }
        // What is sent now gets as far as the stream.
        system.network.freeze("clock", "scribe");
        send(3);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        system.network.cut("clock", "scribe");
        system.network.thaw("clock", "scribe");
        send(5);
        clock.until_down("scribe").await;
        send(5);
        system.network.heal("clock", "scribe");
        clock.until_up("scribe").await;
        scribe.until_up("clock").await;
    }
    send(1);
    sleep(Duration::from_secs(1)).await;
    let received = scribe.numbers();
    assert!(received.is_sorted_by(|a, b| a < b), "in order, each once");
    let peer = clock.peer("scribe");
    let dropped: u64 = peer.dropped.values().sum();
    assert_eq!(received.len() as u64 + dropped, sent, "{peer:?}");
    for reason in ["lost", "link_down"] {
        assert!(clock.dropped("scribe", reason) > 0, "{reason}");
    }
    assert_eq!(peer.sent - clock.dropped("scribe", "lost"), received.len() as u64);
    assert_eq!(scribe.peer("clock").received, received.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_message_too_large_for_a_queue_is_refused_and_costs_no_other() {
    let mut plan = Plan { queue: Limits { length: 10, size: 20_000 }, ..Plan::default() };
    plan.options.outgoing_queue = Limits { length: 10, size: 10_000 };
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], plan);
    let (clock, mut scribe) = system.start_both("clock", "scribe").await;
    clock.send(1);
    for (size, who, bound) in [(15_000, "peer 'scribe'", 10_000), (25_000, "role 'probe'", 20_000)]
    {
        let data = Value::from(vec![0_u8; size]);
        let error = clock.try_send(&Draft::event("picture").data(&data)).unwrap_err();
        match error {
            SendError::TooLarge { weight, size: holds, subscriber } => {
                assert!(weight > size);
                assert_eq!((holds, subscriber.as_str()), (bound, who));
            }
            other => panic!("{other}"),
        }
    }
    let sent = clock.send(2);
    assert_eq!(sent.sequence, 2, "what was refused has no number");
    assert_eq!((scribe.next().await.1, scribe.next().await.1), (1, 2));
    assert!(clock.peer("scribe").dropped.is_empty());
    assert_eq!(clock.role("probe").dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_too_large_for_the_receiving_role_is_counted_there() {
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let small = Plan { queue: Limits { length: 10, size: 1000 }, ..Plan::default() };
    let mut narrow = TestSystem::new(system.network.clone(), &["clock", "scribe"], small);
    narrow.adopt(&system);
    let clock = system.start("clock").await;
    let mut scribe = narrow.start("scribe").await;
    clock.until_up("scribe").await;
    let data = Value::from(vec![0_u8; 2000]);
    clock.try_send(&Draft::event("picture").data(&data)).unwrap();
    clock.send(1);
    assert_eq!(scribe.next().await.1, 1);
    assert_eq!(scribe.refused("too_large"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_new_run_has_received_is_not_taken_for_what_the_one_before_it_had() {
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let clock = system.start("clock").await;
    // A run that knows this one of clock already has had a session with it that came to nothing.
    for (boot, received_boot, messages) in [(7, 0, 100), (8, clock.boot(), 10), (9, 0, 1)] {
        let mut scribe =
            Client::connect(&system, "scribe", system.key("scribe"), "clock").await.unwrap();
        scribe.say(&Control::Hello(&Hello { received_boot, ..hello(boot) })).await;
        scribe.say(&Control::Interest(&[Interest::any()])).await;
        clock.until_up("scribe").await;
        let sent = clock.peer("scribe").sent + messages;
        (0..messages).for_each(|number| {
            clock.send(number);
        });
        clock.until("all is sent", |clock| clock.peer("scribe").sent == sent).await;
        scribe.say(&Control::Heartbeat(Heartbeat { sent: 77, received: messages })).await;
        scribe
            .frame(|frame| matches!(frame, Frame::Echo(echo) if echo.sent == 77).then_some(()))
            .await;
        drop(scribe);
        clock.until_down("scribe").await;
    }
    assert_eq!(clock.dropped("scribe", "lost"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_had_before_it_was_removed_and_added_is_not_taken_for_what_it_is_sent_now() {
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let clock = system.start("clock").await;
    let come = async |boot, received| {
        let mut scribe =
            Client::connect(&system, "scribe", system.key("scribe"), "clock").await.unwrap();
        let known = Hello { received_boot: clock.boot(), received, ..hello(boot) };
        scribe.say(&Control::Hello(&known)).await;
        scribe.say(&Control::Interest(&[Interest::any()])).await;
        clock.until_up("scribe").await;
        scribe
    };
    let mut scribe = come(7, 100).await;
    (0..10).for_each(|number| {
        clock.send(number);
    });
    clock.until("all is sent", |clock| clock.peer("scribe").sent == 10).await;
    scribe.say(&Control::Heartbeat(Heartbeat { sent: 77, received: 104 })).await;
    scribe.frame(|frame| matches!(frame, Frame::Echo(echo) if echo.sent == 77).then_some(())).await;
    drop(scribe);
    clock.until_down("scribe").await;
    let _restarted = come(8, 0).await;
    assert_eq!(clock.dropped("scribe", "lost"), 6);
}

#[tokio::test(start_paused = true)]
async fn what_was_lost_on_a_session_that_the_other_side_gave_up_is_counted() {
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let scribe = system.start("scribe").await;
    let _dead = Client::greeted(&system, "clock", "scribe", 7).await;
    scribe.until_up("clock").await;
    (0..10).for_each(|number| {
        scribe.send(number);
    });
    scribe.until("all is sent", |scribe| scribe.peer("clock").sent == 10).await;
    // Four have arrived; scribe's link is up all the time.
    let mut clock = Client::connect(&system, "clock", system.key("clock"), "scribe").await.unwrap();
    let known = Hello { received_boot: scribe.boot(), received: 4, ..hello(7) };
    clock.say(&Control::Hello(&known)).await;
    clock.say(&Control::Interest(&[Interest::any()])).await;
    clock.say(&Control::Use).await;
    // It is in use once the first heartbeat goes out on it.
    clock.frame(|frame| matches!(frame, Frame::Heartbeat(_)).then_some(())).await;
    scribe.send(10);
    scribe.until("eleven are sent", |scribe| scribe.peer("clock").sent == 11).await;
    clock.frame(|frame| matches!(frame, Frame::Messages(_)).then_some(())).await;
    assert_eq!(scribe.dropped("clock", "lost"), 6);
}
