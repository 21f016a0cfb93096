//! What links need of their Node: where Messages go, and who is told.

use std::sync::Arc;

use tokio::sync::watch;

use super::peer::{Peer, PeerId};
use super::turn::Turn;
use crate::interest::Interest;
use crate::session::{Flow, SessionError};
use crate::wire::{Messages, WireError};

/// What a link needs of its Node.
pub trait Dispatch: Send + Sync {
    /// Hands over Messages that came from a Peer, whose own they are: all of them, or those before one for
    /// which a queue has no room, or before the turn is over. Says how many it took.
    ///
    /// # Errors
    /// When one of them is malformed; those before it are delivered.
    fn deliver(
        &self,
        peer: PeerId,
        messages: &mut Messages,
        turn: &mut Turn,
    ) -> Result<(Flow, u64), WireError>;

    /// Bytes of the largest Message that anybody here could take.
    fn largest(&self) -> usize;

    /// A Peer sent so many Messages in another Node's name; they were refused.
    fn refuse_forged(&self, peer: &Peer, claimed: &str, messages: u64);

    /// A Peer sent so many Messages though the policies forbid that direction; they were refused.
    fn refuse_forbidden(&self, peer: &Peer, messages: u64);

    /// So many Messages came on sessions that their links did not know; they were dropped.
    fn drop_unlinked(&self, messages: u64);

    /// A Message came that is larger than any that is taken; it was dropped.
    fn drop_too_large(&self);

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
