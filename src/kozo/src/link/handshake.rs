//! The handshake: from a bare connection to a session on which both sides have said who they are.
//!
//! Both sides send `hello` and `interest` at once, without waiting for each other. A session is
//! established when both have come from the other side; only then does its link hear of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use ssh_key::PublicKey;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::dial_limiter::DialLimiter;
use super::dispatch::Dispatch;
use super::established::{Carrier, Established, part_with};
use super::machine::SessionId;
use super::peer::Peer;
use super::peers::Peers;
use super::reader::Reader;
use super::signals::SessionSignals;
use super::standing::Hold;
use crate::interest::Interest;
use crate::session::newcomer::Newcomer;
use crate::session::ssh::{self, Ssh};
use crate::session::{Authenticator, Session, SessionError, Sink, plain};
use crate::transport::stream::AbortHandle;
use crate::transport::{Connection, Priority};
use crate::wire::{self, Control, Hello, VERSION};

/// What all handshakes of a Node have in common.
pub struct Handshaker {
    /// SSH, for streams that need it.
    pub ssh: Ssh,
    /// Who may come in.
    pub peers: Arc<Peers>,
    /// Where Messages and interest go.
    pub dispatch: Arc<dyn Dispatch>,
    /// The turns of attempts to reach Peers.
    pub dial_limiter: Arc<DialLimiter>,
}

/// Sessions of this process so far.
static SESSIONS: AtomicU64 = AtomicU64::new(0);

/// What the handshake keeps of a session's reader.
struct ReaderSide {
    id: SessionId,
    peer: Arc<Peer>,
    signals: Arc<SessionSignals>,
    hold: Hold,
    established: oneshot::Receiver<Result<Hello, SessionError>>,
}

/// A session on which neither side has said who it is.
struct Opened {
    session: Session,
    reader: ReaderSide,
    transport: String,
    priority: Priority,
    address: String,
    dialled: bool,
    /// When it is too late for the other side to say so.
    deadline: Instant,
}

impl Handshaker {
    /// For a Node that has made nothing yet.
    pub fn new(
        ssh: Ssh,
        peers: Arc<Peers>,
        dispatch: Arc<dyn Dispatch>,
        dial_limiter: Arc<DialLimiter>,
    ) -> Handshaker {
        Handshaker { ssh, peers, dispatch, dial_limiter }
    }

    /// Makes a session with a Peer, over the connection that `connecting` makes when its turn has come. Cancel safe,
    /// but only an attempt that goes on until it ends by itself, as it does at once when the Peer's link ends, tells
    /// the other side why.
    ///
    /// # Errors
    /// Why it came to nothing, at the latest [`ssh::HANDSHAKE_TIMEOUT`] after the connection was made.
    pub async fn dial(
        &self,
        peer: &Arc<Peer>,
        connecting: impl Future<Output = Result<Carrier, SessionError>>,
    ) -> Result<Established, SessionError> {
        let opening = self.dial_limiter.take_turn(async {
            let carrier = connecting.await?;
            let deadline = deadline();
            by(deadline, self.open(peer, carrier, deadline)).await
        });
        let opened = tokio::select! {
            biased;
            reason = peer.ended() => Err(reason),
            opened = opening => opened,
        };
        self.greet(opened?).await
    }

    /// Opens the session on a connection that this side has made.
    async fn open(
        &self,
        peer: &Arc<Peer>,
        carrier: Carrier,
        deadline: Instant,
    ) -> Result<Opened, SessionError> {
        let (sink, reader) = self.reader(peer);
        let Connection { stream, peer: vouched, address } = carrier.connection;
        let session = match vouched {
            Some(name) if name == peer.name() => plain::new(stream, name, sink, AbortHandle::new()),
            Some(name) => return Err(SessionError::Protocol(format!("'{name}' answered there"))),
            None => {
                let key = &peer.config.public_key;
                ssh::connect(&self.ssh, stream, peer.name(), key, sink).await?
            }
        };
        let (transport, priority) = (carrier.transport, carrier.priority);
        Ok(Opened { session, reader, transport, priority, address, dialled: true, deadline })
    }

    /// Makes a session with the Peer at the other end of a connection that came in. Ends when its stream is aborted.
    ///
    /// # Errors
    /// Why it came to nothing, at the latest after [`ssh::HANDSHAKE_TIMEOUT`].
    pub async fn accept(
        self: &Arc<Self>,
        carrier: Carrier,
        newcomer: Newcomer,
    ) -> Result<(Arc<Peer>, Established), SessionError> {
        let abort_handle = newcomer.abort_handle().clone();
        let deadline = deadline();
        let accept = async {
            let Connection { stream, peer: vouched, address } = carrier.connection;
            let (session, reader) = match vouched {
                Some(name) => {
                    let peer = self.peers.get(&name).ok_or_else(|| {
                        SessionError::Protocol(format!("'{name}' is not in the configuration"))
                    })?;
                    check_policy(&peer)?;
                    let (sink, reader) = self.reader(&peer);
                    (plain::new(stream, name, sink, abort_handle.clone()), reader)
                }
                None => {
                    let slot = Arc::new(Mutex::new(None));
                    let (admits, admitted) = watch::channel(None);
                    let handshaker = Arc::clone(self);
                    let authenticator = PeerAuthenticator {
                        handshaker,
                        admitted: admits,
                        reader: Arc::clone(&slot),
                    };
                    let until = async {
                        tokio::select! {
                            () = sleep_until(deadline) => timed_out(),
                            reason = withdrawn(admitted) => reason,
                        }
                    };
                    let session =
                        ssh::accept(&self.ssh, stream, Box::new(authenticator), newcomer, until)
                            .await?;
                    let reader = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                    let unopened = || SessionError::Protocol("the session did not open".to_owned());
                    (session, reader.ok_or_else(unopened)?)
                }
            };
            let peer = Arc::clone(&reader.peer);
            let (transport, priority) = (carrier.transport, carrier.priority);
            let opened =
                Opened { session, reader, transport, priority, address, dialled: false, deadline };
            Ok((peer, self.greet(opened).await?))
        };
        let result = accept.await;
        if result.is_err() {
            abort_handle.abort();
        }
        result
    }

    fn reader(&self, peer: &Arc<Peer>) -> (Box<dyn Sink>, ReaderSide) {
        let id = SESSIONS.fetch_add(1, Ordering::Relaxed);
        let signals = Arc::new(SessionSignals::new());
        let (established, hears) = oneshot::channel();
        let (hold, standing) = Hold::new();
        let (dispatch, peer) = (Arc::clone(&self.dispatch), Arc::clone(peer));
        let sink = Reader::new(
            id,
            Arc::clone(&peer),
            dispatch,
            Arc::clone(&signals),
            standing,
            established,
        );
        (Box::new(sink), ReaderSide { id, peer, signals, hold, established: hears })
    }

    async fn greet(&self, opened: Opened) -> Result<Established, SessionError> {
        let Opened { mut session, reader, transport, priority, address, dialled, deadline } =
            opened;
        let mut interests = self.dispatch.interests();
        let hellos = async {
            self.say_hello(&mut session, &reader.peer, &mut interests).await?;
            hear_hello(&mut session, reader.established).await
        };
        let hello = tokio::select! {
            biased;
            reason = reader.peer.ended() => Err(reason),
            hello = by(deadline, hellos) => hello,
        };
        match hello {
            Ok(hello) => Ok(Established {
                id: reader.id,
                session,
                signals: reader.signals,
                interests,
                hello,
                transport,
                priority,
                address,
                dialled,
                hold: Some(reader.hold),
            }),
            Err(error) => {
                drop(reader.hold);
                part_with(&mut session, &error).await;
                Err(error)
            }
        }
    }

    async fn say_hello(
        &self,
        session: &mut Session,
        peer: &Peer,
        interests: &mut watch::Receiver<Arc<[Interest]>>,
    ) -> Result<(), SessionError> {
        if !peer.is_wanted() {
            return Err(SessionError::Closed(peer.name().to_owned()));
        }
        let (received_boot, received) = peer.received();
        let boot = self.peers.origin.boot;
        let own = Hello { version: VERSION, boot, received_boot, received, features: Vec::new() };
        let mut bytes = BytesMut::new();
        wire::encode(&Control::Hello(&own), &mut bytes);
        wire::encode(&Control::Interest(&interests.borrow_and_update()), &mut bytes);
        session.writer.write(bytes.freeze()).await
    }
}

async fn hear_hello(
    session: &mut Session,
    established: oneshot::Receiver<Result<Hello, SessionError>>,
) -> Result<Hello, SessionError> {
    tokio::select! {
        biased;
        Ok(hello) = established => hello,
        reason = session.end.reason() => Err(reason),
    }
}

/// When a handshake that begins now has taken too long.
fn deadline() -> Instant {
    Instant::now() + ssh::HANDSHAKE_TIMEOUT
}

fn timed_out() -> SessionError {
    SessionError::Timeout(ssh::HANDSHAKE_TIMEOUT.as_secs())
}

async fn by<T>(
    deadline: Instant,
    step: impl Future<Output = Result<T, SessionError>>,
) -> Result<T, SessionError> {
    timeout_at(deadline, step).await.unwrap_or_else(|_| Err(timed_out()))
}

fn check_policy(peer: &Peer) -> Result<(), SessionError> {
    if peer.is_allowed() { Ok(()) } else { Err(SessionError::Policy(peer.name().to_owned())) }
}

/// Lets in whom the configuration names, with the key that it gives for that name.
struct PeerAuthenticator {
    handshaker: Arc<Handshaker>,
    /// Who was let in: that very Peer, as the configuration had it then.
    admitted: watch::Sender<Option<Arc<Peer>>>,
    reader: Arc<Mutex<Option<ReaderSide>>>,
}

impl Authenticator for PeerAuthenticator {
    fn admit(&mut self, user: &str, key: &PublicKey) -> Result<(), SessionError> {
        self.admitted.send_replace(None);
        let peers = &self.handshaker.peers;
        match (peers.get(user), peers.owner(key)) {
            (Some(peer), Some(owner)) if Arc::ptr_eq(&peer, &owner) => {
                peer.check_end()?;
                check_policy(&peer)?;
                self.admitted.send_replace(Some(peer));
                Ok(())
            }
            (_, Some(owner)) => Err(SessionError::WrongName {
                user: user.escape_debug().to_string(),
                owner: owner.name().to_owned(),
            }),
            (_, None) => Err(SessionError::Stranger {
                user: user.escape_debug().to_string(),
                key: ssh::fingerprint(key),
            }),
        }
    }

    fn open(&mut self) -> Result<Box<dyn Sink>, SessionError> {
        let admitted = self.admitted.borrow().clone();
        let peer =
            admitted.ok_or_else(|| SessionError::Protocol("no Peer was admitted".to_owned()))?;
        peer.check_end()?;
        let (sink, reader) = self.handshaker.reader(&peer);
        *self.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some(reader);
        Ok(sink)
    }
}

/// Returns why the Peer that was admitted is not to be any more, once that is so.
async fn withdrawn(mut admitted: watch::Receiver<Option<Arc<Peer>>>) -> SessionError {
    loop {
        let peer = admitted.borrow_and_update().clone();
        let ended = async {
            match peer {
                Some(peer) => peer.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            reason = ended => return reason,
            Ok(()) = admitted.changed() => {}
        }
    }
}
