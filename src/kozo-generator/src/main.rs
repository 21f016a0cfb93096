//! The systemd generator: reads the configuration of a System and writes what systemd has to know of
//! its Nodes.
//!
//! Systemd runs it early in every boot and on every `systemctl daemon-reload`, with the folder to write to
//! as its first argument (see systemd.generator(7)). Nothing it finds may stop that: whatever is wrong
//! becomes one line in the kernel's log, and the exit code is always 0. It reads the one file, looks which
//! drop-ins are installed, and asks no other program.
//!
//! It writes for every Node of the file; which of them run on this machine is what `systemctl enable`
//! says. Types of Roles and Transports need not be known here: their options are taken as they are written, and
//! what they ask of systemd is in the drop-ins that come with them. What the description of a type says of where it
//! listens and writes is done for the types that are known.

mod limits;
mod units;
mod write;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use kozo_core::config::{self, ConfigError, Registry};
use kozo_core::places::CONFIG;
use kozo_core::types;

/// What Roles and Transports ask of systemd: `role-TYPE.conf` and `transport-TYPE.conf`.
const DROP_INS: &str = "/usr/lib/kozo/drop-ins";

fn main() {
    // What a panic has to say would go nowhere but to the console of a machine that boots.
    std::panic::set_hook(Box::new(|_| {}));
    let all = std::panic::catch_unwind(|| {
        let Some(out) = std::env::args_os().nth(1).map(PathBuf::from) else {
            return Err("systemd must run it, with the folder to write to".to_owned());
        };
        generate(Path::new(CONFIG), Path::new(DROP_INS), &out)
    });
    match all {
        Ok(Ok(())) => {}
        Ok(Err(problem)) => say(&problem),
        Err(_) => say("it failed: systemd opens no sockets for Nodes"),
    }
}

/// Writes for all Nodes of a file. One line says what went wrong; with one Node, the others have theirs.
fn generate(config: &Path, drop_ins: &Path, out: &Path) -> Result<(), String> {
    let loaded =
        config::load(config, None, &Registry::default()).map_err(|error| in_a_line(&error))?;
    let (types, mut failed) = (types::built_in(), Vec::new());
    for node in &loaded.system.nodes {
        let units = units::of_node(node, &loaded.system, &types, config, out);
        if let Err(error) = write::node(&node.name, &units, drop_ins, out) {
            failed.push(format!("'{}': {error}", node.name));
        }
    }
    match failed.as_slice() {
        [] => Ok(()),
        failed => Err(format!("cannot write for Node {}", failed.join("; for Node "))),
    }
}

/// What is wrong first, and where.
fn in_a_line(error: &ConfigError) -> String {
    let text = error.render(false);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let what = lines.next().unwrap_or("it cannot be used");
    match lines.find_map(|line| line.strip_prefix("--> ").or(line.strip_prefix("= note: "))) {
        Some(place) => format!("{what} ({place})"),
        None => what.to_owned(),
    }
}

/// One line for the kernel's log, the only one that there is so early; where there is none (in a
/// container), for standard error. It is a warning, unless there is no file: so the packages leave a machine.
fn say(problem: &str) {
    let line: String = problem.chars().filter(|c| !c.is_control()).take(300).collect();
    // A warning (4) or information (6) of a daemon (3).
    let level = if matches!(Path::new(CONFIG).try_exists(), Ok(false)) { 30 } else { 28 };
    let entry = format!("<{level}>kozo-generator: {line}\n");
    let kernel = std::fs::OpenOptions::new().write(true).open("/dev/kmsg");
    if kernel.and_then(|mut log| log.write_all(entry.as_bytes())).is_err() {
        // There is no one else to tell.
        let _ = writeln!(std::io::stderr(), "kozo-generator: {line}");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const SYSTEM: &str = "\
system:
  clock:
    privateKey: /etc/kozo/clock key
    publicKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJT1wTqcxP8JEZ/8l1rrKs+1Trp8IGbBxgRFVdqVhUp/
    roles:
      timer1:
        type: timer
        tick: 1
      log:
        type: logger
        file: /srv/100% logs/kozo.log
      hall:
        type: motion-detect
        file: /srv/films/hall
    transports:
      radio:
        port: 7
      tcp:
        address: clock
        bindAddress: 10.0.0.1
        port: 6021
      my lan:
        type: tcp
        address: clock
        bindAddress: fe80::1
        socketConnectionBacklog: 12
      named:
        type: tcp
        address: clock
        bindAddress: clock.local
  scribe:
    privateKey: keys/relative
    publicKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN2F7XNs10b9Jt5d2zPIdCHpjJrmbcwIM4PWmThvJCIT
    roleStorage: /var/lib/kozo/storage
    transports:
      tcp:
        address: scribe
";

    /// Everything below a folder, links as `-> target`.
    fn tree(folder: &Path) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap().map(Result::unwrap) {
                let (path, kind) = (entry.path(), entry.file_type().unwrap());
                let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_symlink() {
                    let target = fs::read_link(&path).unwrap();
                    found.insert(name, format!("-> {}", target.display()));
                } else {
                    found.insert(name, fs::read_to_string(&path).unwrap());
                }
            }
        }
        found
    }

    #[test]
    fn every_node_gets_what_it_needs_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let (config, drop_ins, out) = (
            folder.path().join("kozo.yml"),
            folder.path().join("drop-ins"),
            folder.path().join("out"),
        );
        fs::create_dir(&drop_ins).unwrap();
        fs::create_dir(&out).unwrap();
        for name in ["programs", "role-logger", "role-motion-detect", "transport-tcp"] {
            fs::write(drop_ins.join(format!("{name}.conf")), "").unwrap();
        }
        fs::write(&config, SYSTEM).unwrap();
        generate(&config, &drop_ins, &out).unwrap();

        let found = tree(&out);
        let names: Vec<_> = found.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "kozo-transport@clock:my\\x20lan.socket",
                "kozo-transport@clock:tcp.socket",
                "kozo-transport@scribe:tcp.socket",
                "kozo@clock.key",
                "kozo@clock.service.d/10-kozo-generator.conf",
                "kozo@clock.service.d/programs.conf",
                "kozo@clock.service.d/role-logger.conf",
                "kozo@clock.service.d/role-motion-detect.conf",
                "kozo@clock.service.d/transport-tcp.conf",
                "kozo@clock.socket.d/10-kozo-generator.conf",
                "kozo@scribe.service.d/10-kozo-generator.conf",
                "kozo@scribe.service.d/transport-tcp.conf",
                "kozo@scribe.socket.d/10-kozo-generator.conf",
            ]
        );
        let text = |name: &str| found.get(name).unwrap().as_str();
        let has = |name: &str, line: &str| {
            assert!(text(name).lines().any(|found| found == line), "{line}\n{}", text(name));
        };
        let target = text("kozo@clock.service.d/role-logger.conf");
        assert_eq!(target, format!("-> {}", drop_ins.join("role-logger.conf").display()));

        let service = "kozo@clock.service.d/10-kozo-generator.conf";
        has(service, &format!("LoadCredential=clock.key:{}/kozo@clock.key", out.display()));
        assert_eq!(text("kozo@clock.key"), "-> /etc/kozo/clock key");
        has(service, "SetCredential=clock.key:\\n");
        has(service, "ReadWritePaths=\"-/srv/100%% logs\"");
        assert!(!text(service).contains("films"), "what is unknown writes where its drop-in says");
        let both = "Wants=kozo-transport@clock:tcp.socket kozo-transport@clock:my\\x20lan.socket";
        has(service, both);
        has("kozo@clock.socket.d/10-kozo-generator.conf", both);
        let scribe = text("kozo@scribe.service.d/10-kozo-generator.conf");
        assert!(!scribe.contains("LoadCredential=") && !scribe.contains("ReadWritePaths="));

        let tcp = "kozo-transport@clock:tcp.socket";
        has(tcp, "PartOf=kozo.target kozo@clock.socket");
        has(tcp, "Service=kozo@clock.service");
        has(tcp, "ListenStream=10.0.0.1:6021");
        has(tcp, "FileDescriptorName=tcp");
        let lan = "kozo-transport@clock:my\\x20lan.socket";
        has(lan, "ListenStream=[fe80::1]:6020");
        has(lan, "FileDescriptorName=my%%20lan");
        has(lan, "Backlog=12");
        has("kozo-transport@scribe:tcp.socket", "ListenStream=6020");
    }

    #[test]
    fn what_goes_wrong_with_one_node_is_said_and_the_next_one_has_its_units() {
        let folder = tempfile::tempdir().unwrap();
        let (config, out) = (folder.path().join("kozo.yml"), folder.path().join("out"));
        fs::create_dir(&out).unwrap();
        fs::write(&config, SYSTEM).unwrap();
        fs::write(out.join("kozo@clock.service.d"), "in the way").unwrap();
        let problem = generate(&config, folder.path(), &out).unwrap_err();
        assert!(problem.starts_with("cannot write for Node 'clock': "), "{problem}");
        assert!(tree(&out).contains_key("kozo@scribe.service.d/10-kozo-generator.conf"));
    }

    #[test]
    fn a_node_has_room_for_what_its_queues_may_hold_and_for_where_it_stores() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("kozo.yml");
        let service = |text: &str| {
            fs::write(&config, text).unwrap();
            let out = tempfile::tempdir().unwrap();
            generate(&config, folder.path(), out.path()).unwrap();
            let units = tree(out.path());
            units.get("kozo@scribe.service.d/10-kozo-generator.conf").unwrap().clone()
        };
        let number = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap().parse::<u64>().unwrap()
        };
        const MIB: u64 = 1024 * 1024;
        let usual = service(SYSTEM);
        let high = number(&usual, "MemoryHigh");
        assert!(high > 256 * MIB && high < 384 * MIB, "{high}");
        assert_eq!(number(&usual, "MemoryMax"), high + high / 4);
        assert!(number(&usual, "TasksMax") > 64);
        assert!(number(&usual, "LimitNOFILE") > 1024);

        let more = service(&format!("outgoingQueueSize: 1GiB\n{SYSTEM}"));
        assert!(number(&more, "MemoryHigh") >= high + 1020 * MIB);
        let longer = service(&format!("outgoingQueueLength: 1000000\n{SYSTEM}"));
        assert!(number(&longer, "MemoryHigh") > high + 200 * MIB);

        let role = "    roles:\n      bell: {type: exec, every: 1min, run: date}\n    transports:\n      tcp:\n        address: scribe\n";
        let programs = service(
            &SYSTEM.replace("    transports:\n      tcp:\n        address: scribe\n", role),
        );
        assert!(number(&programs, "MemoryHigh") >= high + 512 * MIB);
        assert_eq!(number(&programs, "TasksMax"), number(&usual, "TasksMax") + 1024);
        // One that is not there: what it would have is not known. With a file beside it that describes it, it is.
        let roles = folder.path().join("roles");
        fs::create_dir(&roles).unwrap();
        fs::write(roles.join("gong"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(roles.join("gong"), Permissions::from_mode(0o755)).unwrap();
        fs::write(roles.join("gong.json"), r#"{"format": "1.0"}"#).unwrap();
        let role = role.replace(
            "bell: {type: exec, every: 1min, run: date}",
            "bell: {type: gong, memoryLimit: 2GiB}",
        );
        let text = SYSTEM.replace("    transports:\n      tcp:\n        address: scribe\n", &role);
        let limited = service(&format!("rolePath: {}\n{text}", roles.display()));
        let more = number(&limited, "MemoryHigh") - number(&programs, "MemoryHigh");
        assert_eq!(more, 1536 * MIB);

        assert!(!usual.contains("LogsDirectory="));
        let storage = service(&SYSTEM.replace("/var/lib/kozo/storage", "/var/log/kozo/storage"));
        assert!(storage.contains("LogsDirectory=kozo\n") && !storage.contains("ReadWritePaths="));
    }

    fn make_pipe(path: &Path) {
        let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("kozo.yml");
        make_pipe(&config);
        let problem = generate(&config, folder.path(), folder.path()).unwrap_err();
        assert!(problem.contains("this is not a file"), "{problem}");
    }

    #[test]
    fn a_key_that_never_ends_is_not_for_systemd_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let [config, key, out] = ["kozo.yml", "key", "out"].map(|name| folder.path().join(name));
        fs::create_dir(&out).unwrap();
        let text = SYSTEM.replace("/etc/kozo/clock key", &key.display().to_string());
        assert_ne!(text, SYSTEM);
        fs::write(&config, text).unwrap();
        let loads = || {
            generate(&config, folder.path(), &out).unwrap();
            let units = tree(&out);
            let service = units.get("kozo@clock.service.d/10-kozo-generator.conf").unwrap();
            assert!(service.contains("\nSetCredential=clock.key:\\n\n"), "{service}");
            fs::remove_dir_all(&out).unwrap();
            fs::create_dir(&out).unwrap();
            service.contains("LoadCredential=")
        };
        assert!(loads(), "it may be there later");
        make_pipe(&key);
        assert!(!loads());
        fs::remove_file(&key).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &key).unwrap();
        assert!(!loads());
        fs::remove_file(&key).unwrap();
        fs::write(&key, "").unwrap();
        assert!(loads());
    }

    #[test]
    fn what_is_wrong_is_one_line_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("kozo.yml");
        let out = folder.path().join("out");
        fs::create_dir(&out).unwrap();
        let refused = |text: Option<&str>| {
            if let Some(text) = text {
                fs::write(&config, text).unwrap();
            }
            let problem = generate(&config, folder.path(), &out).unwrap_err();
            assert!(!problem.contains('\n') && tree(&out).is_empty(), "{problem}");
            problem
        };
        let place = config.display();
        assert!(refused(None).contains("No such file"));
        assert!(refused(Some("system:\n\tclock:\n")).contains(&format!("{place}:2:1")));
        let misspelt = SYSTEM.replace("roleStorage", "roleStorrage");
        let line = 1 + SYSTEM.lines().position(|line| line.contains("roleStorage")).unwrap();
        assert!(refused(Some(&misspelt)).contains(&format!("{place}:{line}:5")));
        assert!(refused(Some("")).contains("empty"));
    }
}
