//! What people write into configuration files, and what they are told: every file in `config/` with
//! the answer to it beside it, as a snapshot; and the private keys, which are made on the spot.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use kozo::config::{ConfigError, Loaded, NodeConfig, check, load};
use kozo::node::Types;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

/// An answer as text: the exit code, then what is said, or what the file was read as.
fn answer(result: &Result<Loaded, ConfigError>) -> String {
    let mut out = String::new();
    match result {
        Err(error) => {
            writeln!(out, "exit code {}\n\n{error}", error.exit_code()).unwrap();
        }
        Ok(loaded) => {
            writeln!(out, "fine").unwrap();
            for warning in &loaded.warnings {
                writeln!(out, "\n{warning}").unwrap();
            }
            for node in &loaded.system.nodes {
                writeln!(out, "\n{}", describe(node)).unwrap();
            }
        }
    }
    out
}

fn describe(node: &NodeConfig) -> String {
    let mut out = format!(
        "Node {}: {} {:?} storage {:?} self-to-others {:?} others-to-self {:?}\n  {:?}",
        node.name,
        node.public_key.algorithm(),
        node.private_key,
        node.role_storage,
        node.self_to_others,
        node.others_to_self,
        node.options,
    );
    for role in &node.roles {
        write!(out, "\n  Role {} of type {} {:?}", role.name, role.role_type, role.queue).unwrap();
        if let Some(description) = &role.description {
            write!(out, " {description:?}").unwrap();
        }
        for (name, value) in &role.options.0 {
            write!(out, "\n    {name}: {value:?}").unwrap();
        }
    }
    for transport in &node.transports {
        let (name, kind) = (&transport.name, &transport.transport_type);
        write!(out, "\n  Transport {name} of type {kind}").unwrap();
        for (name, value) in &transport.options.0 {
            write!(out, "\n    {name}: {value:?}").unwrap();
        }
    }
    out
}

fn snapshot(name: &str, content: &str) {
    insta::with_settings!({
        snapshot_path => "config",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(name, content);
    });
}

fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/config");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn every_file_has_its_answer() {
    let folder = TempDir::new().unwrap();
    let registry = Types::built_in().registry();
    for file in corpus() {
        // Under a name of its own, so that no path of this machine gets into the answer.
        let name = file.file_name().unwrap().to_str().unwrap();
        std::fs::copy(&file, folder.path().join(name)).unwrap();
        let result = load(&folder.path().join(name), None, &registry);
        let shown = answer(&result).replace(&format!("{}/", folder.path().display()), "");
        snapshot(name, &shown);
    }
}

#[test]
fn the_example_of_the_readme_is_fine() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/config/seeds-late.yml");
    let loaded = load(&file, None, &Types::built_in().registry()).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert_eq!(loaded.system.nodes.len(), 2);
    assert!(loaded.local.is_none());
    let scribe = loaded.system.node("scribe").unwrap();
    let address = scribe.transports[0].options.list("address");
    assert_eq!(address, ["scribe.local", "10.13.37.51", "oierhgioenhi54j4jnmr56kdshbded.onion"]);
}

#[test]
fn a_file_that_is_not_there() {
    let folder = TempDir::new().unwrap();
    for path in [folder.path().join("config.yml"), folder.path().to_owned()] {
        let error = load(&path, None, &Types::built_in().registry()).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        assert!(error.to_string().starts_with("error: cannot read `"), "{error}");
    }
}

#[test]
fn a_pipe_is_not_waited_for() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("config.yml");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let error = load(&path, None, &Types::built_in().registry()).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error}");
    assert!(error.to_string().contains("this is not a file"), "{error}");
}

#[test]
fn a_file_that_is_too_large() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("config.yml");
    std::fs::write(&path, "# long comment\n".repeat(400_000)).unwrap();
    let error = load(&path, None, &Types::built_in().registry()).unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert!(error.to_string().contains("the file is larger than 4 MiB"), "{error}");
}

#[test]
fn colour_only_where_it_is_asked_for() {
    let error = check("config.yml", "system:\n", None, &Types::built_in().registry()).unwrap_err();
    assert!(!error.to_string().contains('\x1b'));
    assert!(error.render(true).contains('\x1b'));
}

/// A folder with key pairs, and a configuration that uses them.
struct Keys {
    folder: TempDir,
}

impl Keys {
    fn new() -> Self {
        Keys { folder: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a pair with `ssh-keygen` and returns its public half.
    fn make(&self, name: &str, arguments: &[&str]) -> String {
        let path = self.path(name);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-C", "somebody", "-f"])
            .arg(&path)
            .args(arguments)
            .args(if arguments.contains(&"-N") { &[][..] } else { &["-N", ""] })
            .status()
            .expect("ssh-keygen is needed for this test");
        assert!(made.success());
        std::fs::read_to_string(path.with_extension("pub")).unwrap().trim().to_owned()
    }

    fn ed25519(&self, name: &str) -> String {
        self.make(name, &["-t", "ed25519"])
    }

    /// The answer for Node `clock` with this private and public key and these further lines.
    fn check(&self, private: &str, public: &str, rest: &str) -> Result<Loaded, ConfigError> {
        let private = self.path(private);
        let text = format!(
            "system:\n  clock:\n    privateKey: {}\n    publicKey: {public}\n{rest}",
            private.display()
        );
        check("config.yml", &text, Some("clock"), &Types::built_in().registry())
    }

    /// An answer without what differs every time: the folder, the keys, the length of markers.
    fn redact(&self, result: &Result<Loaded, ConfigError>) -> String {
        let mut out = answer(result).replace(&format!("{}", self.folder.path().display()), "[dir]");
        for start in ["AAAA", "SHA256:"] {
            while let Some(at) = out.find(start) {
                let rest = &out[at..];
                let end = rest.find(|c: char| c.is_whitespace() || c == ',').unwrap_or(rest.len());
                out.replace_range(at..at + end, "[key]");
            }
        }
        for mark in ["^", "-"] {
            let (four, five) = (mark.repeat(4), mark.repeat(5));
            while out.contains(&five) {
                out = out.replace(&five, &four);
            }
        }
        out
    }

    fn refused(&self, name: &str, result: &Result<Loaded, ConfigError>) {
        assert_eq!(result.as_ref().unwrap_err().exit_code(), 1);
        snapshot(name, &self.redact(result));
    }
}

#[test]
fn private_keys_of_every_type_and_format() {
    let keys = Keys::new();
    for (name, arguments) in [
        ("ed25519", &["-t", "ed25519"][..]),
        ("rsa", &["-t", "rsa", "-b", "2048"]),
        ("rsa-pkcs1", &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
        ("rsa-pkcs8", &["-t", "rsa", "-b", "3072", "-m", "PKCS8"]),
        ("nistp256", &["-t", "ecdsa", "-b", "256"]),
        ("nistp256-sec1", &["-t", "ecdsa", "-b", "256", "-m", "PEM"]),
        ("nistp384-pkcs8", &["-t", "ecdsa", "-b", "384", "-m", "PKCS8"]),
        ("nistp521", &["-t", "ecdsa", "-b", "521"]),
        ("nistp521-sec1", &["-t", "ecdsa", "-b", "521", "-m", "PEM"]),
    ] {
        let public = keys.make(name, arguments);
        let loaded =
            keys.check(name, &public, "").unwrap_or_else(|error| panic!("{name}: {error}"));
        let local = loaded.local.expect("the Node was named");
        assert_eq!(local.config.name, "clock");
        assert_eq!(
            local.private_key.public_key().key_data(),
            local.config.public_key.key_data(),
            "{name}"
        );
        assert!(local.config.public_key.comment().is_empty(), "{name}");
    }
}

#[test]
fn private_key_missing() {
    let keys = Keys::new();
    let public = keys.ed25519("own");
    keys.refused("private-key-missing", &keys.check("none", &public, ""));
}

#[test]
fn private_key_is_a_folder() {
    let keys = Keys::new();
    let public = keys.ed25519("own");
    std::fs::create_dir(keys.path("folder")).unwrap();
    keys.refused("private-key-folder", &keys.check("folder", &public, ""));
}

#[test]
fn private_key_open_to_others() {
    let keys = Keys::new();
    let public = keys.ed25519("own");
    for mode in [0o640, 0o604, 0o602, 0o610] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(keys.path("own"), permissions).unwrap();
        let result = keys.check("own", &public, "");
        assert!(result.unwrap_err().to_string().contains("accessible to users other"), "{mode:o}");
    }
    let permissions = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(keys.path("own"), permissions).unwrap();
    keys.refused("private-key-open", &keys.check("own", &public, ""));
}

#[test]
fn private_key_of_somebody_else() {
    let keys = Keys::new();
    keys.ed25519("own");
    let public = keys.ed25519("other");
    keys.refused("private-key-of-another", &keys.check("own", &public, ""));
}

#[test]
fn private_key_with_a_passphrase() {
    let keys = Keys::new();
    let secret = ["-N", "secret"];
    for (name, format) in
        [("openssh", &["-t", "ed25519"][..]), ("pem", &["-t", "rsa", "-m", "PEM"])]
    {
        let public = keys.make(name, &[format, &secret].concat());
        let result = keys.check(name, &public, "");
        keys.refused(&format!("private-key-encrypted-{name}"), &result);
    }
}

#[test]
fn private_key_that_is_none() {
    let keys = Keys::new();
    let public = keys.ed25519("own");
    for (name, content) in [
        ("public", public.as_bytes()),
        ("other-text", b"hello\n"),
        ("empty", b""),
        ("bytes", &[0xff, 0xfe, 0, 1]),
    ] {
        std::fs::write(keys.path(name), content).unwrap();
        let permissions = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(keys.path(name), permissions).unwrap();
        keys.refused(&format!("private-key-{name}"), &keys.check(name, &public, ""));
    }
    let own = std::fs::read_to_string(keys.path("own")).unwrap();
    let cut: String = own.lines().take(3).map(|line| format!("{line}\n")).collect();
    std::fs::write(keys.path("own"), cut).unwrap();
    keys.refused("private-key-truncated", &keys.check("own", &public, ""));
}

#[test]
fn private_keys_of_other_nodes_do_not_matter() {
    let keys = Keys::new();
    let (public, other) = (keys.ed25519("own"), keys.ed25519("other"));
    let rest = format!("  scribe:\n    privateKey: /nowhere/at/all\n    publicKey: {other}\n");
    keys.check("own", &public, &rest).unwrap();
}

#[test]
fn unknown_types_on_the_own_node() {
    let keys = Keys::new();
    let public = keys.ed25519("own");
    let rest = "    roles:\n      timr:\n      motion:\n        type: motion-detect\n    \
                transports:\n      bluetooth:\n        uuid: 1\n";
    keys.refused("unknown-types-here", &keys.check("own", &public, rest));
}

#[test]
fn unknown_types_on_another_node() {
    let keys = Keys::new();
    let (public, other) = (keys.ed25519("own"), keys.ed25519("other"));
    let rest = format!(
        "  scribe:\n    privateKey: /k\n    publicKey: {other}\n    roles:\n      seismograph:\n"
    );
    let loaded = keys.check("own", &public, &rest).unwrap();
    let [warning] = loaded.warnings.as_slice() else { panic!("{:?}", loaded.warnings) };
    assert!(warning.starts_with("warning: there is no Role type `seismograph`"), "{warning}");
    assert!(loaded.local.is_some());
}

#[test]
fn a_node_that_is_not_in_the_file() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/config/seeds-late.yml");
    let text = std::fs::read_to_string(file).unwrap();
    let error =
        check("config.yml", &text, Some("scrbie"), &Types::built_in().registry()).unwrap_err();
    assert_eq!(error.exit_code(), 4);
    let ConfigError::UnknownNode(unknown) = &error else { panic!("{error:?}") };
    assert_eq!(unknown.suggestion.as_deref(), Some("scribe"));
    assert_eq!(unknown.nodes, ["clock", "scribe"]);
    snapshot("unknown-node", &answer(&Err(error)));
}

#[test]
fn a_node_that_is_not_in_a_file_with_problems() {
    let result = check(
        "config.yml",
        "system:\n  clock: {}\n",
        Some("scribe"),
        &Types::built_in().registry(),
    );
    assert_eq!(result.as_ref().unwrap_err().exit_code(), 1);
    snapshot("unknown-node-and-problems", &answer(&result));
}
