//! Who may do what, with real users where that can be.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use zbus::connection::Builder;
use zbus::{OwnedVariant, interface};

use crate::kit::memory::Network;
use crate::kit::{Plan, TestSystem};
use crate::limits::silent_polkit;
use crate::private_bus::PrivateBus;
use crate::{Served, soon};

/// User `nobody`, who is in no group that matters.
pub(crate) const NOBODY: u32 = 65534;

/// What `busctl` says to a user who is not root.
async fn as_nobody(bus: &PrivateBus, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new("busctl");
    command.arg(format!("--address={}", bus.address)).args(arguments);
    command.uid(NOBODY).gid(NOBODY);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

const NODE: [&str; 2] = ["org.kozo.Node1.clock", "/org/kozo/Node1"];
const ROLE: [&str; 2] = ["org.kozo.Node1.clock", "/org/kozo/Node1/role/probe"];
const PEER: [&str; 2] = ["org.kozo.Node1.clock", "/org/kozo/Node1/peer/scribe"];

/// Everything that takes more than to look, with the action that it takes.
fn calls() -> Vec<(Vec<&'static str>, &'static str)> {
    let call = |object: [&'static str; 2], rest: &[&'static str]| {
        ["call"].iter().chain(&object).chain(rest).copied().collect::<Vec<_>>()
    };
    let inject = ["org.kozo.Node1", "Inject", "sssva{sv}", "event", "tick", "", "s", "hello", "0"];
    vec![
        (call(NODE, &inject), "org.kozo.inject"),
        (call(NODE, &["org.kozo.Node1", "Monitor", "a{sv}", "0"]), "org.kozo.monitor"),
        (call(NODE, &["org.kozo.Node1", "Reload", "a{sv}", "0"]), "org.kozo.manage"),
        (call(ROLE, &["org.kozo.Role1", "Start", "a{sv}", "0"]), "org.kozo.manage"),
        (call(ROLE, &["org.kozo.Role1", "Stop", "a{sv}", "0"]), "org.kozo.manage"),
        (call(ROLE, &["org.kozo.Role1", "Restart", "a{sv}", "0"]), "org.kozo.manage"),
        (call(PEER, &["org.kozo.Peer1", "Connect", "a{sv}", "0"]), "org.kozo.manage"),
        (call(PEER, &["org.kozo.Peer1", "Disconnect", "a{sv}", "0"]), "org.kozo.manage"),
    ]
}

/// Only root can become another user.
pub(crate) fn can_be_nobody() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("not run: only root can call as another user");
    }
    root
}

#[tokio::test]
async fn without_polkit_others_may_look_and_no_more() {
    if !can_be_nobody() {
        return;
    }
    let bus = PrivateBus::start();
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let clock = Served::start(&system, "clock", &bus.address).await;
    let get = ["get-property", NODE[0], NODE[1], "org.kozo.Node1", "Roles"];
    assert_eq!(as_nobody(&bus, &get).await, (true, "as 1 \"probe\"\n".to_owned()));
    let (fine, tree) = as_nobody(&bus, &["tree", "--list", NODE[0]]).await;
    assert!(fine && tree.contains("/org/kozo/Node1/peer/scribe\n"), "{tree}");
    let (fine, members) = as_nobody(&bus, &["introspect", PEER[0], PEER[1]]).await;
    assert!(fine && members.contains("emits-change"), "{members}");
    let (fine, json) =
        as_nobody(&bus, &["call", NODE[0], NODE[1], "org.kozo.Node1", "Describe"]).await;
    assert!(fine && json.contains("scribe"), "{json}");
    for (call, action) in calls() {
        let (fine, text) = as_nobody(&bus, &call).await;
        assert!(!fine && text.contains(action), "{call:?}: {text}");
    }
    // Nothing can be set: the bus does not even pass the call on to the Node.
    let set = ["set-property", NODE[0], NODE[1], "org.kozo.Node1", "Name", "s", "x"];
    let (fine, text) = as_nobody(&bus, &set).await;
    assert!(!fine && text.contains("Access"), "{text}");
    let state = clock.running.node.role_status("probe").unwrap().state;
    assert_eq!((state.name(), clock.running.sent()), ("running", 0));
}

/// A service for root alone, as far as its own policy goes.
struct Victim;

#[interface(name = "org.example.Victim")]
impl Victim {
    #[zbus(property)]
    fn secret(&self) -> &'static str {
        "do not tell"
    }
}

#[tokio::test]
async fn the_policy_opens_all_nodes_and_nothing_else() {
    if !can_be_nobody() {
        return;
    }
    let bus = PrivateBus::start();
    let _victim = Builder::address(&*bus.address)
        .serve_at("/org/example/Victim", Victim)
        .serve_at("/org/example/Victim", zbus::fdo::ObjectManager)
        .name("org.example.Victim")
        .build()
        .await
        .unwrap();
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let clock = Served::start(&system, "clock", &bus.address).await;
    // A later one queues for the name that they share, and gets it when the first one goes.
    let scribe = Served::start(&system, "scribe", &bus.address).await;
    for node in ["org.kozo.Node1.clock", "org.kozo.Node1.scribe"] {
        let get = ["get-property", node, NODE[1], "org.kozo.Node1", "Roles"];
        assert_eq!(as_nobody(&bus, &get).await, (true, "as 1 \"probe\"\n".to_owned()));
    }
    drop(clock);
    let get = ["get-property", "org.kozo.Node1.scribe", NODE[1], "org.kozo.Node1", "Roles"];
    assert_eq!(as_nobody(&bus, &get).await, (true, "as 1 \"probe\"\n".to_owned()));
    let victim = ["org.example.Victim", "/org/example/Victim"];
    for (interface, method) in [
        ("org.freedesktop.DBus.ObjectManager", "GetManagedObjects"),
        ("org.freedesktop.DBus.Introspectable", "Introspect"),
        ("org.freedesktop.DBus.Peer", "Ping"),
    ] {
        let (fine, text) =
            as_nobody(&bus, &["call", victim[0], victim[1], interface, method]).await;
        assert!(!fine && text.contains("denied"), "{method}: {text}");
    }
    let get = ["get-property", victim[0], victim[1], "org.example.Victim", "Secret"];
    let (fine, text) = as_nobody(&bus, &get).await;
    assert!(!fine && text.contains("denied"), "{text}");
    drop(scribe);
}

/// What polkit was asked.
type Asked = Arc<Mutex<Vec<(String, String, String, u32)>>>;

/// Something with polkit's name that answers as it was told, and remembers what it was asked.
struct Authority {
    asked: Asked,
    yes: Vec<&'static str>,
}

type Subject = (String, HashMap<String, OwnedVariant>);

#[interface(name = "org.freedesktop.PolicyKit1.Authority")]
impl Authority {
    fn check_authorization(
        &self,
        subject: Subject,
        action: String,
        _details: HashMap<String, String>,
        flags: u32,
        _cancellation: String,
    ) -> ((bool, bool, HashMap<String, String>),) {
        let name: &str = (&subject.1["name"]).try_into().unwrap();
        let yes = self.yes.contains(&&*action);
        self.asked.lock().unwrap().push((subject.0, name.to_owned(), action, flags));
        ((yes, false, HashMap::new()),)
    }
}

#[tokio::test]
async fn polkit_is_asked_about_the_caller() {
    if !can_be_nobody() {
        return;
    }
    let bus = PrivateBus::start();
    let asked = Asked::default();
    let authority = Authority { asked: Arc::clone(&asked), yes: vec!["org.kozo.inject"] };
    let polkit = Builder::address(&*bus.address)
        .serve_at("/org/freedesktop/PolicyKit1/Authority", authority)
        .name("org.freedesktop.PolicyKit1")
        .build()
        .await
        .unwrap();
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let clock = Served::start(&system, "clock", &bus.address).await;
    for (call, action) in calls() {
        let (fine, text) = as_nobody(&bus, &call).await;
        assert_eq!(fine, action == "org.kozo.inject", "{call:?}: {text}");
        let (kind, name, asked, flags) = asked.lock().unwrap().pop().unwrap();
        assert_eq!((&*kind, &*asked), ("system-bus-name", action));
        // Neither the Node nor polkit itself: `busctl` allows that the user is asked.
        assert_ne!(name, polkit.unique_name().unwrap().as_str());
        assert!(name.starts_with(":1."), "{name}");
        assert_eq!(flags, 1);
    }
    assert_eq!(clock.running.sent(), 1);
    // Root is not asked about.
    let client = kozo_client::Client::find(&crate::on_bus(&bus.address), None).await.unwrap();
    soon(client.role("probe").stop()).await.unwrap();
    assert!(asked.lock().unwrap().is_empty());
}

/// Calls `Attach` as user `nobody`.
const ATTACH: [&str; 6] = ["call", NODE[0], NODE[1], "org.kozo.Node1", "Attach", "a{sv}"];

#[tokio::test]
async fn to_attach_takes_what_sending_and_seeing_take() {
    if !can_be_nobody() {
        return;
    }
    let both = ["org.kozo.inject", "org.kozo.monitor"];
    for yes in [vec![], vec![both[0]], vec![both[1]], both.to_vec()] {
        let bus = PrivateBus::start();
        let asked = Asked::default();
        let authority = Authority { asked: Arc::clone(&asked), yes: yes.clone() };
        let _polkit = Builder::address(&*bus.address)
            .serve_at("/org/freedesktop/PolicyKit1/Authority", authority)
            .name("org.freedesktop.PolicyKit1")
            .build()
            .await
            .unwrap();
        let system = TestSystem::new(Network::new(), &["clock"], Plan::default());
        let clock = Served::start(&system, "clock", &bus.address).await;
        let (fine, text) = as_nobody(&bus, &[&ATTACH[..], &["0"]].concat()).await;
        assert_eq!(fine, yes.len() == 2, "{yes:?}: {text}");
        let refused = both.iter().find(|action| !yes.contains(action));
        assert!(refused.is_none_or(|action| text.contains(action)), "{yes:?}: {text}");
        if yes.len() < 2 {
            continue;
        }
        let (fine, text) =
            as_nobody(&bus, &[&ATTACH[..], &["1", "colour", "s", "red"]].concat()).await;
        assert!(!fine && text.contains("colour"), "{text}");
        let text = again_as_nobody("attach_over_the_bus", &bus.address).await;
        assert!(text.contains("attached over the bus"), "{text}");
        // It goes with its connection.
        while clock.running.node.role_status("bell").is_some() {
            tokio::task::yield_now().await;
        }
    }
}

/// The other half of the test above, in a process of another user.
#[tokio::test]
#[ignore = "is run by to_attach_takes_what_sending_and_seeing_take"]
async fn attach_over_the_bus() {
    let address = std::env::var("KOZO_TEST_ADDRESS").unwrap();
    let client = kozo_client::Client::find(&crate::on_bus(&address), None).await.unwrap();
    let mut role = attached(&client, "bell").await;
    let status = soon(client.describe()).await.unwrap();
    let status = status.roles.iter().find(|role| role.name == "bell").unwrap();
    let by = format!("attached by nobody, process {}", std::process::id());
    assert_eq!(status.description.as_deref(), Some(&*by));
    // It is spoken with like any other program.
    role.write_all(b"{\"id\": 1, \"method\": \"ready\"}\n").await.unwrap();
    let mut lines = BufReader::new(role).lines();
    let start = soon(lines.next_line()).await.unwrap().unwrap();
    assert!(start.contains("\"start\"") && start.contains("\"bell\""), "{start}");
    let answer = soon(lines.next_line()).await.unwrap().unwrap();
    assert!(answer.contains("\"result\""), "{answer}");
    // As many as one user may have, and no more; then one again for one that goes.
    let mut others = Vec::new();
    let refused = loop {
        match soon(client.attach()).await {
            Ok(descriptor) => others.push(descriptor),
            Err(refused) => break refused,
        }
        assert!(others.len() < 100);
    };
    assert!(matches!(&refused, kozo_client::Error::Failed(text) if text.contains("attached")));
    assert_eq!(others.len(), 63);
    drop(others);
    while soon(client.attach()).await.is_err() {
        tokio::task::yield_now().await;
    }
    println!("attached over the bus");
}

/// A connection to this Node on which a Role of this name has attached itself.
async fn attached(client: &kozo_client::Client, name: &str) -> UnixStream {
    let descriptor = soon(client.attach()).await.unwrap();
    let stream = std::os::unix::net::UnixStream::from(descriptor);
    stream.set_nonblocking(true).unwrap();
    let mut stream = UnixStream::from_std(stream).unwrap();
    let request =
        format!("{{\"id\": 0, \"method\": \"attach\", \"params\": {{\"name\": \"{name}\"}}}}\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with('\n') {
        answer.push(char::from(soon(stream.read_u8()).await.unwrap()));
    }
    assert!(answer.contains("\"result\""), "{answer}");
    stream
}

#[tokio::test]
async fn a_role_attaches_over_the_control_socket_too() {
    let system = TestSystem::new(Network::new(), &["clock"], Plan::default());
    let clock = Served::alone(&system, "clock").await;
    let client = clock.client().await;
    let role = attached(&client, "bell").await;
    let description = clock.running.node.role_status("bell").unwrap().description.unwrap();
    assert!(description.ends_with(&format!("process {}", std::process::id())), "{description}");
    drop(role);
    while clock.running.node.role_status("bell").is_some() {
        tokio::task::yield_now().await;
    }
}

/// Runs one of the tests here, which is ignored otherwise, in a process of another user; gives what it
/// printed.
async fn again_as_nobody(test: &str, address: &str) -> String {
    // Where it was built others may not be let in.
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let helper = folder.path().join("helper");
    std::fs::copy(std::env::current_exe().unwrap(), &helper).unwrap();
    let mut command = Command::new(helper);
    command
        .args([&*format!("permission::{test}"), "--exact", "--ignored", "--nocapture"])
        .env("KOZO_TEST_ADDRESS", address)
        .uid(NOBODY)
        .gid(NOBODY);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[tokio::test]
async fn what_a_password_would_allow_is_said() {
    if !can_be_nobody() {
        return;
    }
    let bus = PrivateBus::start();
    let (_polkit, asked) = silent_polkit(&bus).await;
    let system = TestSystem::new(Network::new(), &["clock"], Plan::default());
    let _clock = Served::start(&system, "clock", &bus.address).await;
    let text = again_as_nobody("call_without_a_password", &bus.address).await;
    assert!(text.contains("a password would do"), "{text}");
    assert_eq!(*asked.lock().unwrap(), [("org.kozo.inject".to_owned(), 0)]);
}

/// The other half of the test above, in a process of another user.
#[tokio::test]
#[ignore = "is run by what_a_password_would_allow_is_said"]
async fn call_without_a_password() {
    let bus = std::env::var("KOZO_TEST_ADDRESS").unwrap();
    let bus = Builder::address(&*bus).build().await.unwrap();
    let options = HashMap::<&str, zbus::Variant<'_>>::new();
    let inject = ("event", "tick", "", zbus::Variant::from(1), options);
    let refused = bus
        .call_method(Some(NODE[0]), NODE[1], Some("org.kozo.Node1"), "Inject", &inject)
        .await
        .unwrap_err();
    let zbus::Error::FDO(refused) = refused else { panic!("{refused:?}") };
    let zbus::fdo::Error::InteractiveAuthorizationRequired(text) = *refused else {
        panic!("{refused:?}")
    };
    assert!(text.contains("org.kozo.inject"), "{text}");
    println!("a password would do");
}

#[tokio::test]
async fn the_control_socket_knows_who_is_calling() {
    if !can_be_nobody() {
        return;
    }
    let system = TestSystem::new(Network::new(), &["clock"], Plan::default());
    let clock = Served::alone(&system, "clock").await;
    // As if an administrator had opened it to all users.
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(&clock.socket, open.clone()).unwrap();
    std::fs::set_permissions(clock.socket.parent().unwrap(), open).unwrap();
    let text = again_as_nobody("call_as_nobody", &clock.socket.display().to_string()).await;
    assert!(text.contains("looked, and was refused"), "{text}");
}

/// The other half of the test above, in a process of another user.
#[tokio::test]
#[ignore = "is run by the_control_socket_knows_who_is_calling"]
async fn call_as_nobody() {
    let socket = std::env::var_os("KOZO_TEST_ADDRESS").unwrap();
    let client = kozo_client::Client::at_socket(socket.as_ref()).await.unwrap();
    assert_eq!(soon(client.describe()).await.unwrap().name, "clock");
    let refused = soon(client.inject_json("event", "tick", None, "1")).await.unwrap_err();
    assert!(
        matches!(&refused, kozo_client::Error::NotAllowed(text) if text.contains("org.kozo.inject"))
    );
    let refused = soon(client.reload()).await.unwrap_err();
    assert!(
        matches!(&refused, kozo_client::Error::NotAllowed(text) if text.contains("org.kozo.manage"))
    );
    println!("looked, and was refused");
}
