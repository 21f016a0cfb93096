//! Why there is no session, or no longer one.

/// Characters of what the other side says that are shown to people.
const MOST_SHOWN: usize = 255;

/// Why there is no session, or no longer one.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The stream failed or ended.
    #[error("{0}")]
    Stream(String),
    /// The handshake took too long.
    #[error("no answer within {0} seconds")]
    Timeout(u64),
    /// The other side has none of the algorithms that this side would use.
    #[error("no common {kind}: here {ours}, there {theirs}")]
    NoCommonAlgorithm {
        /// `cipher`, `MAC`…
        kind: &'static str,
        /// What this side offers.
        ours: String,
        /// What the other side offers.
        theirs: String,
    },
    /// A signature with SHA-1, which is forgeable.
    #[error(
        "it signs with its RSA key and SHA-1 (`ssh-rsa`) instead of `rsa-sha2-256` or `rsa-sha2-512`"
    )]
    Sha1,
    /// A stranger where too many want something already.
    #[error("too many sessions are being opened now")]
    Crowded,
    /// The host key is not the Peer's.
    #[error("its host key is {found}, but the configuration says {expected}")]
    HostKey {
        /// Fingerprint of the key that it has.
        found: String,
        /// Fingerprint of the key that it should have.
        expected: String,
    },
    /// The other side does not accept this Node's key.
    #[error(
        "it refused our key {0}: its configuration has another key for this node, or does not have this node"
    )]
    KeyRefused(String),
    /// A client whose key belongs to no Node.
    #[error("key {key}, which belongs to no Node, was presented for '{user}'")]
    Stranger {
        /// The name that was given.
        user: String,
        /// Fingerprint of the key.
        key: String,
    },
    /// A Node that gave another's name.
    #[error("the key of '{owner}' was presented for '{user}'")]
    WrongName {
        /// The name that was given.
        user: String,
        /// The Node that the key belongs to.
        owner: String,
    },
    /// Two daemons with the same name and key.
    #[error("two machines run as '{0}' with the same key: refused one of them")]
    Twin(String),
    /// The other side has the link with another daemon of this Node's name and key.
    #[error("closed by the peer: {0}")]
    TurnedAway(String),
    /// A policy forbids it.
    #[error("no session with '{0}': the connection policies forbid both directions")]
    Policy(String),
    /// The link is kept closed, because the administrator of this Node said so.
    #[error("the link to '{0}' is kept closed by request")]
    Closed(String),
    /// Another configuration holds, or none: the session is to be begun anew, if it can be.
    #[error("{0}")]
    Withdrawn(&'static str),
    /// Another configuration no longer admits what was admitted.
    #[error("the configuration no longer allows the session that '{0}' has begun")]
    Revoked(String),
    /// What came is not the protocol.
    #[error("{0}")]
    Protocol(String),
}

impl SessionError {
    /// The other side has closed the session without a word.
    pub(crate) fn closed() -> SessionError {
        SessionError::Stream("closed by the peer".to_owned())
    }

    /// The other side has closed the session and said why.
    pub(crate) fn closed_for(reason: &str) -> SessionError {
        SessionError::Stream(format!("closed by the peer: {}", shown(reason)))
    }

    /// A word for the cause, the same for all errors of that cause: what log lines are limited by.
    pub fn cause(&self) -> &'static str {
        match self {
            SessionError::Stream(_) => "stream",
            SessionError::Timeout(_) => "timeout",
            SessionError::NoCommonAlgorithm { .. } | SessionError::Sha1 => "algorithm",
            SessionError::Crowded => "crowded",
            SessionError::HostKey { .. } => "host-key",
            SessionError::KeyRefused(_) => "key-refused",
            SessionError::Stranger { .. } => "stranger",
            SessionError::WrongName { .. } => "wrong-name",
            SessionError::Twin(_) => "twin",
            SessionError::TurnedAway(_) => "turned-away",
            SessionError::Policy(_) => "policy",
            SessionError::Closed(_) => "closed",
            SessionError::Withdrawn(_) => "withdrawn",
            SessionError::Revoked(_) => "revoked",
            SessionError::Protocol(_) => "protocol",
        }
    }

    /// Whether an administrator has to look at it, unlike a Peer that is merely not there.
    pub fn is_refusal(&self) -> bool {
        let expected = matches!(
            self,
            SessionError::Stream(_)
                | SessionError::Timeout(_)
                | SessionError::TurnedAway(_)
                | SessionError::Closed(_)
                | SessionError::Withdrawn(_)
        );
        !expected
    }
}

/// What the other side says, for a line that people read: on one line, and not too long.
pub(super) fn shown(said: &str) -> String {
    let short: String = said.chars().take(MOST_SHOWN).collect();
    short.escape_debug().to_string()
}

impl From<std::io::Error> for SessionError {
    fn from(error: std::io::Error) -> Self {
        SessionError::Stream(error.to_string())
    }
}

impl From<crate::wire::WireError> for SessionError {
    fn from(error: crate::wire::WireError) -> Self {
        SessionError::Protocol(error.to_string())
    }
}
