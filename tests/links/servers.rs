//! What a Peer that is dialled can do with its side of the session, made by hand.

use std::sync::{Arc, Mutex};

use russh::server::{self, Auth, ChannelOpenHandle, Msg, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, Disconnect, Error};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use crate::kit::log::Log;
use crate::kit::memory::Network;
use crate::kit::{Plan, Running, TestSystem};
use crate::revoked::{REASON, rekeyed};

/// An SSH server that gives every client the subsystem, and keeps what comes.
struct Anvil {
    opened: mpsc::UnboundedSender<ChannelId>,
    came: Arc<Mutex<Vec<u8>>>,
}

impl server::Handler for Anvil {
    type Error = Error;

    async fn auth_publickey(&mut self, _: &str, _: VerifiedPublicKey<'_>) -> Result<Auth, Error> {
        Ok(Auth::Accept)
    }

    async fn auth_publickey_offered(
        &mut self,
        _: &str,
        _: server::PublicKeyOffer<'_>,
    ) -> Result<Auth, Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut server::Session,
    ) -> Result<(), Error> {
        reply.accept().await;
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        session: &mut server::Session,
    ) -> Result<(), Error> {
        session.channel_success(channel)?;
        let _ = self.opened.send(channel);
        Ok(())
    }

    async fn data(
        &mut self,
        _: ChannelId,
        data: &[u8],
        _: &mut server::Session,
    ) -> Result<(), Error> {
        self.came.lock().unwrap().extend_from_slice(data);
        Ok(())
    }
}

/// The session of `clock`, which dialled `scribe`: such a server.
struct DialledServer {
    clock: Running,
    handle: server::Handle,
    session: server::RunningSession<Anvil>,
    came: Arc<Mutex<Vec<u8>>>,
}

impl DialledServer {
    async fn new() -> DialledServer {
        let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
        let mut listener = system.transport("scribe").listen(Vec::new()).await.unwrap();
        let clock = system.start("clock").await;
        let stream = listener.accept().await.unwrap().stream;
        let config = server::Config {
            keys: vec![russh::keys::PrivateKey::clone(&system.key("scribe"))],
            ..Default::default()
        };
        let (sender, mut opened) = mpsc::unbounded_channel();
        let came = Arc::default();
        let anvil = Anvil { opened: sender, came: Arc::clone(&came) };
        let session = server::run_stream(Arc::new(config), stream, anvil).await.unwrap();
        opened.recv().await.unwrap();
        DialledServer { clock, handle: session.handle(), session, came }
    }

    /// Tries to open a channel of each type.
    async fn try_all(&self) -> Vec<Error> {
        let handle = &self.handle;
        let attempts = [
            handle.channel_open_session().await,
            handle.channel_open_agent().await,
            handle.channel_open_direct_tcpip("10.0.0.1", 22, "10.0.0.2", 1).await,
            handle.channel_open_direct_streamlocal("/run/socket").await,
            handle.channel_open_forwarded_tcpip("10.0.0.1", 22, "10.0.0.2", 1).await,
            handle.channel_open_forwarded_streamlocal("/run/socket").await,
            handle.channel_open_x11("10.0.0.1", 6000).await,
        ];
        attempts.into_iter().map(|attempt| attempt.expect_err("it is refused")).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn opens_no_channel_and_is_closed_when_it_goes_on_trying() {
    let server = DialledServer::new().await;
    for error in server.try_all().await {
        let refused = ChannelOpenFailure::AdministrativelyProhibited;
        assert!(
            matches!(&error, Error::ChannelOpenFailure(reason) if *reason == refused),
            "{error}"
        );
    }
    let mut rounds = 1;
    while !server.try_all().await.iter().any(|error| !matches!(error, Error::ChannelOpenFailure(_)))
    {
        // Who says goodbye goes a little later.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        rounds += 1;
        assert!(rounds < 20, "it may go on for ever");
    }
    server
        .clock
        .until("closed", |clock| {
            let error = clock.peer("scribe").last_error;
            error.is_some_and(|error| error.contains("asks for more than the subsystem 'kozo'"))
        })
        .await;
}

/// It has not said hello yet, and its key is replaced.
#[tokio::test(start_paused = true)]
async fn is_left_at_once_when_its_key_is_replaced_and_told_why() {
    let server = DialledServer::new().await;
    server.clock.node.reload(rekeyed(&server.clock, "scribe")).await.unwrap();
    let begun = tokio::time::Instant::now();
    let _ = server.session.await;
    assert!(begun.elapsed().as_secs() < 3, "{:?}", begun.elapsed());
    let came = String::from_utf8_lossy(&server.came.lock().unwrap()).into_owned();
    assert!(came.contains(REASON), "{came}");
}

/// It has not begun to speak SSH.
#[tokio::test(start_paused = true)]
async fn one_that_says_nothing_is_left_at_once_when_its_key_is_replaced() {
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let mut listener = system.transport("scribe").listen(Vec::new()).await.unwrap();
    let clock = system.start("clock").await;
    let mut stream = listener.accept().await.unwrap().stream;
    clock.node.reload(rekeyed(&clock, "scribe")).await.unwrap();
    let begun = tokio::time::Instant::now();
    let mut greeting = Vec::new();
    let _ = stream.read_to_end(&mut greeting).await;
    assert!(begun.elapsed().as_secs() < 1, "{:?}", begun.elapsed());
    assert!(greeting.starts_with(b"SSH-2.0-kozo"), "{greeting:?}");
}

#[tokio::test(start_paused = true)]
async fn is_heard_when_it_says_why_it_closes() {
    let log = Log::new();
    let server = DialledServer::new().await;
    let reason = "the disk is \u{1b}[31m full".to_owned();
    server.handle.disconnect(Disconnect::ByApplication, reason, String::new()).await.unwrap();
    log.until("cannot connect yet").await;
    let line = log.one("cannot connect yet");
    assert!(line.contains(r"closed by the peer: the disk is \u{1b}[31m full"), "{line}");
    drop(server.session);
}
