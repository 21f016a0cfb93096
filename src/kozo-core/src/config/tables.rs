//! The options that are not those of a Role or Transport type: of the whole System, of a Node, of
//! every Role, of every Transport. From these tables come the checks, the defaults, the suggestions
//! and the documents.

use std::borrow::Cow;
use std::sync::LazyLock;
use std::time::Duration;

use super::policy::ConnectPolicy;
use super::schema::{OptionKind, OptionSpec, OptionValue, optional, required, with_default};
use crate::queue::Limits;

/// Ciphers that a configuration may ask for, the strongest first. Nothing weaker than AES in counter
/// mode, and nothing that the SSH library does not have.
pub const CIPHERS: &[&str] = &[
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-gcm@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
];

/// MAC algorithms that a configuration may ask for, the strongest first. Only those of the first two are
/// used where it asks for none.
pub const HMACS: &[&str] = &[
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512",
    "hmac-sha2-256",
    "hmac-sha1-etm@openssh.com",
    "hmac-sha1",
];

const DAY: Duration = Duration::from_secs(24 * 3600);
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Options at the top level of the file.
pub fn root() -> &'static [OptionSpec] {
    static TABLE: LazyLock<Vec<OptionSpec>> = LazyLock::new(|| {
        let nodes = "The Nodes: a block for each, by name.";
        let mut table = vec![required("system", OptionKind::Block, nodes)];
        table.extend_from_slice(overridable());
        table
    });
    &TABLE
}

/// Options at the top level of the file that a Node may have for itself alone, in
/// `overrideMainConfiguration`.
pub fn overridable() -> &'static [OptionSpec] {
    static TABLE: LazyLock<Vec<OptionSpec>> = LazyLock::new(|| {
        vec![
            with_default(
                "heartbeat",
                OptionKind::Duration { min: Duration::from_millis(10), max: DAY },
                OptionValue::Duration(Duration::from_secs(10)),
                "Interval between heartbeats. A Peer that stays silent for three intervals is down.",
            ),
            with_default(
                "connectionRetry",
                OptionKind::Duration { min: Duration::from_millis(10), max: DAY },
                OptionValue::Duration(Duration::from_secs(60)),
                "Longest delay between two attempts to connect.",
            ),
            with_default(
                "outgoingQueueLength",
                queue_length(),
                default_length(),
                "Longest queue for each Peer, in Messages; when it is full, the oldest are dropped.",
            ),
            with_default(
                "outgoingQueueSize",
                queue_size(),
                default_size(),
                "Largest queue for each Peer, in bytes; when it is full, the oldest Messages are \
                 dropped. A Message larger than this, or than 16 MiB, is refused.",
            ),
            with_default(
                "maxBufferReadSize",
                OptionKind::Size { min: KIB, max: 16 * MIB },
                OptionValue::Size(64 * KIB),
                "Bytes to read from a stream at a time.",
            ),
            optional(
                "cipher",
                choice(CIPHERS.iter().copied()),
                "The only cipher to use, such as `aes256-ctr`. Default: negotiated.",
            ),
            optional(
                "hmac",
                choice(HMACS.iter().copied()),
                "The only MAC to use, such as `hmac-sha2-256`. Default: negotiated among the encrypt-then-MAC variants \
                 of SHA-2.",
            ),
            optional(
                "rolePath",
                OptionKind::Paths,
                "Folders with programs that are Roles, searched after /usr/lib/kozo/roles and KOZOROLEPATH.",
            ),
            optional(
                "transportPath",
                OptionKind::Paths,
                "Folders with programs that are Transports, searched after /usr/lib/kozo/transports and \
                 KOZOTRANSPORTPATH.",
            ),
            optional(
                "importPath",
                OptionKind::Paths,
                "Folders to put first in the PYTHONPATH of programs that are Roles or Transports, together with \
                 KOZOIMPORTPATH.",
            ),
        ]
    });
    &TABLE
}

/// Options of a Node.
pub fn node() -> &'static [OptionSpec] {
    static TABLE: LazyLock<Vec<OptionSpec>> = LazyLock::new(|| {
        let policy = || choice(ConnectPolicy::ALL.map(ConnectPolicy::name));
        let constant = || OptionValue::Text(ConnectPolicy::Constant.name().to_owned());
        vec![
            required(
                "privateKey",
                OptionKind::Path,
                "File with its private key, on its own machine; only the Node may be able to read it.",
            ),
            required(
                "publicKey",
                OptionKind::PublicKey,
                "Its public key: the line in the `.pub` file.",
            ),
            optional(
                "roleStorage",
                OptionKind::Path,
                "Folder in which its Roles store state; required by Roles that do.",
            ),
            with_default(
                "selfToOthersConnectPolicy",
                policy(),
                constant(),
                "When this Node connects to others.",
            ),
            with_default(
                "othersToSelfConnectPolicy",
                policy(),
                constant(),
                "When others connect to this Node.",
            ),
            optional(
                "overrideMainConfiguration",
                OptionKind::Block,
                "Top-level options that differ for this Node.",
            ),
            optional("roles", OptionKind::Block, "Its Roles: a block for each, by name."),
            optional("transports", OptionKind::Block, "Its Transports: a block for each, by name."),
        ]
    });
    &TABLE
}

/// Options of every Role, besides those of its type.
pub fn every_role() -> &'static [OptionSpec] {
    static TABLE: LazyLock<Vec<OptionSpec>> = LazyLock::new(|| {
        vec![
            optional("type", OptionKind::Text, "Its type. Default: its name."),
            optional(
                "description",
                OptionKind::Text,
                "What the Role is for; shown by `kozoctl role`.",
            ),
            with_default(
                "messageQueueLength",
                queue_length(),
                default_length(),
                "Longest queue for the Role, in Messages; when it is full, the oldest are dropped.",
            ),
            with_default(
                "messageQueueSize",
                queue_size(),
                default_size(),
                "Largest queue for the Role, in bytes; when it is full, the oldest Messages are dropped.",
            ),
        ]
    });
    &TABLE
}

/// Options of every Role or Transport that is a program, besides those and the ones of its type.
pub fn every_program() -> &'static [OptionSpec] {
    static TABLE: LazyLock<Vec<OptionSpec>> = LazyLock::new(|| {
        vec![
            optional(
                "environment",
                OptionKind::Variables,
                "Environment variables for the program.",
            ),
            with_default(
                "memoryLimit",
                OptionKind::Size { min: MIB, max: 1024 * 1024 * MIB },
                OptionValue::Size(256 * MIB),
                "Memory that each of its processes may use, in bytes.",
            ),
        ]
    });
    &TABLE
}

/// Options of every Transport, besides those of its type.
pub fn every_transport() -> &'static [OptionSpec] {
    static TABLE: LazyLock<Vec<OptionSpec>> =
        LazyLock::new(|| vec![optional("type", OptionKind::Text, "Its type. Default: its name.")]);
    &TABLE
}

fn queue_length() -> OptionKind {
    OptionKind::Integer { min: 1, max: 1_000_000 }
}

fn queue_size() -> OptionKind {
    OptionKind::Size { min: 1, max: 1024 * MIB }
}

fn default_length() -> OptionValue {
    OptionValue::Integer(i64::try_from(Limits::default().length).unwrap_or(i64::MAX))
}

fn default_size() -> OptionValue {
    OptionValue::Size(u64::try_from(Limits::default().size).unwrap_or(u64::MAX))
}

fn choice(words: impl IntoIterator<Item = &'static str>) -> OptionKind {
    OptionKind::Choice(words.into_iter().map(Cow::Borrowed).collect())
}
