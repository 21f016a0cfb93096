//! Roles that are programs which have attached themselves: each is there for as long as its program is.

use std::sync::Arc;

use tracing::{info, warn};

use super::router::{Change, RoleId};
use super::{ControlError, Node};
use crate::BoxFuture;
use crate::config::{LONGEST_NAME, Limits, Options, RoleConfig, Runs, Schema};
use crate::interest::Interest;
use crate::role::{Role, RoleContext, RoleError, RoleType};

/// The type of such Roles, unless they say that they are of another one.
pub const ATTACHED: &str = "attached";

/// The place of a Role that nothing configures, which is gone when this is dropped.
pub struct Attachment {
    node: Node,
    name: String,
    id: RoleId,
}

impl Node {
    /// Makes a place for a Role that nothing configures, and that wants these Messages until it says otherwise. `by` says
    /// to people whose program it is.
    ///
    /// # Errors
    /// When its name or that of its type is none, or there is a Role of this name.
    pub async fn attach(
        &self,
        name: &str,
        role_type: &str,
        by: String,
        interests: Vec<Interest>,
        queue: Limits,
    ) -> Result<Attachment, ControlError> {
        for name in [name, role_type] {
            let is_name = !name.trim().is_empty() && !name.contains(char::is_control);
            if !is_name || name.len() > LONGEST_NAME {
                return Err(ControlError::BadName(name.to_owned()));
            }
        }
        let _one_at_a_time = self.shared.operations.lock().await;
        if self.live().roles.contains_key(name) {
            return Err(ControlError::RoleExists(name.to_owned()));
        }
        let config = RoleConfig {
            name: name.to_owned(),
            role_type: role_type.to_owned(),
            description: Some(by),
            queue,
            runs: Runs::Attached,
            options: Options::default(),
        };
        let id = self.insert_role(&config, Arc::new(Attached(interests)));
        self.shared.router.changed(Change::RoleAdded(name.to_owned()));
        Ok(Attachment { node: self.clone(), name: name.to_owned(), id })
    }

    /// Ends the program that has attached itself as this Role, if there is one.
    pub(super) async fn detach(&self, name: &str) {
        let id = self
            .live()
            .roles
            .get(name)
            .filter(|role| role.config().runs == Runs::Attached)
            .map(|role| role.id);
        if let Some(id) = id {
            self.end_role(name).await;
            self.forget(name, id);
        }
    }

    /// Forgets a Role that has ended, unless another one has taken its name.
    fn forget(&self, name: &str, id: RoleId) {
        let is_it = {
            let mut live = self.live();
            let is_it = live.roles.get(name).is_some_and(|role| role.id == id);
            if is_it && let Some(role) = live.roles.shift_remove(name) {
                role.supervised.inbox.close();
            }
            is_it
        };
        if is_it {
            self.shared.router.remove_role(id);
            self.shared.router.forget_role(name);
            self.shared.router.changed(Change::RoleRemoved(name.to_owned()));
        }
    }
}

impl Attachment {
    /// Runs the Role once. When it ends, or is ended, it is gone.
    pub fn run(self, role: Box<dyn Role>) {
        let node = self.node.clone();
        let mut live = node.live();
        let Some(live_role) = live.roles.get_mut(&self.name).filter(|role| role.id == self.id)
        else {
            return;
        };
        // What it stores would stay behind, under a name that may be that of another one tomorrow.
        let context = node.context(&self.name, live_role, None);
        live_role.supervised.set_state(live_role.supervised.first_state());
        live_role.task = Some(tokio::spawn(async move {
            let name = &*self.name;
            info!(role = name, "attached");
            match role.run(context).await {
                Ok(()) => info!(role = name, "detached"),
                Err(problem) => warn!(role = name, "detached: {problem}"),
            }
        }));
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.node.forget(&self.name, self.id);
    }
}

/// What is known of the type of a Role that has attached itself: what it wanted when it did.
struct Attached(Vec<Interest>);

impl RoleType for Attached {
    fn schema(&self) -> Schema {
        Schema { name: ATTACHED.into(), ..Schema::default() }
    }

    fn interests(&self, _config: &RoleConfig) -> Vec<Interest> {
        self.0.clone()
    }

    fn says_running(&self) -> bool {
        true
    }

    fn build(&self, _config: &RoleConfig) -> Box<dyn Role> {
        Box::new(Nothing)
    }
}

/// The Node never builds such a Role: it is given one that is there.
struct Nothing;

impl Role for Nothing {
    fn run(self: Box<Self>, _context: RoleContext) -> BoxFuture<'static, Result<(), RoleError>> {
        Box::pin(async { Ok(()) })
    }
}
