//! What each step of a Message's way costs by itself. `make bench` runs it and compares with the run
//! before.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::hint::black_box;
use std::sync::Arc;

use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use kozo::config::{ConnectPolicy, NodeConfig, RootOptions};
use kozo::interest::{Interest, InterestIndex, Pattern};
use kozo::link::Peer;
use kozo::link::outgoing::{Disposition, Outgoing};
use kozo::link::reader::Reader;
use kozo::link::signals::SessionSignals;
use kozo::link::standing::Hold;
use kozo::message::{Draft, Head, Kind, Message, Origin};
use kozo::node::Router;
use kozo::queue::{Limits, RollingQueue};
use kozo::role::Inbox;
use kozo::session::ssh;
use kozo::session::{Flow, Sink};
use kozo::wire::{self, Control, Decoder, Frame, Hello, VERSION, encode_messages};
use russh::keys::{Algorithm, PrivateKey};

/// Messages of a batch.
const BATCH: u64 = 400;

/// Bytes of a packet, which is what is written and read at a time.
const PACKET: usize = ssh::PACKET as usize;

/// Sizes of data.
const SIZES: [usize; 3] = [64, 1024, 16 * 1024];

fn head(message_type: &str) -> Head {
    let origin = Arc::new(Origin { node: "clock".to_owned(), boot: 7 });
    Draft::event(message_type).channel(Some("hall")).head(origin, "timer").unwrap()
}

fn batch(size: usize) -> Vec<Message> {
    let head = Arc::new(head("tick"));
    let data = bytes::Bytes::from(vec![0xc0; size]);
    let message = |sequence| {
        Message::new(Arc::clone(&head), sequence, 1_700_000_000_000_000, data.clone()).unwrap()
    };
    (1..=BATCH).map(message).collect()
}

fn wire(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wire");
    group.throughput(Throughput::Elements(BATCH));
    for size in SIZES {
        let messages = batch(size);
        let mut out = BytesMut::new();
        // What is decoded, also where the encoding is not measured.
        encode_messages(&messages, &mut out);
        group.bench_function(format!("encode/{size}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                encode_messages(black_box(&messages), &mut out);
            });
        });
        let (origin, head) = (messages[0].origin(), messages[0].head());
        group.bench_function(format!("decode/{size}"), |bencher| {
            bencher.iter(|| {
                let mut decoder = Decoder::default();
                for piece in out.chunks(PACKET) {
                    decoder.feed(black_box(piece));
                    while let Some(Frame::Messages(mut came)) = decoder.next_frame().unwrap() {
                        came.share(origin, Some(Arc::clone(head)));
                        came.for_each(|message| drop(black_box(message.unwrap())));
                    }
                }
            });
        });
    }
    group.finish();
}

fn draft(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("message");
    let origin = Arc::new(Origin { node: "clock".to_owned(), boot: 7 });
    for size in SIZES {
        let data = vec![0; size];
        group.bench_function(format!("encode/{size}"), |bencher| {
            let draft = Draft::event("tick").bytes(&data);
            bencher.iter(|| Message::encode(Arc::clone(&origin), "timer", 1, 2, black_box(&draft)));
        });
    }
    group.finish();
}

/// So many subscribers, one of which wants the Message: half of them name a type, a quarter a pattern of
/// types, a quarter the type but another Node.
fn index(subscribers: u32) -> InterestIndex<u32> {
    let mut index = InterestIndex::default();
    for subscriber in 0..subscribers {
        let interest = match subscriber {
            0 => Interest::exactly(Kind::Event, "tick"),
            other if other % 4 == 1 => {
                let message_type = Pattern::new(&format!("*-{other}"));
                Interest { message_type, ..Interest::any() }
            }
            other if other % 4 == 3 => {
                let node = Pattern::literal(&format!("node{other}"));
                Interest { node, ..Interest::exactly(Kind::Event, "tick") }
            }
            other => Interest::exactly(Kind::Event, &format!("type{other}")),
        };
        index.set(subscriber, &[interest]);
    }
    index
}

fn interest(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("interest");
    let head = head("tick");
    for subscribers in [1, 100, 10_000] {
        let index = index(subscribers);
        let mut found = Vec::new();
        index.find(&head, &mut found);
        assert_eq!(found, [0]);
        group.bench_function(format!("find/{subscribers}"), |bencher| {
            bencher.iter(|| index.find(black_box(&head), &mut found));
        });
    }
    group.finish();
}

fn queues(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue");
    group.throughput(Throughput::Elements(BATCH));
    let limits = Limits { length: 1024, ..Limits::default() };
    let mut queue = RollingQueue::new(limits);
    let fresh = || batch(64);
    group.bench_function("rolling", |bencher| {
        let through = |messages: Vec<Message>| {
            messages.into_iter().for_each(|message| assert!(queue.push(message).is_ok()));
            while let Some(message) = queue.pop() {
                black_box(message);
            }
        };
        bencher.iter_batched(fresh, through, BatchSize::SmallInput);
    });
    let inbox = Inbox::new(limits);
    group.bench_function("inbox", |bencher| {
        let through = |messages: Vec<Message>| {
            messages.into_iter().for_each(|message| assert!(inbox.push(message).is_ok()));
            while let Some(message) = inbox.try_receive() {
                black_box(message);
            }
        };
        bencher.iter_batched(fresh, through, BatchSize::SmallInput);
    });
    group.finish();
}

/// What the writer of a link does with what waits for its Peer, the session aside.
fn writer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("link");
    group.throughput(Throughput::Elements(BATCH));
    let limits = Limits { length: 1024, ..Limits::default() };
    let outgoing = Outgoing::new(limits, Disposition::Open);
    let (mut taken, mut out) = (Vec::new(), BytesMut::new());
    group.bench_function("write/64", |bencher| {
        // What the router does.
        let fill = || {
            batch(64).into_iter().for_each(|message| assert!(outgoing.push(message).is_ok()));
        };
        let write = |()| {
            while outgoing.has_messages() {
                outgoing.take(&mut taken, PACKET - 1024);
                encode_messages(&taken, &mut out);
                taken.clear();
                black_box(out.split().freeze());
            }
        };
        bencher.iter_batched(fill, write, BatchSize::PerIteration);
    });
    group.finish();
}

/// A Node as far as its Peers are concerned.
fn node(name: &str) -> NodeConfig {
    let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap();
    NodeConfig {
        name: name.to_owned(),
        private_key: "/nowhere".into(),
        public_key: key.public_key().clone(),
        role_storage: None,
        self_to_others: ConnectPolicy::Constant,
        others_to_self: ConnectPolicy::Constant,
        options: RootOptions::default(),
        roles: Vec::new(),
        transports: Vec::new(),
    }
}

/// The reader of a link in use, by which Messages come from the Peer `clock` to this router, for as
/// long as the hold is kept.
fn open_reader(router: Arc<Router>) -> (Reader, Hold) {
    let (peer, _commands) =
        Peer::new(1, &node("scribe"), Arc::new(node("clock")), Limits::default());
    let peer = Arc::new(peer);
    router.add_peer(Arc::clone(&peer), &[]);
    let (established, _hears) = tokio::sync::oneshot::channel();
    let (hold, standing) = Hold::new();
    hold.confirm();
    let mut reader =
        Reader::new(1, peer, router, Arc::new(SessionSignals::new()), standing, established);
    let mut out = BytesMut::new();
    let hello =
        Hello { version: VERSION, boot: 7, received_boot: 0, received: 0, features: Vec::new() };
    wire::encode(&Control::Hello(&hello), &mut out);
    wire::encode(&Control::Interest(&[]), &mut out);
    assert_eq!(reader.data(&out).unwrap(), Flow::Continue);
    (reader, hold)
}

fn router() -> Arc<Router> {
    Arc::new(Router::new(Arc::new(Origin { node: "scribe".to_owned(), boot: 1 })))
}

fn drain(inbox: &Inbox) {
    while let Some(message) = inbox.try_receive() {
        black_box(message);
    }
}

/// What the reader of a link and the router do with Messages that nobody wants: all that each costs
/// before it is in a queue. Then with a tap, which is a queue.
fn reader(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("link");
    group.throughput(Throughput::Elements(BATCH));
    for (name, tapped) in [("read/64", false), ("tap/64", true)] {
        let router = router();
        let tap = tapped.then(|| router.tap(vec![Interest::any()], false));
        let (mut reader, _hold) = open_reader(router);
        let mut sequence = 0;
        group.bench_function(name, |bencher| {
            let fresh = || {
                let head = Arc::new(head("tick"));
                let message = |_| {
                    sequence += 1;
                    let data = bytes::Bytes::from_static(&[0xc0; 64]);
                    Message::new(Arc::clone(&head), sequence, 1_700_000_000_000_000, data).unwrap()
                };
                let messages: Vec<_> = (0..BATCH).map(message).collect();
                let mut out = BytesMut::new();
                encode_messages(&messages, &mut out);
                out
            };
            let read = |bytes: BytesMut| {
                let mut flow = reader.data(black_box(&bytes)).unwrap();
                while flow == Flow::Yield {
                    flow = reader.data(&[]).unwrap();
                }
                tap.iter().for_each(|tap| drain(tap));
            };
            bencher.iter_batched(fresh, read, BatchSize::SmallInput);
        });
    }
    group.finish();
}

/// What the router does with Messages of a Role, up to a tap and out of it.
fn sender(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("router");
    group.throughput(Throughput::Elements(BATCH));
    let router = router();
    let tap = router.tap(vec![Interest::any()], false);
    let data = [0xc0; 64];
    let draft = Draft::event("tick").channel(Some("hall")).bytes(&data);
    group.bench_function("send/64", |bencher| {
        bencher.iter(|| {
            for _ in 0..BATCH {
                router.send("timer", black_box(&draft)).unwrap();
            }
            drain(&tap);
        });
    });
    group.finish();
}

criterion_group!(benches, draft, interest, queues, wire, writer, reader, sender);
criterion_main!(benches);
