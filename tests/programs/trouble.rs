//! Roles in trouble: they say so and go on, and nobody else is harmed.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use nix::sys::signal::Signal;

use super::support::{
    DeadNameServer, INJECTOR, Injector, Program, Reader, SystemFolder, skipped, until,
};

const TIMER: &str = "timer: {tick: 50ms}";

/// Whether the Node ticks on, to itself and to its Peer, and stops as it should.
fn is_unharmed(mut node: Program, peer: &Program) {
    let seen = (node.printed.len(), peer.printed.len());
    node.printed.wait_after(seen.0, "Cuckoo! timer@a");
    peer.printed.wait_after(seen.1, "Cuckoo! timer@a");
    assert_eq!(peer.log.count("link down"), 0, "{}", peer.log.text());
    let (status, _) = node.stop(Signal::SIGTERM);
    assert!(status.success(), "{status}: {}", node.log.text());
}

/// A Node `a` with a timer, a cuckoo and this Role, and a Node `b` with a cuckoo.
fn system(role: &str) -> SystemFolder {
    let roles = format!("{TIMER}, cuckoo: {{log: false}}, {role}");
    SystemFolder::new("").node("a", &roles).node("b", "cuckoo: {log: false}").write()
}

#[test]
fn a_full_disk_costs_log_lines_and_nothing_else() {
    let system = system("logger: {file: /dev/full, flushEvery: 1}");
    let (a, b) = (system.start("a"), system.start("b"));
    let line = a.log.wait_for("cannot write /dev/full").text;
    assert!(line.contains("No space left on device"), "{line}");
    is_unharmed(a, &b);
}

/// Its Log Messages are larger than the whole queue of the logger.
#[test]
fn a_role_that_cannot_log_says_so_once() {
    let message = "x".repeat(5000);
    let roles = format!(
        "timer: {{tick: 20ms, message: {message}}}, cuckoo: {{log: false}}, \
         logger: {{file: /dev/null, messageQueueSize: 4KiB}}"
    );
    let a = SystemFolder::new("").node("a", &roles).write();
    let a = a.start("a");
    let mut seen = 0;
    for _ in 0..20 {
        a.printed.wait_after(seen, "Cuckoo! timer@a");
        seen = a.printed.len();
    }
    assert_eq!(a.log.count("cannot send a log message: the message takes "), 1, "{}", a.log.text());
}

#[test]
fn a_disk_that_has_room_again_gets_the_lines() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().display();
    let system = system(&format!("logger: {{file: {folder}/log, flushEvery: 1}}"));
    let script = format!(
        "mount -t tmpfs -o size=64k none {folder}; cat /dev/zero >{folder}/filler 2>/dev/null || :"
    );
    let Some(a) = system.start_among_mounts("a", &script) else { return skipped("a small disk") };
    let b = system.start("b");
    a.log.wait_for("No space left on device");
    let inside = Path::new("/proc").join(a.id().to_string()).join("root");
    let inside = inside.join(place.path().strip_prefix("/").unwrap());
    fs::remove_file(inside.join("filler")).unwrap();
    a.log.wait_for("can be written again");
    until("written the first line", || {
        let text = fs::read_to_string(inside.join("log")).unwrap();
        text.contains("<timer@a> Tick: ").then_some(())
    });
    is_unharmed(a, &b);
}

/// The disk takes a line, but not its newline.
#[test]
fn a_disk_that_fills_before_a_newline_gets_the_line_once() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().display();
    let roles =
        format!("logger: {{file: {folder}/log, flushEvery: 1, timePrefix: ''}}, {INJECTOR}");
    let system = SystemFolder::new("").node("a", &roles).write();
    let script =
        format!("mount -t tmpfs -o size=8k none {folder}; head -c 4096 /dev/zero >{folder}/filler");
    let Some(a) = system.start_among_mounts("a", &script) else { return skipped("a small disk") };
    a.log.wait_for("node 'a' runs");
    let inside = Path::new("/proc").join(a.id().to_string()).join("root");
    let inside = inside.join(place.path().strip_prefix("/").unwrap());
    let mut injector = Injector::connect(&system, "a");
    let frame = "<injector@a> ";
    let full = "x".repeat(4096 - frame.len());
    injector.say(&format!("('log', '{full}')"));
    a.log.wait_for("No space left on device");
    assert_eq!(fs::metadata(inside.join("log")).unwrap().len(), 4096);
    injector.say("('log', 'after')");
    fs::remove_file(inside.join("filler")).unwrap();
    let wanted = format!("{frame}{full}\n{frame}after\n");
    until("written on", || {
        let text = fs::read_to_string(inside.join("log")).unwrap();
        assert!(
            wanted.starts_with(&text),
            "{} bytes, of which at the end: {:?}",
            text.len(),
            &text[4090..]
        );
        (text == wanted).then_some(())
    });
}

#[test]
fn a_read_only_disk_harms_neither_logger_nor_storage() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().display();
    let system = system(&format!("logger: {{file: {folder}/log, flushEvery: 1}}"));
    let storage = system.storage("a");
    let script = format!(
        "mount -t tmpfs -o ro none {folder}; mount -t tmpfs -o ro none {}",
        storage.display()
    );
    let Some(a) = system.start_among_mounts("a", &script) else {
        return skipped("a read-only disk");
    };
    let b = system.start("b");
    let read_only = |what: &str| {
        let line = a.log.wait_for(what).text;
        assert!(line.contains("Read-only file system"), "{line}");
    };
    read_only(&format!("cannot write {folder}/log"));
    read_only(&format!("{} cannot be written", storage.join("cuckoo").display()));
    is_unharmed(a, &b);
}

#[test]
fn a_log_folder_that_vanishes_is_made_anew() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("log");
    let file = folder.join("a.log");
    let system = system(&format!("logger: {{file: {}, flushEvery: 1}}", file.display()));
    let (a, b) = (system.start("a"), system.start("b"));
    let lines = || fs::read_to_string(&file).is_ok_and(|text| text.contains("Tick"));
    until("logging", || lines().then_some(()));
    fs::remove_dir_all(&folder).unwrap();
    until("logging again", || lines().then_some(()));

    // With the folder above it gone too, a disk is not mounted: nothing is made in its place.
    fs::remove_dir_all(place.path()).unwrap();
    a.log.wait_for("cannot write ");
    fs::create_dir(place.path()).unwrap();
    until("logging once more", || lines().then_some(()));
    is_unharmed(a, &b);
}

#[test]
fn names_that_nobody_resolves_hold_up_no_disk() {
    // More than there are threads to ask the name server with.
    const NAMES: usize = 100;
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("log");
    let Some(server) = DeadNameServer::start(place.path()) else { return skipped("names") };
    let mut system = system(&format!("logger: {{file: {}, flushEvery: 1}}", file.display()));
    for name in 0..NAMES {
        system = system.unreachable_node(&format!("away{name}"), &format!("away{name}.example"));
    }
    let system = system.write();
    let Some(a) = system.start_among_mounts("a", &server.script) else { return skipped("names") };
    let b = system.start("b");
    server.wait_for_question();
    a.log.wait_for("link up");
    let logged = || fs::read_to_string(&file).map_or(0, |text| text.lines().count());
    until("logging while names are awaited", || (logged() > 40).then_some(()));
    is_unharmed(a, &b);
}

#[test]
fn a_corrupt_storage_file_is_set_aside_and_told() {
    let system = system("logger: {file: /dev/null}");
    fs::write(system.storage("a").join("cuckoo"), b"\xc1 no MessagePack").unwrap();
    let (a, b) = (system.start("a"), system.start("b"));
    let line = a.log.wait_for("is corrupt").text;
    let aside = system.storage("a").join("cuckoo.corrupt-1");
    assert!(line.contains(&aside.display().to_string()), "{line}");
    assert_eq!(fs::read(aside).unwrap(), b"\xc1 no MessagePack");
    is_unharmed(a, &b);

    let again = system.start("a");
    again.printed.wait_for("The last cuckoo was timer@a: ");
    assert_eq!(again.log.count("corrupt"), 0, "{}", again.log.text());
}

#[test]
fn an_injector_whose_port_is_taken_tries_again() {
    let system = system(INJECTOR);
    let taken = TcpListener::bind((system.address("a"), 7050)).unwrap();
    let (a, b) = (system.start("a"), system.start("b"));
    let line = a.log.wait_for("injector").text;
    let where_and_why = format!("cannot listen at {} port 7050", system.address("a"));
    assert!(line.contains(&where_and_why) && line.contains("in use"), "{line}");
    assert!(line.contains("restarting in 1 s"), "{line}");
    a.log.wait_for("restarting in 2 s");
    drop(taken);
    let answer = Injector::connect(&system, "a").say("('order', 'nothing')");
    assert_eq!(answer, "ok: no one is interested");
    is_unharmed(a, &b);
}

#[test]
fn a_reader_who_sleeps_stops_nothing() {
    // Every tick is a line, and a long one: the pipe is soon full.
    let message = "x".repeat(2000);
    let timer = format!("timer: {{tick: 5ms, log: false, message: {message}}}");
    let system = SystemFolder::new("heartbeat: 1")
        .node("a", &format!("{timer}, cuckoo: {{log: false}}, {INJECTOR}"))
        .node("b", "cuckoo: {log: false}")
        .write();
    let mut a = system.start_with_reader("a", Reader::Sleeps);
    let b = system.start("b");
    let enough = 200;
    until("ticking on", || (b.printed.count("Cuckoo! timer@a") > enough).then_some(()));
    let mut injector = Injector::connect(&system, "a");
    assert_eq!(injector.say("('order', 'nothing')"), "ok: no one is interested");
    assert_eq!(b.log.count("link down"), 0, "{}", b.log.text());
    a.read();
    a.printed.wait_for("Cuckoo! timer@a");
    is_unharmed(a, &b);
}

#[test]
fn a_reader_who_has_left_stops_nothing() {
    let system = system("logger: {file: /dev/null}");
    let mut a = system.start_with_reader("a", Reader::Gone);
    let b = system.start("b");
    b.printed.find("20 ticks", |lines| (lines.len() > 20).then_some(()));
    assert!(a.runs());
    let (status, _) = a.stop(Signal::SIGTERM);
    assert!(status.success(), "{status}: {}", a.log.text());
}
