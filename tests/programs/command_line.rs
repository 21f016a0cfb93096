//! The command line: what it takes, what it says, how it ends.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::process::Output;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::support::{Program, SystemFolder, kozo, until};

fn system() -> SystemFolder {
    SystemFolder::new("").node("clock", "timer: {tick: 50ms}").node("scribe", "").write()
}

fn run(arguments: &[&str]) -> Output {
    kozo(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn fails(arguments: &[&str], code: i32, text: &str) -> String {
    let output = run(arguments);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(text), "no '{text}' in:\n{said}");
    assert!(output.stdout.is_empty(), "errors are not for standard output");
    said
}

#[test]
fn wrong_usage_is_explained() {
    let system = system();
    let config = system.config();
    let config = config.to_str().unwrap();
    fails(&[], 1, "Usage: kozo");
    fails(&[config], 1, "<NODE>");
    let said = fails(&[config, "clock", "scribe"], 1, "unexpected argument 'scribe'");
    assert!(said.contains("Usage: kozo [OPTIONS] <CONFIG> [NODE]\n"), "{said}");
    fails(&[config, "clock", "--verbos"], 1, "--verbose");
    fails(&[config, "clock", "-q", "-v"], 1, "cannot be used with");
    fails(&[config, "clock", "--log", "kozo=loud"], 1, "invalid log filter 'kozo=loud'");
}

#[test]
fn each_kind_of_failure_has_its_code() {
    let system = system();
    let config = system.config();
    let config = config.to_str().unwrap();
    fails(&["/nowhere/config.yml", "clock"], 2, "/nowhere/config.yml");
    fails(&[config, "scirbe"], 4, "did you mean `scribe`?");
    let other = system.path().join("other.yml");
    fs::write(&other, "system: [").unwrap();
    fails(&[other.to_str().unwrap(), "clock"], 3, "other.yml:1:");
    fs::write(&other, "sytem: {}").unwrap();
    fails(&[other.to_str().unwrap(), "clock"], 1, "did you mean `system`?");

    let _taken = TcpListener::bind((system.address("clock"), 6020)).unwrap();
    let place = format!("{}:6020", system.address("clock"));
    let said = fails(&[config, "clock"], 5, "transport 'tcp' cannot listen");
    assert!(said.contains(&place) && said.contains("in use"), "{said}");
    let bind = format!("bindAddress: {}", system.address("clock"));
    let text = fs::read_to_string(config).unwrap();
    fs::write(&other, text.replace(&bind, "bindAddress: 192.0.2.1")).unwrap();
    fails(&[other.to_str().unwrap(), "clock"], 5, "192.0.2.1:6020");
}

#[test]
fn a_configuration_can_be_checked() {
    let system = system();
    let config = system.config();
    let config = config.to_str().unwrap();
    for arguments in [&["--check", config][..], &["--check", config, "clock"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stdout(&output).contains("is fine: 2 nodes (clock, scribe)"));
        assert!(output.stderr.is_empty(), "{}", stderr(&output));
    }
    fails(&["--check", config, "scirbe"], 4, "did you mean `scribe`?");
    // A type that no Node can have here is told, whichever Node runs here.
    let other = system.path().join("other.yml");
    let text = fs::read_to_string(config).unwrap();
    fs::write(&other, text.replace("roles: {", "roles: {timr: {}, ")).unwrap();
    let output = run(&["--check", other.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("is fine, but for 2 warnings: 2 nodes"));
    assert!(stderr(&output).contains("there is no Role type `timr`"), "{}", stderr(&output));
    fails(&["--check", other.to_str().unwrap(), "clock"], 1, "did you mean `timer`?");
    // Its key is looked at only where its Node is asked for.
    fs::remove_file(system.key("clock")).unwrap();
    assert_eq!(run(&["--check", config]).status.code(), Some(0));
    assert_eq!(run(&["--check", config, "scribe"]).status.code(), Some(0));
    fails(&["--check", config, "clock"], 1, "clock.key");
}

#[test]
fn what_nobody_can_read_changes_no_exit_code() {
    let system = system();
    let config = system.config();
    let code = |arguments: &[&OsStr]| {
        let full = || fs::File::options().write(true).open("/dev/full").unwrap();
        kozo(arguments).stdout(full()).stderr(full()).status().unwrap().code()
    };
    assert_eq!(code(&["--check".as_ref(), config.as_ref()]), Some(0));
    assert_eq!(code(&["--check".as_ref(), "/nowhere".as_ref()]), Some(2));
    assert_eq!(code(&[]), Some(1));
}

#[test]
fn help_and_version_are_answers() {
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let text = stdout(&help);
    for part in ["Usage: kozo", "CONFIG", "NODE", "--check", "SIGHUP", "Exit codes"] {
        assert!(text.contains(part), "no {part} in:\n{text}");
    }
    let version = run(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(stdout(&version), format!("kozo {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn logs_as_much_as_is_asked_for() {
    let system = system();
    let config = system.config();
    let config = config.to_str().unwrap();
    // The last line that each says before it runs on, and one that it must not say.
    let cases: [(&[&str], Option<&str>, &str); 6] = [
        (&[], Some("INFO node 'clock' runs"), "DEBUG"),
        (&["-q"], None, "INFO"),
        (&["-qq"], None, "INFO"),
        (&["-v"], Some("DEBUG"), "TRACE"),
        (&["--log", "kozo::node=info"], Some("INFO listening on"), "DEBUG"),
        (&["--log", "off"], None, "INFO"),
    ];
    for (arguments, expected, unexpected) in cases {
        let all = [&[config, "clock"], arguments].concat();
        let mut node = Program::start("clock", &mut kozo(all));
        match expected {
            Some(part) => drop(node.log.wait_for(part)),
            None => until("ready for signals", || {
                let text = fs::read_to_string(format!("/proc/{}/status", node.id())).unwrap();
                let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
                let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
                (caught & (1 << 14) != 0).then_some(())
            }),
        }
        let (status, _) = node.stop(Signal::SIGTERM);
        assert!(status.success(), "{arguments:?}: {status}");
        let log: String = node.log.whole().into_iter().map(|line| line.text + "\n").collect();
        assert!(!log.contains(unexpected), "{arguments:?}: {log}");
    }
}

#[test]
fn the_environment_gives_a_filter_too() {
    let system = system();
    let arguments = [system.config().into_os_string(), "clock".into()];
    let mut command = kozo(&arguments);
    let node = Program::start("clock", command.env("KOZO_LOG", "kozo=debug"));
    node.log.wait_for("DEBUG");
    drop(node);
    // Who types something means it.
    let mut command = kozo(&arguments);
    let node = Program::start("clock", command.arg("-v").env("KOZO_LOG", "off"));
    node.log.wait_for("DEBUG");
    let mut command = kozo(&arguments);
    let output = command.env("KOZO_LOG", "kozo=loud").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
}

/// Systemd starts what has crashed at once, and what cannot start as soon as that has said so.
#[test]
fn a_start_that_fails_again_ends_slowly() {
    let system = system();
    let run = tempfile::tempdir().unwrap();
    let start = || {
        let config = system.config();
        let mut command = kozo([config.as_os_str(), "clock".as_ref()]);
        command.env("RUNTIME_DIRECTORY", run.path());
        command
    };
    let fails = || {
        let begun = Instant::now();
        assert_eq!(start().output().unwrap().status.code(), Some(5));
        begun.elapsed()
    };
    let mark = run.path().join("failed");

    let taken = TcpListener::bind((system.address("clock"), 6020)).unwrap();
    fails();
    assert!(mark.exists());
    let again = fails();
    assert!(again >= Duration::from_secs(3), "{again:?}");
    drop(taken);
    let clock = Program::start("clock", &mut start());
    clock.log.wait_for("node 'clock' runs");
    until("the mark is gone", || (!mark.exists()).then_some(()));
}

#[test]
fn a_node_that_runs_is_asked_to_reload() {
    let system = system();
    let config = system.config();
    let run = tempfile::tempdir().unwrap();
    let here = |arguments: &[&OsStr]| {
        let mut command = kozo(arguments);
        command.env("XDG_RUNTIME_DIR", run.path()).env_remove("RUNTIME_DIRECTORY");
        command
    };
    let reload = || here(&["--reload".as_ref(), "clock".as_ref()]).output().unwrap();

    let nobody = reload();
    assert_eq!(nobody.status.code(), Some(5));
    assert_eq!(stderr(&nobody), "kozo: node 'clock' does not run here\n");

    let command = &mut here(&[config.as_os_str(), "clock".as_ref()]);
    let mut clock = Program::start("clock", command);
    clock.log.wait_for("node 'clock' runs");
    assert_eq!(reload().status.code(), Some(0));

    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("tick: 50ms", "tock: 50ms")).unwrap();
    let refused = reload();
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("did you mean `tick`?"), "{}", stderr(&refused));
    assert!(clock.runs());

    fs::write(&config, text.replace("tick: 50ms", "tick: 60ms")).unwrap();
    assert_eq!(reload().status.code(), Some(0));
    clock.log.wait_for("reloaded");

    let with_more = run_in_vain(&["--reload", "clock", "scribe"]);
    assert!(with_more.contains("cannot be used with"), "{with_more}");
}

fn run_in_vain(arguments: &[&str]) -> String {
    fails(arguments, 1, "Usage: kozo")
}
