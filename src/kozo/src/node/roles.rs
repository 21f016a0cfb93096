//! The Roles of a Node: starting, stopping and exchanging them while it runs.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::router::{Change, RoleId, Router};
use super::supervisor::{End, Supervised};
use super::{ControlError, Node, STOP, StartError};
use crate::class;
use crate::config::{RoleConfig, Runs};
use crate::interest::Interest;
use crate::process::StderrBudget;
use crate::role::{Record, RoleContext, RoleType, Storage};
use crate::status::{RoleState, RoleStatus};

/// A Role of this Node, running or not.
pub(super) struct LiveRole {
    pub(super) id: RoleId,
    pub(super) supervised: Arc<Supervised>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) task: Option<JoinHandle<()>>,
}

/// Names of Roles in a line that are not just counted.
const NAMED: usize = 3;

/// Several Roles, for people.
fn few(names: &[&str]) -> String {
    let named: Vec<_> = names.iter().take(NAMED).map(|name| format!("'{name}'")).collect();
    let count = names.len();
    match count - named.len() {
        0 => format!("{count} roles ({})", named.join(", ")),
        more => format!("{count} roles ({} and {more} more)", named.join(", ")),
    }
}

/// What is kept of a Role that runs.
struct Kept {
    id: RoleId,
    supervised: Arc<Supervised>,
    router: Arc<Router>,
}

impl Record for Kept {
    fn set_running(&self) {
        self.supervised.set_running();
    }

    fn set_status(&self, status: Option<String>) {
        self.supervised.set_status(status);
    }

    fn set_problem(&self, problem: Option<String>) {
        self.supervised.set_problem(problem);
    }

    fn set_interests(&self, interests: Option<Vec<Interest>>) {
        let interests = interests.unwrap_or_else(|| self.supervised.interests());
        self.router.set_interests(self.id, interests);
    }

    fn set_process(&self, pid: u32, runs: bool) {
        self.supervised.set_process(pid, runs);
    }

    fn set_exit(&self, exit: String) {
        self.supervised.set_exit(exit);
    }
}

impl LiveRole {
    pub(super) fn config(&self) -> &RoleConfig {
        &self.supervised.config
    }

    pub(super) fn status(&self) -> RoleStatus {
        self.supervised.status()
    }
}

impl Node {
    /// Joins a Role with the router, not yet running, in place of one of the same name.
    pub(super) fn add_role(&self, config: &RoleConfig) -> Result<(), StartError> {
        let role_type = self.shared.deps.types.role(config).ok_or_else(|| {
            let what = format!("role '{}'", config.name);
            StartError::UnknownType(what, config.role_type.clone())
        })?;
        self.insert_role(config, role_type);
        Ok(())
    }

    /// Joins a Role of this type with the router, in place of one of the same name.
    pub(super) fn insert_role(&self, config: &RoleConfig, role_type: Arc<dyn RoleType>) -> RoleId {
        let router = Arc::clone(&self.shared.router);
        let name = config.name.clone();
        let changed = Box::new(move || router.changed(Change::Role(name.clone())));
        let supervised = Arc::new(Supervised::new(config.clone(), role_type, changed));
        let id = self.number();
        let (inbox, interests) = (Arc::clone(&supervised.inbox), supervised.interests());
        let is_attached = config.runs == Runs::Attached;
        self.shared.router.add_role(id, &config.name, inbox, interests, is_attached);
        let role = LiveRole { id, supervised, stop: watch::Sender::new(false), task: None };
        self.live().roles.insert(config.name.clone(), role);
        id
    }

    /// Runs a Role that was added.
    pub(super) fn run_role(&self, name: &str) {
        let mut live = self.live();
        let storage = live.local.config.role_storage.clone();
        let Some(role) = live.roles.get_mut(name) else { return };
        let storage = storage.map(|folder| Storage::new(&folder, name));
        let context = self.context(name, role, storage);
        let (id, supervised) = (role.id, Arc::clone(&role.supervised));
        let router = Arc::clone(&self.shared.router);
        role.task = Some(tokio::spawn(async move {
            if supervised.run(context).await == End::Finished {
                // No Role is to send to it, nor to wait for room that will never be.
                router.remove_role(id);
                supervised.inbox.close();
            }
        }));
    }

    /// What a Role has of its Node.
    pub(super) fn context(
        &self,
        name: &str,
        role: &LiveRole,
        storage: Option<Storage>,
    ) -> RoleContext {
        let (supervised, router) = (Arc::clone(&role.supervised), Arc::clone(&self.shared.router));
        RoleContext {
            host: Arc::new(self.clone()),
            name: name.into(),
            inbox: Arc::clone(&role.supervised.inbox),
            storage,
            stop: role.stop.subscribe(),
            reopen: self.shared.reopen.subscribe(),
            links_ready: self.shared.ready.subscribe(),
            unheard: Arc::default(),
            log_limiter: Arc::default(),
            stderr: StderrBudget::default(),
            record: Arc::new(Kept { id: role.id, supervised, router }),
        }
    }

    /// Lets Roles come to their end. Those that do not in time are ended, all at once.
    pub(super) async fn halt_roles(&self, names: &[String]) {
        let deadline = Instant::now() + STOP;
        let halted = join_all(names.iter().map(|name| self.halt_role(name, deadline))).await;
        let stuck = names.iter().zip(halted).filter(|(_, in_time)| !in_time);
        let stuck: Vec<&str> = stuck.map(|(name, _)| &**name).collect();
        match &*stuck {
            [] => {}
            [name] => {
                warn!(class = class::ROLE_STUCK, role = name, "did not stop in time and was killed")
            }
            names => warn!(
                class = class::ROLE_STUCK,
                "{} did not stop in time and were killed",
                few(names)
            ),
        }
    }

    /// Lets a Role come to its end; gives whether it did in time.
    async fn halt_role(&self, name: &str, deadline: Instant) -> bool {
        let halted = self.live().roles.get_mut(name).and_then(|role| {
            role.stop.send_replace(true);
            role.supervised.inbox.close();
            Some((role.task.take()?, Arc::clone(&role.supervised)))
        });
        let Some((mut task, supervised)) = halted else { return true };
        let in_time = timeout_at(deadline, &mut task).await.is_ok();
        if !in_time {
            task.abort();
            let _ = task.await;
            supervised.set_state(RoleState::Stopped);
        }
        in_time
    }

    /// Halts a Role, and no longer asks Peers for what it wanted.
    pub(super) async fn end_role(&self, name: &str) {
        self.end_roles(&[name.to_owned()]).await;
    }

    /// Halts Roles, and no longer asks Peers for what they wanted.
    pub(super) async fn end_roles(&self, names: &[String]) {
        for name in names {
            let id = self.live().roles.get(name).map(|role| role.id);
            id.into_iter().for_each(|id| self.shared.router.remove_role(id));
        }
        self.halt_roles(names).await;
    }

    /// Starts a Role that does not run. Does nothing if it runs.
    ///
    /// # Errors
    /// When there is no such Role.
    pub async fn start_role(&self, name: &str) -> Result<(), ControlError> {
        let _one_at_a_time = self.shared.operations.lock().await;
        let config = self.startable(name)?;
        let runs = self
            .live()
            .roles
            .get(name)
            .is_some_and(|role| role.task.as_ref().is_some_and(|task| !task.is_finished()));
        if !runs {
            self.end_role(name).await;
            self.add_role(&config)?;
            self.run_role(name);
        }
        Ok(())
    }

    /// Stops a Role until it is started again, or the Node is. Does nothing if it does not run.
    ///
    /// # Errors
    /// When there is no such Role.
    pub async fn stop_role(&self, name: &str) -> Result<(), ControlError> {
        let _one_at_a_time = self.shared.operations.lock().await;
        self.role_config(name)?;
        self.end_role(name).await;
        Ok(())
    }

    /// Stops a Role, if it runs, and starts it.
    ///
    /// # Errors
    /// When there is no such Role.
    pub async fn restart_role(&self, name: &str) -> Result<(), ControlError> {
        let _one_at_a_time = self.shared.operations.lock().await;
        let config = self.startable(name)?;
        self.end_role(name).await;
        self.add_role(&config)?;
        self.run_role(name);
        Ok(())
    }

    fn role_config(&self, name: &str) -> Result<RoleConfig, ControlError> {
        let live = self.live();
        let role = live.roles.get(name).map(|role| role.config().clone());
        role.ok_or_else(|| ControlError::NoSuchRole(name.to_owned()))
    }

    /// The configuration of a Role that the Node can start by itself.
    fn startable(&self, name: &str) -> Result<RoleConfig, ControlError> {
        let config = self.role_config(name)?;
        match config.runs {
            Runs::Attached => Err(ControlError::IsAttached(name.to_owned())),
            _ => Ok(config),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_named_and_all_are_counted() {
        for (names, expected) in [
            (vec!["a", "b"], "2 roles ('a', 'b')"),
            (vec!["a", "b", "c"], "3 roles ('a', 'b', 'c')"),
            (vec!["a"; 200], "200 roles ('a', 'a', 'a' and 197 more)"),
        ] {
            assert_eq!(few(&names), expected);
        }
    }
}
