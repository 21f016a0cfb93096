//! What people hold a Node by: the lines that they inject, and the console of its debugger.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::support::{INJECTOR, Injector, PATIENCE, Program, SystemFolder};

#[test]
fn injected_lines_are_answered() {
    let system = SystemFolder::new("").node("a", &format!("{INJECTOR}, cuckoo: {{log: false}}"));
    let system = system.node("b", "cuckoo: {log: false}").write();
    let a = system.start("a");
    let mut injector = Injector::connect(&system, "a");
    let both = "('event', 'tick', 'kitchen', [None, 'first'])";
    let one_away = "ok: queued for 1 role; 1 interested peer cannot be reached";
    assert_eq!(injector.say(both), one_away);

    let b = system.start("b");
    a.log.wait_for("link up");
    for (line, answer) in [
        ("('event', 'tick', None, [None, u'tea \\u00e9'])", "ok: queued for 1 role and 1 peer"),
        ("{\"kind\": \"event\", \"type\": \"tick\", \"data\": [null, \"json\"]}", "ok: queued for"),
        ("[\"event\", \"tick\", null, [null, \"list\"]]", "ok: queued for 1 role and 1 peer"),
        ("('order', 'nobody')", "ok: no one is interested"),
        ("('event', 'tick'", "error: column 17: "),
        ("('evnt', 'tick')", "error: unknown kind 'evnt'"),
        ("{\"kind\": \"event\"}", "error: there is no 'type'"),
        ("__import__('os').system('true')", "error: column 1: "),
        ("('event', 'tick', None, [None, 'last'])", "ok: queued for 1 role and 1 peer"),
    ] {
        let found = injector.say(line);
        assert!(found.starts_with(answer), "{line}: {found}");
    }
    b.printed.wait_for("Cuckoo! injector@a: last");
    let printed = b.printed.text();
    let ticks: Vec<_> = printed.lines().collect();
    let wanted = ["tea é", "json", "list", "last"];
    assert_eq!(ticks, wanted.map(|text| format!("Cuckoo! injector@a: {text}")));
    a.printed.wait_for("Cuckoo! injector@a: first");
}

/// A connection to a debug console.
struct Console(TcpStream);

impl Console {
    fn connect(port: u16) -> Console {
        let stream = TcpStream::connect(("localhost", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Console(stream)
    }

    /// Everything up to and with this.
    fn read_until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        let mut byte = [0];
        while !text.ends_with(end.as_bytes()) {
            let read = self.0.read(&mut byte).unwrap();
            assert!(read == 1, "no '{end}', but: {}", String::from_utf8_lossy(&text));
            text.push(byte[0]);
        }
        String::from_utf8(text).unwrap()
    }

    fn say(&mut self, line: &str) {
        self.0.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// The answer to a command.
    fn ask(&mut self, line: &str) -> String {
        self.say(line);
        self.read_until("a> ")
    }
}

/// The port and the password of the console, from the log.
fn console_of(node: &Program) -> (u16, String) {
    let line = node.log.wait_for("the debug console is open at ").text;
    let port = line.split("127.0.0.1:").nth(1).unwrap().split(' ').next().unwrap();
    let password = line.split("with the password ").nth(1).unwrap().split(' ').next().unwrap();
    (port.parse().unwrap(), password.to_owned())
}

#[test]
fn the_console_shows_the_node_to_who_has_the_password() {
    let system = SystemFolder::new("").node("a", &format!("{INJECTOR}, debugger: {{}}"));
    let system = system.node("b", "cuckoo: {}, logger: {file: /dev/null}").write();
    let (a, b) = (system.start("a"), system.start("b"));
    a.log.wait_for("link up");
    let mut injector = Injector::connect(&system, "a");
    assert_eq!(injector.say("('order', 'debug')"), "ok: queued for 1 role");
    let (port, password) = console_of(&a);

    let mut console = Console::connect(port);
    console.read_until("password: ");
    console.say("kozo");
    console.read_until("wrong password\npassword: ");
    console.say(&password);
    console.read_until("a> ");
    let status = console.ask("status");
    assert!(status.contains("2 of 2 roles running, 1 of 1 peers up"), "{status}");
    let roles = console.ask("roles");
    assert!(roles.contains("message_injector  running"), "{roles}");
    let peers = console.ask("peers");
    assert!(peers.contains("constant"), "{peers}");
    assert!(console.ask("halp").contains("help lists them"));

    console.say("tap tick");
    console.read_until("press Enter to stop\n");
    injector.say("('event', 'tick', 'kitchen', {'a': [1, None]})");
    let line = console.read_until("\n");
    let tapped: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(tapped["channel"], "kitchen");
    assert_eq!(tapped["role"], "injector");
    assert_eq!(tapped["data"], serde_json::json!({"a": [1, null]}));
    assert!(console.ask("").starts_with("1 shown, 0 dropped"));

    assert!(console.ask("log kozo=nonsense").contains("invalid log filter"));
    assert!(console.ask("log kozo::link=debug").starts_with("ok"));
    console.say("quit");
    let mut rest = String::new();
    console.0.read_to_string(&mut rest).unwrap();
    // The password is for those who read the daemon's log, on this machine.
    b.printed.wait_for("has left the debug console");
    assert!(!b.printed.text().contains(&password), "{}", b.printed.text());
}
