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
use tokio::time::timeout;

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
        let greet = async {
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
            let place = (carrier.transport, carrier.priority, address);
            self.greet(session, reader, place, true).await
        };
        within_limit(greet).await
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
                    let door = Door { greeter: Arc::clone(self), reader: Arc::clone(&slot) };
                    let session = ssh::accept(&self.ssh, stream, Box::new(door), newcomer).await?;
                    let reader = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                    let unopened = || SessionError::Protocol("the session did not open".to_owned());
                    (session, reader.ok_or_else(unopened)?)
                }
            };
            let peer = Arc::clone(&reader.peer);
            let place = (carrier.transport, carrier.priority, address);
            Ok((peer, self.greet(session, reader, place, false).await?))
        };
        let result = within_limit(accept).await;
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
    ) -> Result<Greeted, SessionError> {
        if !reader.peer.is_wanted() {
            let refusal = SessionError::Closed(reader.peer.name().to_owned());
            drop(reader.hold);
            part_with(session, &refusal).await;
            return Err(refusal);
        }
        let mut interests = self.exchange.interests();
        let (received_boot, received) = reader.peer.received();
        let boot = self.peers.origin.boot;
        let own = Hello { version: VERSION, boot, received_boot, received, features: Vec::new() };
        let mut bytes = BytesMut::new();
        wire::encode(&Control::Hello(&own), &mut bytes);
        wire::encode(&Control::Interest(&interests.borrow_and_update()), &mut bytes);
        session.writer.write(bytes.freeze()).await?;
        let hello = tokio::select! {
            biased;
            Ok(hello) = reader.greeted => hello,
            reason = &mut session.end => return Err(reason),
        };
        let hello = match hello {
            Ok(hello) => hello,
            Err(refusal) => {
                part_with(session, &refusal).await;
                return Err(refusal);
            }
        };
        Ok(Greeted {
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
        })
    }
}

async fn within_limit<T>(
    greeting: impl Future<Output = Result<T, SessionError>>,
) -> Result<T, SessionError> {
    let limit = ssh::HANDSHAKE_TIMEOUT;
    timeout(limit, greeting).await.unwrap_or(Err(SessionError::Timeout(limit.as_secs())))
}

/// Tells the other side why there is no session with it, and gives it a moment to hear.
async fn part_with(mut session: Session, refusal: &SessionError) {
    let mut bytes = BytesMut::new();
    wire::encode(&Control::Bye(&refusal.to_string()), &mut bytes);
    if session.writer.write(bytes.freeze()).await.is_ok() {
        let _ = timeout(GOODBYE, &mut session.end).await;
    }
}

fn check_policy(peer: &Peer) -> Result<(), SessionError> {
    if peer.is_allowed() { Ok(()) } else { Err(SessionError::Policy(peer.name().to_owned())) }
}

/// Lets in whom the configuration names, with the key that it gives for that name.
struct Door {
    greeter: Arc<Greeter>,
    reader: Arc<Mutex<Option<Reader>>>,
}

impl Gate for Door {
    fn admit(&mut self, user: &str, key: &PublicKey) -> Result<(), SessionError> {
        let peers = &self.greeter.peers;
        match (peers.get(user), peers.owner(key)) {
            (Some(peer), Some(owner)) if Arc::ptr_eq(&peer, &owner) => check_policy(&peer),
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

    fn open(&mut self, peer: &str) -> Box<dyn Sink> {
        let Some(peer) = self.greeter.peers.get(peer) else { return Box::new(Closed) };
        let (sink, reader) = self.greeter.reader(&peer);
        *self.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some(reader);
        sink
    }
}

/// The sink for somebody who is no Peer: takes nothing.
struct Closed;

impl Sink for Closed {
    fn data(&mut self, _: &[u8]) -> Result<session::Flow, SessionError> {
        Err(SessionError::Protocol("it is not in the configuration".to_owned()))
    }
}
