//! Transcripts in manual pages, to be replayed.

use serde_json::Value;

/// The page of Roles.
const PAGE: &str = include_str!("../../packaging/man/kozo-role.7");

/// What differs from run to run.
const VARYING: [&str; 3] = ["time", "boot", "since"];

/// Who says a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    Node,
    Program,
}

/// What is said in kozo-role(7), in its order.
pub fn lines() -> Vec<(Speaker, String)> {
    lines_of(PAGE)
}

/// What is said in a page, in its order. A line of the page that is indented goes on with the one before it.
pub fn lines_of(page: &str) -> Vec<(Speaker, String)> {
    let (_, transcript) = page.split_once("\n.EX\n<").expect("the page has no transcript");
    let transcript = format!("<{transcript}");
    let (transcript, _) = transcript.split_once("\n.EE\n").expect("the transcript has no end");
    let mut lines: Vec<(Speaker, String)> = Vec::new();
    for line in transcript.replace("\\-", "-").lines() {
        if let Some(said) = line.strip_prefix("< ") {
            lines.push((Speaker::Node, said.to_owned()));
        } else if let Some(said) = line.strip_prefix("> ") {
            lines.push((Speaker::Program, said.to_owned()));
        } else {
            let last = &mut lines.last_mut().expect("nothing before").1;
            last.push(' ');
            last.push_str(line.strip_prefix("    ").expect("neither < nor > nor indented"));
        }
    }
    lines
}

/// Checks that a Node said what the page says, but for times and the number of the run.
pub fn check(page: &str, said: &str) {
    let read =
        |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|_| panic!("{text}"));
    assert_eq!(comparable(read(said)), comparable(read(page)), "{said}");
}

fn comparable(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| {
                let is_number = value.is_u64() || (name == "boot" && value.is_string());
                let varies = VARYING.contains(&&*name) && is_number;
                (name, if varies { Value::Null } else { comparable(value) })
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(comparable).collect(),
        other => other,
    }
}
