//! What works without a Node: configurations, keys, pages.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::kit::{System, Workspace, text};

#[test]
fn keys_that_exist_are_left_alone() {
    let workspace = Workspace::new();
    fs::write(workspace.path().join("cellar.key"), "precious").unwrap();
    workspace.failure(&["keygen", "cellar.key"], 1);
    assert_eq!(fs::read_to_string(workspace.path().join("cellar.key")).unwrap(), "precious");
}

#[test]
fn what_is_shown_is_a_configuration_that_means_the_same() {
    let system = System::prepared();
    let workspace = &system.workspace;
    let shown = workspace.answer(&["config", "show", "kozo.yml"]);
    assert!(shown.contains("connectionRetry: 1 min\n"), "{shown}");
    fs::write(workspace.path().join("shown.yml"), &shown).unwrap();
    assert_eq!(workspace.answer(&["config", "show", "shown.yml"]), shown);
    assert_eq!(
        workspace.json(&["config", "show", "shown.yml"]),
        workspace.json(&["config", "show", "kozo.yml"])
    );
    let json = workspace.json(&["config", "show", "kozo.yml"]);
    assert_eq!(json["system"]["attic"]["roles"]["timer1"]["tick"], 0.2);
    assert_eq!(json["heartbeat"], 1);
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let system = System::prepared();
    let workspace = &system.workspace;
    system.edit("tick: 200ms", "tock: 200ms");
    let told = workspace.failure(&["config", "check", "kozo.yml"], 1);
    assert!(told.contains("did you mean `tick`?"), "{told}");
    workspace.failure(&["config", "show", "kozo.yml"], 1);
    workspace.failure(&["config", "check", "missing.yml"], 1);
    let refused = workspace.run(&["config", "check", "kozo.yml", "--json"]);
    assert_eq!(refused.status.code(), Some(1));
    let answer: serde_json::Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(answer["ok"], false);
    assert!(answer["error"].as_str().unwrap().contains("did you mean `tick`?"));
}

#[test]
fn keys_are_those_that_ssh_knows() {
    let workspace = Workspace::new();
    let public = workspace.answer(&["keygen", "attic.key", "--comment", "the attic"]);
    let mut read = Command::new("ssh-keygen");
    read.args(["-y", "-f"]).arg(workspace.path().join("attic.key"));
    assert_eq!(text(&read.output().unwrap().stdout), public);
    assert!(public.starts_with("ssh-ed25519 ") && public.ends_with(" the attic\n"), "{public}");
}

#[test]
fn there_is_a_page_for_everything() {
    let workspace = Workspace::new();
    let answer = workspace.answer(&["man", "pages"]);
    let pages: Vec<&str> = answer.lines().collect();
    for page in [
        "kozoctl.1",
        "kozoctl-monitor.1",
        "kozoctl-config-show.1",
        "kozo.8",
        "kozo-testnet.8",
        "kozo.yml.5",
    ] {
        assert!(pages.contains(&page), "{answer}");
    }
    for page in pages {
        let text = fs::read_to_string(workspace.path().join("pages").join(page)).unwrap();
        assert!(text.contains(".TH ") && text.contains(".SH NAME"), "{page}");
        assert!(!text.contains(".SH EXTRA"), "{page}");
        assert!(text.contains(".SH EXAMPLE") && text.contains(".SH \"SEE ALSO\""), "{page}");
        assert!(page.ends_with('5') || text.contains(".SH \"EXIT STATUS\""), "{page}");
    }
    let options = fs::read_to_string(workspace.path().join("pages/kozo.yml.5")).unwrap();
    for option in ["connectionRetry", "selfToOthersConnectPolicy", "timePrefix", "bindAddress"] {
        assert!(options.contains(&format!("\\fB{option}\\fR")), "{option}");
    }
    if Path::new("/usr/bin/groff").exists() {
        // Whatever looks wrong to it, it says.
        let check = workspace
            .bash("for page in pages/*; do groff -man -Tutf8 -ww -K utf8 $page; done >shown");
        assert_eq!(text(&check.stderr), "");
    }
}

#[test]
fn the_page_says_what_every_field_of_json_is() {
    let workspace = Workspace::new();
    workspace.answer(&["man", "pages"]);
    let page = fs::read_to_string(workspace.path().join("pages/kozoctl.1")).unwrap();
    let (_, json) = page.split_once(".SH JSON").unwrap();
    let (json, _) = json.split_once(".SH \"EXIT STATUS\"").unwrap();
    let terms = json.lines().filter_map(|line| line.strip_prefix("\\fB")?.strip_suffix("\\fR"));
    let known: Vec<_> = terms.flat_map(|terms| terms.split(", ")).collect();
    assert!(known.contains(&"round_trip_time"), "{known:?}");
    let shapes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kozoctl/shapes");
    for shape in fs::read_dir(shapes).unwrap().flatten() {
        let shape = shape.path();
        // What a configuration has is in kozo.yml(5).
        if shape.ends_with("config-show.snap") || shape.extension().is_none_or(|e| e != "snap") {
            continue;
        }
        for line in fs::read_to_string(&shape).unwrap().lines() {
            let Some((field, _)) = line.trim_start().split_once("\": ") else { continue };
            let field = field.trim_start_matches('"');
            assert!(known.contains(&field), "{field} of {}", shape.display());
        }
    }
}
