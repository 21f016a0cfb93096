//! A Role whose program is not there, or cannot be used: it fails, and says why. The rest of its Node runs.

use crate::BoxFuture;
use crate::config::{RoleConfig, Schema};
use crate::interest::Interest;
use crate::role::{Role, RoleContext, RoleError, RoleType};

/// The type of such a Role.
pub struct Missing {
    /// What it is called.
    pub type_name: String,
    /// Why it cannot be used.
    pub why: String,
}

impl RoleType for Missing {
    fn schema(&self) -> Schema {
        Schema { name: self.type_name.clone().into(), ..Schema::default() }
    }

    fn interests(&self, _config: &RoleConfig) -> Vec<Interest> {
        Vec::new()
    }

    fn restarts(&self) -> bool {
        false
    }

    fn build(&self, _config: &RoleConfig) -> Box<dyn Role> {
        Box::new(MissingRole(self.why.clone()))
    }
}

struct MissingRole(String);

impl Role for MissingRole {
    fn run(self: Box<Self>, _context: RoleContext) -> BoxFuture<'static, Result<(), RoleError>> {
        Box::pin(async move { Err(RoleError(self.0)) })
    }
}
