//! Nodes put into files as people write them: what comes out, and that nothing else changes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::path::Path;

use kozo::config::edit::{self, NodeText};
use kozo::config::{System, check};
use kozo::node::Types;
use proptest::prelude::*;

const CLOCK: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJT1wTqcxP8JEZ/8l1rrKs+1Trp8IGbBxgRFVdqVhUp/";
const SCRIBE: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN2F7XNs10b9Jt5d2zPIdCHpjJrmbcwIM4PWmThvJCIT";
const NEW: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

/// The Node that is put in.
fn new() -> NodeText {
    let block = format!(
        "\
# Sent by mail.
system:
  # In the attic.
  attic:
    privateKey: /k
    publicKey: {NEW} # ours

    roles:
      # Tells the time.
      timer1: {{type: timer,
        message: a long
          message}}
    transports:
      tcp:
        address: attic.local
        # That was all.
  # Not of attic.
"
    );
    let [node] = <[NodeText; 1]>::try_from(edit::nodes("block", &block).unwrap()).unwrap();
    node
}

/// Files in which the new Node is to be. `CLOCK` and `SCRIBE` are keys; `|` ends lines whose end matters.
const FILES: &[(&str, &str)] = &[
    ("nothing", ""),
    ("comments only", "# Our System.\n# Ask Ann.\n"),
    ("no system", "# Ours.\nheartbeat: 5 # seconds\n\n"),
    ("no system and no end of line", "heartbeat: 5"),
    ("system left empty", "system:\nheartbeat: 5\n"),
    (
        "system left empty but for comments",
        "system: # the Nodes\n    # none yet\n\n# Seconds.\nheartbeat: 5\n",
    ),
    ("one Node and no end of line", "system:\n  clock:\n    privateKey: /k\n    publicKey: CLOCK"),
    (
        "Nodes close together",
        "system:\n  clock:\n    privateKey: /k\n    publicKey: CLOCK\n  scribe:\n    privateKey: /k\n    publicKey: SCRIBE\n",
    ),
    (
        "Nodes apart, with comments",
        "\
# Ours.

system:
        # The clock.
        clock:
                privateKey: /k   # here
                publicKey: CLOCK

        # The scribe,
        # who writes.
        scribe:
                publicKey: SCRIBE
                privateKey: /k
                # roles: none

        # cellar:
        #     privateKey: /k

# Seconds.
heartbeat: 5
",
    ),
    (
        "one column",
        "system:\n clock:\n  privateKey: /k\n  publicKey: CLOCK\n  roles:\nheartbeat: 5\n",
    ),
    (
        "lines of Windows",
        "# Ours.\r\nsystem:\r\n  clock:\r\n    privateKey: /k\r\n    publicKey: CLOCK\r\nheartbeat: 5\r\n",
    ),
    (
        "byte order mark",
        "\u{feff}system:\n    clock:\n        privateKey: /k\n        publicKey: CLOCK\n",
    ),
    (
        "quotes and an indented top level",
        "  \"system\":\n      'clock':\n        \"privateKey\": /k\n        publicKey: CLOCK\n  heartbeat: 5\n",
    ),
    (
        "marks of the document",
        "---\nsystem:\n  clock:\n    privateKey: /k\n    publicKey: CLOCK\n...\n",
    ),
    ("a Node in braces", "system:\n  clock: {privateKey: /k, publicKey: CLOCK,\n    roles: {}}\n"),
    (
        "text of several lines",
        "system:\n  clock:\n    privateKey: /k\n    publicKey: CLOCK\n    roles:\n      timer:\n        description: |\n          Several\n\n          # lines\n\n# The end.\n",
    ),
    (
        "an anchor that is used again",
        "system:\n  clock: &clock\n    privateKey: /k\n    publicKey: CLOCK\n  scribe:\n    <<: *clock\n    publicKey: SCRIBE\n",
    ),
    // In these nothing can be put.
    ("braces", "{system: {clock: {privateKey: /k, publicKey: CLOCK}}}\n"),
    ("system in braces", "system: {clock: {privateKey: /k, publicKey: CLOCK}}\n"),
    ("system in braces, on lines", "system: {\n  clock: {privateKey: /k, publicKey: CLOCK}\n}\n"),
    ("an empty system in braces", "system: {}\n"),
    ("no System", "system: ~\n"),
    ("a list", "- system\n"),
    ("a System from elsewhere", "rolePath: &a\n  clock:\nsystem: *a\n"),
    ("tabs", "system:\n\tclock:\n\t\tprivateKey: /k\n"),
];

fn text(template: &str) -> String {
    template.replace("CLOCK", CLOCK).replace("SCRIBE", SCRIBE)
}

fn system(text: &str) -> Option<System> {
    check("kozo.yml", text, None, &Types::built_in().registry())
        .ok()
        .map(|loaded| System::clone(&loaded.system))
}

/// What came in between, if the one is the other with something put in, but for the end of its last
/// line.
fn put_in<'a>(old: &str, new: &'a str) -> Option<&'a str> {
    let common = old.bytes().zip(new.bytes()).take_while(|(old, new)| old == new).count();
    let rest = old.len() - common;
    let (_, tail) = new.split_at_checked(new.len().checked_sub(rest)?)?;
    let between = new.get(common..new.len() - rest)?;
    (old.get(common..) == Some(tail)).then_some(between)
}

/// Puts the Node into a text and makes sure of everything that must be so for any text.
fn added(old: &str) -> Result<String, String> {
    let node = new();
    let result = edit::add("kozo.yml", old, std::slice::from_ref(&node));
    let new = result.map_err(|error| error.to_string())?;
    assert!(put_in(old, &new).is_some(), "more was changed:\n{old}\n--\n{new}");
    let (before, after) = (system(old), system(&new));
    // What was refused may be fine with one Node more.
    let was_fine = before.is_some() || edit::names("kozo.yml", old).unwrap().is_empty();
    if let Some(after) = after.filter(|_| was_fine) {
        let (last, others) = after.nodes.split_last().unwrap();
        assert_eq!(last.name, "attic");
        let before = before.map(|system| system.nodes).unwrap_or_default();
        assert_eq!(others, before.as_slice());
        // What was put in comes out as it was, and can be put in again without a change.
        let there = edit::node("kozo.yml", &new, "attic").expect("it can be taken out again");
        assert_eq!(there.as_ref(), Some(&node));
        let lone_returns = old.replace("\r\n", "").contains('\r');
        let again = edit::replace("kozo.yml", &new, &node).unwrap();
        assert!(again == new || lone_returns, "{new}\n--\n{again}");
    }
    Ok(new)
}

#[test]
fn files_as_people_write_them() {
    let mut out = String::new();
    for (name, template) in FILES {
        let old = text(template);
        let told = match added(&old) {
            Ok(new) => {
                assert!(system(&new).is_some(), "{name}:\n{new}");
                new.replace(CLOCK, "CLOCK").replace(SCRIBE, "SCRIBE").replace(NEW, "NEW")
            }
            Err(error) => error + "\n",
        };
        let told = told.replace('\r', "␍").replace('\u{feff}', "␣");
        out.push_str(&format!("════ {name}\n{told}"));
    }
    insta::with_settings!({
        snapshot_path => "config_edit",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!("files", out);
    });
}

#[test]
fn a_node_is_replaced_and_nothing_else() {
    let old = text(
        "system:\n  # The clock.\n  clock:\n    privateKey: /k\n    # Gone.\n    publicKey: CLOCK\n\n  scribe:\n    privateKey: /k\n    publicKey: SCRIBE",
    );
    let given = |text: &str| edit::nodes("block", text).unwrap().remove(0);
    let clock = given(&format!("clock:\n privateKey: /other\n publicKey: {NEW}\n"));
    let changed = edit::replace("kozo.yml", &old, &clock).unwrap();
    let wanted = format!(
        "system:\n  # The clock.\n  clock:\n   privateKey: /other\n   publicKey: {NEW}\n\n  scribe:\n    privateKey: /k\n    publicKey: {SCRIBE}"
    );
    assert_eq!(changed, wanted);
    let scribe = given("scribe:\n    privateKey: /other\n");
    let changed = edit::replace("kozo.yml", &old, &scribe).unwrap();
    let end = format!("    privateKey: /k\n    publicKey: {SCRIBE}");
    let wanted = old.replace(&end, "      privateKey: /other");
    assert_eq!(changed, wanted);
    let nobody = given("nobody:\n    privateKey: /other\n");
    let told = edit::replace("kozo.yml", &old, &nobody).unwrap_err().to_string();
    assert!(told.contains("there is no Node `nobody`"), "{told}");
}

#[test]
fn blocks_that_are_none() {
    for (block, part) in [
        ("", "it has no Node"),
        ("hello\n", "it has no Node"),
        ("system:\n", "the System has no Nodes"),
        ("clock: [\n", "not YAML"),
        ("{clock: {privateKey: /k}}\n", "without braces"),
        ("system:\n\tclock:\n", "a tab is used as indentation"),
        ("keys: &k\n  publicKey: x\nclock: *k\n", "uses an alias"),
        ("a: &k x\nclock:\n  publicKey: *k\n", "uses an alias"),
    ] {
        let told = edit::nodes("block", block).map(|nodes| nodes.len());
        let told = told.expect_err(block).to_string();
        assert!(told.contains(part), "{block}\n{told}");
    }
}

/// Every good file of the corpus of configurations, and every beginning of every file.
#[test]
fn the_corpus_of_configurations() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/config");
    let mut changed = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        if let Ok(new) = added(&text)
            && system(&text).is_some()
        {
            assert!(system(&new).is_some(), "{}\n{new}", path.display());
            changed += 1;
        }
        for (end, _) in text.char_indices().step_by(31) {
            let _ = (added(&text[..end]), edit::nodes("block", &text[..end]));
        }
    }
    assert!(changed >= 7, "only {changed} files of the corpus could be changed");
}

/// A file as a person might write it: levels as wide as they like, comments and blank lines anywhere.
fn file() -> impl Strategy<Value = String> {
    let comment = prop_oneof![
        3 => Just(String::new()),
        1 => Just("\n".to_owned()),
        1 => Just("# Some words.\n".to_owned()),
        1 => Just("      # farther right: {\n".to_owned()),
    ];
    let parts = (
        (1usize..9, 1usize..9),
        prop::collection::vec(comment, 12),
        (any::<bool>(), any::<bool>(), any::<bool>()),
        0usize..3,
    );
    parts.prop_map(|((outer, inner), comments, (windows, end, below), nodes)| {
        let mut comments = comments.into_iter();
        let mut next = || comments.next().unwrap_or_default();
        let mut out = next() + "cipher: aes256-ctr\n" + &next() + "system:\n";
        for (name, key) in [("clock", CLOCK), ("scribe", SCRIBE)].into_iter().take(nodes) {
            let (outer, inner) = (" ".repeat(outer), " ".repeat(outer + inner));
            out += &format!("{}{outer}{name}:\n", next());
            out += &format!("{}{inner}privateKey: /k # mine\n", next());
            out += &format!("{}{inner}publicKey: {key}\n", next());
        }
        out += &next();
        if below {
            out += "heartbeat: 5\n";
            out += &next();
        }
        if !end {
            out.truncate(out.trim_end().len());
        }
        if windows { out.replace('\n', "\r\n") } else { out }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn nothing_else_changes(old in file()) {
        let new = added(&old).unwrap();
        prop_assert!(system(&new).is_some(), "{}", new);
        if let Some(between) = put_in(&old, &new) {
            prop_assert!(between.contains("attic:"), "{}", new);
        }
    }

    #[test]
    fn whatever_the_text(text in r#"[a-c:\-\[\]{},&*!|>'"%@#?~ \t\n\r]{0,200}"#) {
        let _ = added(&text);
        let _ = edit::nodes("block", &text);
    }

    #[test]
    fn scalars_are_read_back(value in any::<String>(), plain in "[a-zA-Z0-9 ,.:#/_+=@-]{1,20}") {
        for value in [value, plain] {
            let text = format!(
                "system:\n  clock:\n    privateKey: /k\n    publicKey: {CLOCK}\n    roles:\n      \
                 timer: {{}}\n      other:\n        type: timer\n        description: {}\n",
                edit::scalar(&value)
            );
            let system = system(&text).expect(&text);
            let read = system.nodes[0].roles[1].description.as_deref();
            prop_assert_eq!(read, Some(&*value));
        }
    }
}
