//! What a configuration says of a Transport that is a program.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Knowledge, Setup, TransportTraits};
use crate::config::programs::find;
use crate::config::{LocalNode, ProgramConfig, TransportConfig};
use crate::process::{Launcher, Owner};

/// Name of the accept socket in the folder of its Transport.
const ACCEPT: &str = "accept";

impl Setup {
    /// Of a Transport of this Node, which runs this program.
    pub fn new(transport: &TransportConfig, program: &ProgramConfig, local: &LocalNode) -> Setup {
        let TransportConfig { name, transport_type, .. } = transport;
        let described = &program.program.description.transport;
        let TransportTraits { priority, can_accept, authenticates, connects_to, connect_timeout } =
            described.clone().unwrap_or_else(TransportTraits::usual);
        let environment = program.environment.iter();
        Setup {
            name: name.clone(),
            command: find::command(&program.program.path),
            priority,
            can_accept,
            authenticates,
            connects_to: connects_to.unwrap_or_else(|| vec![transport_type.clone()]),
            connect_timeout,
            environment: environment.map(|(name, text)| (name.into(), text.into())).collect(),
            memory_limit: program.memory_limit,
            knowledge: Knowledge::of(transport, local),
        }
    }
}

impl Knowledge {
    /// Of a Transport of this Node.
    pub fn of(transport: &TransportConfig, local: &LocalNode) -> Knowledge {
        let owner = Owner::Transport(transport.name.as_str().into());
        let launcher = Launcher::new(&local.system, &local.config, owner);
        let accept = launcher.folder().map(|folder| folder.join(ACCEPT));
        Knowledge {
            start: start(transport, local),
            key: local.private_key.clone(),
            system: local.system.clone(),
            accept,
            launcher: Arc::new(launcher),
        }
    }
}

/// What the program is told first.
fn start(transport: &TransportConfig, local: &LocalNode) -> Map<String, Value> {
    let said = [
        ("node", local.config.name.clone().into()),
        ("transport", transport.name.clone().into()),
        ("type", transport.transport_type.clone().into()),
        ("options", transport.options.to_json().into()),
        ("config", local.config.options.to_json().into()),
        ("nodes", local.system.to_json()),
    ];
    said.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
