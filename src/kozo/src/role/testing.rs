//! A Node small enough for the tests of one Role: it routes for real, but to local Roles only, and
//! remembers what it saw.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::config::{Limits, OptionValue, Options, Presence, Runs};
use crate::message::{Kind, Origin};
use crate::process::Owner;

/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct TestHost {
    name: String,
    state: Mutex<Seen>,
    changed: Notify,
    storage: Option<std::path::PathBuf>,
    peers_changed: watch::Sender<()>,
}

/// What a Node saw so far.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) sent: Vec<Message>,
    pub(crate) sent_at: Vec<Instant>,
    pub(crate) printed: Vec<String>,
    pub(crate) log_filter: Option<String>,
    pub(crate) running: bool,
    /// Programs that began, or ended, to be shown.
    pub(crate) processes: Vec<(u32, bool)>,
    pub(crate) status: Option<String>,
    pub(crate) problem: Option<String>,
    peers: Vec<PeerStatus>,
    subscribers: Vec<(Vec<Interest>, Weak<Inbox>)>,
}

impl Seen {
    /// The texts of the Log Messages sent.
    pub(crate) fn logs(&self) -> Vec<String> {
        let logs = self.sent.iter().filter(|message| message.kind() == Kind::Log);
        logs.map(|log| log.value().unwrap().as_str().unwrap().to_owned()).collect()
    }
}

/// A Role that runs, and the strings it hangs on.
pub(crate) struct Running {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) reopen: watch::Sender<u64>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), RoleError>>,
}

impl Running {
    /// Stops the Role as its Node would and waits for its end.
    pub(crate) async fn stop(self) -> Result<(), RoleError> {
        self.stop.send_replace(true);
        self.inbox.close();
        self.ended().await
    }

    /// Waits for the Role to end by itself.
    pub(crate) async fn ended(self) -> Result<(), RoleError> {
        let ended = tokio::time::timeout(DEADLINE, self.task).await;
        ended.expect("the Role did not end").expect("the Role panicked")
    }
}

/// A Role as configured, with the defaults of its type.
pub(crate) fn configure(role_type: &dyn RoleType, options: &[(&str, OptionValue)]) -> RoleConfig {
    let schema = role_type.schema();
    let given = options.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let checked = schema.with_defaults(&Options(given.collect()));
    let required = schema.options.iter().filter(|spec| spec.presence == Presence::Required);
    for spec in required {
        assert!(checked.0.contains_key(&*spec.name), "{} must be given", spec.name);
    }
    for (name, _) in options {
        assert!(checked.0.contains_key(*name), "{name} is no option of {}", schema.name);
    }
    RoleConfig {
        name: format!("my-{}", schema.name),
        role_type: schema.name.to_string(),
        description: None,
        queue: Limits::default(),
        runs: Runs::BuiltIn,
        options: checked,
    }
}

impl TestHost {
    pub(crate) fn new(name: &str) -> Arc<TestHost> {
        Self::with_storage(name, None)
    }

    pub(crate) fn with_storage(name: &str, storage: Option<&std::path::Path>) -> Arc<TestHost> {
        Arc::new(TestHost {
            name: name.to_owned(),
            state: Mutex::default(),
            changed: Notify::new(),
            storage: storage.map(std::path::Path::to_owned),
            peers_changed: watch::Sender::new(()),
        })
    }

    /// The side of a Role that wants these Messages.
    pub(crate) fn context(self: &Arc<Self>, name: &str, interests: Vec<Interest>) -> Context {
        let inbox = self.tap(interests.clone());
        let (stop, stop_receiver) = watch::channel(false);
        let (reopen, reopen_receiver) = watch::channel(0);
        let record =
            Kept { host: Arc::clone(self), inbox: Arc::clone(&inbox), declared: interests };
        let context = RoleContext {
            host: self.clone(),
            name: name.into(),
            inbox,
            storage: self.storage.as_ref().map(|folder| Storage::new(folder, name)),
            stop: stop_receiver,
            reopen: reopen_receiver,
            links_ready: watch::channel(true).1,
            unheard: Arc::default(),
            log_limiter: Arc::default(),
            stderr: StderrBudget::default(),
            record: Arc::new(record),
        };
        Context { context, stop, reopen }
    }

    /// Runs a Role until it is stopped.
    pub(crate) fn start(
        self: &Arc<Self>,
        role_type: &dyn RoleType,
        options: &[(&str, OptionValue)],
    ) -> Running {
        let config = configure(role_type, options);
        let Context { context, stop, reopen } =
            self.context(&config.name, role_type.interests(&config));
        let inbox = context.inbox.clone();
        let task = tokio::spawn(role_type.build(&config).run(context));
        Running { inbox, reopen, stop, task }
    }

    /// Sends a Message as if a Role of this Node had.
    pub(crate) fn inject(&self, role: &str, draft: &Draft<'_>) -> Sent {
        self.send(role, draft).unwrap()
    }

    /// A Message of another Node, at a time in microseconds since the Unix epoch, arrives.
    pub(crate) fn arrive(&self, node: &str, role: &str, time: u64, draft: &Draft<'_>) {
        let origin = Arc::new(Origin { node: node.to_owned(), boot: 1 });
        let message = Message::encode(origin, role, 1, time, draft).unwrap();
        self.route(&message).unwrap();
    }

    /// The Peers are these from now on.
    pub(crate) fn set_peers(&self, peers: Vec<PeerStatus>) {
        self.change(|seen| seen.peers = peers);
        self.peers_changed.send_replace(());
    }

    /// Who has this inbox wants these Messages from now on.
    pub(crate) fn set_interests_of(&self, inbox: &Arc<Inbox>, interests: Vec<Interest>) {
        let inbox = Arc::downgrade(inbox);
        self.change(|seen| {
            seen.subscribers.retain(|(_, other)| !other.ptr_eq(&inbox));
            seen.subscribers.push((interests, inbox));
        });
    }

    /// Looks at what was seen so far.
    pub(crate) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.state.lock().unwrap())
    }

    /// Waits until what was seen so far fits.
    pub(crate) async fn until(&self, fits: impl Fn(&Seen) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let changed = self.changed.notified();
            if self.seen(&fits) {
                return;
            }
            let printed = || self.seen(|seen| seen.printed.join("\n"));
            let in_time = tokio::time::timeout_at(deadline, changed).await;
            assert!(in_time.is_ok(), "what must come did not; printed:\n{}", printed());
        }
    }

    /// Queues a Message for all who want it, and says for how many it was.
    fn route(&self, message: &Message) -> Result<usize, SendError> {
        let mut queued = 0;
        for (interests, inbox) in &self.state.lock().unwrap().subscribers {
            let Some(inbox) = inbox.upgrade() else { continue };
            if interests.iter().any(|interest| interest.matches(message)) {
                inbox.push(message.clone()).map_err(|error| SendError::TooLarge {
                    weight: error.weight,
                    size: error.size,
                    subscriber: "a Role".to_owned(),
                })?;
                queued += 1;
            }
        }
        Ok(queued)
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_waiters();
    }
}

/// What is kept of a Role.
struct Kept {
    host: Arc<TestHost>,
    inbox: Arc<Inbox>,
    declared: Vec<Interest>,
}

impl Record for Kept {
    fn set_running(&self) {
        self.host.change(|seen| seen.running = true);
    }

    fn set_status(&self, status: Option<String>) {
        self.host.change(|seen| seen.status = status);
    }

    fn set_problem(&self, problem: Option<String>) {
        self.host.change(|seen| seen.problem = problem);
    }

    fn set_interests(&self, interests: Option<Vec<Interest>>) {
        let interests = interests.unwrap_or_else(|| self.declared.clone());
        self.host.set_interests_of(&self.inbox, interests);
    }

    fn set_process(&self, pid: u32, runs: bool) {
        self.host.change(|seen| seen.processes.push((pid, runs)));
    }

    fn set_exit(&self, _exit: String) {}
}

/// What [`TestHost::context`] hands out.
pub(crate) struct Context {
    pub(crate) context: RoleContext,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) reopen: watch::Sender<u64>,
}

impl Host for TestHost {
    fn node_name(&self) -> &str {
        &self.name
    }

    fn send(&self, role: &str, draft: &Draft<'_>) -> Result<Sent, SendError> {
        let origin = Arc::new(Origin { node: self.name.clone(), boot: 1 });
        let sequence = self.seen(|seen| seen.sent.len()) as u64 + 1;
        let time = jiff::Timestamp::now().as_microsecond().unsigned_abs();
        let message = Message::encode(origin, role, sequence, time, draft)?;
        let roles = self.route(&message)?;
        self.change(|seen| {
            seen.sent.push(message);
            seen.sent_at.push(Instant::now());
        });
        Ok(Sent { sequence, roles, ..Sent::default() })
    }

    fn offer(&self, role: &str, draft: &Draft<'_>) -> Result<Offered, SendError> {
        let origin = Arc::new(Origin { node: self.name.clone(), boot: 1 });
        let message = Message::encode(origin, role, 1, 1, draft)?;
        let room = self.seen(|seen| {
            let wanting = seen.subscribers.iter().filter(|(interests, _)| {
                interests.iter().any(|interest| interest.matches(&message))
            });
            wanting
                .filter_map(|(_, inbox)| inbox.upgrade())
                .find_map(|inbox| inbox.wait_for_room(message.size()))
        });
        match room {
            Some(room) => Ok(Offered::Full(room)),
            None => self.send(role, draft).map(Offered::Sent),
        }
    }

    fn status(&self) -> NodeStatus {
        NodeStatus {
            name: self.name.clone(),
            version: "1.2.3".to_owned(),
            sent: self.seen(|seen| seen.sent.len()) as u64,
            ..NodeStatus::default()
        }
    }

    fn is_stopping(&self) -> bool {
        false
    }

    fn peers(&self) -> Vec<PeerStatus> {
        self.seen(|seen| seen.peers.clone())
    }

    fn peers_changed(&self) -> watch::Receiver<()> {
        self.peers_changed.subscribe()
    }

    fn tap(&self, interests: Vec<Interest>) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox::new(Limits::default()));
        self.change(|seen| seen.subscribers.push((interests, Arc::downgrade(&inbox))));
        inbox
    }

    fn system(&self) -> SystemFacts {
        let only = |name: &str, value: serde_json::Value| [(name.to_owned(), value)].into_iter();
        SystemFacts {
            config: only("heartbeat", 10.into()).collect(),
            keys: only("clock", "ssh-ed25519 AAAAC3Nz".into()).collect(),
        }
    }

    /// Through the built daemon, which is beside the tests.
    fn launcher(&self, role: &str) -> Launcher {
        let tests = std::env::current_exe().unwrap();
        let launcher = tests.ancestors().nth(2).unwrap().join("kozo");
        let storage = self.storage.clone();
        Launcher::of_nothing(&self.name, Owner::Role(role.into()), storage).through(&launcher)
    }

    fn print(&self, _role: &str, line: &str) {
        self.change(|seen| seen.printed.push(line.to_owned()));
    }

    fn set_log_filter(&self, filter: &str) -> Result<(), String> {
        if filter == "nonsense" {
            return Err("no such level".to_owned());
        }
        self.change(|seen| seen.log_filter = Some(filter.to_owned()));
        Ok(())
    }
}
