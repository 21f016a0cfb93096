//! Public keys in the file, and the private key beside it.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use data_encoding::BASE64_MIME;
use ssh_key::encoding::Decode as _;
use ssh_key::public::{KeyData, RsaPublicKey};
use ssh_key::{Algorithm, HashAlg, PrivateKey, PublicKey};

use super::report::{Problem, Span, list, quoted};
use super::suggest::nearest;
use crate::private_key::{self, PrivateKeyError};

/// Types of keys that a Node may have.
const TYPES: &[&str] = &[
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
];

/// Bits of an RSA key below which it is not safe any more.
const SHORTEST_RSA: u32 = 2048;

/// No private key file is larger.
const LARGEST_FILE: u64 = 64 * 1024;

/// Reads a `publicKey`. The comment is left out: it does not belong to who a Node is.
pub(super) fn public(text: &str, span: &Span) -> Result<PublicKey, Box<Problem>> {
    let refuse = |title: String| {
        let problem = Problem::new(span.clone(), title);
        problem.note("allowed: the line of an OpenSSH public key file: `ssh-ed25519 AAAA… comment`")
    };
    if text.contains("PRIVATE KEY") {
        return Err(Box::new(
            refuse("this is a private key, `publicKey` takes the public one".to_owned())
                .help("make a new pair: everyone who can read this file knows this private key"),
        ));
    }
    if text.trim_start().starts_with("----") {
        return Err(Box::new(
            refuse("this is a public key in another format than OpenSSH's".to_owned())
                .help("`ssh-keygen -i -m PKCS8 -f FILE` converts a PEM public key"),
        ));
    }
    let mut words = text.split_whitespace();
    let (kind, data) = (words.next().unwrap_or(""), words.next());
    if !TYPES.contains(&kind) {
        return Err(Box::new(other_type(kind, data, refuse)));
    }
    let Some(data) = data else {
        return Err(Box::new(refuse(format!("the key itself is missing after `{kind}`"))));
    };
    let damaged = |error: &dyn std::fmt::Display| {
        refuse("this public key is damaged".to_owned())
            .note(format!("reading it failed: {error}"))
            .help("copy the whole line again: part of it may be missing, or it may have been broken in two")
    };
    let found = match algorithm(data) {
        Ok(algorithm) => algorithm.as_str().to_owned(),
        Err(error) => return Err(Box::new(damaged(&error))),
    };
    if found != kind {
        return Err(Box::new(refuse(format!(
            "the line says type `{kind}`, but the key is of type {}",
            quoted(&found)
        ))));
    }
    // Once more, strictly: the first look ignores what follows the key in its data.
    match PublicKey::from_openssh(&format!("{kind} {data}")) {
        Ok(key) => match rsa_bits(&key) {
            Some(bits) if bits < SHORTEST_RSA => {
                Err(Box::new(too_short(refuse(format!("an RSA key of {bits} bits is too short")))))
            }
            _ => Ok(key),
        },
        Err(error) => Err(Box::new(damaged(&error))),
    }
}

/// Which key it is, by its data in Base64.
fn algorithm(data: &str) -> Result<Algorithm, PrivateKeyError> {
    let data = BASE64_MIME.decode(data.as_bytes())?;
    let mut rest = data.as_slice();
    let algorithm = Algorithm::decode(&mut rest).map_err(ssh_key::Error::from)?;
    // Not `KeyData::decode`: of a certificate it decodes the keys in it, however deeply they are nested.
    KeyData::decode_as(&mut rest, algorithm.clone())?;
    Ok(algorithm)
}

fn too_short(problem: Problem) -> Problem {
    problem
        .note(format!("an RSA key has at least {SHORTEST_RSA} bits"))
        .help("make a new pair: `ssh-keygen -t ed25519`")
}

fn rsa_bits(key: &PublicKey) -> Option<u32> {
    key.key_data().rsa().map(RsaPublicKey::key_size)
}

/// Why a text is no key of an allowed type.
fn other_type(kind: &str, data: Option<&str>, refuse: impl Fn(String) -> Problem) -> Problem {
    let types = || format!("types of keys: {}", list(TYPES.iter().copied()));
    if kind.is_empty() {
        return refuse("`publicKey` is empty".to_owned());
    }
    if kind.starts_with("AAAA") {
        let found = algorithm(kind).ok().map(|algorithm| algorithm.to_string());
        let problem = refuse("the type of the key is missing before the key".to_owned());
        return match found {
            Some(found) => problem.help(format!("put `{found} ` before it")),
            None => problem.note(types()),
        };
    }
    if data.is_none() && (kind.starts_with(['/', '~', '.']) || kind.ends_with(".pub")) {
        return refuse("`publicKey` takes the key itself, not a path to it".to_owned())
            .help("put the content of that file here");
    }
    let problem = refuse(format!("a key of type {} cannot be used", quoted(kind))).note(types());
    match kind {
        "ssh-dss" => problem.help("DSA is not safe: make a new pair with `ssh-keygen -t ed25519`"),
        "rsa-sha2-256" | "rsa-sha2-512" => problem.help("write `ssh-rsa` before an RSA key"),
        _ if kind.starts_with("sk-") => {
            problem.help("a Node cannot touch a security key: use one in a file")
        }
        _ if kind.contains("-cert-v") => problem.help("use the key itself, not its certificate"),
        _ => problem.did_you_mean(nearest(kind, TYPES.iter().copied())),
    }
}

/// Where systemd has put the private key of a Node, if it has: `LoadCredential=NODE.key:PATH` reads what
/// the service itself may not, and what it reads goes before the path in the file. `directory` is
/// `$CREDENTIALS_DIRECTORY`.
pub(super) fn credential(directory: Option<OsString>, node: &str) -> Option<PathBuf> {
    let path = Path::new(&directory?).join(format!("{node}.key"));
    path.is_file().then_some(path)
}

/// A Node's private key, as the file names it.
pub(super) struct Named<'a> {
    /// The Node.
    pub(super) node: &'a str,
    /// The path in the file.
    pub(super) path: &'a Path,
    /// Where systemd has put it, if it has: then the file itself is not for this process to read.
    pub(super) credential: Option<PathBuf>,
    /// Where the path stands.
    pub(super) span: &'a Span,
}

/// Reads a Node's own private key and makes sure that it belongs to its public key (given with its
/// place) and to no other user.
pub(super) fn private(
    named: &Named<'_>,
    public: Option<(&PublicKey, &Span)>,
) -> Result<PrivateKey, Vec<Problem>> {
    let shown = quoted(&named.path.to_string_lossy());
    let refuse = |title: String| Problem::new(named.span.clone(), title);
    let (secret, mode) = match &named.credential {
        Some(credential) => {
            let (secret, _) =
                read(credential).map_err(|error| vec![unreadable(named, &shown, &error)])?;
            if secret.trim_ascii().is_empty() {
                return Err(vec![not_given(named, &shown)]);
            }
            // Like any other user this one sees how open the file is, unless no other user gets there.
            (secret, std::fs::metadata(named.path).ok().map(|found| found.mode()))
        }
        None => {
            let (secret, mode) =
                read(named.path).map_err(|error| vec![unreadable(named, &shown, &error)])?;
            (secret, Some(mode))
        }
    };
    let mut problems = Vec::new();
    if let Some(mode) = mode.filter(|mode| mode & 0o077 != 0) {
        problems.push(
            refuse(format!("the private key {shown} is accessible to users other than its owner"))
                .note(format!("its mode is {:04o}", mode & 0o7777))
                .help("`chmod 600 FILE` restricts it to its owner"),
        );
    }
    let key = match decode(&secret) {
        Ok(key) => key,
        Err(reason) => {
            problems.push(reason.problem(&shown, refuse));
            return Err(problems);
        }
    };
    if let Some(bits) = rsa_bits(key.public_key())
        && bits < SHORTEST_RSA
    {
        let title = format!("the private key {shown} is an RSA key of {bits} bits: too short");
        problems.push(too_short(refuse(title)));
    }
    if let Some((public, public_span)) = public
        && key.public_key().key_data() != public.key_data()
    {
        problems.push(
            refuse(format!("the private key {shown} does not belong to this `publicKey`"))
                .other(public_span.clone(), "this is the public half of another key")
                .note(format!(
                    "fingerprints: {} in that file, {} here",
                    key.public_key().fingerprint(HashAlg::Sha256),
                    public.fingerprint(HashAlg::Sha256)
                ))
                .help("`ssh-keygen -y -f FILE` prints the public half of a private key"),
        );
    }
    if problems.is_empty() { Ok(key) } else { Err(problems) }
}

/// The content of a private key file and its mode.
fn read(path: &Path) -> std::io::Result<(Vec<u8>, u32)> {
    let file = super::open(path)?;
    let metadata = file.metadata()?;
    if metadata.size() > LARGEST_FILE {
        return Err(std::io::Error::other("it is too large for a key"));
    }
    let mut secret = Vec::new();
    file.take(LARGEST_FILE).read_to_end(&mut secret)?;
    Ok((secret, metadata.permissions().mode()))
}

fn unreadable(named: &Named<'_>, shown: &str, error: &std::io::Error) -> Problem {
    match error.kind() {
        std::io::ErrorKind::NotFound => missing(named, shown)
            .help(
                "`ssh-keygen -t ed25519 -N '' -f FILE` makes a pair; relative paths start at the \
                 current folder",
            )
            .note(error.to_string()),
        kind => {
            let title = format!("the private key {shown} cannot be read");
            let problem = Problem::new(named.span.clone(), title).note(error.to_string());
            match kind {
                std::io::ErrorKind::PermissionDenied => problem.help(
                    "for a service systemd reads it, from where the file said at the last `systemctl daemon-reload`",
                ),
                _ => problem,
            }
        }
    }
}

/// Systemd found no key to give, and gave an empty one, so that it is this program that says so.
fn not_given(named: &Named<'_>, shown: &str) -> Problem {
    match std::fs::metadata(named.path) {
        Ok(found) if found.is_file() && found.len() == 0 => {
            Problem::new(named.span.clone(), format!("the private key {shown} is empty"))
        }
        Ok(found) if found.is_file() => {
            let title = format!("systemd has not read the private key {shown}");
            Problem::new(named.span.clone(), title)
                .help("`systemctl daemon-reload` makes it read the configuration; then start the Node again")
        }
        Ok(_) => Problem::new(named.span.clone(), format!("the private key {shown} cannot be read"))
            .note("this is not a file"),
        Err(_) => missing(named, shown).help(format!(
            "if it does: `systemctl disable --now kozo@{0} kozo@{0}.socket`; if not, put its key there",
            named.node
        )),
    }
}

/// The file is the same on every machine: the likeliest mistake is a Node that runs on the wrong one.
fn missing(named: &Named<'_>, shown: &str) -> Problem {
    let title = format!(
        "there is no private key {shown} for Node {}: perhaps this Node belongs to another machine",
        quoted(named.node)
    );
    Problem::new(named.span.clone(), title)
}

/// Why the content of a file is no private key that can be used.
enum NoKey {
    Public,
    Encrypted,
    Other(String),
}

impl NoKey {
    fn problem(self, shown: &str, refuse: impl Fn(String) -> Problem) -> Problem {
        match self {
            NoKey::Public => refuse(format!("{shown} is a public key, not a private one"))
                .help("the private key is usually the file of the same name without `.pub`"),
            NoKey::Encrypted => refuse(format!("the private key {shown} has a passphrase"))
                .note("a Node starts unattended: it cannot ask for a passphrase")
                .help("`ssh-keygen -p -N '' -f FILE` removes it"),
            NoKey::Other(reason) => refuse(format!("{shown} is not a private key"))
                .note(format!("reading it failed: {reason}"))
                .note("allowed: OpenSSH or PEM, of type Ed25519, RSA or ECDSA"),
        }
    }
}

fn decode(secret: &[u8]) -> Result<PrivateKey, NoKey> {
    let Ok(secret) = std::str::from_utf8(secret) else {
        return Err(NoKey::Other("it is not text".to_owned()));
    };
    let header: String = secret.lines().take(4).collect();
    let first = secret.split_whitespace().next().unwrap_or("");
    if TYPES.contains(&first) || header.contains("BEGIN PUBLIC KEY") {
        return Err(NoKey::Public);
    }
    let key = private_key::decode(secret).map_err(|error| match error {
        PrivateKeyError::Encrypted => NoKey::Encrypted,
        other => NoKey::Other(other.to_string()),
    })?;
    if !TYPES.contains(&key.algorithm().as_str()) {
        return Err(NoKey::Other(format!("keys of type {} cannot be used", key.algorithm())));
    }
    Ok(key)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_found_by_the_name_of_the_node() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("clock.key"), "").unwrap();
        std::fs::create_dir(folder.path().join("scribe.key")).unwrap();
        let find = |node| credential(Some(folder.path().into()), node);
        assert_eq!(find("clock"), Some(folder.path().join("clock.key")));
        assert_eq!(find("scribe"), None);
        assert_eq!(find("injector"), None);
        assert_eq!(credential(None, "clock"), None);
    }

    const PUBLIC: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJT1wTqcxP8JEZ/8l1rrKs+1Trp8IGbBxgRFVdqVhUp/";

    /// What is said of a credential with this text, for a file with this one and mode, if there is one.
    fn titles(credential: &str, file: Option<(&str, u32)>) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let [path, given] = ["key", "clock.key"].map(|name| folder.path().join(name));
        std::fs::write(&given, credential).unwrap();
        if let Some((text, mode)) = file {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let span = 0..0;
        let named = Named { node: "clock", path: &path, credential: Some(given), span: &span };
        let problems = private(&named, None).err().unwrap_or_default();
        let place = format!("{}/", folder.path().display());
        problems.iter().map(|problem| problem.title.replace(&place, "")).collect()
    }

    #[test]
    fn where_systemd_has_no_key_to_give_it_is_said_which_and_why() {
        let missing = "there is no private key `key` for Node `clock`: perhaps this Node belongs to \
                       another machine";
        assert_eq!(titles("\n", None), [missing]);
        assert_eq!(titles("", None), [missing]);
        assert_eq!(titles("\n", Some(("", 0o600))), ["the private key `key` is empty"]);
        let unread = "systemd has not read the private key `key`";
        assert_eq!(titles("\n", Some((PUBLIC, 0o600))), [unread]);
    }

    #[test]
    fn a_pipe_is_said_to_be_none_where_systemd_was_not_to_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let [path, given] = ["key", "clock.key"].map(|name| folder.path().join(name));
        std::fs::write(&given, "\n").unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let named = Named { node: "clock", path: &path, credential: Some(given), span: &(0..0) };
        let problems = private(&named, None).err().unwrap();
        let [problem] = problems.as_slice() else { unreachable!("{problems:?}") };
        assert!(problem.title.ends_with("key` cannot be read"), "{}", problem.title);
    }

    #[test]
    fn a_key_from_systemd_may_be_open_to_nobody_else_either() {
        let open = "the private key `key` is accessible to users other than its owner";
        let public = "`key` is a public key, not a private one";
        assert_eq!(titles(PUBLIC, Some((PUBLIC, 0o640))), [open, public]);
        assert_eq!(titles(PUBLIC, Some((PUBLIC, 0o600))), [public]);
        // Only systemd gets there, or it is gone since.
        assert_eq!(titles(PUBLIC, None), [public]);
    }
}
