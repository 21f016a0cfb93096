//! The Roles of a Node: starting, stopping and exchanging them while it runs.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;

use super::router::{Change, RoleId, Router};
use super::supervisor::{End, Supervised};
use super::{ControlError, Node, STOP, StartError};
use crate::class;
use crate::config::{RoleConfig, Runs};
use crate::interest::Interest;
use crate::role::{Record, RoleContext, RoleType, Storage};
use crate::status::RoleStatus;

/// A Role of this Node, running or not.
pub(super) struct LiveRole {
    pub(super) id: RoleId,
    pub(super) supervised: Arc<Supervised>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) task: Option<JoinHandle<()>>,
}

/// What is kept of a Role that runs.
struct Kept {
    id: RoleId,
    supervised: Arc<Supervised>,
    router: Arc<Router>,
}

impl Record for Kept {
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

    fn set_program(&self, process: Option<u32>, exit: Option<String>) {
        self.supervised.set_program(process, exit);
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
        self.shared.router.add_role(id, &config.name, inbox, interests);
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
            launcher: Arc::default(),
            record: Arc::new(Kept { id: role.id, supervised, router }),
        }
    }

    /// Lets a Role come to its end. One that does not end in time is ended.
    pub(super) async fn halt_role(&self, name: &str) {
        let task = self.live().roles.get_mut(name).and_then(|role| {
            role.stop.send_replace(true);
            role.supervised.inbox.close();
            role.task.take()
        });
        let Some(mut task) = task else { return };
        if timeout(STOP, &mut task).await.is_err() {
            warn!(
                class = class::ROLE_STUCK,
                role = name,
                "did not stop when asked to, and was ended"
            );
            task.abort();
        }
    }

    /// Halts a Role, and no longer asks Peers for what it wanted.
    pub(super) async fn end_role(&self, name: &str) {
        let id = self.live().roles.get(name).map(|role| role.id);
        id.into_iter().for_each(|id| self.shared.router.remove_role(id));
        self.halt_role(name).await;
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
