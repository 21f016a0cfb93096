//! A local user who may do everything makes any calls on the control socket, with any arguments, and sends
//! anything else: every call is answered, once, and what was injected is what the Roles receive.
#![no_main]

#[path = "control_call/arguments.rs"]
mod arguments;
#[path = "control_call/client.rs"]
mod client;
#[path = "../../tests/kit/mod.rs"]
mod kit;

use std::os::unix::net::UnixListener;
use std::sync::LazyLock;
use std::time::Duration;

use arguments::{Argument, Value};
use client::Client;
use kozo::bus::{self, Endpoints};
use kozo::control::Control;
use kozo::node::Types;
use kozo::queue::Limits;
use kozo::role::Host as _;
use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

use crate::kit::memory::Network;
use crate::kit::{Plan, TestSystem};

/// Calls of one input, beyond which nothing new happens.
const MOST: usize = 32;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

/// What is said on the socket.
#[derive(Arbitrary, Debug)]
enum Step<'a> {
    /// A Message to be sent.
    Inject { kind: u8, message_type: &'a str, channel: &'a str, data: Value<'a>, encoding: u8 },
    /// The method of this number, with any arguments.
    Call { method: u8, arguments: Vec<Argument<'a>> },
    /// Any method of any object.
    Other { path: &'a str, interface: &'a str, method: &'a str, arguments: Vec<Argument<'a>> },
    /// The method of this number, with a body that may not be what its signature says.
    Body { method: u8, signature: &'a str, body: &'a [u8] },
    /// Anything; nothing that comes after it need be understood.
    Raw(&'a [u8]),
}

const KINDS: [&str; 5] = ["event", "order", "log", "reply", "rumour"];
const ENCODINGS: [Option<&str>; 4] = [None, Some("json"), Some("msgpack"), Some("morse")];

const NODE: &str = "/org/kozo/Node1";
const ROLE: &str = "/org/kozo/Node1/role/probe";
const PEER: &str = "/org/kozo/Node1/peer/clerk";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Path, interface, name.
const METHODS: [[&str; 3]; 18] = [
    [NODE, "org.kozo.Node1", "Inject"],
    [NODE, "org.kozo.Node1", "Monitor"],
    [NODE, "org.kozo.Node1", "Reload"],
    [NODE, "org.kozo.Node1", "Describe"],
    [ROLE, "org.kozo.Role1", "Start"],
    [ROLE, "org.kozo.Role1", "Stop"],
    [ROLE, "org.kozo.Role1", "Restart"],
    [PEER, "org.kozo.Peer1", "Connect"],
    [PEER, "org.kozo.Peer1", "Disconnect"],
    [PEER, "org.kozo.Peer1", "Ping"],
    [NODE, PROPERTIES, "Get"],
    [ROLE, PROPERTIES, "GetAll"],
    [PEER, PROPERTIES, "Set"],
    ["/", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"],
    [NODE, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"],
    [NODE, "org.freedesktop.DBus.Introspectable", "Introspect"],
    [NODE, "org.freedesktop.DBus.Peer", "Ping"],
    [NODE, "org.freedesktop.DBus.Peer", "GetMachineId"],
];

fuzz_target!(|input: &[u8]| {
    let Ok(steps) = Vec::<Step<'_>>::arbitrary_take_rest(Unstructured::new(input)) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(run(&steps));
    // A view of Messages is written by a thread; that ends when its reader has gone.
    runtime.shutdown_timeout(Duration::from_secs(10));
});

async fn run(steps: &[Step<'_>]) {
    let queue = Limits { length: 64, size: 1 << 20 };
    let system = TestSystem::new(
        Network::vouching(),
        &["clerk", "judge"],
        Plan { queue, ..Plan::default() },
    );
    let mut judge = system.start("judge").await;
    let socket = FOLDER.path().join("bus");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).expect("a socket");
    let control = Control {
        node: judge.node.clone(),
        config: FOLDER.path().join("nowhere.yml"),
        types: Types::built_in(),
    };
    let nowhere = Some(format!("unix:path={}/nowhere", FOLDER.path().display()));
    let bus = bus::start(control, Endpoints { socket: Some(listener), role_socket: None, system_bus: nowhere }).await;

    let mut client = Client::connect(&socket).await;
    let mut injected = 0;
    for step in steps.iter().take(MOST) {
        match step {
            Step::Inject { kind, message_type, channel, data, encoding } => {
                let options = ENCODINGS[usize::from(*encoding) % ENCODINGS.len()];
                let options = options.map(|encoding| ("encoding", Value::Text(encoding)));
                let arguments = [
                    Argument::Text(KINDS[usize::from(*kind) % KINDS.len()]),
                    Argument::Text(message_type),
                    Argument::Text(channel),
                    Argument::Variant(data.clone()),
                    Argument::Options(options.into_iter().collect()),
                ];
                injected += u64::from(client.call(METHODS[0], &arguments).await);
            }
            Step::Call { method, arguments } => {
                let method = METHODS[usize::from(*method) % METHODS.len()];
                let done = client.call(method, arguments).await;
                injected += u64::from(done && method == METHODS[0]);
            }
            Step::Other { path, interface, method, arguments } => {
                let done = client.call([path, interface, method], arguments).await;
                injected += u64::from(done && *method == "Inject");
            }
            Step::Body { method, signature, body } => {
                let method = METHODS[usize::from(*method) % METHODS.len()];
                let done = client.call_raw(method, signature, body).await;
                injected += u64::from(done && method == METHODS[0]);
            }
            Step::Raw(bytes) => {
                client.write(bytes).await;
                client = Client::connect(&socket).await;
            }
        }
        if client.has_ended() {
            client = Client::connect(&socket).await;
        }
    }
    // Whatever was said: it answers, and has sent what it said it has.
    assert!(client.call(METHODS[3], &[]).await, "it describes itself");
    let status = judge.node.status();
    assert_eq!(status.sent, injected, "{status:#?}");
    while let Ok(message) = judge.received.try_recv() {
        assert!(message.role() == "inject" && message.origin().node == "judge");
        message.value().expect("one MessagePack value");
    }
    drop((client, bus));
    judge.node.stop().await;
}
