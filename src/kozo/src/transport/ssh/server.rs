//! The accepting side of an SSH session.

use std::sync::{Arc, Mutex, PoisonError};

use russh::keys::{Algorithm, PublicKey};
use russh::server::{self, Auth, ChannelOpenHandle, Msg, PublicKeyOffer, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelWriteHalf};
use tokio::sync::oneshot;

use super::read_ahead::ReadAhead;
use super::unblocked::Unblocked;
use super::{HandlerError, SUBSYSTEM, Ssh};
use crate::transport::newcomer::{Metered, Newcomer};
use crate::transport::session::{Gate, Session, SessionError, Sink, Writer, feed};
use crate::transport::stream::{BoxStream, Cuttable};

/// Makes a session over the stream of a newcomer, with whom the gate admits. Cancel by his cutter. Until
/// the other side has said what it speaks, this costs little but the stream.
///
/// # Errors
/// When the other side is not admitted, or the stream fails.
pub async fn accept(
    ssh: &Ssh,
    stream: BoxStream,
    gate: Box<dyn Gate>,
    newcomer: Newcomer,
) -> Result<Session, SessionError> {
    let cutter = newcomer.cutter().clone();
    let stream = ReadAhead::new(Cuttable::new(stream, &cutter), ssh.read_buffer);
    let stream = Metered::new(stream, newcomer.clone());
    let (opened, open) = oneshot::channel();
    let refusal = Arc::new(Mutex::new(None));
    let server = Server {
        gate,
        newcomer: newcomer.clone(),
        refusal: Arc::clone(&refusal),
        peer: None,
        sink: None,
        writer: None,
        opened: Some(opened),
    };
    let config = Arc::clone(&ssh.server);
    let (stream, backlog) = Unblocked::new(stream);
    let mut running =
        server::run_stream(config, stream, server).await.map_err(|HandlerError(error)| error)?;
    // From here on another task computes.
    newcomer.rest();
    let refused = || refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (peer, writer) = tokio::select! {
        biased;
        Ok(opened) = open => opened,
        ended = &mut running => {
            let error = match ended {
                Ok(()) => SessionError::closed(),
                Err(HandlerError(error)) => error,
            };
            return Err(refused().unwrap_or(error));
        }
    };
    Ok(Session {
        peer,
        writer: Writer::Server(writer, backlog),
        end: Box::pin(async move {
            match running.await {
                Ok(()) => SessionError::closed(),
                Err(HandlerError(error)) => error,
            }
        }),
        cutter,
    })
}

struct Server {
    gate: Box<dyn Gate>,
    newcomer: Newcomer,
    refusal: Arc<Mutex<Option<SessionError>>>,
    peer: Option<String>,
    sink: Option<Box<dyn Sink>>,
    writer: Option<ChannelWriteHalf<Msg>>,
    opened: Option<oneshot::Sender<(String, ChannelWriteHalf<Msg>)>>,
}

impl Server {
    fn admit(&mut self, user: &str, key: &PublicKey, algorithm: &Algorithm) -> Auth {
        let admitted = match algorithm {
            Algorithm::Rsa { hash: None } => Err(SessionError::Sha1),
            _ => self.gate.admit(user, key),
        };
        match admitted {
            Ok(()) => Auth::Accept,
            Err(refusal) => {
                // The answer comes a little later.
                self.newcomer.rest();
                *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
                Auth::reject()
            }
        }
    }
}

impl server::Handler for Server {
    type Error = HandlerError;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, HandlerError> {
        // The answer comes a little later.
        self.newcomer.rest();
        Ok(Auth::reject())
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, HandlerError> {
        Ok(self.admit(user, offer.public_key, offer.algorithm))
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, HandlerError> {
        let auth = self.admit(user, key.public_key, key.algorithm);
        if matches!(auth, Auth::Accept) {
            self.newcomer.admit();
            self.peer = Some(user.to_owned());
        }
        Ok(auth)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut server::Session,
    ) -> Result<(), HandlerError> {
        if self.writer.is_none() && self.opened.is_some() {
            // What comes in goes to the sink alone; without a reader russh keeps no copies of it.
            self.writer = Some(channel.split().1);
            reply.accept().await;
        }
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut server::Session,
    ) -> Result<(), HandlerError> {
        let writer = self.writer.take_if(|writer| name == SUBSYSTEM && writer.id() == channel);
        let (Some(writer), Some(peer)) = (writer, self.peer.clone()) else {
            return Ok(session.channel_failure(channel)?);
        };
        let Some(opened) = self.opened.take() else {
            return Ok(session.channel_failure(channel)?);
        };
        self.sink = Some(self.gate.open(&peer));
        session.channel_success(channel)?;
        // Nobody waits for it any more when the handshake took too long.
        let _ = opened.send((peer, writer));
        Ok(())
    }

    async fn data(
        &mut self,
        _: ChannelId,
        data: &[u8],
        _: &mut server::Session,
    ) -> Result<(), HandlerError> {
        let Some(sink) = &mut self.sink else {
            let problem = format!("data before the subsystem '{SUBSYSTEM}'");
            return Err(HandlerError(SessionError::Protocol(problem)));
        };
        feed(&mut **sink, data).await.map_err(HandlerError)
    }

    async fn channel_close(
        &mut self,
        _: ChannelId,
        _: &mut server::Session,
    ) -> Result<(), HandlerError> {
        Err(HandlerError(SessionError::closed()))
    }
}
