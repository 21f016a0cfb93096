//! What a frame keeps of memory: while it comes, once it is read, and for as long as its Messages wait.

use super::*;

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
fn a_frame_is_kept_passed_over_or_refused_by_its_size() {
    #[derive(Debug, PartialEq)]
    enum Fate {
        Kept,
        Over,
        Refused,
    }
    use Fate::{Kept, Over, Refused};
    const KIB: usize = 1024;
    const MOST: usize = 16 * KIB * KIB + KIB;
    let check = |stage, number, fates: &[(usize, Fate)]| {
        for (length, fate) in fates {
            let mut decoder = Decoder::new(stage);
            decoder.feed(&[number]);
            decoder.feed(&u32::try_from(*length).unwrap().to_le_bytes());
            let it_is = match decoder.next_frame() {
                Err(_) => Refused,
                Ok(_) if decoder.buffered() == 0 => Over,
                Ok(_) => Kept,
            };
            assert_eq!(it_is, *fate, "{stage:?}: {length} of {number}");
        }
    };
    let up_to = |kept| [(kept, Kept), (kept + 1, Over), (MOST, Over), (MOST + 1, Refused)];
    let small = [(4 * KIB, Kept), (4 * KIB + 1, Refused)];
    for number in 0..=20 {
        check(Stage::Silent, number, &small);
        for stage in [Stage::Greeting, Stage::Open(0)] {
            match number {
                2 => check(stage, 2, &up_to(64 * KIB)),
                3 => {}
                1..=9 => check(stage, number, &small),
                _ => check(stage, number, &[(1, Over), (MOST, Over), (MOST + 1, Refused)]),
            }
        }
    }
    // Messages that go together are taken, whatever the largest one is.
    check(Stage::Open(0), 3, &up_to(65 * KIB));
    check(Stage::Open(64 * KIB), 3, &up_to(65 * KIB));
    check(Stage::Open(64 * KIB + 1), 3, &up_to(65 * KIB + 1));
    check(Stage::Open(MAX_MESSAGE), 3, &[(MOST, Kept), (MOST + 1, Refused)]);
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
    let bytes = encoded(&messages("clock", 1, &small));
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

#[test]
fn a_message_holds_on_to_its_frame_unless_it_is_a_small_part_of_much() {
    // What stands before the Messages is not counted.
    let origin = 6 + 8 + 1;
    for (together, length, copied) in [
        (10_000, 1024, true),
        (10_000, 1025, false),
        (MAX_BATCH, 1025, false),
        (MAX_BATCH + 1, 1025, true),
        (2 * MAX_BATCH, MAX_BATCH - 1, true),
        (2 * MAX_BATCH, MAX_BATCH, false),
    ] {
        let bytes = encoded(&messages("clock", 1, &[vec![7; length]]));
        let mut payload = bytes[HEADER..].to_vec();
        payload.resize(origin + together, 0);
        let mut decoder = Decoder::default();
        decoder.feed(&framed(kind::MESSAGES, &payload));
        let start = decoder.place().addr();
        let Ok(Some(Frame::Messages(mut came))) = decoder.next_frame() else { panic!("none") };
        let message = came.next().unwrap().unwrap();
        assert_eq!(message.data(), vec![7; length]);
        let inside = start..start + HEADER + payload.len();
        let is_copied = !inside.contains(&message.data().as_ptr().addr());
        assert_eq!(is_copied, copied, "{length} of {together}");
    }
}

#[test]
fn what_follows_a_frame_stays_where_it_is_unless_that_is_large() {
    for (length, stays) in [(MAX_BATCH, true), (MAX_BATCH + 1, false)] {
        let mut decoder = Decoder::default();
        decoder.feed(&framed(kind::MESSAGES, &vec![0; length]));
        decoder.feed(&framed(kind::USE, &[]));
        let end = decoder.place().addr() + HEADER + length;
        let _frame = decoder.next_frame().unwrap().unwrap();
        assert_eq!(decoder.place().addr() == end, stays, "{length}");
    }
}

#[test]
fn small_messages_share_pieces_of_4_kib() {
    let came = frames_of(&encoded(&messages("clock", 1, &vec![vec![7; 64]; 128]))).concat();
    let pieces = came.chunk_by(|one, next| one.data().as_ptr_range().end == next.data().as_ptr());
    assert_eq!(pieces.map(<[_]>::len).collect::<Vec<_>>(), [64, 64]);
}
