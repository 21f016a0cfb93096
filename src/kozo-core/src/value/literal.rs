//! Literals: values written as Python or JSON writes them, read and never evaluated.
//!
//! [`parse`] reads what the two have in common and what each has alone: tuples, lists, dicts with any
//! literal as key, all quotes and the prefixes `b`, `r`, `u`, `None` and `null`, `True` and `true`.
//! Where they mean different things by the same text it is an error, not a guess.
//! [`show`](super::show) writes values.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rmpv::Value;

/// Nesting of tuples, lists and dicts beyond which a text is refused.
pub const MAX_DEPTH: usize = 64;

/// What is wrong with a literal, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {problem}")]
pub struct LiteralError {
    /// The character it is about, counted from 1.
    pub column: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// Reads one value, which must be the whole text. Values with commas between them and no brackets
/// around them are a tuple, as in Python. Of several equal keys in a dict the last one counts.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse(text: &str) -> Result<Value, LiteralError> {
    let mut parser = Parser { text, at: 0 };
    parser.whole().map_err(|Problem { at, text: problem }| {
        let before = text.get(..at).unwrap_or(text);
        LiteralError { column: before.chars().count() + 1, problem }
    })
}

/// What is wrong at a byte offset.
struct Problem {
    at: usize,
    text: String,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        Some(character)
    }

    fn take(&mut self, wanted: &str) -> bool {
        let found = self.rest().starts_with(wanted);
        if found {
            self.at += wanted.len();
        }
        found
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|character| !wanted(character)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        self.take_while(|character| matches!(character, ' ' | '\t' | '\r' | '\n' | '\x0c'));
    }

    fn problem<T>(&self, at: usize, text: impl Into<String>) -> Result<T, Problem> {
        Err(Problem { at, text: text.into() })
    }

    /// Says that something else should be here.
    fn expected<T>(&self, wanted: &str) -> Result<T, Problem> {
        match self.peek() {
            None => self.problem(self.at, format!("the line ends where {wanted} should be")),
            Some(found) => self
                .problem(self.at, format!("'{}' where {wanted} should be", found.escape_debug())),
        }
    }

    fn whole(&mut self) -> Result<Value, Problem> {
        self.skip_space();
        let first = self.value(0)?;
        self.skip_space();
        let value = if self.take(",") {
            let mut items = vec![first];
            self.items(&mut items, None, 0)?;
            Value::Array(items)
        } else {
            first
        };
        if self.peek().is_some() { self.expected("a comma or the end") } else { Ok(value) }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Problem> {
        let start = self.at;
        match self.peek() {
            Some('(' | '[' | '{') if depth >= MAX_DEPTH => {
                self.problem(start, format!("nested more than {MAX_DEPTH} deep"))
            }
            Some('(') => self.parenthesis(depth + 1),
            Some('[') => {
                self.next();
                let mut items = Vec::new();
                self.items(&mut items, Some(']'), depth + 1)?;
                Ok(Value::Array(items))
            }
            Some('{') => self.map(depth + 1),
            Some('\'' | '"') => self.string(""),
            Some('+' | '-' | '.' | '0'..='9') => self.number(),
            Some(character) if is_name(character) => {
                let name = self.take_while(is_name);
                match (name, self.peek()) {
                    ("None" | "null", _) => Ok(Value::Nil),
                    ("True" | "true", _) => Ok(Value::Boolean(true)),
                    ("False" | "false", _) => Ok(Value::Boolean(false)),
                    (prefix, Some('\'' | '"')) if is_prefix(prefix) => self.string(prefix),
                    _ => {
                        let advice = "texts go in quotes; nothing is evaluated here";
                        self.problem(start, format!("'{name}' is not a literal: {advice}"))
                    }
                }
            }
            _ => self.expected("a value"),
        }
    }

    /// What is behind `(`: a tuple, or a value in parentheses.
    fn parenthesis(&mut self, depth: usize) -> Result<Value, Problem> {
        self.next();
        self.skip_space();
        let mut items = Vec::new();
        if !self.take(")") {
            let first = self.value(depth)?;
            self.skip_space();
            if self.take(")") {
                return Ok(first);
            }
            items.push(first);
            if !self.take(",") {
                return self.expected("a comma or ')'");
            }
            self.items(&mut items, Some(')'), depth)?;
        }
        Ok(Value::Array(items))
    }

    /// Values with commas between them, up to `close` or the end. One more comma may be last.
    fn items(
        &mut self,
        items: &mut Vec<Value>,
        close: Option<char>,
        depth: usize,
    ) -> Result<(), Problem> {
        loop {
            self.skip_space();
            if self.peek() == close {
                self.next();
                return Ok(());
            }
            items.push(self.value(depth)?);
            self.skip_space();
            if self.peek() != close && !self.take(",") {
                return match close {
                    Some(close) => self.expected(&format!("a comma or '{close}'")),
                    None => self.expected("a comma or the end"),
                };
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Problem> {
        self.next();
        let mut entries: Vec<(Value, Value)> = Vec::new();
        let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
        loop {
            self.skip_space();
            if self.take("}") {
                return Ok(Value::Map(entries));
            }
            let key = self.value(depth)?;
            self.skip_space();
            if matches!(self.peek(), Some(',' | '}')) {
                return self.problem(
                    self.at,
                    "this would be a set, which Messages do not have: write a list",
                );
            }
            if !self.take(":") {
                return self.expected("a colon");
            }
            self.skip_space();
            let value = self.value(depth)?;
            let mut encoded = Vec::new();
            // Writing to memory cannot fail.
            let _ = rmpv::encode::write_value(&mut encoded, &key);
            match places.entry(encoded) {
                Entry::Occupied(place) => {
                    if let Some(entry) = entries.get_mut(*place.get()) {
                        entry.1 = value;
                    }
                }
                Entry::Vacant(place) => {
                    place.insert(entries.len());
                    entries.push((key, value));
                }
            }
            self.skip_space();
            if self.peek() != Some('}') && !self.take(",") {
                return self.expected("a comma or '}'");
            }
        }
    }

    fn string(&mut self, prefix: &str) -> Result<Value, Problem> {
        let start = self.at;
        let binary = prefix.contains(['b', 'B']);
        let raw = prefix.contains(['r', 'R']);
        let quote = ["'''", "\"\"\"", "'", "\""].into_iter().find(|quote| self.take(quote));
        let quote = quote.unwrap_or("'");
        let (mut text, mut bytes) = (String::new(), Vec::new());
        while !self.take(quote) {
            let at = self.at;
            match self.next() {
                None => return self.problem(start, format!("no {quote} ends this text")),
                Some('\\') if raw => {
                    text.push('\\');
                    // A quote behind a backslash does not end a raw text, and the backslash stays.
                    text.extend(self.next());
                }
                Some('\\') if binary => bytes.push(self.byte_escape(at)?),
                Some('\\') => text.push(self.escape(at)?),
                Some(character) if binary => match u8::try_from(character) {
                    Ok(byte) if byte.is_ascii() => bytes.push(byte),
                    _ => return self.problem(at, "bytes are written in ASCII: use \\xHH"),
                },
                Some(character) => text.push(character),
            }
        }
        self.skip_space();
        if matches!(self.peek(), Some('\'' | '"')) {
            return self.problem(self.at, "a comma is missing between two texts");
        }
        match (binary, raw) {
            (false, _) => Ok(Value::from(text)),
            (true, false) => Ok(Value::Binary(bytes)),
            (true, true) if text.is_ascii() => {
                bytes.extend_from_slice(text.as_bytes());
                Ok(Value::Binary(bytes))
            }
            (true, true) => self.problem(start, "bytes are written in ASCII: use \\xHH"),
        }
    }

    /// What a backslash in a text, at `at`, stands for.
    fn escape(&mut self, at: usize) -> Result<char, Problem> {
        let code = match self.next() {
            Some('u') => {
                let high = self.hexadecimal(4, at)?;
                // JSON writes characters beyond 16 bits as two escapes.
                if (0xd800..0xdc00).contains(&high) && self.take("\\u") {
                    let low = self.hexadecimal(4, at)?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return self.problem(at, "half a surrogate pair");
                    }
                    0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
                } else {
                    high
                }
            }
            Some('U') => self.hexadecimal(8, at)?,
            Some('/') => u32::from('/'),
            other => u32::from(self.common_escape(other, at)?),
        };
        match char::from_u32(code) {
            Some(character) => Ok(character),
            None if (0xd800..0xe000).contains(&code) => self.problem(at, "half a surrogate pair"),
            None => self.problem(at, "no such character: the last one is \\U0010ffff"),
        }
    }

    /// What a backslash among bytes, at `at`, stands for.
    fn byte_escape(&mut self, at: usize) -> Result<u8, Problem> {
        let next = self.next();
        self.common_escape(next, at)
    }

    /// The escapes that texts and bytes share.
    fn common_escape(&mut self, character: Option<char>, at: usize) -> Result<u8, Problem> {
        Ok(match character {
            Some('\\') => b'\\',
            Some('\'') => b'\'',
            Some('"') => b'"',
            Some('a') => 0x07,
            Some('b') => 0x08,
            Some('f') => 0x0c,
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('v') => 0x0b,
            Some('x') => return self.small(at, 2),
            Some(first @ '0'..='7') => {
                let digits = self.rest().chars().take(2).take_while(|digit| digit.is_digit(8));
                let rest: String = digits.collect();
                self.at += rest.len();
                let number = u32::from_str_radix(&format!("{first}{rest}"), 8).unwrap_or(u32::MAX);
                match u8::try_from(number) {
                    Ok(byte) => byte,
                    Err(_) => return self.problem(at, "octal escapes end at \\377"),
                }
            }
            Some('N') => return self.problem(at, "names of characters are not known: use \\uHHHH"),
            Some(other) => {
                let other = other.escape_debug();
                let advice = "a backslash itself is written twice";
                return self.problem(at, format!("the escape \\{other} does not exist: {advice}"));
            }
            None => return self.problem(at, "the line ends behind a backslash"),
        })
    }

    fn small(&mut self, at: usize, digits: usize) -> Result<u8, Problem> {
        let code = self.hexadecimal(digits, at)?;
        Ok(u8::try_from(code).unwrap_or(u8::MAX))
    }

    fn hexadecimal(&mut self, digits: usize, at: usize) -> Result<u32, Problem> {
        let rest = self.rest();
        let code = rest
            .get(..digits)
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|text| u32::from_str_radix(text, 16).ok());
        let Some(code) = code else {
            return self.problem(at, format!("this escape takes {digits} hexadecimal digits"));
        };
        self.at += digits;
        Ok(code)
    }

    fn number(&mut self) -> Result<Value, Problem> {
        let start = self.at;
        let negative = self.take("-");
        if !negative {
            self.take("+");
        }
        let based = [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)]
            .into_iter()
            .find(|(prefix, _)| self.take(prefix));
        let written = match based {
            Some(_) => {
                self.take_while(|character| character.is_ascii_alphanumeric() || character == '_')
            }
            None => self.decimal(),
        };
        let floating = based.is_none() && written.contains(['.', 'e', 'E']);
        // Python 2 writes large whole numbers with an L.
        let digits = written.strip_suffix(['l', 'L']).filter(|_| !floating).unwrap_or(written);
        let stray = digits.contains("__") || digits.ends_with('_');
        if digits.is_empty() || stray || (based.is_none() && digits.starts_with('_')) {
            return self.problem(start, "not a number");
        }
        let digits = digits.replace('_', "");
        if floating {
            return match digits.parse::<f64>() {
                Ok(number) => Ok(Value::from(if negative { -number } else { number })),
                Err(_) => self.problem(start, "not a number"),
            };
        }
        let octal =
            based.is_none() && digits.starts_with('0') && digits.contains(|digit| digit != '0');
        let radix = based.map_or(10, |(_, radix)| radix);
        if !digits.chars().all(|digit| digit.is_digit(radix)) {
            return self.problem(start, "not a number");
        }
        if octal {
            return self.problem(start, "a number starts with 0: octal ones are written 0o17");
        }
        match whole_number(negative, &digits, radix) {
            Some(number) => Ok(number),
            None => {
                let bounds = format!("{} to {}", i64::MIN, u64::MAX);
                self.problem(start, format!("whole numbers go from {bounds}"))
            }
        }
    }

    /// The characters of a decimal number, whole or not.
    fn decimal(&mut self) -> &'a str {
        let rest = self.rest();
        let mut last = ' ';
        let end = rest.find(|character: char| {
            let exponent_sign = matches!(character, '+' | '-') && matches!(last, 'e' | 'E');
            last = character;
            !(character.is_ascii_alphanumeric() || matches!(character, '.' | '_') || exponent_sign)
        });
        let end = end.unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }
}

fn whole_number(negative: bool, digits: &str, radix: u32) -> Option<Value> {
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if !negative {
        return Some(Value::from(magnitude));
    }
    i64::try_from(-i128::from(magnitude)).ok().map(Value::from)
}

fn is_name(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

fn is_prefix(text: &str) -> bool {
    ["u", "b", "r", "br", "rb", "ur"].iter().any(|prefix| prefix.eq_ignore_ascii_case(text))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::super::show::{json, text};
    use super::*;
    use crate::values;

    fn read(text: &str) -> Value {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// Column and problem of a text that is not a literal.
    fn refused(text: &str) -> (usize, String) {
        match parse(text) {
            Ok(value) => panic!("{text} was read as {value}"),
            Err(error) => (error.column, error.problem),
        }
    }

    #[test]
    fn scalars() {
        for (text, value) in [
            ("None", Value::Nil),
            ("null", Value::Nil),
            ("True", true.into()),
            ("false", false.into()),
            ("0", 0.into()),
            ("00", 0.into()),
            ("-0", 0.into()),
            ("+17", 17.into()),
            ("1_000", 1000.into()),
            ("0x_ff", 255.into()),
            ("-0XFF", (-255).into()),
            ("0o17", 15.into()),
            ("0b101", 5.into()),
            ("123L", 123.into()),
            ("18446744073709551615", u64::MAX.into()),
            ("-9223372036854775808", i64::MIN.into()),
            ("9007199254740993", 9_007_199_254_740_993_i64.into()),
            ("1.5", 1.5.into()),
            ("-.5", (-0.5).into()),
            ("1.", 1.0.into()),
            ("1e3", 1000.0.into()),
            ("1E+3", 1000.0.into()),
            ("2.5e-1", 0.25.into()),
            ("1_0.2_5", 10.25.into()),
            ("1e999", f64::INFINITY.into()),
        ] {
            assert_eq!(read(text), value, "{text}");
        }
    }

    #[test]
    fn texts_and_bytes() {
        for (text, value) in [
            ("'a'", "a"),
            ("\"it's\"", "it's"),
            ("u'a'", "a"),
            ("'''a'b''c'''", "a'b''c"),
            ("\"\"\"\"a\"\"\"", "\"a"),
            ("''", ""),
            (r"'\n\t\\\'\x41\u00e9\U0001f600\101\0'", "\n\t\\'A\u{e9}\u{1f600}A\0"),
            (r#""\ud83d\ude00 \/""#, "\u{1f600} /"),
            (r"r'\n\''", r"\n\'"),
            ("'時計'", "時計"),
        ] {
            assert_eq!(read(text), Value::from(value), "{text}");
        }
        assert_eq!(read(r"b'a\x00\xff\n'"), Value::Binary(b"a\x00\xff\n".to_vec()));
        assert_eq!(read(r"Rb'\x'"), Value::Binary(br"\x".to_vec()));
    }

    #[test]
    fn collections() {
        let one = || Value::from(1);
        for (text, value) in [
            ("()", vec![]),
            ("[ ]", vec![]),
            ("(1,)", vec![one()]),
            ("[1,]", vec![one()]),
            ("1, 1", vec![one(), one()]),
            ("1,", vec![one()]),
            (" ( 1 , (1) ) ", vec![one(), one()]),
        ] {
            assert_eq!(read(text), Value::Array(value), "{text}");
        }
        assert_eq!(read("(1)"), one());
        assert_eq!(read("{}"), Value::Map(vec![]));
        let entries = vec![(one(), Value::from("b")), (Value::Array(vec![one()]), Value::Nil)];
        assert_eq!(read("{1: 'a', (1,): None, 1: 'b',}"), Value::Map(entries));
    }

    #[test]
    fn the_originals_line() {
        let value = read("('event', 'tick', 'channel', {'a': [1, 2.5], 3: None})\r\n");
        let map = Value::Map(vec![
            ("a".into(), Value::Array(vec![1.into(), 2.5.into()])),
            (3.into(), Value::Nil),
        ]);
        let parts = ["event", "tick", "channel"].map(Value::from);
        assert_eq!(value, Value::Array(parts.into_iter().chain([map]).collect()));
    }

    #[test]
    fn errors_say_what_and_where() {
        for (text, column, part) in [
            ("", 1, "ends where a value"),
            ("('a', 'b'", 10, "ends where a comma or ')'"),
            ("('a' 'b')", 6, "a comma is missing"),
            ("('時', x)", 7, "'x' is not a literal"),
            ("__import__('os').system('reboot')", 1, "nothing is evaluated"),
            ("('a', 1 + 1)", 9, "'+' where a comma"),
            ("[1)", 3, "')' where a comma or ']'"),
            ("{1}", 3, "set"),
            ("{1 2}", 4, "a colon"),
            ("{1: 2 3}", 7, "a comma or '}'"),
            ("1 2", 3, "a comma or the end"),
            ("1, 2 3", 6, "a comma or the end"),
            (",", 1, "a value"),
            ("(,)", 2, "a value"),
            ("'a", 1, "no ' ends"),
            ("'''a''", 1, "no ''' ends"),
            (r"'a\q'", 3, "\\q does not exist"),
            (r"'\N{DASH}'", 2, "names of characters"),
            (r"'\ud800'", 2, "surrogate"),
            (r"'\ud800\u0041'", 2, "surrogate"),
            (r"'\U00110000'", 2, "no such character"),
            (r"'\x4'", 2, "2 hexadecimal digits"),
            (r"'\x+4'", 2, "2 hexadecimal digits"),
            (r"b'\400'", 3, "octal"),
            (r"b'\u0041'", 3, "does not exist"),
            ("b'é'", 3, "ASCII"),
            ("18446744073709551616", 1, "whole numbers go from"),
            ("[-9223372036854775809]", 2, "whole numbers go from"),
            ("0777", 1, "0o17"),
            ("0x", 1, "not a number"),
            ("0b12", 1, "not a number"),
            ("1__0", 1, "not a number"),
            ("1_", 1, "not a number"),
            ("-", 1, "not a number"),
            (".", 1, "not a number"),
            ("1.2.3", 1, "not a number"),
            ("1e", 1, "not a number"),
            ("1j", 1, "not a number"),
            ("--1", 1, "not a number"),
            ("12.5L", 1, "not a number"),
            ("'a' # why", 5, "'#' where"),
        ] {
            let (found_column, problem) = refused(text);
            assert_eq!(found_column, column, "{text}: {problem}");
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(refused(&nested(MAX_DEPTH + 1)).0, MAX_DEPTH + 1);
        for open in ["[", "(", "{1:", "(1,", "[{1:("] {
            assert!(refused(&open.repeat(100_000)).1.contains("nested"));
        }
    }

    #[test]
    fn many_keys_take_no_time_to_speak_of() {
        let entries: Vec<_> = (0..100_000).map(|key| format!("{key}:0")).collect();
        let Value::Map(map) = read(&format!("{{{}}}", entries.join(","))) else { panic!("no map") };
        assert_eq!(map.len(), 100_000);
    }

    fn value() -> impl Strategy<Value = Value> {
        let is_number = |value: &Value| !value.as_f64().is_some_and(f64::is_nan);
        let leaf = values::sayable_leaf().prop_filter("literals have no nan", is_number).boxed();
        values::value(leaf, |inner| {
            let key = prop_oneof![
                any::<String>().prop_map(Value::from),
                any::<i32>().prop_map(Value::from)
            ];
            let map = prop::collection::btree_map(key.prop_map(|key| text(&key)), inner, 0..8);
            map.prop_map(|map| map.into_iter().map(|(key, value)| (read(&key), value)).collect())
                .prop_map(Value::Map)
                .boxed()
        })
    }

    fn json_values() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            any::<u64>().prop_map(serde_json::Value::from),
            any::<f64>()
                .prop_filter("JSON has only finite ones", |n| n.is_finite())
                .prop_map(serde_json::Value::from),
            any::<String>().prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(serde_json::Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..8)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in value()) {
            let written = text(&value);
            prop_assert_eq!(&parse(&written).unwrap(), &value, "{}", written);
            prop_assert!(!written.contains('\n'));
        }

        #[test]
        fn all_json_is_read_exactly(value in json_values()) {
            prop_assert_eq!(json(&parse(&value.to_string()).unwrap()), value);
        }

        #[test]
        fn no_text_panics_or_is_blamed_outside_itself(text in "\\PC*|[(){}\\[\\],:'\"\\\\bru0-9.eE_x+-]{0,40}") {
            if let Err(error) = parse(&text) {
                prop_assert!((1..=text.chars().count() + 1).contains(&error.column));
            }
        }
    }
}
