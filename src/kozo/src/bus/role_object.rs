//! The object of a Role, `org.kozo.Role1`.

use std::sync::OnceLock;

use kozo_core::names::role_path;
use zbus::message::Header;
use zbus::{Connection, fdo, interface};

use super::error::Error;
use super::object::{Listed, Object, Status};
use super::options::Options;
use crate::node::Node;
use crate::status::{NodeStatus, RoleStatus};

impl Status for RoleStatus {
    const KIND: &'static str = "role";

    fn announced() -> &'static OnceLock<Vec<String>> {
        static ANNOUNCED: OnceLock<Vec<String>> = OnceLock::new();
        &ANNOUNCED
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn path(name: &str) -> String {
        role_path(name)
    }

    fn current(node: &Node, name: &str) -> Option<RoleStatus> {
        node.role_status(name)
    }
}

impl Listed for RoleStatus {
    fn list(node: &NodeStatus) -> &[RoleStatus] {
        &node.roles
    }

    fn list_mut(node: &mut NodeStatus) -> &mut [RoleStatus] {
        &mut node.roles
    }
}

/// A Role: one of the jobs of a Node.
#[interface(name = "org.kozo.Role1")]
impl Object<RoleStatus> {
    /// Start the Role. Does nothing if it runs. Requires org.kozo.manage.
    ///
    /// options: none yet.
    ///
    /// Errors: NoSuchRole, NotAllowed.
    async fn start(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let node = self.manage(&options, connection, &header).await?;
        Ok(node.start_role(&self.name).await?)
    }

    /// Stop the Role until it or the Node is started. Does nothing if it is not running. Returns when the
    /// Role has stopped, after two seconds at most. Requires org.kozo.manage.
    ///
    /// options: none yet.
    ///
    /// Errors: NoSuchRole, NotAllowed.
    async fn stop(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let node = self.manage(&options, connection, &header).await?;
        Ok(node.stop_role(&self.name).await?)
    }

    /// Stop the Role, if it runs, and start it. Requires org.kozo.manage.
    ///
    /// options: none yet.
    ///
    /// Errors: NoSuchRole, NotAllowed.
    async fn restart(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let node = self.manage(&options, connection, &header).await?;
        Ok(node.restart_role(&self.name).await?)
    }

    /// The Role's name.
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> String {
        self.name.clone()
    }

    /// Its type.
    #[zbus(property, name = "Type")]
    fn role_type(&self) -> fdo::Result<String> {
        Ok(self.status()?.role_type.clone())
    }

    /// Its description in the configuration; empty if there is none.
    #[zbus(property)]
    fn description(&self) -> fdo::Result<String> {
        Ok(self.status()?.description.clone().unwrap_or_default())
    }

    /// starting (a program: until it reports that it is ready), running, failed (it restarts after a delay),
    /// finished or stopped.
    #[zbus(property)]
    fn state(&self) -> fdo::Result<String> {
        Ok(self.status()?.state.to_string())
    }

    /// Its status while it runs, in its own words; empty if it reports none.
    #[zbus(property, name = "Status")]
    fn said_status(&self) -> fdo::Result<String> {
        Ok(self.status()?.status.clone().unwrap_or_default())
    }

    /// The problem that keeps it from doing all of its job now, while it runs; empty if there is none.
    #[zbus(property)]
    fn problem(&self) -> fdo::Result<String> {
        Ok(self.status()?.problem.clone().unwrap_or_default())
    }

    /// Why it failed last; empty if it never did.
    #[zbus(property)]
    fn last_error(&self) -> fdo::Result<String> {
        Ok(self.status()?.last_error.clone().unwrap_or_default())
    }

    /// How often it was restarted after a failure.
    #[zbus(property)]
    fn restarts(&self) -> fdo::Result<u64> {
        Ok(self.status()?.restarts)
    }

    /// Process id of the program that it runs; of several, the one that has run longest. 0 if it runs none now.
    #[zbus(property(emits_changed_signal = "false"))]
    fn process_id(&self) -> fdo::Result<u32> {
        Ok(self.status()?.process.as_ref().map_or(0, |process| process.pid))
    }

    /// Resident memory of the process ProcessId, in bytes; 0 if there is none.
    #[zbus(property(emits_changed_signal = "false"))]
    fn memory(&self) -> fdo::Result<u64> {
        Ok(self.status()?.process.as_ref().map_or(0, |process| process.memory))
    }

    /// Processor time that the process ProcessId has used, in microseconds; 0 if there is none.
    #[zbus(property(emits_changed_signal = "false"))]
    fn cpu_time(&self) -> fdo::Result<u64> {
        Ok(self.status()?.process.as_ref().map_or(0, |process| process.cpu_time))
    }

    /// How its last program ended: "exited with code 3"; empty if none did.
    #[zbus(property(emits_changed_signal = "false"))]
    fn last_exit(&self) -> fdo::Result<String> {
        Ok(self.status()?.last_exit.clone().unwrap_or_default())
    }

    /// Messages that it sent.
    #[zbus(property(emits_changed_signal = "false"))]
    fn sent(&self) -> fdo::Result<u64> {
        Ok(self.status()?.sent)
    }

    /// Messages that were put into its queue.
    #[zbus(property(emits_changed_signal = "false"))]
    fn received(&self) -> fdo::Result<u64> {
        Ok(self.status()?.received)
    }

    /// Messages that were dropped from its queue because it was full.
    #[zbus(property(emits_changed_signal = "false"))]
    fn dropped(&self) -> fdo::Result<u64> {
        Ok(self.status()?.dropped)
    }

    /// Messages in its queue now.
    #[zbus(property(emits_changed_signal = "false"))]
    fn queue_length(&self) -> fdo::Result<u64> {
        Ok(self.status()?.queue_length as u64)
    }

    /// Bytes in its queue now.
    #[zbus(property(emits_changed_signal = "false"))]
    fn queue_size(&self) -> fdo::Result<u64> {
        Ok(self.status()?.queue_size as u64)
    }
}
