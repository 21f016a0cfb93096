//! Dialling: all ways to a Peer, raced.
//!
//! Candidates are tried by priority, those of one priority beside each other, each a little after the
//! one before (RFC 8305): an address that does not answer costs a stagger, not a timeout. The
//! first that leads to the Peer, authenticated, wins; an address behind which another Node lives is
//! one that failed. A round ends when each has failed; until then those that have are tried again and again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{sleep, timeout};

use super::established::{Carrier, Established};
use super::handshake::Handshaker;
use super::peer::Peer;
use crate::BoxFuture;
use crate::session::SessionError;
use crate::transport::{Found, Priority, Target, Transport};

/// Pause before the next address of the same priority is tried beside those under way.
const STAGGER: Duration = Duration::from_millis(250);

/// Pause before a lower priority is tried beside a higher one.
const LOWER: Duration = Duration::from_secs(2);

/// Pause before a candidate that has failed is tried again while others are still under way.
const AGAIN: Duration = Duration::from_secs(1);

type Attempt<'a> = BoxFuture<'a, Outcome<'a>>;

/// One way to a Peer.
#[derive(Clone)]
pub struct Candidate {
    /// Our Transport.
    pub transport: Arc<dyn Transport>,
    /// Its type.
    pub transport_type: String,
    /// Where it leads.
    pub target: Target,
    /// Told which addresses of IP those are.
    pub found: Arc<Found>,
}

/// Tries all candidates (only those better than `above`, if that is given). Cancel safe, as [`Handshaker::dial`] is; like
/// that it ends by itself when the Peer's link ends.
///
/// # Errors
/// Why it came to nothing: a refusal, which an administrator has to look at, if there was one; else all that
/// was tried.
pub async fn dial(
    handshaker: &Handshaker,
    peer: &Arc<Peer>,
    candidates: &[Candidate],
    above: Option<Priority>,
) -> Result<Established, SessionError> {
    let wanted = |candidate: &&Candidate| Some(candidate.transport.priority()) > above;
    let mut rest = candidates.iter().filter(wanted).peekable();
    let mut attempts: FuturesUnordered<Attempt<'_>> = FuturesUnordered::new();
    let mut failures = Vec::new();
    let mut last = None;
    // Attempts that are the first of their candidates.
    let mut first = 0_usize;
    loop {
        let next = rest.peek().map(|candidate| candidate.transport.priority());
        let pause = match next {
            None if first == 0 => return Err(summary(failures)),
            None => None,
            Some(priority) if Some(priority) == last => Some(STAGGER),
            Some(_) => Some(LOWER),
        };
        // The first one at once: even no time at all takes a timer a millisecond.
        if first > 0 {
            tokio::select! {
                biased;
                Some(outcome) = attempts.next() => {
                    let Outcome { candidate, is_first, result } = outcome;
                    let error = match result {
                        Ok(established) => return Ok(established),
                        Err(error) => error,
                    };
                    // While another takes its time, as a program may, a Peer may come up that is reached at once.
                    attempts.push(attempt(handshaker, peer, candidate, Some(AGAIN)));
                    if !is_first {
                        continue;
                    }
                    first -= 1;
                    failures.push(error);
                    if next.is_none() || next != last {
                        continue;
                    }
                },
                () = sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            }
        }
        if let Some(candidate) = rest.next() {
            last = next;
            first += 1;
            attempts.push(attempt(handshaker, peer, candidate, None));
        }
    }
}

/// What became of an attempt.
struct Outcome<'a> {
    candidate: &'a Candidate,
    /// Whether it was the first one of this candidate.
    is_first: bool,
    result: Result<Established, SessionError>,
}

/// Tries a candidate: at once, or once more after a pause.
fn attempt<'a>(
    handshaker: &'a Handshaker,
    peer: &'a Arc<Peer>,
    candidate: &'a Candidate,
    pause: Option<Duration>,
) -> Attempt<'a> {
    Box::pin(async move {
        if let Some(pause) = pause {
            sleep(pause).await;
        }
        let result = handshaker.dial(peer, connect(candidate)).await;
        Outcome { candidate, is_first: pause.is_none(), result }
    })
}

fn summary(failures: Vec<SessionError>) -> SessionError {
    let texts: Vec<_> = failures.iter().map(ToString::to_string).collect();
    let refusal = failures.into_iter().find(SessionError::is_refusal);
    refusal.unwrap_or_else(|| {
        SessionError::Stream(match texts.is_empty() {
            true => "no Transport reaches it".to_owned(),
            false => texts.join("; "),
        })
    })
}

async fn connect(candidate: &Candidate) -> Result<Carrier, SessionError> {
    let transport = &candidate.transport;
    let limit = transport.connect_timeout();
    let connecting = transport.connect(&candidate.target, &*candidate.found);
    match timeout(limit, connecting).await {
        Ok(Ok(connection)) => Ok(Carrier {
            connection,
            transport: candidate.transport_type.clone(),
            priority: transport.priority(),
        }),
        Ok(Err(error)) => {
            let (transport_type, address) = (&candidate.transport_type, &candidate.target.address);
            let problem = format!("{transport_type} {address}: {error}");
            Err(SessionError::Stream(problem))
        }
        Err(_) => Err(SessionError::Timeout(limit.as_secs())),
    }
}
