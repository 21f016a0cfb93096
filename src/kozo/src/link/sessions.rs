//! The sessions that a link knows: each from the end of its handshake until its writer has ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::command::LinkCommand;
use super::established::Established;
use super::machine::{Offer, Reason, SessionId};
use super::peer::Peer;
use super::signals::{SessionSignals, ToWriter};
use super::standing::Hold;
use super::writer;
use crate::transport::stream::AbortHandle;

/// How long a session has for its goodbye, however full its stream is.
const GOODBYE: Duration = Duration::from_secs(2);

/// A session that its link knows.
pub(super) struct OpenSession {
    /// Tells its writer what to say, and the link what its reader came upon.
    pub signals: Arc<SessionSignals>,
    /// What the link's machine knows of it.
    pub offer: Offer,
    /// Type of the Transport that carries it.
    pub transport: String,
    /// Where it goes to or comes from.
    pub address: String,
    /// How many Messages the Peer said it has from this run of this Node, if it knows this run.
    pub received: Option<u64>,
    /// Until the session is given up.
    hold: Option<Hold>,
    abort_handle: AbortHandle,
}

impl OpenSession {
    /// Takes a session over from its handshake and starts its writer. The link is told when that has ended.
    /// `own_boot` is this run of this Node.
    pub(super) fn open(
        mut established: Established,
        peer: Arc<Peer>,
        own_boot: u64,
    ) -> OpenSession {
        let Established { id, ref hello, .. } = established;
        let open = OpenSession {
            signals: Arc::clone(&established.signals),
            offer: Offer {
                id,
                priority: established.priority,
                boot: hello.boot,
                dialled: established.dialled,
            },
            transport: established.transport.clone(),
            address: established.address.clone(),
            received: (hello.received_boot == own_boot).then_some(hello.received),
            hold: established.hold.take(),
            abort_handle: established.session.abort_handle.clone(),
        };
        tokio::spawn(async move {
            let reason = writer::run(established, Arc::clone(&peer)).await;
            // The link is gone when the Node has stopped.
            let _ = peer.commands.send(LinkCommand::Ended(id, Box::new(reason))).await;
        });
        open
    }

    /// Lets its reader deliver Messages, unless it was closed.
    pub(super) fn confirm(&self) {
        if let Some(hold) = &self.hold {
            hold.confirm();
        }
    }

    fn close(&mut self, reason: Reason) {
        self.hold = None;
        self.signals.set_active(false);
        if reason == Reason::Silent {
            // It would not hear a goodbye.
            return self.abort_handle.abort();
        }
        self.signals.tell_writer(|say| say.bye = Some(reason.text()));
        let abort_handle = self.abort_handle.clone();
        tokio::spawn(async move {
            sleep(GOODBYE).await;
            abort_handle.abort();
        });
    }
}

/// A session is of no use without its link.
impl Drop for OpenSession {
    fn drop(&mut self) {
        self.signals.set_active(false);
        self.abort_handle.abort();
    }
}

/// The sessions that a link knows, those included whose goodbye is under way.
#[derive(Default)]
pub(super) struct Sessions(HashMap<SessionId, OpenSession>);

impl Sessions {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn insert(&mut self, open: OpenSession) {
        self.0.insert(open.offer.id, open);
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&OpenSession> {
        self.0.get(&id)
    }

    /// Ends a session, if it has not ended by itself.
    pub(super) fn remove(&mut self, id: SessionId) {
        self.0.remove(&id);
    }

    /// Tells the writer of a session what to say.
    pub(super) fn tell_writer(&self, id: SessionId, note: impl FnOnce(&mut ToWriter)) {
        if let Some(open) = self.get(id) {
            open.signals.tell_writer(note);
        }
    }

    /// Closes a session; from now on, what comes on it is dropped.
    pub(super) fn close(&mut self, id: SessionId, reason: Reason) {
        if let Some(open) = self.0.get_mut(&id) {
            open.close(reason);
        }
    }

    /// Whether the session that was in use before was not finished but dead, now that this one is: that it was, the
    /// other side may have noticed first.
    pub(super) fn has_died(&self, before: Option<SessionId>, now: Option<SessionId>) -> bool {
        let Some(before) = before.filter(|_| before != now) else { return false };
        let priority = |id| self.get(id).map(|open| open.offer.priority);
        // One that is moved from to a better or a worse Transport is finished.
        priority(before).is_none_or(|was| Some(was) == now.and_then(priority))
    }
}

/// Closes a session that the link is not to know.
pub(super) fn turn_away(mut established: Established, peer: Arc<Peer>, reason: Reason) {
    established.hold = None;
    established.signals.tell_writer(|say| say.bye = Some(reason.text()));
    let abort_handle = established.session.abort_handle.clone();
    tokio::spawn(async move {
        let _ = timeout(GOODBYE, writer::run(established, peer)).await;
        abort_handle.abort();
    });
}
