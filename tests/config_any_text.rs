//! No text makes the configuration's checks panic or take long, however it is changed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::path::Path;
use std::time::{Duration, Instant};

use kozo::config::check;
use kozo::node::Types;
use proptest::prelude::*;

/// Checks a text, and everything that can be done with the answer.
fn survives(text: &str) {
    match check("any.yml", text, None, &Types::built_in().registry()) {
        Ok(loaded) => assert!(loaded.local.is_none()),
        Err(error) => {
            assert!(error.render(true).len() >= error.to_string().len());
            assert!(matches!(error.exit_code(), 1 | 3), "{error}");
        }
    }
}

fn corpus() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/config");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let yaml = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "yml");
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).ok();
    files.into_iter().filter(yaml).filter_map(read).collect()
}

/// One change to a text.
#[derive(Clone, Debug)]
enum Change {
    Remove { at: usize, length: usize },
    Insert { at: usize, text: String },
    Repeat { at: usize, length: usize },
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let pieces = prop_oneof![
        Just("\t".to_owned()),
        Just("  ".to_owned()),
        Just("\n".to_owned()),
        Just(": ".to_owned()),
        Just("- ".to_owned()),
        Just("*key".to_owned()),
        Just("&key ".to_owned()),
        Just("<<: *key\n".to_owned()),
        Just("\n---\n".to_owned()),
        Just("[{".to_owned()),
        Just("!!x ".to_owned()),
        any::<char>().prop_map(String::from),
        "[ -~]{0,20}",
    ];
    let change = prop_oneof![
        (any::<usize>(), 0usize..40).prop_map(|(at, length)| Change::Remove { at, length }),
        (any::<usize>(), pieces).prop_map(|(at, text)| Change::Insert { at, text }),
        (any::<usize>(), 0usize..200).prop_map(|(at, length)| Change::Repeat { at, length }),
    ];
    prop::collection::vec(change, 1..6)
}

fn changed(text: &str, changes: &[Change]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for change in changes {
        let place = |at: usize, length: usize, chars: &[char]| {
            let start = at % (chars.len() + 1);
            start..(start + length).min(chars.len())
        };
        match change {
            Change::Remove { at, length } => {
                chars.drain(place(*at, *length, &chars));
            }
            Change::Insert { at, text } => {
                let range = place(*at, 0, &chars);
                chars.splice(range, text.chars());
            }
            Change::Repeat { at, length } => {
                let range = place(*at, *length, &chars);
                let copy = chars[range.clone()].to_vec();
                chars.splice(range.start..range.start, copy);
            }
        }
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn text_made_of_yaml(text in r#"[a-c:\-\[\]{},&*!|>'"%@#?~ \t\n]{0,200}"#) {
        survives(&text);
    }

    #[test]
    fn changed_files(which in any::<prop::sample::Index>(), changes in changes()) {
        let corpus = corpus();
        let text: &String = which.get(&corpus);
        survives(&changed(text, &changes));
    }
}

#[test]
fn every_beginning_of_every_file() {
    for text in corpus() {
        for (end, _) in text.char_indices().step_by(7) {
            survives(&text[..end]);
        }
    }
}

#[test]
fn large_and_hostile_files_take_no_long_time() {
    let many = |text: &str| text.repeat(4_000_000 / text.len());
    let nodes: String = (0..20_000).map(|n| format!("  n{n}:\n    x{n}: 1\n")).collect();
    let anchors: String = (1..50_000).map(|n| format!("a{n}: &a{n} [*a{}]\n", n - 1)).collect();
    let addresses = |text: &str| {
        format!("system:\n  clock:\n    transports:\n      tcp: {{address: '{text}'}}\n")
    };
    for (name, text) in [
        ("brackets", many("[")),
        ("braces", many("{a: ")),
        ("dashes", many("- ")),
        ("indentation", (0..2500).map(|n| format!("{}a:\n", " ".repeat(n))).collect()),
        ("tabs", many("\ta:\n")),
        ("one name again and again", many("a: 1\n")),
        ("names", (0..200_000).map(|n| format!("n{n}: 1\n")).collect()),
        ("Nodes", format!("system:\n{nodes}")),
        ("one long line", format!("system: {{{}}}", many("a: {b: c}, "))),
        ("one long value", format!("system: {}", many("x"))),
        ("aliases of aliases", format!("a0: &a0 [x]\n{anchors}")),
        ("missing timers", {
            let role = |n| format!("      c{n}: {{type: cuckoo, timer: t{n}}}\n");
            let timer = |n| format!("      timer{n}: {{type: timer}}\n");
            let (roles, timers) =
                (0..15_000).map(|n| (role(n), timer(n))).unzip::<_, _, String, String>();
            format!("system:\n  clock:\n    roles:\n{roles}{timers}")
        }),
        ("no address", addresses(&",".repeat(1_000_000))),
        ("no addresses", addresses(&(0..100_000).map(|n| format!("{n}/8,")).collect::<String>())),
        ("one key for all", {
            let key =
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
            let node = |n| format!("  n{n}: {{privateKey: /k, publicKey: {key}}}\n");
            format!("system:\n{}", (0..20_000).map(node).collect::<String>())
        }),
    ] {
        let start = Instant::now();
        survives(&text);
        let took = start.elapsed();
        assert!(took < Duration::from_secs(10), "{name} took {took:?}");
    }
}
