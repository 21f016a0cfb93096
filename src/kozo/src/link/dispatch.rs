//! What links need of their Node: where Messages go, and what it is told.

use std::sync::Arc;

use tokio::sync::watch;

use super::peer::{Peer, PeerId};
use super::standing::Stand;
use super::turn::Turn;
use crate::interest::Interest;
use crate::message::Origin;
use crate::session::{Flow, SessionError};
use crate::wire::{Messages, WireError};

/// Where Messages come from: what the reader knows of its session.
pub struct Source<'a> {
    /// The Peer that authenticated.
    pub peer: &'a Peer,
    /// The same Peer in the run that its hello named: the only origin that it may send for.
    pub origin: &'a Arc<Origin>,
    /// What the session is to its link.
    pub stand: Stand,
}

/// What a link needs of its Node.
pub trait Dispatch: Send + Sync {
    /// Hands over Messages as they came. The Node takes or refuses all of them, or those before one for which a
    /// queue has no room, or before the turn is over. Returns how many the link is to count as received.
    ///
    /// # Errors
    /// When one of them is malformed; what was to be done with those before it is done.
    fn receive(
        &self,
        source: &Source<'_>,
        messages: &mut Messages,
        turn: &mut Turn,
    ) -> Result<(Flow, u64), WireError>;

    /// A Message came that is larger than any that is taken, and was not kept. Returns as
    /// [`receive`](Self::receive) how many the link is to count.
    fn receive_too_large(&self, source: &Source<'_>) -> u64;

    /// Bytes of the largest Message that any Role here could take.
    fn largest(&self) -> usize;

    /// A Peer announced its interest.
    fn set_interest(&self, peer: PeerId, interests: &[Interest]);

    /// The link to a Peer stands differently, or something else carries it.
    fn link_changed(&self, peer: &Peer);

    /// Something for people who look after the Node: logged, but at most once a minute for one Peer
    /// and cause.
    fn complain(&self, peer: &str, error: &SessionError);

    /// The interest of all local Roles together.
    fn interests(&self) -> watch::Receiver<Arc<[Interest]>>;
}
