//! What a Role is: the contract between the jobs of a Node and the Node that runs them.
//!
//! A [`RoleType`] says what options its Roles take and which Messages they want, both as data, and
//! builds [`Role`]s. A Role is one future, run by `node` with a [`RoleContext`] through which it
//! sends, receives and stores; it ends when asked to stop. A Role that returns an error is started
//! again, built anew, with backoff. The built-in types are in [`roles`](crate::roles); `node` supervises.

pub mod conversation;
pub mod inbox;
pub mod storage;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
pub(crate) mod testing;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rmpv::Value;
use tokio::sync::watch;

use crate::BoxFuture;
use crate::config::{RoleConfig, Schema};
use crate::interest::Interest;
use crate::message::{Draft, Message, MessageError};
use crate::process::{Launcher, StderrBudget};
use crate::queue::Room;
use crate::rate_limiter::RateLimiter;
use crate::status::{NodeStatus, PeerStatus};
pub use inbox::Inbox;
pub use storage::Storage;

/// The schemas of these types, for [`crate::config::Registry::roles`].
pub fn schemas(types: &[Arc<dyn RoleType>]) -> Vec<Schema> {
    types.iter().map(|role_type| role_type.schema()).collect()
}

/// A kind of Role: its options, its interest, how to make one.
pub trait RoleType: Send + Sync {
    /// Name, options, needs.
    fn schema(&self) -> Schema;

    /// Which Messages a Role so configured wants. Depends on nothing but the configuration, because
    /// other Nodes ask it too: about a Peer that has not announced its interest yet.
    fn interests(&self, config: &RoleConfig) -> Vec<Interest>;

    /// Whether a Role that has failed is started again.
    fn restarts(&self) -> bool {
        true
    }

    /// Whether its Roles say when they run ([`RoleContext::set_running`]). All others run once they have begun.
    fn says_running(&self) -> bool {
        false
    }

    /// Makes a Role, not yet running.
    fn build(&self, config: &RoleConfig) -> Box<dyn Role>;
}

/// A job of a Node.
pub trait Role: Send {
    /// Does the job until [`RoleContext::receive`] gives `None` or [`RoleContext::stopped`] returns,
    /// or until nothing is left to do.
    ///
    /// # Errors
    /// What made it fail; it is then built and run again, after a pause.
    fn run(self: Box<Self>, context: RoleContext) -> BoxFuture<'static, Result<(), RoleError>>;
}

/// Why a Role failed, for the log and the status.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RoleError(pub String);

impl From<String> for RoleError {
    fn from(text: String) -> Self {
        RoleError(text)
    }
}

/// Why a Message was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It is not a valid Message.
    #[error(transparent)]
    Invalid(#[from] MessageError),
    /// It is larger than the whole queue of a subscriber; it was sent to none.
    #[error("the message takes {weight} bytes, but the queue of {subscriber} holds {size}")]
    TooLarge {
        /// Bytes of the Message.
        weight: usize,
        /// Bytes that the queue holds.
        size: usize,
        /// Whose queue.
        subscriber: String,
    },
}

/// What became of a Message that was to be sent only if there is room for it.
#[derive(Debug)]
pub enum Offered {
    /// It was sent.
    Sent(Sent),
    /// It was not: a queue is full.
    Full(Room),
}

/// What became of a Message that was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Its sequence number: with the Node's name and boot number, its id.
    pub sequence: u64,
    /// Local Roles that it was queued for.
    pub roles: usize,
    /// Peers that it was queued for.
    pub peers: usize,
    /// Peers that want it and did not get it, because they are not connected or by policy.
    pub unreachable: usize,
    /// Whether a queue that it went into is full now.
    pub full: bool,
}

/// What programs are told of the System.
#[derive(Clone, Debug, Default)]
pub struct SystemFacts {
    /// The root-level options of the Node, by their names.
    pub config: serde_json::Map<String, serde_json::Value>,
    /// The public key of each Node, as OpenSSH writes it.
    pub keys: serde_json::Map<String, serde_json::Value>,
}

/// What a Role needs of its Node. `node` implements it; Roles use it through [`RoleContext`].
pub trait Host: Send + Sync {
    /// Name of the Node.
    fn node_name(&self) -> &str;

    /// Sends a Message in the name of a Role.
    ///
    /// # Errors
    /// When it is not valid, or too large for a queue.
    fn send(&self, role: &str, draft: &Draft<'_>) -> Result<Sent, SendError>;

    /// Sends a Message in the name of a Role if nothing has to be dropped for it, in the queues of
    /// others.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    fn offer(&self, role: &str, draft: &Draft<'_>) -> Result<Offered, SendError>;

    /// The Node at this moment.
    fn status(&self) -> NodeStatus;

    /// Whether the Node stops, and all of its Roles with it.
    fn is_stopping(&self) -> bool;

    /// The Peers at this moment, in the order of the configuration.
    fn peers(&self) -> Vec<PeerStatus>;

    /// Changes when a Peer may be there or not, or its link stand, as it did not before.
    fn peers_changed(&self) -> watch::Receiver<()>;

    /// Opens a view of the Messages that pass the Node and match; it ends when the last clone of
    /// the returned inbox is dropped.
    fn tap(&self, interests: Vec<Interest>) -> Arc<Inbox>;

    /// What programs are told of the System, as the configuration is now.
    fn system(&self) -> SystemFacts;

    /// What starts the programs of a Role, as the configuration is now.
    fn launcher(&self, role: &str) -> Launcher;

    /// Prints a line for people to see, on the daemon's standard output.
    fn print(&self, role: &str, line: &str);

    /// Changes what the daemon logs, to a filter such as `info` or `kozo::link=debug`.
    ///
    /// # Errors
    /// What is wrong with the filter.
    fn set_log_filter(&self, filter: &str) -> Result<(), String>;
}

/// What a Node keeps of one running Role. `node` implements it; Roles use it through [`RoleContext`].
pub(crate) trait Record: Send + Sync {
    /// Keeps that the Role runs, if it is its own to say that.
    fn set_running(&self);

    /// Keeps what the Role says of itself.
    fn set_status(&self, status: Option<String>);

    /// Keeps what the Role says is in its way.
    fn set_problem(&self, problem: Option<String>);

    /// Lets the Role want these Messages, or those that its type declares.
    fn set_interests(&self, interests: Option<Vec<Interest>>);

    /// Keeps that a process is a program of the Role, or is not any more.
    fn set_process(&self, pid: u32, runs: bool);

    /// Keeps how a program of the Role ended.
    fn set_exit(&self, exit: String);
}

/// A running Role's side of its Node.
#[derive(Clone)]
pub struct RoleContext {
    /// The Node.
    pub host: Arc<dyn Host>,
    /// Name of the Role.
    pub name: Arc<str>,
    /// Messages for the Role.
    pub inbox: Arc<Inbox>,
    /// Where the Role keeps its value; absent when the Node has no `roleStorage`.
    pub storage: Option<Storage>,
    /// Becomes true when the Role is to stop.
    pub stop: watch::Receiver<bool>,
    /// Changes when open files are to be opened anew (SIGHUP).
    pub reopen: watch::Receiver<u64>,
    /// Becomes true when the links to all Peers are ready, see [`RoleContext::links_ready`].
    pub links_ready: watch::Receiver<bool>,
    /// Whether its last Message reached no Role and no Peer.
    pub(crate) unheard: Arc<AtomicBool>,
    /// Lets the Role complain of one thing at most once a minute.
    pub(crate) log_limiter: Arc<Mutex<RateLimiter<String>>>,
    /// What its programs may still write to standard error.
    pub(crate) stderr: StderrBudget,
    /// What the Node keeps of the Role.
    pub(crate) record: Arc<dyn Record>,
}

impl RoleContext {
    /// The next Message; `None` once the Role is to stop and its queue is empty. Cancel safe.
    pub async fn receive(&self) -> Option<Message> {
        self.inbox.receive().await
    }

    /// All Messages that are there, behind what is in `batch` already; waits for one if there is none.
    /// False once the Role is to stop and its queue is empty. Cancel safe.
    pub async fn receive_many(&self, batch: &mut Vec<Message>) -> bool {
        self.inbox.receive_many(batch).await
    }

    /// Returns when the Role is to stop. Cancel safe.
    pub async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // An error means that the Node is gone, which is as good a reason to stop.
        let _ = stop.wait_for(|stop| *stop).await;
    }

    /// Returns when every Peer that can be reached has been, or a second after the Node's start at
    /// the latest: what is sent earlier is lost to Peers whose links are only just being made. Cancel
    /// safe.
    pub async fn links_ready(&self) {
        let mut links_ready = self.links_ready.clone();
        // An error means that the Node is gone; the Role will be told to stop.
        let _ = links_ready.wait_for(|links_ready| *links_ready).await;
    }

    /// Sends a Message. A queue that has no room drops its oldest for it; when one got full the
    /// call gives its consumer a turn before it returns. While nothing receives them, it gives all others
    /// a turn now and then, such as those who would find a Peer again.
    ///
    /// # Errors
    /// When it is not valid, or too large for the queue of a subscriber.
    pub async fn send(&self, draft: Draft<'_>) -> Result<Sent, SendError> {
        self.let_others_on().await;
        let sent = self.host.send(&self.name, &draft)?;
        self.note(&sent);
        if sent.full {
            tokio::task::yield_now().await;
        }
        Ok(sent)
    }

    /// Sends a Message, and waits before that until all queues that it goes into have room: nothing is
    /// dropped for it. A link that is down and not made on demand is not waited for, and once the Role
    /// is to stop nothing is. Cancel safe: the Message is then not sent.
    ///
    /// Two Roles that send to each other like this, and receive nothing meanwhile, would wait for each
    /// other for ever.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_waiting(&self, draft: Draft<'_>) -> Result<Sent, SendError> {
        self.let_others_on().await;
        loop {
            match self.host.offer(&self.name, &draft)? {
                Offered::Sent(sent) => {
                    self.note(&sent);
                    return Ok(sent);
                }
                Offered::Full(room) => tokio::select! {
                    () = room.wait() => {}
                    () = self.stopped() => return self.host.send(&self.name, &draft),
                },
            }
        }
    }

    fn note(&self, sent: &Sent) {
        let unheard = sent.roles == 0 && sent.peers == 0;
        if unheard != self.unheard.load(Ordering::Relaxed) {
            self.unheard.store(unheard, Ordering::Relaxed);
        }
    }

    /// Nothing holds back a Role whose Messages go nowhere. It would keep the thread for itself.
    async fn let_others_on(&self) {
        if self.unheard.load(Ordering::Relaxed) {
            tokio::task::coop::consume_budget().await;
        }
    }

    /// Sends a Log Message with this text. That it could not be sent is said at most once a minute.
    pub async fn log(&self, text: &str) {
        let draft = Draft::new(crate::message::Kind::Log, "log").data(&Value::from(text));
        if let Err(error) = self.send(draft).await
            && self.may_complain("log")
        {
            tracing::warn!(role = %self.name, "cannot send a log message: {error}");
        }
    }

    /// What starts the programs of the Role.
    pub fn launcher(&self) -> Launcher {
        self.host.launcher(&self.name).with_budget(self.stderr.clone())
    }

    /// Whether a line about this may be logged: once a minute.
    pub(crate) fn may_complain(&self, cause: &str) -> bool {
        let mut limiter = self.log_limiter.lock().unwrap_or_else(PoisonError::into_inner);
        limiter.allow(cause).is_some()
    }

    /// Prints a line for people to see.
    pub fn print(&self, line: &str) {
        self.host.print(&self.name, line);
    }

    /// Says in the status of the Node that the Role runs from now on, if its type leaves that to it.
    pub fn set_running(&self) {
        self.record.set_running();
    }

    /// Says in the status of the Node what keeps the Role from doing all of its job, until something
    /// else does, or nothing.
    pub fn set_problem(&self, problem: Option<String>) {
        self.record.set_problem(problem);
    }

    /// Says of the Role what people are to see in the status of the Node, until something else is said, or nothing, or
    /// the Role runs no longer.
    pub fn set_status(&self, status: Option<String>) {
        self.record.set_status(status);
    }

    /// From now on the Role wants these Messages, or with none given those that its type declares. Peers are told. This
    /// holds beyond the end of the Role, until it says otherwise, if it fails and is to be started again.
    pub fn set_interests(&self, interests: Option<Vec<Interest>>) {
        self.record.set_interests(interests);
    }

    /// Says in the status of the Node that the Role runs this program, until what is returned is dropped. Of several, that is
    /// shown which has run longest.
    pub fn show_process(&self, pid: u32) -> ShownProcess {
        self.record.set_process(pid, true);
        ShownProcess { record: Arc::clone(&self.record), pid }
    }

    /// Says in the status of the Node how the Role's program ended.
    pub fn set_exit(&self, exit: &str) {
        self.record.set_exit(exit.to_owned());
    }
}

/// A program in the status of a Role.
pub struct ShownProcess {
    record: Arc<dyn Record>,
    pid: u32,
}

impl Drop for ShownProcess {
    fn drop(&mut self) {
        self.record.set_process(self.pid, false);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_role_that_speaks_to_nobody_lets_others_on() {
        let host = testing::TestHost::new("clock");
        let context = host.context("timer", Vec::new()).context;
        let turns = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = Arc::clone(&turns);
        let other = tokio::spawn(async move {
            loop {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        for _ in 0..10_000 {
            context.send(Draft::event("tick")).await.unwrap();
        }
        let half = turns.load(Ordering::Relaxed);
        for _ in 0..10_000 {
            context.send_waiting(Draft::event("tick")).await.unwrap();
        }
        let all = turns.load(Ordering::Relaxed);
        other.abort();
        assert!(half > 10 && all - half > 10, "{half} of {all}");
    }
}
