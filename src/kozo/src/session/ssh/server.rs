//! The accepting side of an SSH session.

use std::pin::pin;
use std::sync::Arc;

use russh::keys::{Algorithm, PublicKey};
use russh::server::{self, Auth, ChannelOpenHandle, Msg, PublicKeyOffer, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelWriteHalf, Disconnect, Pty};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::ending::Ending;
use super::read_ahead::ReadAhead;
use super::write_buffer::WriteBuffer;
use super::{ChannelWriter, GOODBYE, HandlerError, SUBSYSTEM, Ssh};
use crate::session::newcomer::{Metered, Newcomer};
use crate::session::{Authenticator, Session, SessionError, Sink, feed, shown};
use crate::transport::stream::{Abortable, BoxStream};

/// Makes a session over the stream of a newcomer, with whom the authenticator admits, unless it is to be given up for the
/// reason that `until` returns. Ends when the newcomer is aborted. Until the other side has said what it speaks, this costs
/// little but the stream.
///
/// # Errors
/// When the other side is not admitted, or the stream fails.
pub async fn accept(
    ssh: &Ssh,
    stream: BoxStream,
    authenticator: Box<dyn Authenticator>,
    newcomer: Newcomer,
    until: impl Future<Output = SessionError>,
) -> Result<Session, SessionError> {
    let mut until = pin!(until);
    let abort_handle = newcomer.abort_handle().clone();
    let stream = ReadAhead::new(Abortable::new(stream, &abort_handle), ssh.read_buffer);
    let stream = Metered::new(stream, newcomer.clone());
    let (opened, open) = oneshot::channel();
    let ending = Ending::default();
    let server = Server {
        node: ssh.node.clone(),
        authenticator,
        newcomer: newcomer.clone(),
        ending: ending.clone(),
        peer: None,
        sink: None,
        channel: None,
        writer: None,
        opened: Some(opened),
    };
    let config = Arc::clone(&ssh.server);
    let (stream, backlog) = WriteBuffer::new(stream);
    let running = tokio::select! {
        running = server::run_stream(config, stream, server) => running,
        // It has not even said what it speaks.
        reason = &mut until => return Err(reason),
    };
    let running = running.map_err(|HandlerError(error)| error)?;
    // From here on another task computes.
    newcomer.rest();
    let handle = running.handle();
    let mut end = ending.of(running);
    let reason = tokio::select! {
        biased;
        Ok((peer, writer)) = open => {
            return Ok(Session { peer, writer: Box::new(ChannelWriter { channel: writer, backlog }), end, abort_handle });
        }
        reason = end.reason() => reason,
        reason = &mut until => reason,
    };
    let goodbye = async {
        let said = reason.to_string();
        // It has ended by itself if this fails.
        let _ = handle.disconnect(Disconnect::ByApplication, said, String::new()).await;
        end.reason().await;
    };
    let _ = timeout(GOODBYE, goodbye).await;
    Err(reason)
}

struct Server {
    node: String,
    authenticator: Box<dyn Authenticator>,
    newcomer: Newcomer,
    ending: Ending,
    peer: Option<String>,
    /// None until the subsystem is requested, and once it has had enough.
    sink: Option<Box<dyn Sink>>,
    /// The one channel there is.
    channel: Option<ChannelId>,
    writer: Option<ChannelWriteHalf<Msg>>,
    opened: Option<oneshot::Sender<(String, ChannelWriteHalf<Msg>)>>,
}

impl Server {
    fn admit(&mut self, user: &str, key: &PublicKey, algorithm: &Algorithm) -> Auth {
        let admitted = match algorithm {
            Algorithm::Rsa { hash: None } => Err(SessionError::Sha1),
            _ => self.authenticator.admit(user, key),
        };
        match admitted {
            Ok(()) => {
                self.ending.expect(None);
                Auth::Accept
            }
            Err(refusal) => {
                // The answer comes a little later.
                self.newcomer.rest();
                self.ending.expect(Some(refusal));
                Auth::reject()
            }
        }
    }

    /// The client wants another channel than the one of the subsystem.
    fn refuse_channel(&self, reply: ChannelOpenHandle) {
        // What is not accepted is refused as prohibited.
        drop(reply);
        self.ending.refuse();
    }

    /// The client wants something beside the subsystem.
    fn refuse(
        &self,
        channel: ChannelId,
        session: &mut server::Session,
    ) -> Result<(), HandlerError> {
        self.ending.refuse();
        Ok(session.channel_failure(channel)?)
    }

    /// The client wants something else than the subsystem: tells people what they have come upon. A failure before
    /// that would be all that OpenSSH shows.
    fn send_away(
        &mut self,
        channel: ChannelId,
        wanted: &str,
        session: &mut server::Session,
    ) -> Result<(), HandlerError> {
        if self.opened.take().is_none() {
            return self.refuse(channel, session);
        }
        let this = format!(
            "this is node '{}' of a Kozo system, not a login: its peers request the subsystem \
             '{SUBSYSTEM}', people use kozoctl on its machine, or the port of its login server",
            self.node.escape_default()
        );
        session.disconnect(Disconnect::ByApplication, &this, "")?;
        let peer = self.peer.as_deref().unwrap_or_default();
        let problem = format!("'{peer}' asked for {wanted}, not for the subsystem '{SUBSYSTEM}'");
        self.ending.declare(SessionError::Protocol(problem));
        Ok(())
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
        if self.channel.is_some() || self.opened.is_none() {
            self.refuse_channel(reply);
            return Ok(());
        }
        self.channel = Some(channel.id());
        // What comes in goes to the sink alone; without a reader russh keeps no copies of it.
        self.writer = Some(channel.split().1);
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut server::Session,
    ) -> Result<(), HandlerError> {
        self.refuse_channel(reply);
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut server::Session,
    ) -> Result<(), HandlerError> {
        self.refuse_channel(reply);
        Ok(())
    }

    async fn channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut server::Session,
    ) -> Result<(), HandlerError> {
        self.refuse_channel(reply);
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        reply: ChannelOpenHandle,
        _: &mut server::Session,
    ) -> Result<(), HandlerError> {
        self.refuse_channel(reply);
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut server::Session,
    ) -> Result<(), HandlerError> {
        if name != SUBSYSTEM {
            let name = format!("the subsystem '{}'", shown(name));
            return self.send_away(channel, &name, session);
        }
        let (Some(writer), Some(peer)) = (self.writer.take(), self.peer.clone()) else {
            return self.refuse(channel, session);
        };
        let Some(opened) = self.opened.take() else {
            return self.refuse(channel, session);
        };
        match self.authenticator.open() {
            Ok(sink) => self.sink = Some(sink),
            Err(refusal) => {
                self.ending.declare(refusal);
                return Ok(session.channel_failure(channel)?);
            }
        }
        session.channel_success(channel)?;
        // The handshake may have given up waiting for it.
        let _ = opened.send((peer, writer));
        Ok(())
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut server::Session,
    ) -> Result<(), HandlerError> {
        self.send_away(channel, "a shell", session)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _: &[u8],
        session: &mut server::Session,
    ) -> Result<(), HandlerError> {
        self.send_away(channel, "a command", session)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut server::Session,
    ) -> Result<(), HandlerError> {
        self.send_away(channel, "a terminal", session)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        session: &mut server::Session,
    ) -> Result<(), HandlerError> {
        self.refuse(channel, session)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: &str,
        session: &mut server::Session,
    ) -> Result<(), HandlerError> {
        self.refuse(channel, session)
    }

    async fn agent_request(
        &mut self,
        _: ChannelId,
        _: &mut server::Session,
    ) -> Result<bool, HandlerError> {
        self.ending.refuse();
        Ok(false)
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        _: &mut server::Session,
    ) -> Result<(), HandlerError> {
        if self.channel != Some(channel) {
            return Ok(());
        }
        if self.opened.take().is_some() {
            let problem = format!("data before the subsystem '{SUBSYSTEM}'");
            self.ending.declare(SessionError::Protocol(problem));
        }
        let Some(sink) = &mut self.sink else { return Ok(()) };
        if let Err(error) = feed(&mut **sink, data).await {
            self.sink = None;
            self.ending.declare(error);
        }
        Ok(())
    }

    async fn channel_close(
        &mut self,
        channel: ChannelId,
        _: &mut server::Session,
    ) -> Result<(), HandlerError> {
        if self.channel == Some(channel) {
            return Err(HandlerError(SessionError::closed()));
        }
        Ok(())
    }
}
