#![allow(clippy::unwrap_used)]

use std::future::pending;

use russh::Limits;
use russh::client;
use russh::keys::{Algorithm, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use tokio::io::{DuplexStream, copy, duplex, join, split};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;
use crate::session::newcomer::Newcomer;
use crate::session::{Authenticator, Flow, Sink};
use crate::transport::network::Network;
use crate::transport::stream::Stream;

/// How long anything may take that is to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Admits every client, and takes all that it says.
struct Open;

impl Authenticator for Open {
    fn admit(&mut self, _: &str, _: &PublicKey) -> Result<(), SessionError> {
        Ok(())
    }

    fn open(&mut self) -> Result<Box<dyn Sink>, SessionError> {
        Ok(Box::new(Open))
    }
}

impl Sink for Open {
    fn data(&mut self, _: &[u8]) -> Result<Flow, SessionError> {
        Ok(Flow::Continue)
    }
}

impl client::Handler for Open {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

/// The stream, and what makes it deaf: from then on nothing that comes can be read, but it still writes.
fn can_be_deafened(stream: DuplexStream) -> (impl Stream, oneshot::Sender<()>) {
    let ((mut from, writer), (heard, mut into)) = (split(stream), duplex(4096));
    let (deafen, deafened) = oneshot::channel();
    tokio::spawn(async move {
        tokio::select! {
            biased;
            Ok(()) = deafened => pending().await,
            _ = copy(&mut from, &mut into) => {}
        }
    });
    (join(heard, writer), deafen)
}

/// He never hears that keys are to be renewed, so nothing is written any more.
#[tokio::test]
async fn who_does_not_renew_the_keys_cannot_make_much_be_kept() {
    let key = || Arc::new(PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap());
    let mut ssh = Ssh::new("scribe", key(), &RootOptions::default()).unwrap();
    Arc::get_mut(&mut ssh.server).unwrap().limits = Limits::new(1000, 1 << 30, PATIENCE * 60);
    let (far, near) = duplex(100_000);
    let newcomer = Newcomer::new(Arc::default(), Network::of("10.0.0.1:1"), false);
    let accepting = accept(&ssh, Box::new(near), Box::new(Open), newcomer, pending());
    let (stream, deafen) = can_be_deafened(far);
    let config = client::Config { window_size: WINDOW, ..Default::default() };
    let connecting = async {
        let mut handle = client::connect_stream(Arc::new(config), stream, Open).await.unwrap();
        let key = PrivateKeyWithHashAlg::new(key(), None);
        assert!(handle.authenticate_publickey("clock", key).await.unwrap().success());
        let channel = handle.channel_open_session().await.unwrap();
        channel.request_subsystem(true, SUBSYSTEM).await.unwrap();
        (handle, channel)
    };
    let (accepted, (_handle, channel)) = tokio::join!(accepting, connecting);
    let mut session = accepted.unwrap();

    deafen.send(()).unwrap();
    let mut written = 0;
    let write = async {
        while written < 64 * 1024 * 1024 {
            session.writer.write(vec![7; 1000].into()).await.unwrap();
            written += 1000;
        }
    };
    assert!(timeout(Duration::from_secs(1), write).await.is_err(), "all of it is kept");
    println!("kept {written} bytes to be written");
    assert!(written > 1000 && written < 2 * 1024 * 1024, "{written}");

    let talk = async { while channel.data_bytes(vec![7; 32_000]).await.is_ok() {} };
    let ended = async { timeout(PATIENCE, session.end.reason()).await.unwrap().to_string() };
    let (reason, ()) = tokio::join!(ended, talk);
    assert!(reason.contains("does not renew the keys"), "{reason}");
}
