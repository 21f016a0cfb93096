//! The dialling side of an SSH session.

use std::sync::Arc;

use russh::client::{self, AuthResult, ChannelOpenHandle, DisconnectReason, Handle, Msg};
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{Channel, ChannelId, ChannelMsg, ChannelOpenFailure, ChannelWriteHalf, Disconnect};
use tokio::time::timeout;

use super::ending::Ending;
use super::read_ahead::ReadAhead;
use super::write_buffer::WriteBuffer;
use super::{ChannelWriter, GOODBYE, HandlerError, SUBSYSTEM, Ssh, fingerprint, same_key};
use crate::session::{Session, SessionError, Sink, feed, shown};
use crate::transport::stream::{AbortHandle, Abortable, BoxStream};

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
    let abort_handle = AbortHandle::new();
    let stream = ReadAhead::new(Abortable::new(stream, &abort_handle), ssh.read_buffer);
    let (stream, backlog) = WriteBuffer::new(stream);
    let ending = Ending::default();
    let handler =
        Client { key: key.clone(), sink: Some(sink), channel: None, ending: ending.clone() };
    let guard = AbortOnDrop(Some(abort_handle.clone()));
    let handshake = client::connect_stream(Arc::clone(&ssh.client), stream, handler);
    let mut handle = match handshake.await {
        Ok(handle) => handle,
        Err(HandlerError(error)) => return Err(ending.reason(error)),
    };
    let writer = match open(ssh, &mut handle).await {
        Ok(writer) => writer,
        Err(error) => {
            part(handle, &error).await;
            return Err(ending.reason(error));
        }
    };
    guard.keep();
    Ok(Session {
        peer: peer.to_owned(),
        writer: Box::new(ChannelWriter { channel: writer, backlog }),
        end: ending.of(handle),
        abort_handle,
    })
}

/// Authenticates, and opens the subsystem.
async fn open(
    ssh: &Ssh,
    handle: &mut Handle<Client>,
) -> Result<ChannelWriteHalf<Msg>, SessionError> {
    let own = PrivateKeyWithHashAlg::new(Arc::clone(&ssh.key), Some(HashAlg::Sha512));
    let failed = |error: russh::Error| HandlerError::from(error).0;
    let authenticated = handle.authenticate_publickey(&*ssh.node, own).await.map_err(failed)?;
    match authenticated {
        AuthResult::Success => {}
        // russh says so too when the stream has ended meanwhile.
        AuthResult::Failure { remaining_methods, .. } if remaining_methods.is_empty() => {
            return Err(SessionError::closed());
        }
        AuthResult::Failure { .. } => {
            return Err(SessionError::KeyRefused(fingerprint(ssh.key.public_key())));
        }
    }
    let mut channel = handle.channel_open_session().await.map_err(failed)?;
    channel.request_subsystem(true, SUBSYSTEM).await.map_err(failed)?;
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Success) => break,
            Some(ChannelMsg::Failure) => {
                let problem = format!("it has no subsystem '{SUBSYSTEM}'");
                return Err(SessionError::Protocol(problem));
            }
            None => return Err(SessionError::closed()),
            // The handler has seen it too.
            Some(_) => {}
        }
    }
    // What comes in goes to the sink alone; without a reader russh keeps no copies of it.
    Ok(channel.split().1)
}

/// Tells the other side why there is no session, if it is still there, and hears what it said last: russh
/// hands that to its handler at the very end.
async fn part(handle: Handle<Client>, error: &SessionError) {
    let end = async {
        // It has ended by itself if this fails.
        let _ = handle.disconnect(Disconnect::ByApplication, &error.to_string(), "").await;
        let _ = handle.await;
    };
    let _ = timeout(GOODBYE, end).await;
}

/// Cuts the stream unless told to keep it: russh goes on by itself when its future is dropped.
struct AbortOnDrop(Option<AbortHandle>);

impl AbortOnDrop {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(abort_handle) = &self.0 {
            abort_handle.abort();
        }
    }
}

struct Client {
    key: PublicKey,
    /// None once it has had enough.
    sink: Option<Box<dyn Sink>>,
    /// The one channel there is.
    channel: Option<ChannelId>,
    ending: Ending,
}

impl Client {
    /// No channel is the server's to open.
    fn refuse(&self, reply: ChannelOpenHandle) {
        // What is not accepted is refused as prohibited.
        drop(reply);
        self.ending.refuse();
    }
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
        let expected = fingerprint(&self.key);
        self.ending.expect(Some(SessionError::HostKey { found, expected }));
        Ok(false)
    }

    async fn channel_open_confirmation(
        &mut self,
        channel: ChannelId,
        _: u32,
        _: u32,
        _: &mut client::Session,
    ) -> Result<(), HandlerError> {
        self.channel = Some(channel);
        Ok(())
    }

    async fn channel_open_failure(
        &mut self,
        _: ChannelId,
        _: ChannelOpenFailure,
        description: &str,
        _: &str,
        _: &mut client::Session,
    ) -> Result<(), HandlerError> {
        let problem = format!("it refused to open a channel: {}", shown(description));
        self.ending.expect(Some(SessionError::Protocol(problem)));
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        _: &mut client::Session,
    ) -> Result<(), HandlerError> {
        let Some(sink) = self.sink.as_mut().filter(|_| self.channel == Some(channel)) else {
            return Ok(());
        };
        if let Err(error) = feed(&mut **sink, data).await {
            self.sink = None;
            self.ending.declare(error);
        }
        Ok(())
    }

    async fn channel_close(
        &mut self,
        channel: ChannelId,
        _: &mut client::Session,
    ) -> Result<(), HandlerError> {
        if self.channel == Some(channel) {
            return Err(HandlerError(SessionError::closed()));
        }
        Ok(())
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<HandlerError>,
    ) -> Result<(), HandlerError> {
        match reason {
            DisconnectReason::ReceivedDisconnect(said) => {
                self.ending.declare(SessionError::closed_for(&said.message));
                Ok(())
            }
            DisconnectReason::Error(error) => Err(error),
        }
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), HandlerError> {
        self.refuse(reply);
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), HandlerError> {
        self.refuse(reply);
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), HandlerError> {
        self.refuse(reply);
        Ok(())
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), HandlerError> {
        self.refuse(reply);
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), HandlerError> {
        self.refuse(reply);
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), HandlerError> {
        self.refuse(reply);
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), HandlerError> {
        self.refuse(reply);
        Ok(())
    }

    /// Then it is refused below. russh refuses it a second time where this says no.
    async fn should_accept_unknown_server_channel(&mut self, _: ChannelId, _: &str) -> bool {
        true
    }

    async fn server_channel_open_unknown(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), HandlerError> {
        self.refuse(reply);
        Ok(())
    }
}
