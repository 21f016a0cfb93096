//! What a Role says to its Node, encoded.

use base64ct::{Base64, Encoding as _};
use serde::Serialize;

use crate::data::encode;
use crate::message::{Draft, Payload};
use crate::{Encoding, Error};

/// Bytes of the largest Message.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// Bytes of the longest line that a Node reads: one that sends the largest Message in Base64.
const LONGEST_LINE: usize = MAX_MESSAGE / 3 * 4 + 64 * 1024;

/// Writes a request, or a notification if it has no id. Nothing is written where the parameters cannot be.
pub(crate) fn call<P: Serialize + ?Sized>(
    encoding: Encoding,
    out: &mut Vec<u8>,
    method: &str,
    id: Option<u64>,
    params: &P,
) -> Result<(), Error> {
    whole(encoding, out, method, id, |out| encode(encoding, out, params))
}

/// Writes a Message that is to be sent, likewise.
pub(crate) fn send<T: Serialize + ?Sized>(
    encoding: Encoding,
    out: &mut Vec<u8>,
    id: Option<u64>,
    draft: &Draft<'_, T>,
) -> Result<(), Error> {
    whole(encoding, out, "send", id, |out| match encoding {
        Encoding::Json => json_params(out, draft),
        Encoding::MessagePack => pack_params(out, draft),
    })
}

fn whole(
    encoding: Encoding,
    out: &mut Vec<u8>,
    method: &str,
    id: Option<u64>,
    params: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>,
) -> Result<(), Error> {
    let before = out.len();
    match encoding {
        Encoding::Json => {
            out.push(b'{');
            if let Some(id) = id {
                out.extend_from_slice(b"\"id\":");
                put(encoding, out, &id);
                out.push(b',');
            }
            out.extend_from_slice(b"\"method\":\"");
            out.extend_from_slice(method.as_bytes());
            out.extend_from_slice(b"\",\"params\":");
        }
        Encoding::MessagePack => {
            put_map(out, if id.is_some() { 3 } else { 2 });
            if let Some(id) = id {
                put_text(out, "id");
                put(encoding, out, &id);
            }
            put_text(out, "method");
            put_text(out, method);
            put_text(out, "params");
        }
    }
    let written = params(out).and_then(|()| at_most(LONGEST_LINE, "a line", out.len() - before));
    match written {
        Ok(()) if encoding == Encoding::Json => out.extend_from_slice(b"}\n"),
        Ok(()) => {}
        Err(_) => out.truncate(before),
    }
    written
}

fn at_most(most: usize, what: &str, length: usize) -> Result<(), Error> {
    if length > most {
        return Err(Error::Encode(format!(
            "{what} has {length} bytes; at most {most} are allowed"
        )));
    }
    Ok(())
}

fn json_params<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    draft: &Draft<'_, T>,
) -> Result<(), Error> {
    out.extend_from_slice(b"{\"kind\":\"");
    out.extend_from_slice(draft.kind.name().as_bytes());
    out.push(b'"');
    let texts = [(&b",\"type\":"[..], draft.message_type), (b",\"channel\":", draft.channel)];
    for (name, text) in texts {
        if let Some(text) = text {
            out.extend_from_slice(name);
            put(Encoding::Json, out, text);
        }
    }
    if let Payload::Encoded(Encoding::MessagePack, bytes) = draft.data {
        out.extend_from_slice(b",\"msgpack\":");
        put(Encoding::Json, out, Base64::encode_string(bytes).as_str());
    } else {
        out.extend_from_slice(b",\"data\":");
        draft.data.put(Encoding::Json, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn pack_params<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    draft: &Draft<'_, T>,
) -> Result<(), Error> {
    let texts = [("type", draft.message_type), ("channel", draft.channel)];
    let there = texts.iter().filter(|(_, text)| text.is_some());
    put_map(
        out,
        if there.count() == 2 {
            4
        } else {
            2 + u32::from(draft.message_type.or(draft.channel).is_some())
        },
    );
    put_text(out, "kind");
    put_text(out, draft.kind.name());
    for (name, text) in texts {
        if let Some(text) = text {
            put_text(out, name);
            put_text(out, text);
        }
    }
    put_text(out, "data");
    let before = out.len();
    draft.data.put(Encoding::MessagePack, out)?;
    at_most(MAX_MESSAGE, "the data of a Message", out.len() - before)
}

// Writing to memory cannot fail.

fn put<T: Serialize + ?Sized>(encoding: Encoding, out: &mut Vec<u8>, value: &T) {
    let _ = encode(encoding, out, value);
}

fn put_map(out: &mut Vec<u8>, members: u32) {
    let _ = rmp::encode::write_map_len(out, members);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let _ = rmp::encode::write_str(out, text);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn said(
        encoding: Encoding,
        id: Option<u64>,
        draft: &Draft<'_, impl Serialize + ?Sized>,
    ) -> Value {
        let mut out = Vec::new();
        send(encoding, &mut out, id, draft).unwrap();
        match encoding {
            Encoding::Json => {
                assert_eq!(out.iter().position(|byte| *byte == b'\n'), Some(out.len() - 1));
                serde_json::from_slice(&out).unwrap()
            }
            Encoding::MessagePack => rmp_serde::from_slice(&out).unwrap(),
        }
    }

    #[test]
    fn a_message_is_said_alike_in_both_encodings() {
        let data = json!({"times": 2, "note": "a\nb"});
        for encoding in [Encoding::Json, Encoding::MessagePack] {
            let draft = Draft::event("rung").channel("front \"door\"").data(&data);
            let wanted = json!({"id": 7, "method": "send", "params": {
                "kind": "event", "type": "rung", "channel": "front \"door\"", "data": data}});
            assert_eq!(said(encoding, Some(7), &draft), wanted);
            let wanted = json!({"method": "send", "params": {"kind": "log", "data": "x"}});
            assert_eq!(said(encoding, None, &Draft::log().data("x")), wanted);
            let wanted = json!({"method": "send", "params": {"kind": "order", "type": "ring", "data": null}});
            assert_eq!(said(encoding, None, &Draft::order("ring")), wanted);
            let wanted =
                json!({"method": "send", "params": {"kind": "log", "channel": "c", "data": null}});
            assert_eq!(said(encoding, None, &Draft::log().channel("c")), wanted);
        }
        let wanted = json!({"method": "send", "params": {"kind": "event", "type": "a", "data": {"$base64": "AAE="}}});
        assert_eq!(said(Encoding::Json, None, &Draft::event("a").bytes(&[0, 1])), wanted);
    }

    #[test]
    fn nothing_is_said_of_what_cannot_be() {
        let keys = std::collections::BTreeMap::from([(vec![1], 2)]);
        let mut out = b"before".to_vec();
        assert!(send(Encoding::Json, &mut out, None, &Draft::event("a").data(&keys)).is_err());
        assert_eq!(out, b"before");
    }

    #[test]
    fn what_no_node_takes_is_not_said() {
        for encoding in [Encoding::Json, Encoding::MessagePack] {
            let mut out = b"before".to_vec();
            let largest = vec![0; MAX_MESSAGE - 64];
            send(encoding, &mut out, None, &Draft::event("a").bytes(&largest)).unwrap();
            assert!(out.len() > largest.len());
            out.truncate(b"before".len());
            // In JSON the line is the limit, as data may take less in the Node.
            let larger = vec![0; MAX_MESSAGE + 64 * 1024];
            let refused = send(encoding, &mut out, None, &Draft::event("a").bytes(&larger));
            assert!(matches!(refused, Err(Error::Encode(_))), "{encoding:?}: {refused:?}");
            assert_eq!(out, b"before");
        }
    }
}
