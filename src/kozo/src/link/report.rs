//! What is said of a link: to its Peer's status, to the Node, to the log, and to what waits until it is ready.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use tracing::{debug, info, warn};

use super::dispatch::Dispatch;
use super::machine::{End, State};
use super::peer::Peer;
use super::sessions::OpenSession;
use super::status::Carrier;
use crate::class;
use crate::session::SessionError;
use crate::status::{Direction, LinkState};

/// Says what becomes of one link.
pub(super) struct Report {
    peer: Arc<Peer>,
    dispatch: Arc<dyn Dispatch>,
    /// How the link ends, once it does.
    end: watch::Receiver<Option<End>>,
    /// What waits for the link ends when this is dropped.
    ready: Option<oneshot::Sender<()>>,
    /// The log says already that the Peer cannot be reached.
    unreachable: bool,
}

impl Report {
    /// For the link to this Peer. `ready` is dropped by [`ready`](Self::ready).
    pub(super) fn new(
        peer: Arc<Peer>,
        dispatch: Arc<dyn Dispatch>,
        ready: Option<oneshot::Sender<()>>,
    ) -> Report {
        Report { end: peer.ends(), peer, dispatch, ready, unreachable: false }
    }

    /// The first attempts to reach the Peer are over, or none is to be made.
    pub(super) fn ready(&mut self) {
        self.ready = None;
    }

    /// An attempt to reach the Peer has failed while the link did this: said once, and a refusal as often as that is
    /// allowed.
    pub(super) fn dial_failed(&mut self, state: State, error: &SessionError) {
        let peer = self.peer.name();
        if error.is_refusal() {
            self.dispatch.complain(peer, error);
        } else if state == State::Up || self.unreachable {
            debug!(peer, "cannot connect: {error}");
        } else {
            self.unreachable = true;
            info!(class = class::UNREACHABLE, peer, "cannot connect yet: {error}");
        }
        self.peer.set_error(error.to_string());
    }

    /// Another machine has this Peer's name and key.
    pub(super) fn twin(&self) {
        let name = self.peer.name();
        self.dispatch.complain(name, &SessionError::Twin(name.to_owned()));
    }

    /// The Peer may not be connected any more, and has sessions.
    pub(super) fn revoked(&self) {
        let (peer, reason) = (self.peer.name(), End::Revoke.reason().text());
        info!(class = class::REVOKED, peer, "ending all sessions: {reason}");
    }

    /// The Messages of this side go on this session from now on.
    pub(super) fn carried_by(&self, open: &OpenSession) {
        let OpenSession { transport, address, .. } = open;
        if !self.peer.set_carrier(carrier(open)) {
            return;
        }
        self.dispatch.link_changed(&self.peer);
        if self.peer.status().state == LinkState::Up {
            info!(peer = self.peer.name(), transport, address, "link moved");
        }
    }

    /// The link did the one and does the other now, with this session in use.
    pub(super) fn changed(&mut self, was: State, state: State, in_use: Option<&OpenSession>) {
        if state == State::Up {
            self.came_up(in_use);
        }
        let end = *self.end.borrow();
        let state = match end {
            Some(End::Replace | End::Revoke) if was == State::Up => State::Waiting,
            // What takes its place says how the link stands.
            Some(End::Replace | End::Revoke) => return,
            _ => state,
        };
        if self.peer.set_state(state) {
            self.dispatch.link_changed(&self.peer);
        }
        if state == State::Up {
            self.ready();
        }
        if was == State::Up {
            self.went_down(end);
        }
    }

    fn came_up(&mut self, in_use: Option<&OpenSession>) {
        self.unreachable = false;
        let Some(open) = in_use else { return };
        self.peer.set_carrier(carrier(open));
        let OpenSession { transport, address, .. } = open;
        info!(class = class::LINK_UP, peer = self.peer.name(), transport, address, "link up");
    }

    fn went_down(&self, end: Option<End>) {
        let peer = &self.peer;
        let reason = peer.last_error().unwrap_or_else(|| "no reason known".to_owned());
        if end.is_some() {
            debug!(peer = peer.name(), "link down: {reason}");
        } else {
            warn!(class = class::LINK_DOWN, peer = peer.name(), "link down: {reason}");
        }
        if peer.outgoing.has_messages() {
            peer.outgoing.wanted.notify_one();
        }
    }
}

/// What this session is as what carries the link.
fn carrier(open: &OpenSession) -> Carrier {
    Carrier {
        transport: open.transport.clone(),
        address: open.address.clone(),
        direction: if open.offer.dialled { Direction::Out } else { Direction::In },
    }
}
