//! The Transports of a Node, and what listens on them.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tracing::info;

use super::acceptor::Acceptor;
use super::{Node, StartError};
use crate::config::{LocalNode, TransportConfig};
use crate::status::TransportStatus;
use crate::transport::{Listener, Transport};

/// A Transport of this Node.
#[derive(Clone)]
pub(super) struct Built {
    pub(super) config: TransportConfig,
    pub(super) transport: Arc<dyn Transport>,
}

impl Built {
    /// How it does.
    pub(super) fn status(&self) -> TransportStatus {
        let TransportConfig { name, transport_type, .. } = &self.config;
        let (name, transport_type) = (name.clone(), transport_type.clone());
        TransportStatus { name, transport_type, ..self.transport.status() }
    }
}

/// A Transport that listens.
pub(super) struct LiveAcceptor {
    pub(super) config: TransportConfig,
    task: JoinHandle<()>,
}

impl LiveAcceptor {
    /// Accepts no more, and gives the address back.
    pub(super) async fn end(self) {
        self.task.abort();
        // Cancelled is what it is to be.
        let _ = self.task.await;
    }
}

/// A listener, not yet accepting.
pub(super) struct Listening {
    built: Built,
    listener: Box<dyn Listener>,
}

impl Node {
    /// Makes Transports, not yet listening. Those that are there already, as they are configured, stay.
    pub(super) fn build(
        &self,
        configs: &[TransportConfig],
        local: &LocalNode,
    ) -> Result<Vec<Built>, StartError> {
        let there = self.live().transports.clone();
        let build = |config: &TransportConfig| {
            if let Some(built) = there.iter().find(|built| built.config == *config) {
                return Ok(built.clone());
            }
            let transport = self.shared.deps.types.transport(config, local).ok_or_else(|| {
                let what = format!("transport '{}'", config.name);
                StartError::UnknownType(what, config.transport_type.clone())
            })?;
            Ok(Built { config: config.clone(), transport })
        };
        configs.iter().map(build).collect()
    }

    /// Listens on a Transport, if it can be connected to.
    pub(super) async fn listen(&self, built: &Built) -> Result<Option<Listening>, StartError> {
        if !built.transport.can_accept() {
            return Ok(None);
        }
        let name = &built.config.name;
        let listener = match self.shared.deps.inherited.of_transport(name) {
            Ok(inherited) => built.transport.listen(inherited).await,
            Err(error) => Err(error),
        };
        match listener {
            Ok(listener) => Ok(Some(Listening { built: built.clone(), listener })),
            Err(source) => Err(StartError::Listen { transport: name.clone(), source }),
        }
    }

    /// Accepts from now on.
    pub(super) fn accept(&self, listening: Listening) {
        let Listening { built: Built { config, transport }, listener } = listening;
        // A program says where once it listens.
        if let Some(address) = transport.status().address {
            info!(transport = config.name, "listening on {address}");
        }
        let acceptor = Acceptor {
            listener,
            transport_type: config.transport_type.clone(),
            priority: transport.priority(),
            node: self.clone(),
        };
        let task = tokio::spawn(acceptor.run());
        self.live().acceptors.push(LiveAcceptor { config, task });
    }
}
