//! The links of a Node: one for each Peer, made and ended while it runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::listening::Built;
use super::{Admission, ControlError, Live, Node, STOP};
use crate::config::{ConnectPolicy, NodeConfig};
use crate::link::task::Link;
use crate::link::{Candidate, End, LinkCommand, Peer};
use crate::transport::{Found, Target};

/// How long a Peer has to answer a question for the round-trip time.
const PING: Duration = Duration::from_secs(5);

/// The link to a Peer.
pub(super) struct LiveLink {
    pub(super) peer: Arc<Peer>,
    task: JoinHandle<()>,
}

impl LiveLink {
    /// Lets the link come to its end; ends it if it does not in time.
    async fn end(mut self, how: End) {
        self.peer.end(how);
        let _ = timeout(STOP, &mut self.task).await;
    }
}

impl Drop for LiveLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Node {
    /// Adds a Peer and begins its link. The receiver ends when the link is ready.
    pub(super) fn add_link(&self, other: &Arc<NodeConfig>) -> oneshot::Receiver<()> {
        let mut live = self.live();
        let own = Arc::clone(&live.local.config);
        let id = u32::try_from(self.number()).unwrap_or(u32::MAX);
        let limits = own.options.outgoing_queue;
        let (peer, commands) = Peer::new(id, &own, Arc::clone(other), limits);
        let peer = Arc::new(peer);
        let assumed = self.shared.deps.types.interests_of(other);
        self.shared.router.add_peer(Arc::clone(&peer), &assumed);
        let (ready, becomes_ready) = oneshot::channel();
        let link = self.link(&live, &peer, commands, Some(ready));
        let task = tokio::spawn(async move { link.run(&own.options).await });
        live.links.insert(other.name.clone(), LiveLink { peer, task });
        becomes_ready
    }

    /// Puts another link in the place of the one to a Peer that has changed, or to which this Node has. The
    /// caller does not wait: the new one begins when the old one has ended, at the latest after [`STOP`]. What was counted
    /// goes on, and Messages wait meanwhile if the link is up.
    pub(super) fn replace_link(&self, other: &Arc<NodeConfig>) {
        let mut live = self.live();
        let own = Arc::clone(&live.local.config);
        let Some(old) = live.links.get(&other.name).map(|link| Arc::clone(&link.peer)) else {
            return;
        };
        let (peer, commands) = old.succeed(&own, Arc::clone(other), own.options.outgoing_queue);
        let peer = Arc::new(peer);
        self.shared.router.replace_peer(Arc::clone(&peer));
        let link = self.link(&live, &peer, commands, None);
        let mut ends = peer.ends();
        let how = if narrows(&old, &peer) { End::Revoke } else { End::Replace };
        let Some(mut old) = live.links.shift_remove(&other.name) else { return };
        old.peer.end(how);
        let task = tokio::spawn(async move {
            // Two links to one Peer would be in each other's way.
            tokio::select! {
                ended = timeout(STOP, &mut old.task) => if ended.is_err() {
                    link.peer.set_error(how.reason().text().to_owned());
                },
                Ok(_) = ends.wait_for(Option::is_some) => return,
            }
            drop(old);
            link.run(&own.options).await;
        });
        live.links.insert(other.name.clone(), LiveLink { peer, task });
    }

    /// Parts with a Peer at once; its link ends by itself.
    pub(super) fn drop_link(&self, name: &str) {
        if let Some(link) = self.forget_link(name) {
            tokio::spawn(link.end(End::Revoke));
        }
    }

    fn forget_link(&self, name: &str) -> Option<LiveLink> {
        let mut live = self.live();
        let link = live.links.shift_remove(name)?;
        live.handshaker.peers.remove(name);
        self.shared.router.remove_peer(link.peer.id);
        self.shared.admission.forget(name);
        Some(link)
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
        let _ = peer.commands.send(LinkCommand::Connect).await;
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
        let _ = peer.commands.send(LinkCommand::Disconnect).await;
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
        // The link is gone when the Node has stopped; then no task keeps the question.
        let _ = peer.commands.send(LinkCommand::Ping { padding, answer }).await;
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
        let link = self.live().links.shift_remove(name);
        if let Some(link) = link {
            let id = link.peer.id;
            link.end(End::Stop).await;
            self.shared.router.remove_peer(id);
            self.shared.admission.forget(name);
            self.live().handshaker.peers.remove(name);
        }
    }

    /// A link to this Peer that is to be run. Places are kept for the Peer where the configuration says that
    /// it is.
    fn link(
        &self,
        live: &Live,
        peer: &Arc<Peer>,
        commands: mpsc::Receiver<LinkCommand>,
        ready: Option<oneshot::Sender<()>>,
    ) -> Link {
        live.handshaker.peers.insert(Arc::clone(peer));
        let candidates = candidates(&live.transports, peer, &self.shared.admission);
        let addresses = candidates.iter().map(|candidate| candidate.target.address.as_str());
        self.shared.admission.expect(peer.name(), addresses);
        Link {
            peer: Arc::clone(peer),
            handshaker: Arc::clone(&live.handshaker),
            candidates,
            commands,
            ready,
        }
    }
}

/// Whether something that the Peer could do is no longer allowed.
fn narrows(old: &Peer, new: &Peer) -> bool {
    let silenced = new.inward == ConnectPolicy::Never && old.inward != ConnectPolicy::Never;
    silenced || old.config.public_key.key_data() != new.config.public_key.key_data()
}

/// All ways to a Peer, best first, each once.
fn candidates(transports: &[Built], peer: &Peer, admission: &Arc<Admission>) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    for built in transports {
        for other in &peer.config.transports {
            if !built.transport.can_connect(other) {
                continue;
            }
            let to = Arc::new(other.clone());
            for address in built.transport.addresses(other) {
                let transport_type = built.config.transport_type.clone();
                let known = |known: &Candidate| {
                    known.transport_type == transport_type && known.target.address == address
                };
                if !found.iter().any(known) {
                    let transport = Arc::clone(&built.transport);
                    let leads = leads(admission, peer.name(), &address);
                    let target = Target {
                        peer: peer.name().to_owned(),
                        transport: Arc::clone(&to),
                        address,
                    };
                    found.push(Candidate { transport, transport_type, target, found: leads });
                }
            }
        }
    }
    found.sort_by_key(|candidate| std::cmp::Reverse(candidate.transport.priority()));
    found
}

/// Tells admission where an address of a Peer leads.
fn leads(admission: &Arc<Admission>, peer: &str, address: &str) -> Arc<Found> {
    let (admission, peer) = (Arc::clone(admission), peer.to_owned());
    let address = address.to_owned();
    Arc::new(move |ips| admission.found(&peer, &address, ips))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::{OptionValue, Options, Runs, TransportConfig};
    use crate::transport::{TransportType, tcp::TcpType};

    /// Whether it answers there or not, for then it is the Peer that will come in.
    #[tokio::test]
    async fn places_are_kept_where_the_name_of_a_peer_led() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = TransportConfig {
            name: "tcp".to_owned(),
            transport_type: "tcp".to_owned(),
            runs: Runs::BuiltIn,
            options: Options([("address".to_owned(), OptionValue::List(Vec::new()))].into()),
        };
        let (admission, address) = (Arc::<Admission>::default(), format!("localhost:{port}"));
        admission.expect("scribe", std::iter::once(address.as_str()));
        assert!(!admission.is_known("127.0.0.1:50000"));
        let found = leads(&admission, "scribe", &address);
        let transport = TcpType.build(&config);
        let target = Target { peer: "scribe".to_owned(), transport: Arc::new(config), address };
        assert!(transport.connect(&target, &*found).await.is_err());
        assert!(admission.is_known("127.0.0.1:50000"));
    }
}
