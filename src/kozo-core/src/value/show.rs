//! Values and texts as people see them: as literals, as JSON, on one line that no terminal obeys.
//!
//! Pure. What comes from the network is shown by these, in files, on terminals and in the journal.

use std::fmt::Write as _;
use std::io;

use rmpv::Value;

/// Writes a value so that [`super::literal::parse`] reads it back, on one line. What literals cannot say (the
/// extension types of MessagePack, numbers that are none, texts that are not UTF-8) is shown, and is
/// not read back as the same.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

fn write_value(out: &mut String, value: &Value) {
    // Writing to memory cannot fail.
    match value {
        Value::Nil => out.push_str("None"),
        Value::Boolean(true) => out.push_str("True"),
        Value::Boolean(false) => out.push_str("False"),
        Value::Integer(number) => {
            let _ = write!(out, "{number}");
        }
        Value::F32(number) => write_float(out, f64::from(*number)),
        Value::F64(number) => write_float(out, *number),
        Value::String(text) => write_quoted(out, &String::from_utf8_lossy(text.as_bytes())),
        Value::Binary(bytes) => write_bytes(out, bytes),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Map(entries) => {
            out.push('{');
            for (index, (key, value)) in entries.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                write_value(out, key);
                out.push_str(": ");
                write_value(out, value);
            }
            out.push('}');
        }
        Value::Ext(kind, bytes) => {
            let _ = write!(out, "ext({kind}, ");
            write_bytes(out, bytes);
            out.push(')');
        }
    }
}

fn write_float(out: &mut String, number: f64) {
    let _ = if number.is_infinite() {
        write!(out, "{}1e999", if number < 0.0 { "-" } else { "" })
    } else {
        write!(out, "{number:?}")
    };
}

fn write_quoted(out: &mut String, text: &str) {
    out.push('\'');
    for character in text.chars() {
        match character {
            '\'' | '\\' => out.extend(['\\', character]),
            other => push_visible(out, other),
        }
    }
    out.push('\'');
}

fn write_bytes(out: &mut String, bytes: &[u8]) {
    out.push_str("b'");
    for byte in bytes {
        match byte {
            b'\'' | b'\\' => out.extend(['\\', char::from(*byte)]),
            0x20..=0x7e => out.push(char::from(*byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push('\'');
}

/// The value as JSON, for people and their tools: bytes, extension types, keys that are no text and
/// numbers that JSON does not have become texts.
pub fn json(value: &Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Value::Nil => Json::Null,
        Value::Boolean(flag) => Json::from(*flag),
        Value::Integer(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Json::from(number),
            (None, number) => Json::from(number),
        },
        Value::F32(number) => float_json(f64::from(*number), value),
        Value::F64(number) => float_json(*number, value),
        Value::String(text) => Json::from(String::from_utf8_lossy(text.as_bytes())),
        Value::Array(items) => items.iter().map(json).collect(),
        Value::Map(entries) => {
            entries.iter().map(|(key, value)| (key_text(key), json(value))).collect()
        }
        Value::Binary(_) | Value::Ext(..) => Json::from(text(value)),
    }
}

fn float_json(number: f64, value: &Value) -> serde_json::Value {
    if number.is_finite() { serde_json::Value::from(number) } else { text(value).into() }
}

fn key_text(key: &Value) -> String {
    match key {
        Value::String(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        other => text(other),
    }
}

/// Most bytes of text that so many bytes of data are shown as. Few data need more; of those where every
/// byte becomes many, people see the beginning.
pub fn most_text(data: usize) -> usize {
    4096 + 2 * data
}

/// The data of a Message for people, on one line: a text as it is, all else as JSON. What is longer than `most`
/// bytes is cut off there, and ends with `…`.
pub fn shown(value: &Value, most: usize) -> String {
    let (mut line, whole) = match value.as_str() {
        Some(text) => visible(text, most),
        None => {
            let mut out = Bounded { bytes: Vec::new(), most };
            let whole = serde_json::to_writer(&mut out, &json(value)).is_ok();
            (harmless_json(&String::from_utf8_lossy(&out.bytes)), whole)
        }
    };
    if !whole || line.len() > most {
        line.truncate(line.floor_char_boundary(most));
        line.push('…');
    }
    line
}

/// Whether JSON takes no more than `most` bytes, found out without writing it.
pub fn fits(value: &serde_json::Value, most: usize) -> bool {
    struct Room(usize);
    impl io::Write for Room {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    serde_json::to_writer(Room(most), value).is_ok()
}

/// Takes what is written up to a number of bytes, then fails.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.most.saturating_sub(self.bytes.len()).min(bytes.len());
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or_default());
        if room < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(room) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// JSON on one line in which, as in [`one_line`], a terminal finds nothing to obey.
pub fn json_line<T: serde::Serialize>(value: &T) -> String {
    // What is given here comes from memory and has texts as keys; then nothing fails.
    harmless_json(&serde_json::to_string(value).unwrap_or_default())
}

/// As [`json_line`], but on indented lines.
pub fn json_lines<T: serde::Serialize>(value: &T) -> String {
    harmless_json(&serde_json::to_string_pretty(value).unwrap_or_default())
}

/// JSON with what a terminal would obey replaced by what means the same.
pub fn harmless_json(written: &str) -> String {
    let mut line = String::with_capacity(written.len());
    for character in written.chars() {
        if is_harmful(character) && character != '\n' {
            // Only inside of a text is there such a character.
            let _ = write!(line, "\\u{:04x}", u32::from(character));
        } else {
            line.push(character);
        }
    }
    line
}

/// The text with everything escaped that would end a line, or that a terminal would obey instead of
/// showing: text from the network then stays the one line that it is.
pub fn one_line(text: &str) -> String {
    visible(text, usize::MAX).0
}

/// As [`one_line`], but stops when there are more than `most` bytes; says too whether that is all of it.
fn visible(text: &str, most: usize) -> (String, bool) {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if line.len() > most {
            return (line, false);
        }
        push_visible(&mut line, character);
    }
    (line, true)
}

fn push_visible(out: &mut String, character: char) {
    match character {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        _ if !is_harmful(character) => out.push(character),
        _ if u32::from(character) < 0x100 => {
            // Writing to memory cannot fail.
            let _ = write!(out, "\\x{:02x}", u32::from(character));
        }
        _ => {
            let _ = write!(out, "\\u{:04x}", u32::from(character));
        }
    }
}

/// Control characters, and those that end lines or turn the direction of text around.
fn is_harmful(character: char) -> bool {
    let marks = matches!(
        character,
        '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    marks || (character.is_control() && character != '\t')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn what_people_see_is_one_harmless_line() {
        let shown = |value: &Value| shown(value, 4096);
        assert_eq!(shown(&"a\nb\x1b[2J\u{202e}\u{9b}".into()), "a\\nb\\x1b[2J\\u202e\\x9b");
        let map = Value::Map(vec![
            (1.into(), Value::Binary(vec![0, 65])),
            ("k\n".into(), Value::Array(vec![Value::Nil, f64::NAN.into(), u64::MAX.into()])),
            ("e".into(), Value::Ext(3, vec![1])),
            ("r".into(), "\u{9b}\u{202e}".into()),
        ]);
        let wanted = r#"{"1":"b'\\x00A'","e":"ext(3, b'\\x01')","k\n":[null,"NaN",18446744073709551615],"r":"\u009b\u202e"}"#;
        assert_eq!(shown(&map), wanted);
    }

    #[test]
    fn what_is_long_is_cut_off() {
        for (value, wanted) in [
            ("abcd".into(), "abcd"),
            ("abcde".into(), "abcd…"),
            ("\n\n\n".into(), "\\n\\n…"),
            ("aéé".into(), "aé…"),
            (Value::Array(vec![]), "[]"),
            (Value::Array(vec![Value::Nil; 2]), "[nul…"),
            (Value::Array(vec!["é".into(), "é".into()]), "[\"é…"),
        ] {
            assert_eq!(shown(&value, 4), wanted);
        }
        let controls = Value::Array(vec!["\u{7f}".repeat(1000).into()]);
        assert!(shown(&controls, 2000).len() <= 2000 + '…'.len_utf8());
        let null = serde_json::Value::Null;
        assert!(fits(&null, 4) && !fits(&null, 3));
    }
}
