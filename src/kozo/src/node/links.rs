//! The links of a Node: one for each Peer, made and ended while it runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::listening::Built;
use super::{ControlError, Node, STOP};
use crate::config::NodeConfig;
use crate::link::task::Link;
use crate::link::{Candidate, Notice, Peer};

/// How long a Peer has to answer a question for the round-trip time.
const PING: Duration = Duration::from_secs(5);

/// The link to a Peer.
pub(super) struct LiveLink {
    pub(super) peer: Arc<Peer>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Node {
    /// Adds a Peer and begins its link. The receiver ends when the link has settled.
    pub(super) fn add_link(&self, other: &Arc<NodeConfig>) -> oneshot::Receiver<()> {
        let mut live = self.live();
        let own = Arc::clone(&live.local.config);
        let id = u32::try_from(self.number()).unwrap_or(u32::MAX);
        let limits = own.options.outgoing_queue;
        let (peer, notices) = Peer::new(id, &own, Arc::clone(other), limits);
        let peer = Arc::new(peer);
        let assumed = self.shared.surroundings.types.interests_of(other);
        self.shared.router.add_peer(Arc::clone(&peer), &assumed);
        live.greeter.peers.insert(Arc::clone(&peer));
        let stop = watch::Sender::new(false);
        let (settled, settles) = oneshot::channel();
        let link = Link {
            peer: Arc::clone(&peer),
            greeter: Arc::clone(&live.greeter),
            candidates: candidates(&live.transports, &peer),
            notices,
            stop: stop.subscribe(),
            settled: Some(settled),
        };
        let task = tokio::spawn(async move { link.run(&own.options).await });
        live.links.insert(other.name.clone(), LiveLink { peer, stop, task });
        settles
    }

    /// Tries to reach a Peer at once, and ends what [`disconnect_peer`](Self::disconnect_peer) began.
    /// Does nothing if the link is up. The state of the link tells what comes of it.
    ///
    /// # Errors
    /// When there is no such Peer, or policies forbid both directions.
    pub async fn connect_peer(&self, name: &str) -> Result<(), ControlError> {
        let peer = self.peer(name)?;
        if !peer.is_allowed() {
            return Err(ControlError::Forbidden(name.to_owned()));
        }
        peer.set_wanted(true);
        // The link is gone when the Node has stopped.
        let _ = peer.notices.send(Notice::Connect).await;
        Ok(())
    }

    /// Sends what is queued for a Peer, closes the link and keeps it closed, whoever tries, until
    /// [`connect_peer`](Self::connect_peer) or until the link is begun anew.
    ///
    /// # Errors
    /// When there is no such Peer.
    pub async fn disconnect_peer(&self, name: &str) -> Result<(), ControlError> {
        let peer = self.peer(name)?;
        peer.set_wanted(false);
        // The link is gone when the Node has stopped.
        let _ = peer.notices.send(Notice::Disconnect).await;
        Ok(())
    }

    /// Measures the round trip to a Peer, in microseconds: with a heartbeat that is sent now. With
    /// `padding`, so many bytes of nothing are sent first, whenever there is no Message to send, and the
    /// time is from now until the Peer has answered that all have come: how long they take. One such
    /// question to each Peer at a time.
    ///
    /// # Errors
    /// When there is no such Peer, it is not up, or it does not answer in time.
    pub async fn ping_peer(&self, name: &str, padding: usize) -> Result<u64, ControlError> {
        let peer = self.peer(name)?;
        let (answer, answered) = oneshot::channel();
        let begun = Instant::now();
        // The link is gone when the Node has stopped; then nobody keeps the question.
        let _ = peer.notices.send(Notice::Ping { padding, answer }).await;
        match timeout(PING, answered).await {
            Ok(Ok(time)) if padding == 0 => Ok(time),
            Ok(Ok(_)) => Ok(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX)),
            Ok(Err(_)) => Err(ControlError::NotUp(name.to_owned())),
            Err(_) => Err(ControlError::NoAnswer(name.to_owned())),
        }
    }

    fn peer(&self, name: &str) -> Result<Arc<Peer>, ControlError> {
        let peer = self.live().links.get(name).map(|link| Arc::clone(&link.peer));
        peer.ok_or_else(|| ControlError::NoSuchPeer(name.to_owned()))
    }

    /// Lets a link send what is queued and come to its end; ends it if it does not in time.
    pub(super) async fn end_link(&self, name: &str) {
        let Some(link) = self.live().links.shift_remove(name) else { return };
        link.stop.send_replace(true);
        let mut task = link.task;
        if timeout(STOP, &mut task).await.is_err() {
            task.abort();
        }
        self.shared.router.remove_peer(link.peer.id);
        let greeter = Arc::clone(&self.live().greeter);
        greeter.peers.remove(name);
    }
}

/// All ways to a Peer, best first, each once.
fn candidates(transports: &[Built], peer: &Peer) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    for built in transports {
        for other in &peer.config.transports {
            if !built.transport.can_connect(other) {
                continue;
            }
            for address in built.transport.addresses(other) {
                let transport_type = built.config.transport_type.clone();
                let known = |known: &Candidate| {
                    known.transport_type == transport_type && known.address == address
                };
                if !found.iter().any(known) {
                    let transport = Arc::clone(&built.transport);
                    found.push(Candidate { transport, transport_type, address });
                }
            }
        }
    }
    found.sort_by_key(|candidate| std::cmp::Reverse(candidate.transport.priority()));
    found
}
