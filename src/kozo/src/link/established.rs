//! A session on which both sides have said who they are, on its way to its link; and how one side parts from the
//! other.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::watch;
use tokio::time::timeout;

use super::machine::SessionId;
use super::signals::SessionSignals;
use super::standing::Hold;
use crate::interest::Interest;
use crate::session::{Session, SessionError};
use crate::transport::{Connection, Priority};
use crate::wire::{self, Control, Hello};

/// How long the other side has to close a session that was refused.
const GOODBYE: Duration = Duration::from_secs(1);

/// A session on which both sides have said hello.
pub struct Established {
    /// Its number.
    pub id: SessionId,
    /// The session.
    pub session: Session,
    /// Tells its writer what to say.
    pub signals: Arc<SessionSignals>,
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

impl Established {
    /// Parts with a Peer whose link has ended meanwhile, for the reason that `ended` returns.
    pub async fn part(mut self, ended: impl Future<Output = SessionError>) -> SessionError {
        let reason = ended.await;
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
