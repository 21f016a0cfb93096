//! Messages in and out: nothing is lost, and no reader slows the Node down.

use std::os::fd::AsFd as _;

use kozo::message::{Draft, Kind};
use kozo::queue::Limits;
use kozo_client::{Error, Filter, Injected, Monitored};
use rmpv::Value;
use zbus::Variant;

use crate::kit::memory::Network;
use crate::kit::{Plan, TestSystem};
use crate::private_bus::PrivateBus;
use crate::{Served, on_bus, soon};

fn filter(message_type: &str) -> Filter {
    Filter { message_type: Some(message_type.to_owned()), ..Filter::default() }
}

#[tokio::test]
async fn what_is_injected_arrives_as_it_was() {
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let mut clock = Served::alone(&system, "clock").await;
    let mut scribe = system.start("scribe").await;
    clock.running.until_up("scribe").await;
    let client = clock.client().await;

    let sent = client.inject_json(
        "event",
        "tick",
        Some("kitchen"),
        r#"{"a": [1, 2.5, "é", null, true], "b": 18446744073709551615, "c": -9223372036854775808}"#,
    );
    let sent = soon(sent).await.unwrap();
    assert_eq!(sent, Injected { id: 1, roles: 1, peers: 1, unreachable: 0 });
    let wanted = Value::Map(vec![
        ("a".into(), Value::Array(vec![1.into(), 2.5.into(), "é".into(), Value::Nil, true.into()])),
        ("b".into(), u64::MAX.into()),
        ("c".into(), i64::MIN.into()),
    ]);
    for received in [&mut clock.running.received, &mut scribe.received] {
        let message = soon(received.recv()).await.unwrap();
        assert_eq!(message.to_string(), "event tick from inject@clock on kitchen");
        assert_eq!(message.value().unwrap(), wanted);
    }

    let bytes: Vec<u8> = (0..=255).collect();
    let given = Variant::from((u64::MAX, i64::MIN, bytes.clone(), 0.1));
    soon(client.inject("order", "do", None, &given, Default::default())).await.unwrap();
    let message = soon(scribe.received.recv()).await.unwrap();
    assert_eq!((message.kind(), message.channel()), (Kind::Order, None));
    let wanted = vec![u64::MAX.into(), i64::MIN.into(), Value::Binary(bytes), 0.1.into()];
    assert_eq!(message.value().unwrap(), Value::Array(wanted));

    soon(client.inject_msgpack("log", "log", None, &[0xc7, 1, 5, 9])).await.unwrap();
    let message = soon(scribe.received.recv()).await.unwrap();
    assert_eq!(message.value().unwrap(), Value::Ext(5, vec![9]));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_name() {
    let queue = Limits { length: 10, size: 1 << 20 };
    let plan = Plan { queue, ..Plan::default() };
    let system = TestSystem::new(Network::new(), &["clock"], plan);
    let clock = Served::alone(&system, "clock").await;
    let client = clock.client().await;
    let long = "x".repeat(256);
    for (kind, message_type, data, problem) in [
        ("evnt", "tick", "1", "unknown kind 'evnt'"),
        ("event", "", "1", "type is 0 bytes"),
        ("event", &*long, "1", "type is 256 bytes"),
        ("event", "tick", "[1", "not JSON: EOF"),
        ("event", "tick", "1 2", "not JSON: trailing"),
    ] {
        let refused = soon(client.inject_json(kind, message_type, None, data)).await;
        let Err(Error::InvalidArgument(text)) = refused else { panic!("{refused:?}") };
        assert!(text.contains(problem), "{text}");
    }
    for data in [&b""[..], b"\xc0\xc0", b"\x91"] {
        let refused = soon(client.inject_msgpack("event", "tick", None, data)).await;
        assert!(matches!(&refused, Err(Error::InvalidArgument(_))), "{refused:?}");
    }
    let stdin = std::io::stdin();
    let descriptor = Variant::from(zbus::Fd::from(stdin.as_fd()));
    let refused = soon(client.inject("event", "a", None, &descriptor, Default::default())).await;
    assert!(refused.unwrap_err().to_string().contains("file descriptor"));

    // The probe's queue holds one mebibyte, and no message more than sixteen.
    for size in [2 << 20, 17 << 20] {
        let data = Variant::from(vec![0_u8; size]);
        let refused = soon(client.inject("event", "a", None, &data, Default::default())).await;
        assert!(matches!(&refused, Err(Error::MessageTooLarge(_))), "{refused:?}");
    }
    for (key, value) in [("encodng", "json"), ("encoding", "xml")] {
        let options = [(key, Variant::from(value))].into();
        let refused = soon(client.inject("event", "a", None, &Variant::from(1), options)).await;
        assert!(matches!(&refused, Err(Error::InvalidArgument(_))), "{refused:?}");
    }
    let wrong = Filter { kind: Some("evnt".to_owned()), ..Filter::default() };
    assert!(matches!(soon(client.monitor(&wrong)).await, Err(Error::InvalidArgument(_))));
    assert_eq!(clock.running.sent(), 0);
}

#[tokio::test]
async fn a_monitor_shows_what_passes_and_matches() {
    let bus = PrivateBus::start();
    let silent = Plan { interests: Vec::new(), ..Plan::default() };
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], silent);
    let clock = Served::start(&system, "clock", &bus.address).await;
    let scribe = system.start("scribe").await;
    clock.running.until_up("scribe").await;
    scribe.until_up("clock").await;
    let client = kozo_client::Client::find(&on_bus(&bus.address), Some("clock")).await.unwrap();
    let mut ticks = soon(client.monitor(&filter("?ick*"))).await.unwrap();
    let others = Filter { node: Some("scribe".to_owned()), ..Filter::default() };
    let mut others = soon(client.monitor(&others)).await.unwrap();

    // No Role wants it there: it is sent because a monitor here asks for it.
    let draft = Draft::event("tick").data(&Value::Binary(vec![0, 255]));
    while scribe.node.send("probe", &draft).unwrap().peers == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    for monitor in [&mut ticks, &mut others] {
        let Some(Monitored::Message(seen)) = soon(monitor.next()).await.unwrap() else {
            panic!("no message")
        };
        assert_eq!((&*seen.node, &*seen.role, &*seen.kind), ("scribe", "probe", "event"));
        assert_eq!((&*seen.message_type, seen.channel.as_deref()), ("tick", None));
        assert_eq!(seen.boot, scribe.boot());
        assert!(seen.id >= 1 && seen.time > 1_600_000_000_000_000);
        assert_eq!(seen.data, serde_json::json!({"$base64": "AP8="}));
        assert_eq!(seen.msgpack, None);
    }
    soon(client.inject_json("event", "tock", Some("hall"), r#"{"a": 1}"#)).await.unwrap();
    soon(client.inject_json("event", "ticks", Some("hall"), "18446744073709551615")).await.unwrap();
    let line = loop {
        let line = soon(ticks.next_line()).await.unwrap().unwrap();
        if !line.contains("probe") {
            break line;
        }
    };
    assert!(
        line.contains(r#""type":"ticks","channel":"hall","data":18446744073709551615}"#),
        "{line}"
    );
}

#[tokio::test]
async fn who_reads_too_slowly_is_told_what_was_skipped() {
    const ALL: u64 = 20_000;
    let system = TestSystem::new(Network::new(), &["clock"], Plan::default());
    let mut clock = Served::alone(&system, "clock").await;
    let client = clock.client().await;
    let mut monitor = soon(client.monitor(&filter("count"))).await.unwrap();
    for number in 0..ALL {
        clock.running.node.send("probe", &Draft::event("count").data(&number.into())).unwrap();
        // The monitor gets its turns, but its client does not read.
        tokio::task::yield_now().await;
    }
    let (mut next, mut skipped) = (0, 0);
    while next < ALL {
        match soon(monitor.next()).await.unwrap().unwrap() {
            Monitored::Skipped { skipped: missing } => {
                assert!(missing > 0);
                next += missing;
                skipped += missing;
            }
            Monitored::Message(seen) => {
                assert_eq!(seen.data, next, "each is shown or counted, in order");
                next += 1;
            }
        }
    }
    assert!(skipped > 0, "everything was read");
    // The Role lost nothing to it but what its own queue dropped.
    let role = clock.running.node.role_status("probe").unwrap();
    assert_eq!(role.received, ALL);
    assert!(clock.running.received.recv().await.is_some());
}

#[tokio::test]
async fn a_monitor_that_is_closed_wants_nothing_any_more() {
    let silent = Plan { interests: Vec::new(), ..Plan::default() };
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], silent);
    let clock = Served::alone(&system, "clock").await;
    let scribe = system.start("scribe").await;
    clock.running.until_up("scribe").await;
    scribe.until_up("clock").await;
    let client = clock.client().await;
    let monitor = soon(client.monitor(&filter("tick"))).await.unwrap();
    let wanted = || scribe.node.send("probe", &Draft::event("tick")).unwrap().peers > 0;
    scribe.until("asked for ticks", |_| wanted()).await;
    drop(monitor);
    scribe.until("no longer asked for ticks", |_| !wanted()).await;
}
