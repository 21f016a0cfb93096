//! Greeting: from a bare connection to a session on which both sides have said who they are.
//!
//! Both sides send `hello` and `interest` at once, without waiting for each other. A session has
//! greeted when both have come from the other side; only then does its link hear of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use russh::keys::PublicKey;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::inbound::Inbound;
use super::machine::SessionId;
use super::notes::Notes;
use super::pace::Pace;
use super::peer::{Exchange, Peer, Peers};
use super::standing::Hold;
use crate::interest::Interest;
use crate::transport::newcomer::Newcomer;
use crate::transport::session::{self, Gate, Session, SessionError, Sink};
use crate::transport::ssh::{self, Ssh};
use crate::transport::stream::Cutter;
use crate::transport::{Connection, Priority};
use crate::wire::{self, Control, Hello, VERSION};

/// How long the other side has to close a session that was refused.
const GOODBYE: Duration = Duration::from_secs(1);

/// What all greetings of a Node have in common.
pub struct Greeter {
    /// SSH, for streams that need it.
    pub ssh: Ssh,
    /// Who may come in.
    pub peers: Arc<Peers>,
    /// Where Messages and interest go.
    pub exchange: Arc<dyn Exchange>,
    /// The turns of attempts to reach Peers.
    pub pace: Arc<Pace>,
}

/// Sessions of this process so far, whoever greeted.
static SESSIONS: AtomicU64 = AtomicU64::new(0);

/// A session that has greeted.
pub struct Greeted {
    /// Its number.
    pub id: SessionId,
    /// The session.
    pub session: Session,
    /// Notes to its writer.
    pub notes: Arc<Notes>,
    /// The interest of local Roles, announced as far as it is marked as seen.
    pub interests: watch::Receiver<Arc<[Interest]>>,
    /// What the Peer said of itself.
    pub hello: Hello,
    /// Type of the Transport that carries it.
    pub transport: String,
    /// Priority of that Transport.
    pub priority: Priority,
    /// Where it goes to or comes from.
    pub address: String,
    /// Whether this side dialled.
    pub dialled: bool,
    /// For the link, if it wants the session.
    pub hold: Option<Hold>,
}

/// A connection and what is known of it before the other side has said anything.
pub struct Carrier {
    /// The bytes.
    pub connection: Connection,
    /// Type of the Transport.
    pub transport: String,
    /// Priority of the Transport.
    pub priority: Priority,
}

/// What is made for the reader's side of a session once the Peer is known.
struct Reader {
    id: SessionId,
    peer: Arc<Peer>,
    notes: Arc<Notes>,
    hold: Hold,
    greeted: oneshot::Receiver<Result<Hello, SessionError>>,
}

impl Greeter {
    /// For a Node that has made nothing yet.
    pub fn new(
        ssh: Ssh,
        peers: Arc<Peers>,
        exchange: Arc<dyn Exchange>,
        pace: Arc<Pace>,
    ) -> Greeter {
        Greeter { ssh, peers, exchange, pace }
    }

    /// Greets a Peer over a connection that this side has made. Cancel safe.
    ///
    /// # Errors
    /// Why it came to nothing, at the latest after [`ssh::HANDSHAKE_TIMEOUT`].
    pub async fn dial(&self, peer: &Arc<Peer>, carrier: Carrier) -> Result<Greeted, SessionError> {
        let deadline = deadline();
        let (session, reader, place) = by(deadline, async {
            let (sink, reader) = self.reader(peer);
            let Connection { stream, peer: vouched, address } = carrier.connection;
            let session = match vouched {
                Some(name) if name == peer.name() => {
                    session::plain(stream, name, sink, Cutter::new())
                }
                Some(name) => {
                    let problem = format!("'{name}' answered there");
                    return Err(SessionError::Protocol(problem));
                }
                None => {
                    let key = &peer.config.public_key;
                    ssh::connect(&self.ssh, stream, peer.name(), key, sink).await?
                }
            };
            Ok((session, reader, (carrier.transport, carrier.priority, address)))
        })
        .await?;
        self.greet(session, reader, place, true, deadline).await
    }

    /// Greets whoever made a connection to this side. Ends when his cutter cuts.
    ///
    /// # Errors
    /// Why it came to nothing, at the latest after [`ssh::HANDSHAKE_TIMEOUT`].
    pub async fn accept(
        self: &Arc<Self>,
        carrier: Carrier,
        newcomer: Newcomer,
    ) -> Result<(Arc<Peer>, Greeted), SessionError> {
        let cutter = newcomer.cutter().clone();
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
                    (session::plain(stream, name, sink, cutter.clone()), reader)
                }
                None => {
                    let slot = Arc::new(Mutex::new(None));
                    let (admits, admitted) = watch::channel(None);
                    let greeter = Arc::clone(self);
                    let door = Door { greeter, admitted: admits, reader: Arc::clone(&slot) };
                    let until = async {
                        tokio::select! {
                            () = sleep_until(deadline) => timed_out(),
                            reason = withdrawn(admitted) => reason,
                        }
                    };
                    let session =
                        ssh::accept(&self.ssh, stream, Box::new(door), newcomer, until).await?;
                    let reader = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                    let unopened = || SessionError::Protocol("the session did not open".to_owned());
                    (session, reader.ok_or_else(unopened)?)
                }
            };
            let peer = Arc::clone(&reader.peer);
            let place = (carrier.transport, carrier.priority, address);
            Ok((peer, self.greet(session, reader, place, false, deadline).await?))
        };
        let result = accept.await;
        if result.is_err() {
            cutter.cut();
        }
        result
    }

    fn reader(&self, peer: &Arc<Peer>) -> (Box<dyn Sink>, Reader) {
        let id = SESSIONS.fetch_add(1, Ordering::Relaxed);
        let notes = Arc::new(Notes::new());
        let (greeted, hears) = oneshot::channel();
        let (hold, standing) = Hold::new();
        let (exchange, peer) = (Arc::clone(&self.exchange), Arc::clone(peer));
        let sink =
            Inbound::new(id, Arc::clone(&peer), exchange, Arc::clone(&notes), standing, greeted);
        (Box::new(sink), Reader { id, peer, notes, hold, greeted: hears })
    }

    async fn greet(
        &self,
        mut session: Session,
        reader: Reader,
        (transport, priority, address): (String, Priority, String),
        dialled: bool,
        deadline: Instant,
    ) -> Result<Greeted, SessionError> {
        let mut interests = self.exchange.interests();
        let exchange = async {
            self.say_hello(&mut session, &reader.peer, &mut interests).await?;
            hear_hello(&mut session, reader.greeted).await
        };
        let hello = tokio::select! {
            biased;
            reason = reader.peer.ended() => Err(reason),
            hello = by(deadline, exchange) => hello,
        };
        match hello {
            Ok(hello) => Ok(Greeted {
                id: reader.id,
                session,
                notes: reader.notes,
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
    greeted: oneshot::Receiver<Result<Hello, SessionError>>,
) -> Result<Hello, SessionError> {
    tokio::select! {
        biased;
        Ok(hello) = greeted => hello,
        reason = session.end.reason() => Err(reason),
    }
}

/// When a greeting that begins now has taken too long.
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

impl Greeted {
    /// Parts with a Peer whose link has ended meanwhile, and says why.
    pub async fn part(mut self, peer: &Peer) -> SessionError {
        let reason = peer.ended().await;
        part_with(&mut self.session, &reason).await;
        reason
    }
}

/// Tells the other side why there is no session with it, or no longer, unless it is itself the one who said so;
/// and gives it a moment to hear.
pub(super) async fn part_with(session: &mut Session, reason: &SessionError) {
    if matches!(reason, SessionError::Stream(_) | SessionError::TurnedAway(_)) {
        return;
    }
    let mut bytes = BytesMut::new();
    wire::encode(&Control::Bye(&reason.to_string()), &mut bytes);
    let goodbye = async {
        if session.writer.write(bytes.freeze()).await.is_ok() {
            session.end.reason().await;
        }
    };
    let _ = timeout(GOODBYE, goodbye).await;
}

fn check_policy(peer: &Peer) -> Result<(), SessionError> {
    if peer.is_allowed() { Ok(()) } else { Err(SessionError::Policy(peer.name().to_owned())) }
}

/// Lets in whom the configuration names, with the key that it gives for that name.
struct Door {
    greeter: Arc<Greeter>,
    /// Who was let in: that very Peer, as the configuration had it then.
    admitted: watch::Sender<Option<Arc<Peer>>>,
    reader: Arc<Mutex<Option<Reader>>>,
}

impl Gate for Door {
    fn admit(&mut self, user: &str, key: &PublicKey) -> Result<(), SessionError> {
        self.admitted.send_replace(None);
        let peers = &self.greeter.peers;
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
        let peer = admitted.ok_or_else(|| SessionError::Protocol("nobody came in".to_owned()))?;
        peer.check_end()?;
        let (sink, reader) = self.greeter.reader(&peer);
        *self.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some(reader);
        Ok(sink)
    }
}

/// Returns why whoever has been admitted is not to be any more, once that is so.
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
