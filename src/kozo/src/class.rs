//! Classes of log lines: what kind of thing happened, for those who look for it.
//!
//! A line about something that people act upon has a field `class` with one of these words. In the
//! journal it is the field `KOZO_CLASS`, and brings a `MESSAGE_ID`, by which `journalctl -x` finds what
//! to do about it in `systemd/usr/lib/systemd/catalog/kozo.catalog`. On a terminal it is not shown.
//! Words and ids never change their meaning; new ones are added.

macro_rules! classes {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $id:literal;)*) => {
        $($(#[$doc])* pub const $constant: &str = $name;)*

        /// Every class: its word and its `MESSAGE_ID`.
        pub const ALL: &[(&str, &str)] = &[$(($name, $id)),*];
    };
}

classes! {
    /// The Node listens and its Roles run.
    NODE_READY = "node-ready", "eabfd991ee644501b3ca97bc283d41c9";
    /// The configuration is not one that a Node could start with.
    CONFIGURATION_REFUSED = "configuration-refused", "4f1b2e78ee704f98b762083b0cdac6ee";
    /// The Node could not start, with a configuration that is fine.
    START_FAILED = "start-failed", "4e3dd837bdcf43858220da155dd44c46";
    /// Another configuration holds.
    RELOADED = "reloaded", "84647c05996b49a9999c521816e98c78";
    /// Another configuration was refused; the one before holds.
    RELOAD_REFUSED = "reload-refused", "73cc3b69c7f74650b2253e26cf46fab5";
    /// A socket of systemd is not where the configuration says.
    OTHER_PORT = "other-port", "b900e0c3e12549afb7d96251ec9d069a";
    /// Messages flow to and from a Peer.
    LINK_UP = "link-up", "c74df86dc28c47c38a219d55da9c3edd";
    /// They no longer do.
    LINK_DOWN = "link-down", "99d93bdef9de425baae429a53ac503b8";
    /// A Peer cannot be reached yet.
    UNREACHABLE = "unreachable", "7c9e22b928324fcb975f7d077a48e6e3";
    /// A client came whose key belongs to no Node.
    STRANGER = "stranger", "1c8f2002e5984939b555e0be42b1fa7b";
    /// A Node gave another's name.
    WRONG_NAME = "wrong-name", "87af48bc5633491797f6a3db68682875";
    /// Two machines run as the same Node.
    TWIN = "twin", "bcfb79c1c00942db8084ebe058c17c59";
    /// A reload ended sessions that it no longer admits.
    REVOKED = "revoked", "cbbc17df97274af4b9ce4b5c3c6ea3c3";
    /// A Peer has another host key than it should.
    HOST_KEY = "host-key", "1cae453da8344be4a86e99bc33329965";
    /// A Peer does not accept this Node's key.
    KEY_REFUSED = "key-refused", "c751adc34dd34d2b9889b15023ded563";
    /// The two Nodes have no cipher, MAC or the like in common.
    ALGORITHM = "algorithm", "1b45c1033ce74bf2a54961df2ed1fa14";
    /// More strangers want a session than are to be served.
    CROWDED = "crowded", "7780cf72d1b54b8285effebd5a003b03";
    /// The connection policies forbid the link.
    POLICY = "policy", "0e14c660ec064810b43163c54e35e7ed";
    /// What a Peer sends is not the protocol.
    PROTOCOL = "protocol", "7ba153f749b5409abd4c2cd01d2859ef";
    /// A Peer sent a Message in the name of another Node.
    FORGED = "forged", "18dd160097444b96b6240d7c4e75739a";
    /// Connections cannot be accepted.
    ACCEPT_FAILED = "accept-failed", "feb48818bac34a3eb7bafd690cdab75d";
    /// A Role failed and is started again.
    ROLE_FAILED = "role-failed", "29b4b8a37da74fdca95ff603f4be8278";
    /// The program of a Transport failed.
    TRANSPORT_FAILED = "transport-failed", "19f3dbca1c0f4a7e82ec64e3241a6620";
    /// A Role did not stop when asked to.
    ROLE_STUCK = "role-stuck", "38b23e44879d48c7a2dcf42baf173cb6";
    /// A Role cannot write its file.
    FILE_TROUBLE = "file-trouble", "26d364b2e7c646799d1515057edfeaaf";
    /// A Role writes its file again.
    FILE_WELL = "file-well", "7bddbd8407204d0cbc2f8e550f5a582c";
    /// Lines for a file were lost.
    LINES_LOST = "lines-lost", "5bb3089f3cc74776b8062c6366ebe8b7";
    /// What a Role had stored cannot be read.
    STORAGE_CORRUPT = "storage-corrupt", "707679cebbbc4bfba6e553fefb6e8403";
    /// A Role cannot store.
    STORAGE_TROUBLE = "storage-trouble", "a9f40422ef174238b39df808f1e87fef";
    /// Every host that reaches this machine can send Messages.
    OPEN_TO_ALL = "open-to-all", "26e9bda1ccf94b88a3ba16ceb39a6555";
    /// A debug console is open.
    CONSOLE_OPEN = "console-open", "bdc34c92af7247b68987d98eb3b71f09";
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::session::SessionError;

    const CATALOG: &str = include_str!("../../../systemd/usr/lib/systemd/catalog/kozo.catalog");

    #[test]
    fn words_and_ids_are_unique_and_well_formed() {
        let words: BTreeSet<_> = ALL.iter().map(|(word, _)| word).collect();
        let ids: BTreeSet<_> = ALL.iter().map(|(_, id)| id).collect();
        assert_eq!((words.len(), ids.len()), (ALL.len(), ALL.len()));
        let hexadecimal = |id: &str| id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        assert!(ids.iter().all(|id| id.len() == 32 && hexadecimal(id)));
    }

    #[test]
    fn the_catalog_explains_every_class_and_no_other() {
        let explained: BTreeSet<_> =
            CATALOG.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
        let ids: BTreeSet<_> = ALL.iter().map(|(_, id)| *id).collect();
        assert_eq!(explained, ids);
    }

    /// What a session was refused for is a class of its own.
    #[test]
    fn every_refusal_has_a_class() {
        let text = String::new;
        let refusals = [
            SessionError::NoCommonAlgorithm { kind: "MAC", ours: text(), theirs: text() },
            SessionError::Sha1,
            SessionError::Crowded,
            SessionError::HostKey { found: text(), expected: text() },
            SessionError::KeyRefused(text()),
            SessionError::Stranger { user: text(), key: text() },
            SessionError::WrongName { user: text(), owner: text() },
            SessionError::Twin(text()),
            SessionError::Policy(text()),
            SessionError::Revoked(text()),
            SessionError::Protocol(text()),
        ];
        for refusal in &refusals {
            assert!(refusal.is_refusal());
            let class = ALL.iter().find(|(word, _)| *word == refusal.cause());
            class.expect("the cause of a refusal is a class");
        }
    }
}
