//! `kozoctl config new` and `add-peer`: from nothing to two machines that know each other.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::unistd::geteuid;

use crate::kit::{KOZOCTL, Workspace, both, text};

const CLOCK: &[&str] = &[
    "config",
    "new",
    "clock",
    "--file",
    "kozo.yml",
    "--address",
    "127.0.0.1",
    "--role",
    "timer1=timer",
];
const SCRIBE: &[&str] = &[
    "config",
    "new",
    "scribe",
    "--file",
    "kozo.yml",
    "--address",
    "127.0.0.1",
    "--role",
    "cuckoo",
];

/// Two machines, each with its configuration and its Node, and their blocks.
fn two() -> ([Workspace; 2], [String; 2]) {
    let workspaces = [Workspace::new(), Workspace::new()];
    let elsewhere: Vec<_> =
        SCRIBE.iter().map(|word| if *word == "127.0.0.1" { "127.0.0.2" } else { word }).collect();
    let blocks = [workspaces[0].answer(CLOCK), workspaces[1].answer(&elsewhere)];
    for (workspace, block) in [(&workspaces[0], &blocks[1]), (&workspaces[1], &blocks[0])] {
        fs::write(workspace.path().join("block.yml"), block).unwrap();
    }
    (workspaces, blocks)
}

fn config(workspace: &Workspace) -> String {
    fs::read_to_string(workspace.path().join("kozo.yml")).unwrap()
}

/// A text in which nothing is left of this folder and these keys.
fn neutral(workspace: &Workspace, text: &str) -> String {
    let text =
        text.replace(&*fs::canonicalize(workspace.path()).unwrap().to_string_lossy(), "FOLDER");
    let key = |word: &str| if word.starts_with("AAAA") { "KEY" } else { word }.to_owned();
    let line = |line: &str| line.split(' ').map(key).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn with_input(mut command: Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that has failed already does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn a_first_node_is_one_that_runs() {
    let workspace = Workspace::new();
    let output = workspace.run(&[
        "config",
        "new",
        "attic",
        "--file",
        "kozo.yml",
        "-a",
        "attic.local",
        "-a",
        "10.0.0.1, ::1",
        "--role",
        "timer1=timer",
        "--role",
        "cuckoo",
        "--role",
        "logger",
        "--role",
        "message_injector",
        "--role",
        "debugger",
        "--set",
        "timer1.message=It is: late",
        "--set",
        "cuckoo.timer=timer1",
        "--port",
        "6021",
    ]);
    assert!(output.status.success(), "{}", both(&output));
    insta::assert_snapshot!("every_role", neutral(&workspace, &config(&workspace)));
    insta::assert_snapshot!("block", neutral(&workspace, &text(&output.stdout)));
    insta::assert_snapshot!("next_steps", neutral(&workspace, &text(&output.stderr)));
    let checked = workspace.answer(&["config", "check", "kozo.yml", "attic"]);
    assert_eq!(checked, "kozo.yml is fine: 1 node (attic)\n");
}

/// Whatever the user's umask is: the key is nobody else's, and the daemon's user reads the file.
#[test]
fn files_have_the_right_modes_and_owners() {
    let workspace = Workspace::new();
    let output = workspace.bash("umask 077; kozoctl config new attic --file kozo.yml -a localhost");
    assert!(output.status.success(), "{}", both(&output));
    let file = |name: &str| workspace.path().join(name);
    assert_eq!(mode(file("keys")), 0o700);
    assert_eq!(mode(file("keys/attic")), 0o600);
    assert_eq!(mode(file("kozo.yml")), 0o644);
    assert_eq!(fs::metadata(file("keys/attic")).unwrap().uid(), geteuid().as_raw());

    // What is there keeps its mode, its owner and its place.
    fs::create_dir(file("git")).unwrap();
    fs::rename(file("kozo.yml"), file("git/kozo.yml")).unwrap();
    fs::set_permissions(file("git/kozo.yml"), Permissions::from_mode(0o640)).unwrap();
    if geteuid().is_root() {
        std::os::unix::fs::chown(file("git/kozo.yml"), Some(1234), Some(2345)).unwrap();
    }
    let before = fs::metadata(file("git/kozo.yml")).unwrap();
    symlink("git/kozo.yml", file("kozo.yml")).unwrap();
    workspace.answer(&["config", "new", "cellar", "--file", "kozo.yml", "-a", "localhost"]);
    assert!(fs::symlink_metadata(file("kozo.yml")).unwrap().is_symlink());
    let after = fs::metadata(file("git/kozo.yml")).unwrap();
    let owner = |it: &fs::Metadata| (it.uid(), it.gid(), it.mode());
    assert_eq!(owner(&after), owner(&before));
    assert!(after.len() > before.len());
    let left: Vec<_> = fs::read_dir(file("git")).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(file("git/keys/cellar").exists());
}

#[test]
fn what_is_done_twice_is_done_once() {
    let workspace = Workspace::new();
    let first = workspace.answer(CLOCK);
    let (before, key) =
        (config(&workspace), fs::read(workspace.path().join("keys/clock")).unwrap());
    for again in [CLOCK, &["config", "new", "clock", "--file", "kozo.yml"][..]] {
        let output = workspace.run(again);
        assert!(output.status.success(), "{}", both(&output));
        assert_eq!(text(&output.stdout), first);
        assert!(text(&output.stderr).contains("already: nothing was changed"));
    }
    // What the command line says is there, whatever else has become of it.
    let edited = before.replace("tick: 10s", "tick: 1h # seldom") + "heartbeat: 5\n";
    fs::write(workspace.path().join("kozo.yml"), &edited).unwrap();
    let block = workspace.answer(CLOCK);
    assert!(block.contains("tick: 1h # seldom\n") && !block.contains("heartbeat"), "{block}");
    assert_eq!(workspace.json(CLOCK)["changed"], false);
    for (more, part) in [
        (
            &["--address", "10.0.0.1"][..],
            "transports.tcp.address: 127.0.0.1 there, 127.0.0.1, 10.0.0.1",
        ),
        (&["--port", "1"], "transports.tcp.port: 6020 there, 1 here"),
        (&["--role", "logger"], "roles.logger: nothing there, one of type logger here"),
        (&["--set", "timer1.tick=2s"], "roles.timer1.tick: 1 h there, 2 s here"),
        (&["--key", "other"], "keys/clock there"),
    ] {
        let told = workspace.failure(&[CLOCK, more].concat(), 1);
        assert!(told.contains(part) && told.contains("edit kozo.yml"), "{told}");
    }
    assert_eq!(config(&workspace), edited);
    assert_eq!(fs::read(workspace.path().join("keys/clock")).unwrap(), key);
}

#[test]
fn a_second_node_of_a_machine_gets_a_port_of_its_own() {
    let workspace = Workspace::new();
    workspace.answer(CLOCK);
    let before = config(&workspace);
    let block = workspace.answer(SCRIBE);
    assert!(block.contains("port: 6021\n"), "{block}");
    assert!(config(&workspace).starts_with(&before));
    let checked = workspace.answer(&["config", "check", "kozo.yml", "scribe"]);
    assert_eq!(checked, "kozo.yml is fine: 2 nodes (clock, scribe)\n");
}

#[test]
fn keys_that_are_there_are_used() {
    let workspace = Workspace::new();
    let public = workspace.answer(&["keygen", "mine", "--comment", "my: #1 key"]);
    let new = ["config", "new", "attic", "--file", "kozo.yml", "-a", "localhost", "--key", "mine"];
    assert_eq!(workspace.json(&new)["publicKey"], public.trim_end());
    workspace.answer(&["config", "check", "kozo.yml", "attic"]);
    assert!(!workspace.path().join("keys").exists());
    fs::write(workspace.path().join("other"), "no key\n").unwrap();
    let new =
        ["config", "new", "cellar", "--file", "kozo.yml", "-a", "localhost", "--key", "other"];
    let told = workspace.failure(&new, 1);
    assert!(told.contains("other"), "{told}");
    assert_eq!(fs::read_to_string(workspace.path().join("other")).unwrap(), "no key\n");
}

/// Nothing is left of what was refused, and what was there is as it was.
#[test]
fn what_is_refused_leaves_nothing_behind() {
    let workspace = Workspace::new();
    let new = |more: &[&str], code| {
        workspace.failure(&[&["config", "new", "--file", "kozo.yml"], more].concat(), code)
    };
    for (arguments, code, part) in [
        (&[][..], 2, "NODE is missing"),
        (&["attic"], 2, "--address is missing"),
        (&["attic", "-n", "cellar", "-a", "x"], 2, "by --node 'cellar'"),
        (&["attic", "-a", "x", "--set", "timer1.tick=1"], 2, "no --role does"),
        (&["attic", "-a", "x", "--set", "tick=1"], 2, "ROLE.OPTION=VALUE"),
        (&["attic", "-a", "x", "--role", "=timer"], 2, "NAME=TYPE"),
        (&["no name", "-a", "x"], 1, "the Node's name `no name`"),
        (&["../attic", "-a", "x"], 1, "the Node's name `../attic`"),
        (&["attic", "-a", ""], 1, "`address`"),
        (&["attic", "-a", "x", "--role", "timr"], 1, "did you mean `timer`?"),
        (&["attic", "-a", "x", "--role", "timer", "--set", "timer.tock=1"], 1, "no option `tock`"),
        (&["attic", "-a", "x", "--role", "a=timer", "--role", "a=cuckoo"], 1, "appears twice"),
        (
            &["attic", "-a", "x", "--role", "cuckoo", "--set", "cuckoo.timer=t"],
            1,
            "no Node has a Role `t`",
        ),
    ] {
        let told = new(arguments, code);
        assert!(told.contains(part), "{arguments:?}: {told}");
        let left: Vec<_> =
            fs::read_dir(workspace.path()).unwrap().map(|it| it.unwrap().path()).collect();
        assert_eq!(left, [workspace.path().join("run")], "{arguments:?}");
    }
    let told =
        workspace.failure(&["config", "new", "a", "-a", "x", "--file", "missing/kozo.yml"], 1);
    assert!(told.contains("missing"), "{told}");
    for (file, part) in [
        ("system:\n\tclock:\n", "a tab is used as indentation"),
        ("system: {}\n", "without braces"),
        ("system:\n  clock:\n    privateKey: /k\n", "has no `publicKey`"),
        ("hartbeat: 5\n", "did you mean `heartbeat`?"),
    ] {
        fs::write(workspace.path().join("kozo.yml"), file).unwrap();
        let told = new(&["attic", "-a", "x"], 1);
        assert!(told.contains(part), "{told}");
        assert_eq!(config(&workspace), file);
        assert!(!workspace.path().join("keys").exists());
    }
}

#[test]
fn two_machines_learn_of_each_other() {
    let ([clock, scribe], blocks) = two();
    for (workspace, own, other, block) in
        [(&clock, "clock", "scribe", &blocks[1]), (&scribe, "scribe", "clock", &blocks[0])]
    {
        let before = config(workspace);
        let add = ["config", "add-peer", "--file", "kozo.yml", "-"];
        let output = with_input(workspace.command(&add), block);
        assert!(output.status.success(), "{}", both(&output));
        assert_eq!(text(&output.stdout), format!("{other}: added to kozo.yml\n"));
        let after = config(workspace);
        assert!(after.starts_with(&before), "{after}");
        workspace.answer(&["config", "check", "kozo.yml", own]);
        // Once more; and one's own, which went round.
        let again = workspace.answer(&["config", "add-peer", "--file", "kozo.yml", "block.yml"]);
        assert_eq!(again, format!("{other}: already in kozo.yml, not changed\n"));
        let output = with_input(
            workspace.command(&add),
            &workspace.answer(&["config", "new", own, "-f", "kozo.yml"]),
        );
        assert!(text(&output.stdout).contains("not changed"), "{}", both(&output));
        assert_eq!(config(workspace), after);
    }
    let shown =
        |workspace: &Workspace| workspace.json(&["config", "show", "kozo.yml"])["system"].clone();
    assert_eq!(shown(&clock)["scribe"], shown(&scribe)["scribe"]);
    // A whole configuration is as good as a block, and all that is missing is taken.
    let third = Workspace::new();
    fs::copy(clock.path().join("kozo.yml"), third.path().join("theirs.yml")).unwrap();
    let answer = third.json(&["config", "add-peer", "--file", "kozo.yml", "theirs.yml"]);
    assert_eq!(answer["added"], serde_json::json!(["clock", "scribe"]));
    assert_eq!(shown(&third), shown(&clock));
}

#[test]
fn a_peer_that_is_different_is_replaced_only_on_demand() {
    let ([clock, _], blocks) = two();
    let add = ["config", "add-peer", "--file", "kozo.yml", "block.yml"];
    clock.answer(&add);
    let before = config(&clock);
    let moved = blocks[1].replace("127.0.0.2", "10.0.0.9").replace("cuckoo", "logger");
    fs::write(clock.path().join("block.yml"), &moved).unwrap();
    let told = clock.failure(&add, 1);
    for part in [
        "Node scribe is already in kozo.yml",
        "transports.tcp.address: 127.0.0.2 there, 10.0.0.9 here",
        "roles.logger: nothing there",
        "roles.cuckoo: one of type cuckoo there, nothing here",
        "kozoctl config add-peer --file kozo.yml block.yml --replace",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    assert_eq!(config(&clock), before);
    let answer = clock.answer(&[&add[..], &["--replace"]].concat());
    assert_eq!(answer, "scribe: replaced in kozo.yml\n");
    let after = config(&clock);
    assert!(after.contains("10.0.0.9") && !after.contains("cuckoo:"), "{after}");
    assert_eq!(after.split("scribe:").next(), before.split("scribe:").next());
}

#[test]
fn blocks_that_cannot_be_taken_change_nothing() {
    let ([clock, _], blocks) = two();
    let before = config(&clock);
    let file = clock.path().join("block.yml");
    for (block, part) in [
        (String::new(), "it has no Node"),
        ("What is this?\n".to_owned(), "it has no Node"),
        (blocks[1].replace("    ", "\t"), "a tab is used as indentation"),
        (
            blocks[1].replace("publicKey: ssh-ed25519 ", "publicKey: "),
            "the type of the key is missing",
        ),
        (
            blocks[1].replace("cuckoo\n", "cuckoo\n                timer: t\n"),
            "no Node has a Role `t`",
        ),
        (blocks[0].replace("clock", "spare"), "have the same public key"),
    ] {
        fs::write(&file, &block).unwrap();
        let told = clock.failure(&["config", "add-peer", "--file", "kozo.yml", "block.yml"], 1);
        assert!(told.contains(part), "{block}\n{told}");
        assert_eq!(config(&clock), before);
    }
    fs::write(&file, b"\xff\xfe").unwrap();
    clock.failure(&["config", "add-peer", "--file", "kozo.yml", "block.yml"], 1);
    clock.failure(&["config", "add-peer", "--file", "kozo.yml", "missing.yml"], 1);
    clock.failure(&["config", "add-peer", "--file", "kozo.yml"], 2);
    assert_eq!(config(&clock), before);
}

/// Blocks that need each other are given together.
#[test]
fn several_blocks_are_taken_at_once() {
    let ([clock, scribe], blocks) = two();
    let needs = blocks[1].replace("type: cuckoo\n", "timer: timer1\n");
    fs::write(scribe.path().join("one.yml"), &needs).unwrap();
    fs::write(scribe.path().join("two.yml"), &blocks[0]).unwrap();
    let add = |files: &[&str]| {
        scribe.run(&[&["config", "add-peer", "--file", "new.yml"], files].concat())
    };
    assert_eq!(add(&["one.yml"]).status.code(), Some(1));
    assert!(!scribe.path().join("new.yml").exists());
    let output = add(&["one.yml", "two.yml"]);
    assert_eq!(text(&output.stdout), "scribe, clock: added to new.yml\n", "{}", both(&output));
    let told = text(&output.stderr);
    assert!(told.contains("Add it: kozoctl config new --file new.yml"), "{told}");
    drop(clock);
}

/// A Node of that name is another machine's: a key of ours would not fit it.
#[test]
fn the_name_of_another_machine_is_not_taken() {
    let ([clock, scribe], _) = two();
    clock.answer(&["config", "add-peer", "--file", "kozo.yml", "block.yml"]);
    fs::rename(scribe.path().join("keys"), scribe.path().join("elsewhere")).unwrap();
    let before = config(&clock);
    let told = clock.failure(&[SCRIBE, &["--port", "7000"]].concat(), 1);
    assert!(told.contains("is not on this machine") && told.contains("another name"), "{told}");
    assert_eq!(config(&clock), before);
}

#[test]
fn at_a_terminal_what_is_missing_is_asked_for() {
    let workspace = Workspace::new();
    // `script` gives it a terminal; what is typed comes first, and waits there.
    let mut command = Command::new("script");
    workspace.within(&mut command);
    let run = format!("'{KOZOCTL}' config new --file kozo.yml --port 7001 >block.yml");
    command.args(["-q", "-e", "-c", &run, "/dev/null"]);
    let typed = "bad name\nattic\nlocalhost\nnonsense\ntimer1=timer cuckoo\n";
    let output = with_input(command, typed);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}");
    for part in [
        "Name of this machine's Node",
        "A name consists of",
        "Where others reach it",
        "Types of Roles: timer",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    assert!(shown.contains("There is no type 'nonsense'."), "{shown}");
    let block = fs::read_to_string(workspace.path().join("block.yml")).unwrap();
    assert!(block.contains("    attic:\n") && block.contains("timer1:\n"), "{block}");
    workspace.answer(&["config", "check", "kozo.yml", "attic"]);

    // Nothing is asked that was said.
    let mut command = Command::new("script");
    workspace.within(&mut command);
    let run = format!("'{KOZOCTL}' config new cellar -f kozo.yml -a localhost");
    command.args(["-q", "-e", "-c", &run, "/dev/null"]);
    let shown = text(&with_input(command, "").stdout);
    assert!(!shown.contains("Where others") && !shown.contains("Types of Roles"), "{shown}");
    workspace.answer(&["config", "check", "kozo.yml", "cellar"]);
}

#[test]
fn who_may_not_is_told_what_to_run() {
    let workspace = Workspace::new();
    workspace.answer(CLOCK);
    let copy = workspace.path().join("kozoctl");
    fs::copy(KOZOCTL, &copy).unwrap();
    fs::set_permissions(workspace.path(), Permissions::from_mode(0o555)).unwrap();
    let stranger = |arguments: &[&str]| {
        let mut command = if geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&copy);
            command
        } else {
            Command::new(&copy)
        };
        workspace.within(&mut command);
        command.args(arguments).output().unwrap()
    };
    for arguments in [
        CLOCK,
        &["config", "new", "it's", "--file", "kozo.yml", "-a", "localhost"],
        &["config", "add-peer", "--file", "kozo.yml", "-"],
        &["config", "add-peer", "--file", "/root/or/else/kozo.yml", "-"],
        &["config", "new", "attic", "-a", "localhost"],
    ] {
        if arguments.contains(&"/root/or/else/kozo.yml") && !geteuid().is_root() {
            continue;
        }
        let output = stranger(arguments);
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {}", both(&output));
        let told = text(&output.stderr);
        assert!(told.contains("Permission denied"), "{told}");
        let command = arguments.join(" ").replace("it's", r"'it'\''s'");
        assert!(told.contains(&format!("sudo kozoctl {command}\n")), "{told}");
        assert!(output.stdout.is_empty());
    }
    fs::set_permissions(workspace.path(), Permissions::from_mode(0o755)).unwrap();
}
