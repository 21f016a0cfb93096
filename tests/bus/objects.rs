//! The objects as tools see them: their tree, their properties, the signals of changes.

use std::collections::BTreeSet;
use std::path::Path;

use futures_util::StreamExt as _;
use kozo_client::names::{ROOT, bus_name, peer_path, role_path};
use kozo_client::status::{LinkState, RoleState};
use kozo_client::{Client, Error, Way};
use zbus::connection::Builder;
use zbus::fdo::{IntrospectableProxy, ObjectManagerProxy, PropertiesProxy};
use zbus::{Connection, OwnedVariant};

use crate::kit::memory::Network;
use crate::kit::{Plan, TestSystem};
use crate::private_bus::PrivateBus;
use crate::{NO_BUS, Served, on_bus, soon};

const NAMES: [&str; 4] = ["3.living-room", "a_2eb", "clock", "é"];

async fn properties<'a>(bus: &Connection, node: &str, path: &str) -> PropertiesProxy<'a> {
    let builder = PropertiesProxy::builder(bus).destination(bus_name(node)).path(path.to_owned());
    builder.build().await.unwrap()
}

fn interface(name: &'static str) -> zbus::names::InterfaceName<'static> {
    name.try_into().unwrap()
}

fn text(value: &OwnedVariant) -> &str {
    value.try_into().unwrap()
}

#[tokio::test]
async fn the_tree_on_the_bus_is_true() {
    let bus = PrivateBus::start();
    let system = TestSystem::new(Network::new(), &NAMES, Plan::default());
    let mut all = Vec::new();
    for name in NAMES {
        all.push(Served::start(&system, name, &bus.address).await);
    }
    for served in &all {
        for other in served.running.node.local().system.nodes.iter() {
            if other.name != served.running.node.local().config.name {
                served.running.until_up(&other.name).await;
            }
        }
    }
    let connection = Builder::address(&*bus.address).build().await.unwrap();
    for name in NAMES {
        let manager = ObjectManagerProxy::builder(&connection)
            .destination(bus_name(name))
            .path(ROOT)
            .build()
            .await
            .unwrap();
        let objects = soon(manager.get_managed_objects()).await.unwrap();
        let found: BTreeSet<_> = objects
            .iter()
            .filter(|(_, interfaces)| !interfaces.is_empty())
            .map(|(path, _)| path.as_str().to_owned())
            .collect();
        let peers = NAMES.iter().filter(|other| **other != name).map(|other| peer_path(other));
        let wanted: BTreeSet<_> = peers.chain([role_path("probe")]).collect();
        assert_eq!(found, wanted);
        for other in NAMES.iter().filter(|other| **other != name) {
            let path = zbus::OwnedObjectPath::try_from(peer_path(other)).unwrap();
            let peer = &objects[&path]["org.kozo.Peer1"];
            assert_eq!((text(&peer["Name"]), text(&peer["State"])), (*other, "up"));
            assert_eq!(text(&peer["Transport"]), "memory");
            assert_eq!(text(&peer["PolicyIn"]), "constant");
            assert_eq!(u64::try_from(&peer["Sessions"]).unwrap(), 1);
        }
        let node = properties(&connection, name, ROOT).await;
        let node = soon(node.get_all(interface("org.kozo.Node1"))).await.unwrap();
        assert_eq!((text(&node["Name"]), text(&node["Config"])), (name, "/etc/kozo/kozo.yml"));
        let client = Client::find(&on_bus(&bus.address), Some(name)).await.unwrap();
        assert_eq!((client.node(), client.way()), (name, &Way::SystemBus));
        let status = soon(client.describe()).await.unwrap();
        assert_eq!(u64::try_from(&node["Boot"]).unwrap(), status.boot);
        assert_eq!(u64::try_from(&node["Started"]).unwrap(), status.started);
        assert_eq!(status.roles[0].state, RoleState::Running);
    }
    let found = on_bus(&bus.address).running().await;
    let mut names: Vec<_> = found.into_iter().map(|found| found.node).collect();
    names.sort();
    assert_eq!(names, NAMES);
    let several = Client::find(&on_bus(&bus.address), None).await.unwrap_err();
    assert!(matches!(several, Error::Ambiguous(names) if names.len() == 4));
}

#[tokio::test]
async fn every_change_of_a_link_is_told_on_the_bus() {
    let bus = PrivateBus::start();
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let clock = Served::start(&system, "clock", &bus.address).await;
    let connection = Builder::address(&*bus.address).build().await.unwrap();
    let peer = properties(&connection, "clock", &peer_path("scribe")).await;
    let mut changes = peer.receive_properties_changed().await.unwrap();
    let scribe = system.start("scribe").await;
    let mut up = false;
    while !up {
        let change = soon(changes.next()).await.unwrap();
        let arguments = change.args().unwrap();
        assert_eq!(arguments.interface_name.as_str(), "org.kozo.Peer1");
        assert!(arguments.invalidated_properties.is_empty());
        if let Some(state) = arguments.changed_properties.get("State") {
            up = <&str>::try_from(state).unwrap() == "up";
            let address = arguments.changed_properties.get("Address");
            assert_eq!(address.is_some(), up, "all of a change is told at once");
        }
    }
    scribe.node.stop().await;
    let change = soon(changes.next()).await.unwrap();
    let down = change.args().unwrap().changed_properties;
    assert_eq!(<&str>::try_from(&down["State"]).unwrap(), "down");
    assert_eq!(<&str>::try_from(&down["Transport"]).unwrap(), "");
    assert_ne!(<&str>::try_from(&down["LastError"]).unwrap(), "");
    // Attempts to reach it are not announced.
    let tried = |run: &crate::kit::Running| {
        run.peer("scribe").last_error.is_some_and(|error| error.contains("refused"))
    };
    clock.running.until("tried", tried).await;
    let _scribe = system.start("scribe").await;
    let change = soon(changes.next()).await.unwrap();
    let up = change.args().unwrap().changed_properties;
    assert_eq!(<&str>::try_from(&up["State"]).unwrap(), "up");
}

#[tokio::test]
async fn roles_are_stopped_and_started_as_asked() {
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let clock = Served::alone(&system, "clock").await;
    let client = clock.client().await;
    let mut changes = client.changes().await.unwrap();
    client.role("probe").stop().await.unwrap();
    assert!(soon(changes.next()).await);
    let described = || async { soon(client.describe()).await.unwrap().roles[0].state };
    assert_eq!(described().await, RoleState::Stopped);
    client.role("probe").stop().await.unwrap();
    client.role("probe").start().await.unwrap();
    clock
        .running
        .until("running", |run| run.node.role_status("probe").unwrap().state == RoleState::Running)
        .await;
    client.role("probe").restart().await.unwrap();
    let unknown = client.role("prob-e").start().await.unwrap_err();
    assert_eq!(unknown, Error::NoSuchRole("there is no role 'prob-e'".to_owned()));
    let unknown = client.peer("9").disconnect().await.unwrap_err();
    assert_eq!(unknown, Error::NoSuchPeer("there is no peer '9'".to_owned()));
}

#[tokio::test]
async fn a_link_is_closed_and_opened_as_asked() {
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    // The one that decides, and the other one.
    for name in ["clock", "scribe"] {
        let other = if name == "clock" { "scribe" } else { "clock" };
        let served = Served::alone(&system, name).await;
        let far = system.start(other).await;
        served.running.until_up(other).await;
        let client = served.client().await;
        client.peer(other).disconnect().await.unwrap();
        served.running.until("closed", |run| run.peer(other).state == LinkState::Disabled).await;
        assert_eq!(served.running.peer(other).last_error.as_deref(), Some("closed by request"));
        // The other side tries again and hears why not.
        let refused = |run: &crate::kit::Running| {
            run.peer(name).last_error.is_some_and(|error| error.contains("kept closed by request"))
        };
        far.until("refused", refused).await;
        assert_eq!(far.peer(name).sessions, 1, "it never came up again");
        assert_eq!(served.running.peer(other).state, LinkState::Disabled);
        client.peer(other).connect().await.unwrap();
        served.running.until_up(other).await;
        far.until_up(name).await;
        served.running.node.stop().await;
        far.node.stop().await;
    }
}

#[tokio::test]
async fn the_name_is_handed_on_and_the_bus_may_go() {
    let mut bus = PrivateBus::start();
    let system = TestSystem::new(Network::new(), &["clock"], Plan::default());
    let mut first = Served::start(&system, "clock", &bus.address).await;
    let boot = |client: Client| async move { soon(client.describe()).await.unwrap().boot };
    let find = || async { Client::find(&on_bus(&bus.address), Some("clock")).await };
    assert_eq!(boot(find().await.unwrap()).await, first.running.boot());
    // The name is taken, but its own socket is not.
    let second = Served::start(&system, "clock", &bus.address).await;
    assert_eq!(boot(find().await.unwrap()).await, first.running.boot());
    assert_eq!(boot(second.client().await).await, second.running.boot());
    first.bus = None;
    let deadline = tokio::time::Instant::now() + crate::DEADLINE;
    loop {
        if let Ok(client) = find().await
            && client.describe().await.is_ok_and(|status| status.boot == second.running.boot())
        {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the name was not handed on");
    }
    let client = find().await.unwrap();
    bus.stop();
    let gone = soon(client.describe()).await.unwrap_err();
    assert!(matches!(gone, Error::Gone(_)), "{gone:?}");
    assert_eq!(boot(second.client().await).await, second.running.boot());
}

#[tokio::test]
async fn without_a_node_one_hears_where_it_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let lookup = kozo_client::Lookup {
        system_bus: Some(NO_BUS.to_owned()),
        folders: vec![folder.path().to_owned()],
    };
    // A socket left behind.
    std::fs::create_dir(folder.path().join("clock")).unwrap();
    let left = folder.path().join("clock/bus");
    drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
    for node in [Some("clock"), None] {
        let error = Client::find(&lookup, node).await.unwrap_err();
        let Error::NoDaemon { attempts, .. } = error else { panic!("{error:?}") };
        let attempts: Vec<_> = attempts.iter().map(ToString::to_string).collect();
        assert_eq!(attempts.len(), 2, "{attempts:?}");
        assert!(attempts[0].starts_with("system bus: "), "{attempts:?}");
        assert!(attempts[1].contains(folder.path().to_str().unwrap()), "{attempts:?}");
    }
}

/// The interfaces in `dbus/` are those that a Node describes. `make snapshots` writes them anew.
#[tokio::test]
async fn the_introspection_is_as_documented() {
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let clock = Served::alone(&system, "clock").await;
    let client = clock.client().await;
    let interfaces =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dbus/usr/share/dbus-1/interfaces");
    for (path, name) in [
        (ROOT.to_owned(), "org.kozo.Node1"),
        (role_path("probe"), "org.kozo.Role1"),
        (peer_path("scribe"), "org.kozo.Peer1"),
    ] {
        let described = IntrospectableProxy::builder(client.connection())
            .destination(bus_name("clock"))
            .path(path)
            .build()
            .await
            .unwrap();
        let described = soon(described.introspect()).await.unwrap();
        let start = described.find(&format!("  <interface name=\"{name}\"")).unwrap();
        let end = described[start..].find("  </interface>\n").unwrap() + "  </interface>\n".len();
        let described = format!(
            "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n \
             \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n<node>\n{}</node>\n",
            &described[start..][..end]
        );
        let file = interfaces.join(format!("{name}.xml"));
        if std::env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always") {
            std::fs::write(&file, &described).unwrap();
        }
        let documented = std::fs::read_to_string(&file).unwrap();
        assert_eq!(described, documented, "{name}: `make snapshots` writes it anew");
    }
}
