//! The data of a Message as people write it: JSON, `KEY=VALUE` pairs, or a text.
//!
//! How JSON says what a Message can carry is in [`kozo_core::value::json`].

use std::fmt;
use std::io::Read;

use kozo_core::value::json;
use rmpv::Value;

use crate::failure::Failure;

/// More than a Message takes is not read from standard input.
const LONGEST: u64 = 64 * 1024 * 1024;

/// Reads the arguments behind the type of a Message; `-` alone takes all of `input`.
///
/// # Errors
/// When they were meant to be JSON or pairs, and are not.
pub(crate) fn read(arguments: &[String], input: impl Read) -> Result<Value, Failure> {
    match arguments {
        [] => Ok(Value::Nil),
        [dash] if dash == "-" => {
            let mut text = String::new();
            let read = input.take(LONGEST).read_to_string(&mut text);
            read.map_err(|error| {
                Failure::failed(format_args!("cannot read the data from standard input: {error}"))
            })?;
            json::parse(&text).map_err(|error| {
                Failure::usage(format_args!("standard input is not JSON: {error}"))
            })
        }
        [one] => json::parse(one).or_else(|error| match pair(one) {
            Some(pair) => Ok(Value::Map(vec![pair])),
            None if is_begun_json(one) => Err(not_data(one, &error)),
            None => Ok(one.as_str().into()),
        }),
        several if several.iter().all(|word| pair(word).is_none() && !is_begun_json(word)) => {
            Ok(several.join(" ").into())
        }
        several => {
            let pairs = several.iter().map(|argument| {
                let error = "of several arguments, each must be KEY=VALUE";
                pair(argument).ok_or_else(|| not_data(argument, &error))
            });
            let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
            match twice(&pairs) {
                Some(key) => Err(Failure::usage(format_args!("the key '{key}' appears twice"))),
                None => Ok(Value::Map(pairs)),
            }
        }
    }
}

fn not_data(argument: &str, error: &dyn fmt::Display) -> Failure {
    let quoted = serde_json::Value::from(argument);
    Failure::usage(format_args!("the data {argument} is not JSON: {error}"))
        .hint(format!("A text needs its quotes: '{quoted}'"))
        .hint("Write a map as key=value …, or pass '-' to read JSON from standard input.")
}

/// Whether the user meant JSON of more than one word.
fn is_begun_json(argument: &str) -> bool {
    argument.trim_start().starts_with(['{', '[', '"'])
}

/// `KEY=VALUE`, where a value that is not JSON is a text.
fn pair(argument: &str) -> Option<(Value, Value)> {
    let (key, value) = argument.split_once('=')?;
    // What begins or breaks like this was meant as something else.
    if key.is_empty() || key.contains(|c: char| c.is_whitespace() || "\"'{}[]".contains(c)) {
        return None;
    }
    Some((key.into(), json::parse(value).unwrap_or_else(|_| value.into())))
}

fn twice(pairs: &[(Value, Value)]) -> Option<&str> {
    let mut before = std::collections::HashSet::new();
    pairs.iter().filter_map(|(key, _)| key.as_str()).find(|key| !before.insert(*key))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn value(arguments: &[&str]) -> Value {
        let arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        read(&arguments, "[1]".as_bytes()).unwrap()
    }

    fn refused(arguments: &[&str]) -> String {
        let arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        match read(&arguments, "nonsense".as_bytes()).unwrap_err() {
            Failure::Told { message, .. } => message,
            other => panic!("{other:?}"),
        }
    }

    fn map(entries: &[(&str, Value)]) -> Value {
        Value::Map(entries.iter().map(|(key, value)| ((*key).into(), value.clone())).collect())
    }

    #[test]
    fn json_and_pairs() {
        assert_eq!(value(&[]), Value::Nil);
        assert_eq!(value(&["-"]), Value::Array(vec![1.into()]));
        assert_eq!(value(&["18446744073709551615"]), u64::MAX.into());
        assert_eq!(value(&["-9223372036854775808"]), i64::MIN.into());
        assert_eq!(value(&["2.0"]), 2.0.into());
        assert_eq!(value(&["\"a=b\""]), "a=b".into());
        assert_eq!(
            value(&[r#"{"z": [1, 2.5, "é", null, true], "a": {}}"#]),
            map(&[
                (
                    "z",
                    Value::Array(vec![1.into(), 2.5.into(), "é".into(), Value::Nil, true.into()])
                ),
                ("a", map(&[])),
            ])
        );
        assert_eq!(
            value(&["open=true", "room=3", "by=cat flap", "name=\"7\"", "none="]),
            map(&[
                ("open", true.into()),
                ("room", 3.into()),
                ("by", "cat flap".into()),
                ("name", "7".into()),
                ("none", "".into()),
            ])
        );
        assert_eq!(value(&["url=http://a?b=c"]), map(&[("url", "http://a?b=c".into())]));
    }

    #[test]
    fn bytes() {
        let bytes = |bytes: &[u8]| Value::Binary(bytes.to_vec());
        assert_eq!(value(&[r#"{"$base64": "AAEC/w=="}"#]), bytes(&[0, 1, 2, 255]));
        assert_eq!(value(&[r#"{"$base64": "AAEC/w"}"#]), bytes(&[0, 1, 2, 255]));
        assert_eq!(value(&[r#"key={"$base64": ""}"#]), map(&[("key", bytes(&[]))]));
        let other = map(&[("$base64", "AA==".into()), ("more", 1.into())]);
        assert_eq!(value(&[r#"{"$base64": "AA==", "more": 1}"#]), other);
        assert!(refused(&[r#"{"$base64": "?"}"#]).contains("not JSON"));
        let shown = json::of(&map(&[("a", Value::Array(vec![bytes(&[0, 255]), u64::MAX.into()]))]));
        assert_eq!(shown.to_string(), r#"{"a":[{"$base64":"AP8="},18446744073709551615]}"#);
    }

    #[test]
    fn what_is_neither_is_refused_with_the_reason() {
        assert!(refused(&["two", "a=1"]).contains("each must be KEY=VALUE"));
        assert!(refused(&["two", "\"words\""]).contains("each must be KEY=VALUE"));
        assert!(refused(&["-"]).contains("standard input is not JSON"));
        assert!(refused(&["a=1", "a=2"]).contains("'a' appears twice"));
        assert!(refused(&[r#"{"a": 1, "a": 2}"#]).contains("'a' appears twice"));
        assert!(refused(&[r#"{"a=b""#]).contains("not JSON"));
        assert!(refused(&["[1,"]).contains("not JSON"));
        assert!(refused(&["\"one"]).contains("not JSON"));
    }

    #[test]
    fn what_was_not_meant_as_json_is_a_text() {
        for text in ["hello", "hello world", "=1", "a = b", "it's", "", "01", "x y=1", "--", "nan"]
        {
            assert_eq!(value(&[text]), text.into());
        }
        assert_eq!(value(&["hello", "world", "5"]), "hello world 5".into());
        assert_eq!(value(&["-5"]), (-5).into());
    }
}
