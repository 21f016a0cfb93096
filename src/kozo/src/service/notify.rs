//! What systemd is told about the Node: that it is ready, how it is doing, that it is alive.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tracing::warn;

use crate::node::{Change, Node};
use crate::role::Host;
use crate::status::{LinkState, NodeStatus, RoleState};

/// How long programs that are Roles may take to be ready before the Node says that it is.
const ROLES: Duration = Duration::from_secs(5);

/// Tells systemd about a Node until it is dropped. Without a systemd that wants to know, does nothing.
pub struct Service {
    task: Option<JoinHandle<()>>,
}

impl Service {
    /// Begins: as soon as the Node is ready, systemd is told so; from then on it is told every change
    /// and, where it has set a watchdog, that the event loop still turns.
    pub fn start(node: &Node) -> Service {
        // Systemd's own variable, see sd_notify(3).
        let wanted = std::env::var_os("NOTIFY_SOCKET").is_some();
        Service { task: wanted.then(|| tokio::spawn(tell(node.clone()))) }
    }

    /// Says that the Node stops.
    pub fn stopping(&self) {
        if let Some(task) = &self.task {
            task.abort();
            notify(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// A reload under way: systemd is told when it begins and, by dropping it, when it has ended.
#[must_use = "dropping it ends the reload"]
pub struct Reloading(());

impl Reloading {
    /// Says that a reload has begun.
    pub fn begin() -> Reloading {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            // Later versions of systemd take it for nothing without the time.
            Err(error) => warn!("there is no monotonic clock: {error}"),
        }
        Reloading(())
    }
}

impl Drop for Reloading {
    fn drop(&mut self) {
        notify(&[NotifyState::Ready]);
    }
}

async fn tell(node: Node) {
    let mut changes = node.changes();
    ready(&node, &mut changes).await;
    let mut said = summary(&node.status());
    notify(&[NotifyState::Ready, NotifyState::Status(&said)]);
    let mut watchdog = sd_notify::watchdog_enabled().map(|limit| {
        let mut ticks = interval(limit / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    });
    loop {
        tokio::select! {
            changed = changed(&mut changes) => {
                if !changed {
                    return;
                }
                let now = summary(&node.status());
                if now != said {
                    notify(&[NotifyState::Status(&now)]);
                    said = now;
                }
            }
            () = next(&mut watchdog) => notify(&[NotifyState::Watchdog]),
        }
    }
}

/// Returns when every Role runs, or programs have had their time to begin, and every Peer that can be reached at once
/// has been: what is sent to a Node that says it is ready is to arrive.
async fn ready(node: &Node, changes: &mut Receiver<Change>) {
    // What comes for a program that is not ready yet waits in its queue.
    let _ = timeout(ROLES, all_run(node, changes)).await;
    node.ready().await;
}

async fn all_run(node: &Node, changes: &mut Receiver<Change>) {
    while node.status().roles.iter().any(|role| role.state == RoleState::Starting) {
        if !changed(changes).await {
            return;
        }
    }
}

/// Waits until something has changed. False when nothing will any more.
async fn changed(changes: &mut Receiver<Change>) -> bool {
    !matches!(changes.recv().await, Err(RecvError::Closed))
}

async fn next(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => _ = ticks.tick().await,
        None => std::future::pending().await,
    }
}

/// What `systemctl status` shows: `2/3 peers up, 4 roles`. A Peer that is not to be connected to is
/// left out.
fn summary(status: &NodeStatus) -> String {
    let peers = status.peers.iter().filter(|peer| peer.state != LinkState::Disabled).count();
    let up = status.peers.iter().filter(|peer| peer.state == LinkState::Up).count();
    let failed = status.roles.iter().filter(|role| role.state == RoleState::Failed).count();
    let roles = status.roles.len();
    let plural = if roles == 1 { "" } else { "s" };
    let failed = if failed == 0 { String::new() } else { format!(", {failed} failed") };
    format!("{up}/{peers} peers up, {roles} role{plural}{failed}")
}

/// Says, for `systemctl status`, why there will be no Node.
pub fn failing(reason: &str) {
    notify(&[NotifyState::Status(reason)]);
}

fn notify(states: &[NotifyState<'_>]) {
    // Systemd is gone or being replaced; it will ask for nothing.
    let _: io::Result<()> = sd_notify::notify(states);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{PeerStatus, RoleStatus};

    #[test]
    fn summaries() {
        let peer = |state| PeerStatus { state, ..PeerStatus::default() };
        let role = |state| RoleStatus { state, ..RoleStatus::default() };
        let mut status = NodeStatus {
            peers: [LinkState::Up, LinkState::Down, LinkState::Disabled, LinkState::Up]
                .map(peer)
                .into(),
            roles: vec![role(RoleState::Running), role(RoleState::Finished)],
            ..NodeStatus::default()
        };
        assert_eq!(summary(&status), "2/3 peers up, 2 roles");
        status.roles.push(role(RoleState::Failed));
        assert_eq!(summary(&status), "2/3 peers up, 3 roles, 1 failed");
        status.peers.truncate(1);
        status.roles.truncate(1);
        assert_eq!(summary(&status), "1/1 peers up, 1 role");
        assert_eq!(summary(&NodeStatus::default()), "0/0 peers up, 0 roles");
    }
}
