//! Accepting: from a connection that comes in to a session that its link hears of.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::error::SendError;
use tracing::{debug, error, warn};

use super::Node;
use super::router::Router;
use crate::class;
use crate::link::{Carrier, LinkCommand};
use crate::session::SessionError;
use crate::transport::{Connection, Listener, Priority};
use kozo_core::pauses::Pauses;

/// Pauses after failed accepts, for instance when there are no file descriptors left.
const PAUSES: Pauses = Pauses::new(Duration::from_millis(10), Duration::from_secs(1));

/// Accepts the connections of one Transport.
pub(super) struct Acceptor {
    pub(super) listener: Box<dyn Listener>,
    pub(super) transport_type: String,
    pub(super) priority: Priority,
    pub(super) node: Node,
}

impl Acceptor {
    /// Accepts until aborted.
    pub(super) async fn run(mut self) {
        let mut pauses = PAUSES;
        loop {
            match self.listener.accept().await {
                Ok(connection) => {
                    pauses.reset();
                    self.greet(connection);
                }
                Err(problem) => {
                    let address = self.listener.address();
                    if self.node.shared.router.may_warn(&address, "accept").is_some() {
                        error!(
                            class = class::ACCEPT_FAILED,
                            transport = self.transport_type,
                            "cannot accept on {address}: {problem}"
                        );
                    }
                    tokio::time::sleep(pauses.after_failure()).await;
                }
            }
        }
    }

    fn greet(&self, connection: Connection) {
        let address = connection.address.clone();
        let admission = Arc::clone(&self.node.shared.admission);
        let permit = match admission.enter(&address) {
            Ok(permit) => permit,
            Err(refusal) => return refuse(&self.node.shared.router, &address, &refusal),
        };
        let carrier =
            Carrier { connection, transport: self.transport_type.clone(), priority: self.priority };
        let handshaker = Arc::clone(&self.node.live().handshaker);
        let router = Arc::clone(&self.node.shared.router);
        tokio::spawn(async move {
            let established = handshaker.accept(carrier, permit.newcomer.clone()).await;
            drop(permit);
            match established {
                Ok((peer, established)) => {
                    admission.met(peer.name(), &address);
                    let ready = peer.commands.send(LinkCommand::Ready(Box::new(established))).await;
                    if let Err(SendError(LinkCommand::Ready(established))) = ready {
                        refuse(&router, &address, &established.part(peer.ended()).await);
                    }
                }
                Err(refusal) => refuse(&router, &address, &refusal),
            }
        });
    }
}

fn refuse(router: &Router, address: &str, refusal: &SessionError) {
    if !refusal.is_refusal() {
        debug!("connection from {address} failed: {refusal}");
    } else if let Some(more) = router.may_warn("", refusal.cause()) {
        warn!(class = refusal.cause(), "refused a connection from {address}: {refusal}{more}");
    }
}
