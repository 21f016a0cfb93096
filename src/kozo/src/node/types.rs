//! The Role and Transport types that a Node knows.

use std::sync::Arc;

use crate::config::{NodeConfig, Registry, RoleConfig, TransportConfig};
use crate::interest::Interest;
use crate::role::{self, RoleType};
use crate::roles;
use crate::transport::{self, Transport, TransportType};

/// The Role and Transport types that a Node knows.
#[derive(Clone)]
pub struct Types {
    /// Types of Roles.
    pub roles: Vec<Arc<dyn RoleType>>,
    /// Types of Transports.
    pub transports: Vec<Arc<dyn TransportType>>,
}

impl Types {
    /// Those that are part of the daemon.
    pub fn built_in() -> Types {
        Types { roles: roles::built_in(), transports: transport::built_in() }
    }

    /// Their options, for the configuration.
    pub fn registry(&self) -> Registry {
        Registry {
            roles: role::schemas(&self.roles),
            transports: self.transports.iter().map(|transport| transport.schema()).collect(),
        }
    }

    /// The type of a Role, if it is known.
    pub(super) fn role(&self, role: &RoleConfig) -> Option<&Arc<dyn RoleType>> {
        self.roles.iter().find(|known| known.schema().name == role.role_type)
    }

    /// A Transport as configured, if its type is known.
    pub(super) fn transport(&self, transport: &TransportConfig) -> Option<Arc<dyn Transport>> {
        let wanted = &transport.transport_type;
        let known = self.transports.iter().find(|known| known.schema().name == *wanted)?;
        Some(known.build(transport))
    }

    /// What a Node wants as far as its configuration tells; everything where it does not.
    pub(super) fn interests_of(&self, node: &NodeConfig) -> Vec<Interest> {
        let of_role = |role: &RoleConfig| match self.role(role) {
            Some(role_type) => role_type.interests(role),
            None => vec![Interest::any()],
        };
        node.roles.iter().flat_map(of_role).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those who check a configuration without a daemon go by the descriptions alone.
    #[test]
    fn the_daemon_has_the_types_that_are_described() {
        let (ours, described) = (Types::built_in().registry(), kozo_core::types::built_in());
        assert_eq!(ours.roles, described.roles);
        assert_eq!(ours.transports, described.transports);
    }
}
