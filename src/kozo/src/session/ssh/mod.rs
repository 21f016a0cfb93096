//! SSH sessions over any stream: both ends authenticated, all of it encrypted.
//!
//! The dialling Node is the client, its name the user name; both sides authenticate with the one
//! key that the configuration gives for them. The client opens one `session` channel and asks for the
//! subsystem `kozo` (RFC 4254, section 6.5); there is no password, agent, shell or forwarding.
//! Nothing of `russh` is used outside of here.

mod client;
mod ending;
mod read_ahead;
mod server;
#[cfg(test)]
mod tests;
mod write_buffer;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKey, PublicKey};
use russh::{ChannelId, ChannelMsg, ChannelWriteHalf, Preferred, cipher, compression, kex, mac};

use super::{SessionError, Writer};
use crate::BoxFuture;
use crate::config::RootOptions;
pub use client::connect;
pub use server::accept;
use write_buffer::Backlog;

/// Name of the subsystem that carries the protocol of `wire`.
pub const SUBSYSTEM: &str = "kozo";

/// How long a handshake may take, from the first byte to the open subsystem.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the other side has to hear why there is no session with it.
const GOODBYE: Duration = Duration::from_secs(1);

/// Ciphers offered when the configuration names none, best first; nothing weaker.
const CIPHERS: &[cipher::Name] =
    &[cipher::AES_256_GCM, cipher::CHACHA20_POLY1305, cipher::AES_128_GCM, cipher::AES_256_CTR];

/// MACs offered when the configuration names none, best first: what is encrypted is authenticated, and
/// none of SHA-1.
const MACS: &[mac::Name] = &[mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM];

/// Key exchanges, post-quantum first. None over a finite field: the client chooses, and one of those
/// holds the loop for up to half a second, on the dialling side too.
const KEXES: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];

/// Signature algorithms: no SHA-1.
const KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

/// Bytes that may be under way in one direction without having been taken: enough for any distance (a
/// gigabit through 200 ms of delay needs 25 MB). It costs no memory: what comes is taken at once, and a
/// sender is held back by the stream, see `write_buffer`.
const WINDOW: u32 = 256 * 1024 * 1024;
/// Largest packet, in bytes: what is written at once is not cut up to this size. Two Messages of 16 KiB go
/// into one.
pub const PACKET: u32 = 36 * 1024;
/// Packets that wait between the parts of a session.
const CHANNEL_BUFFER: usize = 4;

/// What all SSH sessions of a Node have in common.
pub struct Ssh {
    node: String,
    key: Arc<PrivateKey>,
    read_buffer: usize,
    client: Arc<russh::client::Config>,
    server: Arc<russh::server::Config>,
}

impl Ssh {
    /// For the Node of this name and key. Of the options, `cipher`, `hmac` and `max_buffer_read_size`
    /// matter; a cipher or MAC that is given is the only one offered.
    ///
    /// # Errors
    /// When a name in the sense of RFC 4253 is not known here.
    pub fn new(
        node: &str,
        key: Arc<PrivateKey>,
        options: &RootOptions,
    ) -> Result<Ssh, SessionError> {
        let preferred = preferred(options.cipher.as_deref(), options.hmac.as_deref())?;
        let id = || {
            let id = concat!("SSH-2.0-kozo_", env!("CARGO_PKG_VERSION"));
            russh::SshId::Standard(id.into())
        };
        let client = russh::client::Config {
            client_id: id(),
            window_size: WINDOW,
            maximum_packet_size: PACKET,
            channel_buffer_size: CHANNEL_BUFFER,
            preferred: preferred.clone(),
            ..Default::default()
        };
        let server = russh::server::Config {
            server_id: id(),
            methods: russh::MethodSet::from(&[russh::MethodKind::PublicKey][..]),
            // Keys are not guessed, and the check takes the same time for each.
            auth_rejection_time: Duration::ZERO,
            keys: vec![PrivateKey::clone(&key)],
            window_size: WINDOW,
            maximum_packet_size: PACKET,
            channel_buffer_size: CHANNEL_BUFFER,
            event_buffer_size: CHANNEL_BUFFER,
            preferred,
            max_auth_attempts: 3,
            // Links have heartbeats of their own.
            inactivity_timeout: None,
            ..Default::default()
        };
        Ok(Ssh {
            node: node.to_owned(),
            key,
            read_buffer: options.max_buffer_read_size,
            client: Arc::new(client),
            server: Arc::new(server),
        })
    }
}

fn preferred(cipher: Option<&str>, hmac: Option<&str>) -> Result<Preferred, SessionError> {
    let unknown = |what, name: &str| SessionError::Protocol(format!("unknown {what} '{name}'"));
    let ciphers = match (cipher, hmac) {
        (Some(name), _) => {
            Cow::Owned(vec![cipher::Name::try_from(name).map_err(|()| unknown("cipher", name))?])
        }
        // The others bring a MAC of their own, and would not use the one that is asked for.
        (None, Some(_)) => Cow::Borrowed(&[cipher::AES_256_CTR][..]),
        (None, None) => Cow::Borrowed(CIPHERS),
    };
    let macs = match hmac {
        Some(name) => {
            Cow::Owned(vec![mac::Name::try_from(name).map_err(|()| unknown("hmac", name))?])
        }
        None => Cow::Borrowed(MACS),
    };
    Ok(Preferred {
        kex: Cow::Borrowed(KEXES),
        key: Cow::Borrowed(KEYS),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: ciphers,
        mac: macs,
        compression: Cow::Borrowed(&[compression::NONE]),
    })
}

/// The writing end of the channel that carries the protocol.
struct ChannelWriter<S: From<(ChannelId, ChannelMsg)>> {
    channel: ChannelWriteHalf<S>,
    backlog: Backlog,
}

impl<S> Writer for ChannelWriter<S>
where
    S: From<(ChannelId, ChannelMsg)> + Send + Sync + 'static,
{
    /// Writes a packet at a time, and waits before each while the stream is behind: a session that had more
    /// to write than its stream keeps would not read until all of it is written.
    fn write(&mut self, mut bytes: Bytes) -> BoxFuture<'_, Result<(), SessionError>> {
        Box::pin(async move {
            while !bytes.is_empty() {
                self.backlog.drained().await;
                let packet = bytes.split_to(bytes.len().min(PACKET as usize));
                let ended = |_| SessionError::Stream("the session has ended".to_owned());
                self.backlog.give(packet.len());
                self.channel.data_bytes(packet).await.map_err(ended)?;
            }
            Ok(())
        })
    }
}

/// Whether two keys are the same, whatever their comments say.
fn same_key(a: &PublicKey, b: &PublicKey) -> bool {
    a.key_data() == b.key_data()
}

/// How a key is shown to people: as `ssh-keygen -l` does.
pub fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// The algorithms that the other side offers, as far as people want to read what any stranger can send.
fn shown(names: &[String]) -> String {
    const MOST: usize = 400;
    let all = names.join(",");
    let shown: String = all.escape_debug().take(MOST).collect();
    if all.len() > MOST { shown + "…" } else { shown }
}

/// An error of russh, or one of ours on its way through russh.
#[derive(Debug)]
struct HandlerError(SessionError);

impl From<russh::Error> for HandlerError {
    fn from(error: russh::Error) -> Self {
        HandlerError(match error {
            russh::Error::NoCommonAlgo { kind, ours, theirs } => SessionError::NoCommonAlgorithm {
                kind: match kind {
                    russh::AlgorithmKind::Kex => "key exchange",
                    russh::AlgorithmKind::Key => "key type",
                    russh::AlgorithmKind::Cipher => "cipher",
                    russh::AlgorithmKind::Compression => "compression",
                    russh::AlgorithmKind::Mac => "MAC",
                },
                ours: ours.join(","),
                theirs: shown(&theirs),
            },
            russh::Error::HUP | russh::Error::Disconnect | russh::Error::SendError => {
                SessionError::closed()
            }
            russh::Error::IO(error) => SessionError::Stream(error.to_string()),
            other => SessionError::Protocol(other.to_string()),
        })
    }
}
