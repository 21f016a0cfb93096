//! The one step that every Message from outside passes: whether it is taken or refused, and why.
//!
//! The reader of a session hands over what came and says what it knows of the session. What that alone decides
//! is decided first, for all Messages of a frame; then come the checks of each. The first that fails is the
//! reason that is counted:
//!
//! 1. `unlinked`: the link has given the session up, or never took it. Such Messages do not count as received.
//! 2. `forged`: their origin is not the Peer that authenticated, in the run that it named.
//! 3. `policy`: the connection policies forbid the direction.
//! 4. `duplicate`: the Message is not newer than the last one of its run.
//! 5. `too_large`: it is larger than the queue of a Role that wants it. One that is larger than any queue is not even
//!    read, so of the other checks only the first concerns it.
//!
//! What passes goes to the Roles that want it, in order, until one of them is to have a turn first.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tracing::warn;

use super::directory::{Directory, Subscriber};
use super::routes::{Route, Routes};
use super::seen::Seen;
use super::taps::Taps;
use crate::class;
use crate::config::ConnectPolicy;
use crate::link::PeerId;
use crate::link::dispatch::Source;
use crate::link::standing::Stand;
use crate::link::turn::Turn;
use crate::message::{Message, Origin};
use crate::rate_limiter::Suppressed;
use crate::session::Flow;
use crate::wire::{Messages, WireError};

/// Steps of a turn that it takes to find out who wants Messages with a head.
const SEARCH: usize = 32;

/// Why the Node itself refused a Message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// A Peer sent it in another Node's name.
    Forged,
    /// The policies forbid that its Peer sends any.
    Policy,
    /// It had come before.
    Duplicate,
    /// It is larger than the whole queue of a Role that wants it, or than that of any Role.
    TooLarge,
    /// It came on a session that its link had closed, or never took.
    Unlinked,
}

impl Refused {
    /// Its name in the status.
    pub fn name(self) -> &'static str {
        match self {
            Refused::Forged => "forged",
            Refused::Policy => "policy",
            Refused::Duplicate => "duplicate",
            Refused::TooLarge => "too_large",
            Refused::Unlinked => "unlinked",
        }
    }

    /// Of so many Messages that were refused, those that the link counts as received.
    fn received(self, refused: u64) -> u64 {
        if self == Refused::Unlinked { 0 } else { refused }
    }

    /// Logs that Messages which claim to be from `origin` were refused, where people should look after the Peer.
    /// `may_warn` is asked with the Peer and the class of the line.
    pub(super) fn log(
        self,
        source: &Source<'_>,
        origin: &Origin,
        may_warn: impl FnOnce(&str, &'static str) -> Option<Suppressed>,
    ) {
        let peer = source.peer.name();
        match self {
            Refused::Forged => {
                if let Some(more) = may_warn(peer, class::FORGED) {
                    let claimed = origin.node.escape_debug();
                    warn!(
                        class = class::FORGED,
                        peer, "refused a message in the name of '{claimed}'{more}"
                    );
                }
            }
            Refused::Policy => {
                if let Some(more) = may_warn(peer, class::POLICY) {
                    warn!(
                        class = class::POLICY,
                        peer, "refused a message that the connection policies forbid{more}"
                    );
                }
            }
            // These happen between honest Nodes too.
            Refused::Duplicate | Refused::TooLarge | Refused::Unlinked => {}
        }
    }
}

/// What became of Messages that were handed over.
#[derive(Debug)]
pub(super) struct Received {
    /// Whether all of them were gone through.
    pub(super) flow: Flow,
    /// How many of them the link counts as received.
    pub(super) taken: u64,
    /// Why they were refused, if all of them were, and there was one.
    pub(super) refusal: Option<Refused>,
}

/// What is remembered of the Messages that came from outside.
#[derive(Default)]
pub(super) struct Ingress {
    /// What has come from each Peer.
    seen: HashMap<PeerId, Seen>,
    /// Where Messages from outside go.
    routes: Routes,
    hasher: RandomState,
    refused: BTreeMap<Refused, u64>,
}

impl Ingress {
    /// Messages that were refused, by reason.
    pub(super) fn refused(&self) -> &BTreeMap<Refused, u64> {
        &self.refused
    }

    /// Forgets where Messages go: the directory is about to change.
    pub(super) fn forget_routes(&mut self) {
        self.routes.clear();
    }

    /// Forgets what has come from a Peer that is gone.
    pub(super) fn forget(&mut self, peer: PeerId) {
        self.seen.remove(&peer);
    }

    /// Takes or refuses Messages: all of them, or those before one for which a queue has no room, or before the
    /// turn is over.
    ///
    /// # Errors
    /// When the first of them is malformed. One behind others ends this call, and is the first of the next one.
    pub(super) fn receive(
        &mut self,
        source: &Source<'_>,
        messages: &mut Messages,
        turn: &mut Turn,
        directory: &Directory,
        taps: &Taps,
    ) -> Result<Received, WireError> {
        let Some(reason) = refusal(source, messages) else {
            let (flow, taken) = self.admit(source.peer.id, messages, turn, directory, taps)?;
            return Ok(Received { flow, taken, refusal: None });
        };
        let (flow, refused) = each(messages, turn, |_, turn| {
            turn.step(1);
            Ok(())
        })?;
        self.refuse(reason, refused);
        let refusal = Some(reason).filter(|_| refused > 0);
        Ok(Received { flow, taken: reason.received(refused), refusal })
    }

    /// Refuses a Message that was too large to be kept while it came. Says how many Messages the link counts as
    /// received.
    pub(super) fn receive_too_large(&mut self, source: &Source<'_>) -> u64 {
        let known = source.stand == Stand::Known;
        let reason = if known { Refused::TooLarge } else { Refused::Unlinked };
        self.refuse(reason, 1);
        reason.received(1)
    }

    /// Delivers Messages that may come, each once.
    fn admit(
        &mut self,
        peer: PeerId,
        messages: &mut Messages,
        turn: &mut Turn,
        directory: &Directory,
        taps: &Taps,
    ) -> Result<(Flow, u64), WireError> {
        let Ingress { seen, routes, hasher, refused } = self;
        let sequence = seen.entry(peer).or_default().sequence(messages.origin().boot);
        each(messages, turn, |message, turn| {
            if message.sequence() <= *sequence {
                turn.step(1);
                *refused.entry(Refused::Duplicate).or_default() += 1;
                return Ok(());
            }
            let head = message.head();
            let Ok(at) = routes.find(
                |route| Arc::ptr_eq(&route.head, head) || route.head == *head,
                || hasher.hash_one(head),
                || {
                    turn.step(SEARCH);
                    Ok::<_, Infallible>(Route::foreign(directory, Arc::clone(head)))
                },
            );
            let roles = routes.get(at).map(|route| &*route.roles).unwrap_or_default();
            let weight = message.size();
            // All are asked, so that a Role which had a turn is not given another one for nothing.
            if roles.iter().filter(|role| role.inbox.wants_turn(weight)).count() > 0 {
                return Err(message);
            }
            turn.step(1 + roles.len() + taps.len());
            turn.read(weight);
            *sequence = message.sequence();
            taps.show(&message);
            let mut push = |role: &Subscriber, message| {
                if role.inbox.push(message).is_err() {
                    *refused.entry(Refused::TooLarge).or_default() += 1;
                }
            };
            if let Some((last, others)) = roles.split_last() {
                others.iter().for_each(|role| push(role, message.clone()));
                push(last, message);
            }
            Ok(())
        })
    }

    fn refuse(&mut self, reason: Refused, messages: u64) {
        if messages > 0 {
            *self.refused.entry(reason).or_default() += messages;
        }
    }
}

/// Why all Messages of a frame are refused alike; nothing, if each is to be looked at.
fn refusal(source: &Source<'_>, messages: &Messages) -> Option<Refused> {
    if source.stand != Stand::Known {
        return Some(Refused::Unlinked);
    }
    // A Peer speaks for itself alone, and passes on nothing.
    if messages.origin() != source.origin || messages.hops() != 0 {
        return Some(Refused::Forged);
    }
    (source.peer.inward == ConnectPolicy::Never).then_some(Refused::Policy)
}

/// Hands Messages to `take` until the turn is over, or it gives one back to have it again in the next turn. Says
/// how many it took.
fn each(
    messages: &mut Messages,
    turn: &mut Turn,
    mut take: impl FnMut(Message, &mut Turn) -> Result<(), Message>,
) -> Result<(Flow, u64), WireError> {
    let mut taken = 0;
    while !turn.is_over() {
        let Some(message) = messages.next() else { return Ok((Flow::Continue, taken)) };
        if message.is_err() && taken > 0 {
            // Those before it are counted first.
            messages.put_back(message);
            break;
        }
        if let Err(message) = take(message?, turn) {
            messages.put_back(Ok(message));
            break;
        }
        taken += 1;
    }
    Ok((Flow::Yield, taken))
}

#[cfg(test)]
pub(super) mod tests;
