//! What those get who are not Kōzō and ask for something weak.

use std::borrow::Cow;
use std::sync::Arc;

use kozo::config::RootOptions;
use kozo::session::ssh::{self, Ssh};
use kozo::session::{Flow, SessionError, Sink};
use russh::keys::ssh_key::private::RsaKeypair;
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Preferred, cipher, client, kex, mac, server};

use crate::kit::log::Log;
use crate::kit::memory::Network;
use crate::kit::{Plan, TestSystem, new_key};

fn system() -> TestSystem {
    TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default())
}

struct Anybody;

impl client::Handler for Anybody {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

impl server::Handler for Anybody {
    type Error = russh::Error;
}

struct Nothing;

impl Sink for Nothing {
    fn data(&mut self, _: &[u8]) -> Result<Flow, SessionError> {
        Ok(Flow::Continue)
    }
}

/// A stranger who has only these algorithms, connected to `scribe`.
async fn stranger(
    system: &TestSystem,
    preferred: Preferred,
) -> Result<client::Handle<Anybody>, russh::Error> {
    let stream = system.connect("clock", "scribe").await.unwrap().stream;
    let config = client::Config { preferred, ..Default::default() };
    client::connect_stream(Arc::new(config), stream, Anybody).await
}

fn only_kex(name: kex::Name) -> Preferred {
    Preferred { kex: Cow::Owned(vec![name]), ..Preferred::default() }
}

/// They would hold the loop for up to half a second each.
#[tokio::test]
async fn no_key_exchange_over_a_finite_field() {
    let groups = [
        kex::DH_G1_SHA1,
        kex::DH_G14_SHA1,
        kex::DH_G14_SHA256,
        kex::DH_G15_SHA512,
        kex::DH_G16_SHA512,
        kex::DH_G17_SHA512,
        kex::DH_G18_SHA512,
        kex::DH_GEX_SHA1,
        kex::DH_GEX_SHA256,
    ];
    let system = system();
    let _scribe = system.start("scribe").await;
    for group in groups {
        let refused = stranger(&system, only_kex(group)).await.err().unwrap();
        assert!(matches!(refused, russh::Error::NoCommonAlgo { .. }), "{group:?}: {refused}");
        // A server that answers at a Peer's address cannot choose it either.
        let (near, far) = tokio::io::duplex(100_000);
        let config = server::Config {
            keys: vec![PrivateKey::clone(&new_key())],
            preferred: only_kex(group),
            ..Default::default()
        };
        let answering = tokio::spawn(server::run_stream(Arc::new(config), far, Anybody));
        let ssh = Ssh::new("clock", system.key("clock"), &RootOptions::default()).unwrap();
        let key = system.key("scribe").public_key().clone();
        let refused = ssh::connect(&ssh, Box::new(near), "scribe", &key, Box::new(Nothing)).await;
        let refused = refused.err().unwrap();
        assert!(
            matches!(refused, SessionError::NoCommonAlgorithm { kind: "key exchange", .. }),
            "{group:?}: {refused}"
        );
        answering.abort();
    }
}

#[tokio::test]
async fn macs_of_sha1_and_of_what_is_not_yet_encrypted_are_only_for_who_asks() {
    let system = system();
    let _scribe = system.start("scribe").await;
    let macs = [mac::HMAC_SHA1, mac::HMAC_SHA1_ETM, mac::HMAC_SHA256, mac::HMAC_SHA512];
    for mac in macs {
        let preferred = Preferred {
            cipher: Cow::Borrowed(&[cipher::AES_256_CTR]),
            mac: Cow::Owned(vec![mac]),
            ..Preferred::default()
        };
        let refused = stranger(&system, preferred).await.err().unwrap();
        assert!(matches!(refused, russh::Error::NoCommonAlgo { .. }), "{mac:?}: {refused}");
    }
}

/// The right key proves nothing where others can forge its signatures.
#[tokio::test]
async fn a_signature_of_sha1_is_refused() {
    let log = Log::new();
    let mut system = system();
    let key = PrivateKey::from(RsaKeypair::random(&mut rand::rng(), 2048).unwrap());
    system.set_key("clock", key);
    let _scribe = system.start("scribe").await;
    for (hash, accepted) in [(None, false), (Some(HashAlg::Sha256), true)] {
        let mut session = stranger(&system, Preferred::default()).await.unwrap();
        let key = PrivateKeyWithHashAlg::new(system.key("clock"), hash);
        let result = session.authenticate_publickey("clock", key).await.unwrap();
        assert_eq!(result.success(), accepted, "{hash:?}");
        drop(session);
    }
    log.until("refused a connection").await;
    assert!(log.one("refused a connection").contains("SHA-1"), "{}", log.text());
}

/// What a stranger offers comes into the log only as far as people want to read it.
#[tokio::test]
async fn what_a_stranger_offers_does_not_flood_the_log() {
    let (log, system) = (Log::new(), system());
    let _scribe = system.start("scribe").await;
    let preferred =
        Preferred { kex: Cow::Owned(vec![kex::DH_G18_SHA512; 100]), ..Preferred::default() };
    stranger(&system, preferred).await.err().unwrap();
    log.until("refused a connection").await;
    let line = log.one("refused a connection");
    assert!(line.contains("diffie-hellman-group18") && line.len() < 1000, "{line}");
}
