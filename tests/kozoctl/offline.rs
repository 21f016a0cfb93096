//! What works without a Node: configurations, keys, pages.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::kit::{Place, System, text};

#[test]
fn keys_that_exist_are_left_alone() {
    let place = Place::new();
    fs::write(place.path().join("cellar.key"), "precious").unwrap();
    place.failure(&["keygen", "cellar.key"], 1);
    assert_eq!(fs::read_to_string(place.path().join("cellar.key")).unwrap(), "precious");
}

#[test]
fn what_is_shown_is_a_configuration_that_means_the_same() {
    let system = System::prepared();
    let place = &system.place;
    let shown = place.answer(&["config", "show", "kozo.yml"]);
    assert!(shown.contains("connectionRetry: 1 min\n"), "{shown}");
    fs::write(place.path().join("shown.yml"), &shown).unwrap();
    assert_eq!(place.answer(&["config", "show", "shown.yml"]), shown);
    assert_eq!(
        place.json(&["config", "show", "shown.yml"]),
        place.json(&["config", "show", "kozo.yml"])
    );
    let json = place.json(&["config", "show", "kozo.yml"]);
    assert_eq!(json["system"]["attic"]["roles"]["timer1"]["tick"], 0.2);
    assert_eq!(json["heartbeat"], 1);
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let system = System::prepared();
    let place = &system.place;
    system.edit("tick: 200ms", "tock: 200ms");
    let told = place.failure(&["config", "check", "kozo.yml"], 1);
    assert!(told.contains("did you mean `tick`?"), "{told}");
    place.failure(&["config", "show", "kozo.yml"], 1);
    place.failure(&["config", "check", "missing.yml"], 1);
    let refused = place.run(&["config", "check", "kozo.yml", "--json"]);
    assert_eq!(refused.status.code(), Some(1));
    let answer: serde_json::Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(answer["ok"], false);
    assert!(answer["error"].as_str().unwrap().contains("did you mean `tick`?"));
}

#[test]
fn keys_are_those_that_ssh_knows() {
    let place = Place::new();
    let public = place.answer(&["keygen", "attic.key", "--comment", "the attic"]);
    let mut read = Command::new("ssh-keygen");
    read.args(["-y", "-f"]).arg(place.path().join("attic.key"));
    assert_eq!(text(&read.output().unwrap().stdout), public);
    assert!(public.starts_with("ssh-ed25519 ") && public.ends_with(" the attic\n"), "{public}");
}

#[test]
fn there_is_a_page_for_everything() {
    let place = Place::new();
    let answer = place.answer(&["man", "pages"]);
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
        let text = fs::read_to_string(place.path().join("pages").join(page)).unwrap();
        assert!(text.contains(".TH ") && text.contains(".SH NAME"), "{page}");
        assert!(!text.contains(".SH EXTRA"), "{page}");
    }
    let options = fs::read_to_string(place.path().join("pages/kozo.yml.5")).unwrap();
    for option in ["connectionRetry", "selfToOthersConnectPolicy", "timePrefix", "bindAddress"] {
        assert!(options.contains(&format!("\\fB{option}\\fR")), "{option}");
    }
    if Path::new("/usr/bin/groff").exists() {
        // Whatever looks wrong to it, it says.
        let check =
            place.bash("for page in pages/*; do groff -man -Tutf8 -ww -K utf8 $page; done >shown");
        assert_eq!(text(&check.stderr), "");
    }
}
