//! The sessions that a link's state machine tracks, and what each of them is to the link.

use tokio::time::Instant;

use super::LINGER;
use super::terms::{Offer, SessionId};

/// What a session is to the link.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// In use.
    Current,
    /// Offered while another is in use: taken if that one does not answer until then.
    Candidate(Instant),
    /// Offered to the decider, whose answer is awaited until then.
    Offered(Instant),
    /// No longer in use since then.
    Old(Instant),
}

impl Phase {
    pub(super) fn is_candidate(self) -> bool {
        matches!(self, Phase::Candidate(_))
    }

    pub(super) fn is_offered(self) -> bool {
        matches!(self, Phase::Offered(_))
    }

    pub(super) fn is_old(self) -> bool {
        matches!(self, Phase::Old(_))
    }

    /// When something is to be done about the session.
    fn deadline(self) -> Option<Instant> {
        match self {
            Phase::Current => None,
            Phase::Candidate(until) | Phase::Offered(until) => Some(until),
            Phase::Old(since) => Some(since + LINGER),
        }
    }
}

/// A session, and how far each side is with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct TrackedSession {
    pub(super) offer: Offer,
    /// When both sides had said hello on it.
    pub(super) since: Instant,
    pub(super) phase: Phase,
    /// This side has said that it sends no more Messages on it.
    pub(super) finish_said: bool,
    /// The Peer has taken all that this side sent before that.
    pub(super) finished: bool,
    /// The Peer sends no more Messages on it.
    pub(super) peer_finished: bool,
}

impl TrackedSession {
    /// A session that begins now.
    pub(super) fn new(offer: Offer, phase: Phase, now: Instant) -> TrackedSession {
        TrackedSession {
            offer,
            since: now,
            phase,
            finish_said: false,
            finished: false,
            peer_finished: false,
        }
    }
}

/// The sessions of one link, in the order in which they came. At most one of them is in use.
#[derive(Debug, Default)]
pub(super) struct TrackedSessions(Vec<TrackedSession>);

impl TrackedSessions {
    pub(super) fn push(&mut self, session: TrackedSession) {
        self.0.push(session);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &TrackedSession> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut TrackedSession> {
        self.0.iter_mut()
    }

    pub(super) fn ids(&self) -> Vec<SessionId> {
        self.iter().map(|session| session.offer.id).collect()
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&TrackedSession> {
        self.iter().find(|session| session.offer.id == id)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut TrackedSession> {
        self.iter_mut().find(|session| session.offer.id == id)
    }

    /// The session in use.
    pub(super) fn in_use(&self) -> Option<&TrackedSession> {
        self.iter().find(|session| matches!(session.phase, Phase::Current))
    }

    pub(super) fn in_use_mut(&mut self) -> Option<&mut TrackedSession> {
        self.iter_mut().find(|session| matches!(session.phase, Phase::Current))
    }

    /// The first session in such a phase.
    pub(super) fn find(&self, is: impl Fn(Phase) -> bool) -> Option<SessionId> {
        self.iter().find(|session| is(session.phase)).map(|session| session.offer.id)
    }

    /// How many are in such a phase.
    pub(super) fn count(&self, is: impl Fn(Phase) -> bool) -> usize {
        self.iter().filter(|session| is(session.phase)).count()
    }

    /// Forgets a session.
    pub(super) fn remove(&mut self, id: SessionId) {
        self.0.retain(|session| session.offer.id != id);
    }

    /// Forgets all sessions in such a phase; returns which those were.
    pub(super) fn remove_all(&mut self, is: impl Fn(Phase) -> bool) -> Vec<SessionId> {
        self.0.extract_if(.., |session| is(session.phase)).map(|session| session.offer.id).collect()
    }

    /// When something is to be done about one that is not in use.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.iter().filter_map(|session| session.phase.deadline()).min()
    }
}
