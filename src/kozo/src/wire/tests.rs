#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::Arc;

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::interest::Pattern;
use crate::message::{Draft, Kind, MAX_MESSAGE, Message, Origin};

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
    let mut bytes = BytesMut::new();
    encode_messages(&sent, &mut bytes);
    let mut decoder = Decoder::default();
    decoder.feed(&bytes);
    let mut came = Vec::new();
    while let Some(frame) = decoder.next_frame().unwrap() {
        let Frame::Messages(messages) = frame else { panic!("{frame:?}") };
        came.extend(messages.map(|message| message.unwrap().size()));
    }
    assert_eq!(came, sent.iter().map(|message| message.size()).collect::<Vec<_>>());
}

#[test]
fn what_messages_have_in_common_is_said_and_kept_once() {
    let sent = messages("clock", 1, &[vec![0; 64], vec![1; 64], vec![2; 64]]);
    let [mut one, mut all] = [BytesMut::new(), BytesMut::new()];
    encode_messages(&sent[..1], &mut one);
    encode_messages(&sent, &mut all);
    assert_eq!(all.len() - one.len(), 2 * (64 + 3));
    let mut decoder = Decoder::default();
    decoder.feed(&all);
    decoder.feed(&one);
    let mut heads = Vec::new();
    while let Some(Frame::Messages(mut came)) = decoder.next_frame().unwrap() {
        came.share(sent[0].origin(), heads.first().cloned());
        heads.extend(came.by_ref().map(|message| Arc::clone(message.unwrap().head())));
    }
    assert_eq!(heads.len(), 4);
    assert!(heads.iter().all(|head| Arc::ptr_eq(head, &heads[0])));
}

#[test]
fn a_message_before_any_head_is_refused() {
    let sent = messages("clock", 1, &[vec![0; 64]]);
    let mut bytes = BytesMut::new();
    encode_messages(&sent, &mut bytes);
    // Without `timer`, `tick`, no channel, and what stands before them.
    let head = HEADER + 6 + 8 + 1..HEADER + 6 + 8 + 1 + 2 + 6 + 5 + 1;
    let rest = [&bytes[HEADER..head.start], &bytes[head.end..]].concat();
    let mut decoder = Decoder::default();
    decoder.feed(&[kind::MESSAGES]);
    decoder.feed(&u32::try_from(rest.len()).unwrap().to_le_bytes());
    decoder.feed(&rest);
    let Ok(Some(Frame::Messages(mut came))) = decoder.next_frame() else { panic!("no messages") };
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
        let (_, mut came) = read(Stage::Open(MAX_MESSAGE), &framed(kind::MESSAGES, &payload));
        let Some(Frame::Messages(mut messages)) = came.pop() else { panic!("no messages") };
        let read = messages.next().unwrap();
        assert_eq!(read.is_ok(), fine);
        assert!(fine || read.unwrap_err() == WireError::Malformed("messages"));
        assert!(messages.next().is_none());
    }
}

#[test]
fn an_interest_that_does_not_fit_becomes_a_wider_one() {
    let long = Pattern::literal(&"*".repeat(200));
    let interests = [Interest { role: long, ..Interest::exactly(Kind::Event, "tick") }];
    let mut bytes = BytesMut::new();
    encode(&Control::Interest(&interests), &mut bytes);
    let mut decoder = Decoder::default();
    decoder.feed(&bytes);
    let Ok(Some(Frame::Interest(came))) = decoder.next_frame() else { panic!("no interest") };
    assert_eq!(came, [Interest::exactly(Kind::Event, "tick")]);
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
    let many = vec![Interest::exactly(Kind::Event, "tick"); MAX_INTERESTS + 1];
    let long = Pattern::literal(&"x".repeat(255));
    let long = vec![Interest { role: long, ..Interest::any() }; MAX_INTERESTS];
    for interests in [many, long] {
        let mut bytes = BytesMut::new();
        encode(&Control::Interest(&interests), &mut bytes);
        assert!(is_any(&read(Stage::Greeting, &bytes).1[0]));
    }
}

#[test]
fn what_nobody_will_look_at_is_not_kept_while_it_comes() {
    let mut bytes = framed(77, &[7; 1_000_000]);
    bytes.extend(framed(kind::PADDING, &[0; 1_000_000]));
    bytes.extend(framed(kind::MESSAGES, &[0; 1_000_000]));
    bytes.extend(framed(kind::USE, &[]));
    bytes.extend(framed(77, &[]));
    let (decoder, came) = read(Stage::Open(1000), &bytes);
    assert!(matches!(came[..], [Frame::TooLarge, Frame::Use]), "{came:?}");
    assert_eq!(decoder.buffered(), 0);
    assert!(decoder.capacity() <= 4000, "{}", decoder.capacity());
}

#[test]
fn frames_are_small_but_for_messages_and_interest_and_all_are_before_the_hello() {
    for number in 0..=20_u8 {
        let larger = framed(number, &[0; MAX_CONTROL + 1]);
        let mut silent = Decoder::new(Stage::Silent);
        silent.feed(&larger[..HEADER]);
        assert!(matches!(silent.next_frame(), Err(WireError::FrameTooLarge(_))), "{number}");
        let mut open = Decoder::default();
        open.feed(&larger[..HEADER]);
        let may_be = [kind::INTEREST, kind::MESSAGES].contains(&number);
        let known = (kind::HELLO..=kind::BYE).contains(&number);
        assert_eq!(open.next_frame().is_ok(), may_be || !known, "{number}");
    }
}

#[test]
fn messages_stay_where_they_are_until_it_is_decided_on_them() {
    let sent = messages("clock", 1, &[vec![0; 10]]);
    let mut bytes = BytesMut::new();
    encode(&Control::Use, &mut bytes);
    encode_messages(&sent, &mut bytes);
    encode(&Control::Finish, &mut bytes);
    let (mut decoder, came) = read(Stage::Greeting, &bytes);
    assert!(matches!(came[..], [Frame::Use]) && decoder.is_held(), "{came:?}");
    decoder.set_stage(Stage::Open(1000));
    assert!(!decoder.is_held());
    assert!(matches!(decoder.next_frame(), Ok(Some(Frame::Messages(_)))));
    assert!(matches!(decoder.next_frame(), Ok(Some(Frame::Finish))));
}

#[test]
fn a_small_message_that_waits_holds_on_to_little() {
    let small: Vec<_> = (0..300).map(|_| vec![7; 60]).collect();
    let mut bytes = BytesMut::new();
    encode_messages(&messages("clock", 1, &small), &mut bytes);
    let mut decoder = Decoder::default();
    let (mut kept, mut places) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        decoder.feed(&bytes);
        places.push(decoder.place());
        let Ok(Some(Frame::Messages(mut came))) = decoder.next_frame() else { panic!("none") };
        kept.extend(came.next().map(Result::unwrap));
    }
    assert_eq!((kept.len(), kept[99].data()), (100, &small[0][..]));
    // What was read is used again, though a Message keeps some of it.
    assert!(places.iter().all(|place| *place == places[1]), "{places:?}");
}
