//! What is answered about a Node, for people and in JSON.

use serde_json::{Value, json};

use crate::kit::{System, text, until};

/// The value with every scalar replaced by its type, so that it can be compared.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("flag"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("text"),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(entries) => {
            let shaped = |(key, value): (&String, &Value)| match key.as_str() {
                // Which reasons there are is chance.
                "dropped" | "refused" if value.is_object() => (key.clone(), json!("by reason")),
                _ => (key.clone(), shape(value)),
            };
            entries.iter().map(shaped).collect()
        }
    }
}

#[track_caller]
fn snapshot(name: &str, value: &Value) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("shapes");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        let shape = serde_json::to_string_pretty(&shape(value)).unwrap();
        insta::assert_snapshot!(name, shape);
    });
}

#[test]
fn a_role_that_cannot_write_shows_it() {
    let mut system = System::prepared();
    system.edit(
        "FOLDER/cellar.log".replace("FOLDER", &system.workspace.path().to_string_lossy()).as_str(),
        "/dev/full",
    );
    system.start("cellar");
    let cellar =
        |arguments: &[&str]| system.workspace.answer(&[&["-n", "cellar"], arguments].concat());
    cellar(&["inject", "log", "note", "hello"]);
    let full = "cannot write /dev/full: No space left on device";
    until("the problem shows", || cellar(&["status"]).contains(full));
    let roles = system.workspace.json(&["-n", "cellar", "roles"]);
    assert_eq!((&roles[1]["name"], &roles[1]["state"]), (&json!("logger"), &json!("running")));
    assert!(roles[1]["problem"].as_str().unwrap().starts_with(full), "{roles}");
    assert!(cellar(&["role", "logger"]).contains(&format!("Problem: {full}")));
    assert_eq!(roles[0]["problem"], Value::Null);
}

#[test]
fn json_keeps_its_shape() {
    let system = System::running();
    let workspace = &system.workspace;
    // So that everything that is measured has been measured.
    workspace.answer(&["-n", "attic", "ping", "cellar"]);
    for (name, arguments) in [
        ("status", &["-n", "attic", "status"][..]),
        ("roles", &["-n", "attic", "roles"]),
        ("role", &["-n", "cellar", "role", "logger"]),
        ("role-restart", &["-n", "cellar", "role", "logger", "restart"]),
        ("peers", &["-n", "attic", "peers"]),
        ("peer", &["-n", "attic", "peer", "cellar"]),
        ("peer-connect", &["-n", "attic", "peer", "cellar", "connect"]),
        ("ping", &["-n", "attic", "ping", "cellar"]),
        ("wait", &["-n", "attic", "wait", "peer=cellar:up", "role=timer1"]),
        ("inject", &["-n", "attic", "inject", "log", "log", "\"hello\""]),
        ("monitor", &["-n", "attic", "monitor", "tick", "--count", "1"]),
        ("reload", &["-n", "attic", "reload"]),
        ("config-check", &["config", "check", "kozo.yml", "attic"]),
        ("config-show", &["config", "show", "kozo.yml"]),
        ("config-new", &["config", "new", "third", "--file", "new.yml", "--address", "127.0.0.1"]),
        ("keygen", &["keygen", "fourth.key"]),
    ] {
        snapshot(name, &workspace.json(arguments));
    }
    // What fails has an answer too, where there is one.
    let failing = |arguments: &[&str]| {
        serde_json::from_slice::<Value>(&workspace.run(&[arguments, &["--json"]].concat()).stdout)
    };
    let late = ["-n", "attic", "wait", "peer=cellar:idle", "--timeout", "10ms"];
    snapshot("wait-in-vain", &failing(&late).unwrap());
    snapshot("config-check-refused", &failing(&["config", "check", "attic.key"]).unwrap());
}

#[test]
fn people_see_what_is_true() {
    let system = System::running();
    let workspace = &system.workspace;
    let status = workspace.answer(&["-n", "attic"]);
    assert!(status.starts_with("attic  kozo "), "{status}");
    assert!(
        status.contains("Roles: 1 running\n") && status.contains("Peers: 1 of 1 up\n"),
        "{status}"
    );
    let roles = workspace.answer(&["-n", "cellar", "roles"]);
    let lines: Vec<Vec<&str>> =
        roles.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..3], ["ROLE", "TYPE", "STATE"]);
    assert_eq!(lines[1][..3], ["cuckoo", "cuckoo", "running"]);
    assert_eq!(lines[2][..3], ["logger", "logger", "running"]);
    let role = workspace.answer(&["-n", "cellar", "role", "logger"]);
    assert!(role.contains("State: running\n"), "{role}");
    assert!(role.contains("Description: Keeps what is logged\n"), "{role}");
    let peers = workspace.answer(&["-n", "attic", "peers"]);
    let peer: Vec<_> = peers.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(peer[..2], ["cellar", "up"]);
    // Either may have opened it; the port that one is opened from is nobody's business.
    let ways = ["tcp   out  127.0.0.1:", "tcp   in   127.0.0.1  "];
    assert!(ways.iter().any(|way| peers.contains(way)), "{peers}");
    let peer = workspace.answer(&["-n", "attic", "peer", "cellar"]);
    assert!(
        peer.contains("State: up for ") && peer.contains("out constant, in constant"),
        "{peer}"
    );
}

#[test]
fn what_is_not_for_a_terminal_is_plain() {
    let system = System::running();
    for arguments in [&["-n", "attic", "status"][..], &["-n", "attic", "peers"]] {
        let answer = system.workspace.answer(arguments);
        assert!(!answer.contains('\x1b') && !answer.contains(['│', '─', '|']), "{answer}");
        assert!(answer.lines().all(|line| !line.ends_with(' ')), "{answer}");
    }
}

#[test]
fn a_terminal_has_colours_unless_told_otherwise() {
    let system = System::running();
    // script(1) gives a program a terminal.
    let on_terminal = |before: &str| {
        let script = format!("{before} script -qec 'kozoctl -n attic roles' /dev/null");
        text(&system.workspace.bash(&script).stdout)
    };
    assert!(on_terminal("TERM=xterm").contains("\x1b["));
    assert!(!on_terminal("TERM=xterm NO_COLOR=1").contains("\x1b["));
    assert!(!on_terminal("TERM=dumb").contains("\x1b["));
}

#[test]
fn roles_and_links_obey() {
    let system = System::running();
    let workspace = &system.workspace;
    let role = |action: &[&str]| {
        let arguments = [&["-n", "attic", "role", "timer1"], action].concat();
        workspace.json(&arguments)["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(role(&["stop"]), "stopped");
    // Doing what is done already is no mistake.
    assert_eq!(role(&["stop"]), "stopped");
    assert_eq!(role(&[]), "stopped");
    role(&["start"]);
    workspace.answer(&["-n", "attic", "wait", "role=timer1:running"]);
    role(&["restart"]);
    workspace.answer(&["-n", "attic", "wait", "role=timer1:running"]);
    let sessions =
        || workspace.json(&["-n", "attic", "peer", "cellar"])["sessions"].as_u64().unwrap();
    let before = sessions();
    workspace.answer(&["-n", "attic", "peer", "cellar", "disconnect"]);
    workspace.answer(&["-n", "cellar", "wait", "peer=attic:down", "--timeout", "60s"]);
    let told = workspace.failure(&["-n", "attic", "ping", "cellar"], 1);
    assert!(told.contains("no link to 'cellar'"), "{told}");
    workspace.answer(&["-n", "attic", "peer", "cellar", "connect"]);
    workspace.answer(&["-n", "attic", "wait", "peer=cellar:up", "--timeout", "60s"]);
    assert_eq!(sessions(), before + 1);
}

#[test]
fn a_changed_configuration_is_applied_and_a_broken_one_is_not() {
    let system = System::running();
    let workspace = &system.workspace;
    assert_eq!(workspace.answer(&["-n", "attic", "reload"]), "nothing has changed\n");
    let since = || workspace.json(&["-n", "attic", "peer", "cellar"])["since"].clone();
    let before = since();
    let timer2 = "timer2: {type: timer, tick: 1h}\n            timer1:";
    system.edit("timer1:", timer2);
    let reloaded = workspace.json(&["-n", "attic", "reload"]);
    assert_eq!(reloaded["roles"], json!(["timer2"]));
    workspace.answer(&["-n", "attic", "wait", "role=timer2", "role=timer1", "peer=cellar"]);
    system.edit("tick: 200ms", "tock: 200ms");
    let told = workspace.failure(&["-n", "attic", "reload"], 1);
    assert!(told.contains("did you mean `tick`?") && told.contains("kozo.yml:10:17"), "{told}");
    assert_eq!(workspace.json(&["-n", "attic", "role", "timer1"])["state"], "running");
    assert_eq!(since(), before);
}
