//! A Peer whose handshake is done says anything on any of its sessions, in pieces of any size, while the
//! Node's own Roles send, somebody looks on, and time passes: nothing is delivered in another's name or
//! twice, every Message is counted, what the Node says is the protocol, and another Peer's link stays up.
#![no_main]

#[path = "../../tests/kit/mod.rs"]
mod kit;
#[path = "session/line.rs"]
mod line;
#[path = "session/script.rs"]
mod script;

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kozo::interest::{Interest, Pattern};
use kozo::message::{Draft, Kind, Message};
use kozo::queue::Limits;
use kozo::role::{Host as _, Inbox, Sent};
use kozo::status::LinkState;
use libfuzzer_sys::arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use line::Line;
use script::{Local, Script, Step};
use std::sync::{Arc, LazyLock};
use tokio::time::{Instant, sleep, timeout};

use crate::kit::memory::Network;
use crate::kit::{Plan, Running, TestSystem};

/// The Node that is tested. Of its two Peers one decides about its link and one does not; which of them
/// is hostile is up to the input.
const NODE: &str = "judge";
const PEERS: [&str; 2] = ["clerk", "witness"];

/// Sessions that the hostile Peer has at a time.
const SESSIONS: usize = 6;

/// Bytes that the Node may take besides what a multiple of what was said takes: two queues, and what
/// sessions need.
const BASE: usize = 2 << 20;

/// By how much more memory than it takes to say it something may take. A pattern is five bytes at least.
const TIMES: usize = 512;

static PLAN: LazyLock<Plan> = LazyLock::new(|| {
    let queue = Limits { length: 64, size: 64 * 1024 };
    let mut plan = Plan { queue, ..Plan::default() };
    plan.options.outgoing_queue = queue;
    plan
});

fuzz_target!(|input: &[u8]| {
    let Ok(script) = Script::arbitrary_take_rest(Unstructured::new(input)) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut scene = Scene::new(&script).await;
        let before = ALLOCATED.load(Ordering::Relaxed);
        for step in &script.steps {
            scene.act(step).await;
            let taken = ALLOCATED.load(Ordering::Relaxed).saturating_sub(before);
            let said = input.len() + scene.said;
            assert!(taken < BASE + TIMES * said, "{taken} bytes for {said}");
        }
        scene.settle().await;
    });
});

/// What has happened so far.
struct Scene {
    system: TestSystem,
    node: Running,
    hostile: &'static str,
    honest: Line,
    honest_name: &'static str,
    sessions: [Option<Line>; SESSIONS],
    at: usize,
    piece: usize,
    views: Vec<Arc<Inbox>>,
    boots: Vec<u64>,
    /// Bytes that the hostile Peer has said.
    said: usize,
    /// Messages that the Node's own Roles had routed to Peers.
    routed: usize,
}

impl Scene {
    async fn new(script: &Script<'_>) -> Scene {
        let names = [PEERS[0], NODE, PEERS[1]];
        let system = TestSystem::new(Network::vouching(), &names, PLAN.clone());
        let node = system.start(NODE).await;
        let (hostile, honest_name) =
            if script.decides { ("clerk", "witness") } else { ("witness", "clerk") };
        let mut honest = Line::open(&system, honest_name, NODE).await.expect("it listens");
        honest.greet(1).await;
        node.until_up(honest_name).await;
        let mut scene = Scene {
            system,
            node,
            hostile,
            honest,
            honest_name,
            sessions: Default::default(),
            at: 0,
            piece: usize::MAX,
            views: Vec::new(),
            boots: vec![7],
            said: 0,
            routed: 0,
        };
        if script.greets
            && let Some(session) = scene.session().await
        {
            session.greet(7).await;
        }
        scene
    }

    /// The session that is spoken on, made if there is none.
    async fn session(&mut self) -> Option<&mut Line> {
        let session = self.sessions.get_mut(self.at)?;
        if session.as_ref().is_none_or(Line::has_ended) {
            *session = Line::open(&self.system, self.hostile, NODE).await;
        }
        session.as_mut()
    }

    async fn act(&mut self, step: &Step<'_>) {
        match step {
            Step::Session(at) => self.at = usize::from(*at) % SESSIONS,
            Step::Drop => drop(self.sessions.get_mut(self.at).and_then(Option::take)),
            Step::Piece(size) => self.piece = usize::from(*size) + 1,
            Step::Wait(milliseconds) => sleep(Duration::from_millis((*milliseconds).into())).await,
            Step::Read(reads) => {
                if let Some(Some(session)) = self.sessions.get(self.at) {
                    session.reads(*reads);
                }
            }
            Step::Local(local) => self.act_locally(local).await,
            Step::Say(said) => {
                let (bytes, piece) = (said.bytes(self.hostile, self.honest_name), self.piece);
                self.said += bytes.len();
                let Some(session) = self.session().await else { return };
                let boots = session.boots(&bytes);
                session.say(&bytes, piece).await;
                self.boots.extend(boots);
            }
        }
    }

    async fn act_locally(&mut self, local: &Local<'_>) {
        match local {
            Local::Send { kind, message_type, channel, data } => {
                let kind = Kind::from_number(kind % 4).unwrap_or(Kind::Event);
                let draft = Draft::new(kind, message_type).channel(*channel).encoded(data);
                if let Ok(Sent { peers, unreachable, .. }) = self.node.node.send("inject", &draft) {
                    self.routed += peers + unreachable;
                }
            }
            Local::Monitor { kind, message_type, node } => {
                let interest = Interest {
                    kind: kind.and_then(Kind::from_number),
                    message_type: Pattern::new(message_type),
                    node: Pattern::new(node),
                    ..Interest::any()
                };
                self.views.truncate(4);
                self.views.push(self.node.node.monitor(vec![interest]));
            }
            Local::CloseMonitors => {
                self.views.clear();
                self.node.node.close_taps();
            }
            Local::Connect => self.node.node.connect_peer(self.hostile).await.expect("a peer"),
            Local::Disconnect => {
                self.node.node.disconnect_peer(self.hostile).await.expect("a peer")
            }
            Local::Ping(padding) => {
                let ping = self.node.node.ping_peer(self.hostile, usize::from(*padding));
                let _ = timeout(Duration::from_secs(6), ping).await.expect("an answer in time");
            }
        }
    }

    /// What has to be so when all has been said.
    async fn settle(mut self) {
        for session in self.sessions.iter_mut().flatten() {
            session.reads(true);
        }
        sleep(Duration::from_secs(1)).await;
        let honest = self.node.peer(self.honest_name);
        assert!(honest.state == LinkState::Up && honest.sessions == 1, "{honest:?}");
        self.honest.event(self.honest_name, 1).await;
        sleep(Duration::from_millis(1)).await;
        self.check_accounts();
        self.check_received();
        let begun = Instant::now();
        self.node.node.stop().await;
        assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    }

    /// Every Message is counted, and once.
    fn check_accounts(&self) {
        let status = self.node.node.status();
        let role = &status.roles[0];
        let (mut received, mut routed) = (0, 0);
        for peer in &status.peers {
            let lost = peer.dropped.get("lost").copied().unwrap_or(0);
            let dropped: u64 = peer.dropped.values().sum();
            assert!(lost <= peer.sent, "{peer:?}");
            received += peer.received;
            routed += peer.sent + peer.queue_length as u64 + dropped - lost;
        }
        // On a session that the link had given up a Message does not count as received.
        let counted = status.refused.iter().filter(|(reason, _)| *reason != "unlinked");
        let refused: u64 = counted.map(|(_, count)| count).sum();
        // What it sends itself its own Role gets too.
        assert_eq!(role.received + refused, status.sent + received, "{status:#?}");
        assert_eq!(routed, self.routed as u64, "{status:#?}");
    }

    /// Nobody has spoken in another's name, and nothing has come twice.
    fn check_received(&mut self) {
        let mut last: HashMap<String, (u64, u64)> = HashMap::new();
        let received: Vec<Message> =
            std::iter::from_fn(|| self.node.received.try_recv().ok()).collect();
        for message in &received {
            let origin = message.origin();
            let known = match &*origin.node {
                NODE => origin.boot == self.node.boot(),
                name if name == self.honest_name => origin.boot == 1,
                name => name == self.hostile && self.boots.contains(&origin.boot),
            };
            assert!(known && message.hops() == 0, "{origin:?}");
            let before = last.insert(origin.node.clone(), (origin.boot, message.sequence()));
            let later = before.is_none_or(|(boot, sequence)| {
                boot != origin.boot || sequence < message.sequence()
            });
            assert!(later, "{message:?} after {before:?}");
        }
        assert!(received.iter().any(|message| message.origin().node == self.honest_name));
    }
}

/// How many bytes are allocated.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: all of it is done by the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}
