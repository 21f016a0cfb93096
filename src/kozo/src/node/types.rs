//! The Role and Transport types that a Node knows.

use std::sync::Arc;

use crate::config::programs::{Programs, TypeKind};
use crate::config::{LocalNode, NodeConfig, Registry, RoleConfig, Runs, TransportConfig};
use crate::interest::Interest;
use crate::role::conversation::LineBudget;
use crate::role::{self, RoleType};
use crate::roles;
use crate::transport::missing::Missing;
use crate::transport::program::{ProgramTransport, Setup};
use crate::transport::{self, Transport, TransportType};

/// The Role and Transport types that a Node knows.
#[derive(Clone)]
pub struct Types {
    /// Types of Roles.
    pub roles: Vec<Arc<dyn RoleType>>,
    /// Types of Transports.
    pub transports: Vec<Arc<dyn TransportType>>,
    /// Where types of Roles that are programs are looked for.
    pub role_programs: Programs,
    /// Where types of Transports that are programs are looked for.
    pub transport_programs: Programs,
    /// What the lines of programs may take of memory, all together.
    pub lines: LineBudget,
}

impl Types {
    /// Those that are part of the daemon, and no programs.
    pub fn built_in() -> Types {
        let (roles, transports) = (roles::built_in(), transport::built_in());
        Types {
            roles,
            transports,
            role_programs: Programs::default(),
            transport_programs: Programs { kind: TypeKind::Transport, ..Programs::default() },
            lines: LineBudget::default(),
        }
    }

    /// Those that are part of the daemon, and these programs of each kind.
    pub fn installed(programs: impl Fn(TypeKind) -> Programs) -> Types {
        Types {
            role_programs: programs(TypeKind::Role),
            transport_programs: programs(TypeKind::Transport),
            ..Types::built_in()
        }
    }

    /// Their options, for the configuration.
    pub fn registry(&self) -> Registry {
        Registry {
            roles: role::schemas(&self.roles),
            transports: self.transports.iter().map(|transport| transport.schema()).collect(),
            role_programs: self.role_programs.clone(),
            transport_programs: self.transport_programs.clone(),
        }
    }

    /// The type of a Role, if it is known. That of a program which is missing is one whose Roles fail.
    pub(super) fn role(&self, role: &RoleConfig) -> Option<Arc<dyn RoleType>> {
        match &role.runs {
            Runs::BuiltIn => {
                self.roles.iter().find(|known| known.schema().name == role.role_type).cloned()
            }
            Runs::Program(program) => Some(Arc::new(roles::program::ProgramType::new(
                program.clone(),
                self.lines.clone(),
            ))),
            Runs::Attached => None,
            Runs::Nothing(why) => {
                let type_name = role.role_type.clone();
                Some(Arc::new(roles::missing::Missing { type_name, why: why.clone() }))
            }
        }
    }

    /// A Transport of this Node as configured, if its type is known. That of a program which is missing is one that has
    /// failed.
    pub(super) fn transport(
        &self,
        transport: &TransportConfig,
        local: &LocalNode,
    ) -> Option<Arc<dyn Transport>> {
        match &transport.runs {
            Runs::BuiltIn => {
                let wanted = &transport.transport_type;
                let known = self.transports.iter().find(|known| known.schema().name == *wanted)?;
                Some(known.build(transport))
            }
            Runs::Program(program) => {
                Some(ProgramTransport::new(Setup::new(transport, program, local)))
            }
            Runs::Attached => None,
            Runs::Nothing(why) => Some(Arc::new(Missing { why: why.clone() })),
        }
    }

    /// What a Node wants as far as its configuration tells; everything where it does not.
    pub(super) fn interests_of(&self, node: &NodeConfig) -> Vec<Interest> {
        let of_role = |role: &RoleConfig| match &role.runs {
            Runs::BuiltIn => self.role(role).map(|role_type| role_type.interests(role)),
            Runs::Program(program) => program.program.description.interest.clone(),
            Runs::Attached | Runs::Nothing(_) => None,
        };
        let of_role = |role| of_role(role).unwrap_or_else(|| vec![Interest::any()]);
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
