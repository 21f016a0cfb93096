#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod memory;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::interest::Pattern;
use crate::message::{Draft, Head, Kind, MAX_MESSAGE, Message, MessageError, Origin};

/// A frame of either sort, owned, so that it can be generated and compared.
#[derive(Clone, Debug, PartialEq)]
enum Any {
    Hello(Hello),
    Interest(Vec<Interest>),
    Heartbeat(Heartbeat),
    Echo(Echo),
    Use,
    Finish,
    Finished(u64),
    Bye(String),
    /// Origin node, boot, and what is said.
    Messages(String, u64, Vec<Said>),
    /// A kind that does not exist yet.
    Unknown(u8, Vec<u8>),
}

/// What a Message says: kind, Role, type and channel, sequence number and time, data.
type Said = (Kind, [String; 2], Option<String>, (u64, u64), Vec<u8>);

fn said() -> impl Strategy<Value = Said> {
    // Few names and small numbers beside large ones: what is like the one before is said differently.
    let name =
        || proptest::sample::select(&["timer", "tick", "a", "ä*"][..]).prop_map(str::to_owned);
    let number = || prop_oneof![0_u64..300, any::<u64>()];
    let kind = proptest::sample::select(&Kind::ALL[..]);
    let data = vec(any::<u8>(), 1..300);
    (kind, [name(), name()], proptest::option::of(name()), (number(), number()), data)
}

fn name() -> impl Strategy<Value = String> {
    "[a-zäé*?\\\\]{1,12}"
}

fn interest() -> impl Strategy<Value = Interest> {
    let kind = proptest::option::of(proptest::sample::select(&Kind::ALL[..]));
    (kind, name(), proptest::option::of(name()), name(), name()).prop_map(
        |(kind, message_type, channel, role, node)| Interest {
            kind,
            message_type: Pattern::new(&message_type),
            channel: channel.map(|channel| Pattern::new(&channel)),
            role: Pattern::new(&role),
            node: Pattern::new(&node),
        },
    )
}

fn frame() -> impl Strategy<Value = Any> {
    let hello = (any::<(u16, u64, u64, u64)>(), vec(name(), 0..4)).prop_map(
        |((version, boot, received_boot, received), features)| {
            Any::Hello(Hello { version, boot, received_boot, received, features })
        },
    );
    let echo = any::<(u64, u64, u64)>();
    prop_oneof![
        hello,
        vec(interest(), 0..5).prop_map(Any::Interest),
        any::<(u64, u64)>()
            .prop_map(|(sent, received)| Any::Heartbeat(Heartbeat { sent, received })),
        echo.prop_map(|(sent, received, clock)| Any::Echo(Echo { sent, received, clock })),
        Just(Any::Use),
        Just(Any::Finish),
        any::<u64>().prop_map(Any::Finished),
        ".{0,40}".prop_map(Any::Bye),
        (name(), any::<u64>(), vec(said(), 1..5))
            .prop_map(|(node, boot, said)| Any::Messages(node, boot, said)),
        (10..=u8::MAX, vec(any::<u8>(), 0..50)).prop_map(|(kind, data)| Any::Unknown(kind, data)),
    ]
}

fn messages(node: &str, boot: u64, data: &[Vec<u8>]) -> Vec<Message> {
    let origin = Arc::new(Origin { node: node.to_owned(), boot });
    let messages = (1..).zip(data).map(|(sequence, data)| {
        let draft = Draft::event("tick").encoded(data);
        Message::encode(Arc::clone(&origin), "timer", sequence, 7, &draft).unwrap()
    });
    messages.collect()
}

fn message(origin: &Arc<Origin>, said: &Said) -> Message {
    let (kind, [role, message_type], channel, (sequence, timestamp), data) = said;
    let draft = Draft::new(*kind, message_type).channel(channel.as_deref()).encoded(data);
    Message::encode(Arc::clone(origin), role, *sequence, *timestamp, &draft).unwrap()
}

fn encoded(messages: &[Message]) -> BytesMut {
    let mut bytes = BytesMut::new();
    encode_messages(messages, &mut bytes);
    bytes
}

fn heard(message: &Message) -> Said {
    (
        message.kind(),
        [message.role(), message.message_type()].map(str::to_owned),
        message.channel().map(str::to_owned),
        (message.sequence(), message.timestamp()),
        message.data().to_vec(),
    )
}

fn encode_any(frame: &Any, out: &mut BytesMut) {
    match frame {
        Any::Hello(hello) => encode(&Control::Hello(hello), out),
        Any::Interest(interests) => encode(&Control::Interest(interests), out),
        Any::Heartbeat(heartbeat) => encode(&Control::Heartbeat(*heartbeat), out),
        Any::Echo(echo) => encode(&Control::Echo(*echo), out),
        Any::Use => encode(&Control::Use, out),
        Any::Finish => encode(&Control::Finish, out),
        Any::Finished(received) => encode(&Control::Finished(*received), out),
        Any::Bye(reason) => encode(&Control::Bye(reason), out),
        Any::Messages(node, boot, all) => {
            let origin = Arc::new(Origin { node: node.to_owned(), boot: *boot });
            let all: Vec<_> = all.iter().map(|said| message(&origin, said)).collect();
            encode_messages(&all, out);
        }
        Any::Unknown(kind, payload) => {
            out.extend_from_slice(&[*kind]);
            out.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
            out.extend_from_slice(payload);
        }
    }
}

fn decoded(frame: Frame) -> Any {
    match frame {
        Frame::Hello(hello) => Any::Hello(hello),
        Frame::Interest(interests) => Any::Interest(interests),
        Frame::Heartbeat(heartbeat) => Any::Heartbeat(heartbeat),
        Frame::Echo(echo) => Any::Echo(echo),
        Frame::Use => Any::Use,
        Frame::Finish => Any::Finish,
        Frame::Finished(received) => Any::Finished(received),
        Frame::Bye(reason) => Any::Bye(reason),
        Frame::TooLarge => panic!("too large"),
        Frame::Messages(messages) => {
            let (node, boot) = (messages.origin().node.clone(), messages.origin().boot);
            Any::Messages(node, boot, messages.map(|message| heard(&message.unwrap())).collect())
        }
    }
}

fn drain(decoder: &mut Decoder) -> Vec<Any> {
    std::iter::from_fn(|| decoder.next_frame().unwrap()).map(decoded).collect()
}

proptest! {
    #[test]
    fn however_a_stream_is_cut_the_same_frames_come_out(
        frames in vec(frame(), 0..12),
        cuts in vec(1_usize..60, 1..200),
    ) {
        let mut bytes = BytesMut::new();
        frames.iter().for_each(|frame| encode_any(frame, &mut bytes));
        let mut decoder = Decoder::default();
        let mut came = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            decoder.feed(piece);
            came.extend(drain(&mut decoder));
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        let known = frames.into_iter().filter(|frame| !matches!(frame, Any::Unknown(..)));
        prop_assert_eq!(came, known.collect::<Vec<_>>());
        prop_assert_eq!(decoder.buffered(), 0);
    }

    #[test]
    fn nothing_that_comes_makes_the_decoder_panic_or_grow(
        bytes in vec(prop_oneof![3 => 0_u8..12, 1 => any::<u8>()], 0..2000),
        piece in 1_usize..100,
    ) {
        let mut decoder = Decoder::default();
        let mut fed = 0;
        'stream: for piece in bytes.chunks(piece) {
            decoder.feed(piece);
            fed += piece.len();
            loop {
                match decoder.next_frame() {
                    Ok(Some(Frame::Messages(messages))) => messages.for_each(drop),
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => break 'stream,
                }
            }
            prop_assert!(decoder.buffered() <= fed);
            prop_assert!(decoder.capacity() <= 2 * fed + 1024, "{} of {fed}", decoder.capacity());
        }
    }
}

/// Both directions could get it wrong alike.
#[test]
fn a_frame_is_the_bytes_that_the_protocol_says() {
    let numbers = |all: &[u64]| all.iter().flat_map(|one| one.to_le_bytes()).collect::<Vec<_>>();
    let features = vec!["ä".to_owned(), String::new()];
    let hello = Hello { version: 1, boot: 2, received_boot: 3, received: 4, features };
    let channel = Some(Pattern::new("c*"));
    let logs = Interest { channel, ..Interest::exactly(Kind::Log, "log") };
    let said = |kind, role: &str, channel: Option<&str>, at| {
        (kind, [role, "t"].map(str::to_owned), channel.map(str::to_owned), at, vec![0xc0])
    };
    let all = vec![
        said(Kind::Order, "r", Some("c"), (127, 64)),
        said(Kind::Order, "r", Some("c"), (255, 63)),
        said(Kind::Reply, "s", None, (254, 63)),
    ];
    let messages = [
        &b"\x01n\x09\0\0\0\0\0\0\0\0"[..],
        b"\0\x01\x01r\x01t\x01c\x01\x7f\x80\x01\xc0\x01\x80\x01\x01\xc0",
        b"\0\x03\x01s\x01t\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\0\xc0",
    ];
    let frames = [
        (Any::Hello(hello), 1, [&[1, 0], &numbers(&[2, 3, 4])[..], b"\x02\x02\xc3\xa4\0"].concat()),
        (
            Any::Interest(vec![Interest::any(), logs]),
            2,
            b"\xff\x01*\0\x01*\x01*\x02\x03log\x01\x02c*\x01*\x01*".to_vec(),
        ),
        (Any::Messages("n".to_owned(), 9, all), 3, messages.concat()),
        (Any::Heartbeat(Heartbeat { sent: 1, received: 2 }), 4, numbers(&[1, 2])),
        (Any::Echo(Echo { sent: 1, received: 2, clock: 3 }), 5, numbers(&[1, 2, 3])),
        (Any::Use, 6, vec![]),
        (Any::Finish, 7, vec![]),
        (Any::Finished(1), 8, numbers(&[1])),
        (Any::Bye("why".to_owned()), 9, b"\x03why".to_vec()),
    ];
    for (frame, number, mut payload) in frames {
        let mut bytes = BytesMut::new();
        encode_any(&frame, &mut bytes);
        assert_eq!(bytes, framed(number, &payload), "{frame:?}");
        if ![kind::INTEREST, kind::MESSAGES].contains(&number) {
            payload.extend(b"what later versions say");
        }
        let (_, came) = read(Stage::Open(MAX_MESSAGE), &framed(number, &payload));
        assert_eq!(came.into_iter().map(decoded).collect::<Vec<_>>(), [frame]);
    }
}

#[test]
fn a_hello_names_64_features_at_most() {
    for (count, fine) in [(64, true), (65, false)] {
        let features = vec![String::new(); count];
        let hello = Hello { version: 1, boot: 2, received_boot: 3, received: 4, features };
        let mut bytes = BytesMut::new();
        encode(&Control::Hello(&hello), &mut bytes);
        let mut decoder = Decoder::default();
        decoder.feed(&bytes);
        assert_eq!(decoder.next_frame().is_ok(), fine, "{count}");
    }
}

#[test]
fn a_frame_too_large_is_refused_before_it_has_come() {
    let mut decoder = Decoder::default();
    let mut header = vec![kind::MESSAGES];
    header.extend_from_slice(&u32::try_from(MAX_PAYLOAD + 1).unwrap().to_le_bytes());
    decoder.feed(&header);
    assert!(matches!(decoder.next_frame(), Err(WireError::FrameTooLarge(_))));
    assert!(decoder.capacity() < 4096);
}

#[test]
fn a_large_frame_takes_its_memory_with_it() {
    let mut bytes = BytesMut::new();
    let small = messages("clock", 1, &[vec![1; 10]]);
    let large = messages("clock", 1, &[vec![2; 1024 * 1024]]);
    encode_messages(&[&small[..], &large[..]].concat(), &mut bytes);
    let mut decoder = Decoder::default();
    bytes.chunks(32 * 1024).for_each(|piece| decoder.feed(piece));
    let Ok(Some(Frame::Messages(came))) = decoder.next_frame() else { panic!("no messages") };
    let came: Vec<_> = came.map(Result::unwrap).collect();
    assert_eq!(came[0].data(), small[0].data());
    assert_eq!(came[1].data(), large[0].data());
    assert!(decoder.capacity() < 1024, "{}", decoder.capacity());
    let [small, large] = &came[..] else { panic!("{} messages", came.len()) };
    // The memory of the frame begins before the data of its last Message, by what came before it.
    let frame = large.data().as_ptr().addr() - 100..large.data().as_ptr_range().end.addr();
    assert!(!frame.contains(&small.data().as_ptr().addr()), "the small one holds the large one");
}

#[test]
fn messages_too_large_for_one_frame_go_in_several() {
    let sizes = [100, MAX_MESSAGE - 100, 50, MAX_MESSAGE / 2, MAX_MESSAGE / 2, 1];
    let sent = messages("clock", 1, &sizes.map(|size| vec![0; size]));
    let came = frames_of(&encoded(&sent));
    assert_eq!(came.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 2, 2]);
    let sizes = |all: &[Message]| all.iter().map(Message::size).collect::<Vec<_>>();
    assert_eq!(sizes(&came.concat()), sizes(&sent));
}

#[test]
fn no_frame_is_too_large_where_all_is_said_of_every_message() {
    let origin = Arc::new(Origin { node: "n".repeat(255), boot: 1 });
    let heads = ["a", "b"].map(|role| {
        Arc::new(Head::new(Arc::clone(&origin), 0, Kind::Event, role, "t", None).unwrap())
    });
    let data = Bytes::from(vec![0; 4096]);
    let sent = heads
        .iter()
        .zip([0, 1 << 63])
        .cycle()
        .map(|(head, far)| Message::new(Arc::clone(head), far, far, data.clone()).unwrap());
    let bytes = encoded(&sent.take(5000).collect::<Vec<_>>());
    assert_eq!(frames_of(&bytes).concat().len(), 5000);
}

#[test]
fn messages_of_one_frame_have_origin_and_hops_in_common() {
    let said = [("clock", 0, "a"), ("clock", 0, "b"), ("clock", 2, "b"), ("scribe", 2, "b")];
    let sent = said.map(|(node, hops, role)| {
        let origin = Arc::new(Origin { node: node.to_owned(), boot: 1 });
        let head = Head::new(origin, hops, Kind::Event, role, "tick", None).unwrap();
        Message::new(Arc::new(head), 1, 7, Bytes::from_static(&[0xc0])).unwrap()
    });
    let came = frames_of(&encoded(&sent));
    assert_eq!(came.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1]);
    for (message, (node, hops, role)) in came.concat().iter().zip(said) {
        let heard = (&*message.origin().node, message.hops(), message.role());
        assert_eq!(heard, (node, hops, role));
    }
}

#[test]
fn a_message_that_is_put_back_comes_again() {
    let mut came = messages_in(&encoded(&messages("clock", 1, &[vec![1], vec![2]])));
    for data in [1, 2] {
        let message = came.next().unwrap();
        came.put_back(message);
        assert_eq!(came.next().unwrap().unwrap().data(), [data]);
    }
    assert!(came.next().is_none());
}

#[test]
fn what_messages_have_in_common_is_said_and_kept_once() {
    let sent = messages("clock", 1, &[vec![0; 64], vec![1; 64], vec![2; 64]]);
    let [one, all] = [encoded(&sent[..1]), encoded(&sent)];
    assert_eq!(all.len() - one.len(), 2 * (64 + 3));
    let mut decoder = Decoder::default();
    decoder.feed(&all);
    decoder.feed(&one);
    let (mut heads, mut last) = (Vec::new(), None);
    while let Some(Frame::Messages(mut came)) = decoder.next_frame().unwrap() {
        came.share(sent[0].origin(), last.take());
        heads.extend(came.by_ref().map(|message| Arc::clone(message.unwrap().head())));
        last = came.into_head();
    }
    assert_eq!(heads.len(), 4);
    assert!(heads.iter().all(|head| Arc::ptr_eq(head, &heads[0])));
}

#[test]
fn what_another_origin_said_is_not_shared() {
    let [ours, theirs] = [1, 2].map(|boot| messages("clock", boot, &[vec![0], vec![1]]));
    let mut came = messages_in(&encoded(&theirs));
    came.share(ours[0].origin(), Some(Arc::clone(ours[0].head())));
    assert_eq!(came.origin(), theirs[0].origin());
    assert_eq!(came.next().unwrap().unwrap().head(), theirs[0].head());
    // The head of the last one still holds for the next one.
    came.share(ours[0].origin(), Some(Arc::clone(ours[0].head())));
    assert_eq!(came.next().unwrap().unwrap().head(), theirs[0].head());
}

#[test]
fn what_is_no_message_is_refused() {
    const NONE: WireError = WireError::Malformed("messages");
    const HEAD: &[u8] = b"\0\0\x01r\x01t\0";
    const REST: &[u8] = b"\x01\x01\0\xc0";
    let empty = MessageError::NameLength { field: "role", length: 0 };
    for (head, rest, error) in [
        (&b"\0\x04\x01r\x01t\0"[..], REST, MessageError::KindNumber(4).into()),
        (b"\0\0\0\x01t\0", REST, empty.into()),
        (b"\0\0\x01\xff\x01t\0", REST, MessageError::NotUtf8("role").into()),
        (b"\0\0\x01r\x01t\xff", REST, NONE),
        // Less data than it says, no data, numbers that are too large and too long.
        (HEAD, b"\x02\x01\0\xc0", NONE),
        (HEAD, b"\x80\0\x01\0\xc0", NONE),
        (HEAD, b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\0\xc0", NONE),
        (HEAD, b"\x01\x81\x80\x80\x80\x80\x80\x80\x80\x80\x80\0\0\xc0", NONE),
    ] {
        let payload = [b"\x01n\0\0\0\0\0\0\0\0\0", head, rest].concat();
        let mut came = messages_in(&framed(kind::MESSAGES, &payload));
        assert_eq!(came.next().unwrap().unwrap_err(), error, "{head:?} {rest:?}");
        assert!(came.next().is_none());
    }
}

#[test]
fn what_is_no_frame_is_refused() {
    for (number, payload, name) in [
        (kind::HELLO, &[0; 26][..], "hello"),
        (kind::INTEREST, b"\x04\x01*\0\x01*\x01*", "interest"),
        (kind::INTEREST, b"\xff\x01*\0\x01*", "interest"),
        (kind::ECHO, &[0; 23], "echo"),
        (kind::BYE, b"\x02x", "bye"),
        (kind::BYE, b"\x01\xff", "bye"),
    ] {
        let mut decoder = Decoder::default();
        decoder.feed(&framed(number, payload));
        assert_eq!(decoder.next_frame().unwrap_err(), WireError::Malformed(name), "{payload:?}");
    }
}

#[test]
fn a_text_of_more_than_255_bytes_is_cut_between_characters() {
    for (text, cut) in [("x".repeat(256), 255), ("ä".repeat(128), 254)] {
        let mut bytes = BytesMut::new();
        encode(&Control::Bye(&text), &mut bytes);
        let (_, came) = read(Stage::Greeting, &bytes);
        assert!(matches!(&came[..], [Frame::Bye(came)] if *came == text[..cut]), "{came:?}");
    }
}

#[test]
fn a_message_before_any_head_is_refused() {
    let sent = messages("clock", 1, &[vec![0; 64]]);
    let bytes = encoded(&sent);
    // Without `timer`, `tick`, no channel, and what stands before them.
    let head = HEADER + 6 + 8 + 1..HEADER + 6 + 8 + 1 + 2 + 6 + 5 + 1;
    let rest = [&bytes[HEADER..head.start], &bytes[head.end..]].concat();
    let mut came = messages_in(&framed(kind::MESSAGES, &rest));
    // One of an earlier frame does not count.
    came.share(sent[0].origin(), Some(Arc::clone(sent[0].head())));
    assert_eq!(came.next().unwrap().unwrap_err(), WireError::Malformed("messages"));
    assert!(came.next().is_none());
}

/// A Peer that sends heads alone has something else in mind.
#[test]
fn behind_a_head_comes_a_message() {
    let head = [0, 0, 1, b'r', 1, b't', 0];
    for (heads, fine) in [(1, true), (2, false), (100_000, false)] {
        let origin = [&[1, b'n'][..], &[0; 9]].concat();
        let payload = [&origin[..], &head.repeat(heads), &[1, 1, 0, 0xc0]].concat();
        let mut messages = messages_in(&framed(kind::MESSAGES, &payload));
        let read = messages.next().unwrap();
        assert_eq!(read.is_ok(), fine);
        assert!(fine || read.unwrap_err() == WireError::Malformed("messages"));
        assert!(messages.next().is_none());
    }
}

#[test]
fn an_interest_that_does_not_fit_becomes_a_wider_one() {
    let tick = Interest::exactly(Kind::Event, "tick");
    for (name, times, fits) in [("x", 255, true), ("x", 256, false), ("*", 200, false)] {
        let role = Pattern::literal(&name.repeat(times));
        let narrow = [Interest { role, ..tick.clone() }];
        let mut bytes = BytesMut::new();
        encode(&Control::Interest(&narrow), &mut bytes);
        let (_, came) = read(Stage::Greeting, &bytes);
        let [Frame::Interest(came)] = &came[..] else { panic!("{came:?}") };
        assert_eq!(*came, if fits { narrow } else { [tick.clone()] });
    }
}

fn framed(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind][..], &u32::try_from(payload.len()).unwrap().to_le_bytes(), payload].concat()
}

/// Fed in pieces, as a session does.
fn read(stage: Stage, bytes: &[u8]) -> (Decoder, Vec<Frame>) {
    let mut decoder = Decoder::new(stage);
    let mut came = Vec::new();
    for piece in bytes.chunks(1000) {
        decoder.feed(piece);
        while let Some(frame) = decoder.next_frame().unwrap() {
            came.push(frame);
        }
    }
    (decoder, came)
}

/// Those of the only frame.
fn messages_in(bytes: &[u8]) -> Messages {
    let (_, mut came) = read(Stage::Open(MAX_MESSAGE), bytes);
    let Some(Frame::Messages(messages)) = came.pop() else { panic!("no messages") };
    messages
}

/// The Messages of each frame.
fn frames_of(bytes: &[u8]) -> Vec<Vec<Message>> {
    let (_, frames) = read(Stage::Open(MAX_MESSAGE), bytes);
    let frames = frames.into_iter().map(|frame| {
        let Frame::Messages(came) = frame else { panic!("{frame:?}") };
        let hops = came.hops();
        came.map(Result::unwrap).inspect(|message| assert_eq!(message.hops(), hops)).collect()
    });
    frames.collect()
}

#[test]
fn who_wants_more_than_is_told_apart_wants_everything() {
    let is_any =
        |frame: &Frame| matches!(frame, Frame::Interest(came) if *came == [Interest::any()]);
    let mut one = BytesMut::new();
    encode(&Control::Interest(&[Interest::exactly(Kind::Event, "tick")]), &mut one);
    let one = &one[HEADER..];
    for (times, wide) in
        [(MAX_INTERESTS, false), (MAX_INTERESTS + 1, true), (MAX_PAYLOAD / one.len(), true)]
    {
        let (_, came) = read(Stage::Greeting, &framed(kind::INTEREST, &one.repeat(times)));
        let [Frame::Interest(interests)] = &came[..] else { panic!("{came:?}") };
        assert_eq!(is_any(&came[0]), wide);
        assert!(wide || interests.len() == times);
    }
    // So does this side say it.
    let everything = [255, 1, b'*', 0, 1, b'*', 1, b'*'];
    let filling = MAX_INTEREST / MAX_INTERESTS - (everything.len() - 1);
    for (times, length, wide) in [
        (MAX_INTERESTS, filling, false),
        (MAX_INTERESTS, filling + 1, true),
        (MAX_INTERESTS + 1, 1, true),
    ] {
        let role = Pattern::literal(&"x".repeat(length));
        let interests = vec![Interest { role, ..Interest::any() }; times];
        let mut bytes = BytesMut::new();
        encode(&Control::Interest(&interests), &mut bytes);
        assert_eq!(bytes[HEADER..] == everything, wide, "{times} of {length}");
        assert!(wide || bytes.len() == HEADER + MAX_INTEREST);
    }
}
