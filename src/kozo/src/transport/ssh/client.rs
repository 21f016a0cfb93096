//! The dialling side of an SSH session.

use std::sync::{Arc, Mutex, PoisonError};

use russh::keys::{HashAlg, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{ChannelId, ChannelMsg, client};
use tokio::io::BufReader;

use super::unblocked::Unblocked;
use super::{HandlerError, SUBSYSTEM, Ssh, fingerprint, same_key};
use crate::transport::session::{Session, SessionError, Sink, Writer, feed};
use crate::transport::stream::{BoxStream, Cuttable, Cutter};

/// Makes a session over a stream with the Peer of this name and key. Cancel safe: the stream is then
/// closed.
///
/// # Errors
/// When the Peer is not who it should be, does not accept us, or the stream fails.
pub async fn connect(
    ssh: &Ssh,
    stream: BoxStream,
    peer: &str,
    key: &PublicKey,
    sink: Box<dyn Sink>,
) -> Result<Session, SessionError> {
    let cutter = Cutter::new();
    let stream = BufReader::with_capacity(ssh.read_buffer, Cuttable::new(stream, &cutter));
    let (stream, backlog) = Unblocked::new(stream);
    let refusal = Arc::new(Mutex::new(None));
    let handler = Client { key: key.clone(), sink, refusal: Arc::clone(&refusal) };
    let guard = CutOnDrop(Some(cutter.clone()));
    let handshake = client::connect_stream(Arc::clone(&ssh.client), stream, handler);
    let mut handle = match handshake.await {
        Ok(handle) => handle,
        Err(HandlerError(error)) => {
            let refusal = refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
            return Err(refusal.unwrap_or(error));
        }
    };
    let own = PrivateKeyWithHashAlg::new(Arc::clone(&ssh.key), Some(HashAlg::Sha512));
    let failed = |error: russh::Error| HandlerError::from(error).0;
    let authenticated = handle.authenticate_publickey(&*ssh.node, own).await.map_err(failed)?;
    if !authenticated.success() {
        return Err(SessionError::KeyRefused(fingerprint(ssh.key.public_key())));
    }
    let mut channel = handle.channel_open_session().await.map_err(failed)?;
    channel.request_subsystem(true, SUBSYSTEM).await.map_err(failed)?;
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Success) => break,
            Some(ChannelMsg::Failure) | None => {
                let problem = format!("it has no subsystem '{SUBSYSTEM}'");
                return Err(SessionError::Protocol(problem));
            }
            // The handler has seen it too.
            Some(_) => {}
        }
    }
    // What comes in goes to the sink alone; without a reader russh keeps no copies of it.
    let (_, writer) = channel.split();
    guard.keep();
    Ok(Session {
        peer: peer.to_owned(),
        writer: Writer::Client(writer, backlog),
        end: Box::pin(async move {
            match handle.await {
                Ok(()) => SessionError::closed(),
                Err(HandlerError(error)) => error,
            }
        }),
        cutter,
    })
}

/// Cuts the stream unless told to keep it: russh goes on by itself when its future is dropped.
struct CutOnDrop(Option<Cutter>);

impl CutOnDrop {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        if let Some(cutter) = &self.0 {
            cutter.cut();
        }
    }
}

struct Client {
    key: PublicKey,
    sink: Box<dyn Sink>,
    refusal: Arc<Mutex<Option<SessionError>>>,
}

impl client::Handler for Client {
    type Error = HandlerError;

    async fn check_server_key(
        &mut self,
        server: &PublicKeyOrCertificate,
    ) -> Result<bool, HandlerError> {
        let found = match server {
            PublicKeyOrCertificate::PublicKey { key, .. } if same_key(key, &self.key) => {
                return Ok(true);
            }
            PublicKeyOrCertificate::PublicKey { key, .. } => fingerprint(key),
            PublicKeyOrCertificate::Certificate(_) => "a certificate".to_owned(),
        };
        let refusal = SessionError::HostKey { found, expected: fingerprint(&self.key) };
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
        Ok(false)
    }

    async fn data(
        &mut self,
        _: ChannelId,
        data: &[u8],
        _: &mut client::Session,
    ) -> Result<(), HandlerError> {
        feed(&mut *self.sink, data).await.map_err(HandlerError)
    }

    async fn channel_close(
        &mut self,
        _: ChannelId,
        _: &mut client::Session,
    ) -> Result<(), HandlerError> {
        Err(HandlerError(SessionError::closed()))
    }
}
