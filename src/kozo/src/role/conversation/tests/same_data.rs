//! What comes as a Message and is sent again is the same.

use proptest::prelude::*;

use super::*;

#[path = "../../../../../../tests/kit/values.rs"]
#[allow(unreachable_pub, dead_code)]
mod values;

fn value() -> impl Strategy<Value = Value> {
    // JSON tells no lengths of numbers.
    let is_kept = |value: &Value| !matches!(value, Value::F32(_));
    let leaf = values::leaf().prop_filter("it comes back longer", is_kept).boxed();
    values::value(leaf, |inner| {
        let key = prop_oneof![
            Just("$base64".into()),
            ".{0,5}".prop_map(Value::from),
            any::<u8>().prop_map(Value::from)
        ];
        values::map(key, inner)
    })
}

/// Lets a program hear data, and send what it hears.
async fn echoed(encoding: Encoding, data: &[u8]) -> Vec<u8> {
    let mut program = Program::ready(encoding).await;
    program.host.inject("r", &Draft::event("wanted").encoded(data));
    let said = program.next_bytes().await.unwrap();
    let (message, send) = match encoding {
        Encoding::Json => (&br#""message""#[..], &br#""send","id":1"#[..]),
        Encoding::MessagePack => (&b"\xa7message"[..], &b"\xa4send\xa2id\x01"[..]),
    };
    let at = said.windows(message.len()).position(|bytes| bytes == message).unwrap();
    let mut request = [&said[..at], send, &said[at + message.len()..]].concat();
    if encoding == Encoding::MessagePack {
        // One member more.
        request[0] += 1;
    }
    program.write(&request).await;
    loop {
        let said = program.next().await.unwrap();
        if said["method"].is_nil() {
            assert!(!said["result"].is_nil(), "{said}");
            return program.host.seen(|seen| seen.sent.last().unwrap().data().to_vec());
        }
    }
}

/// The same with the members of each map in one order: JSON has none.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        Value::Map(members) => {
            let members = members.into_iter().map(|(key, value)| (key, sorted(value)));
            let mut members: Vec<_> = members.collect();
            members.sort_by_key(|(key, _)| packed(key));
            Value::Map(members)
        }
        other => other,
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_a_message_carries(value in value()) {
        let data = packed(&value);
        prop_assert_eq!(&run(echoed(Encoding::MessagePack, &data)), &data);
        let echoed = run(echoed(Encoding::Json, &data));
        let echoed = rmpv::decode::read_value(&mut &*echoed).unwrap();
        prop_assert_eq!(sorted(echoed), sorted(value));
    }
}

#[test]
fn deep_data_and_large_data() {
    let deep = [&[0x91; 128][..], &[0xc0]].concat();
    let bytes = packed(&Value::Binary(vec![0; 50_000]));
    for data in [deep, bytes] {
        for encoding in BOTH {
            assert_eq!(run(echoed(encoding, &data)), data);
        }
    }
}

#[test]
fn data_that_is_no_value_is_handed_on_as_bytes() {
    let data = [0xc1, 0xff];
    let heard = |encoding| {
        run(async move {
            let mut program = Program::ready(encoding).await;
            program.host.inject("r", &Draft::event("wanted").encoded(&data));
            program.hear("message").await
        })
    };
    let json = heard(Encoding::Json);
    assert_eq!((&json["data"], &json["msgpack"]), (&Value::Nil, &"wf8=".into()));
    let packed = heard(Encoding::MessagePack);
    assert_eq!((&packed["data"], &packed["msgpack"]), (&Value::Nil, &Value::Binary(data.to_vec())));
}
