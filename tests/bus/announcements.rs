//! What the interfaces promise about their properties: changes are announced, or come silently, or never come.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::net::TcpListener;
use std::num::NonZero;

use futures_util::{FutureExt as _, StreamExt as _};
use kozo_client::Client;
use kozo_client::names::{ROOT, bus_name};
use kozo_client::status::RoleStatus;
use tokio::time::Instant;
use zbus::fdo::{IntrospectableProxy, ObjectManagerProxy, PropertiesProxy};
use zbus::message::Type;
use zbus::{MatchRule, Message, MessageStream, OwnedObjectPath, OwnedVariant};

use crate::service::Testnet;
use crate::{DEADLINE, NO_BUS, soon};

const INTERFACES: [&str; 3] = ["org.kozo.Node1", "org.kozo.Role1", "org.kozo.Peer1"];

/// The one property that signals carry without a promise: it comes with a new State, and changes silently in between.
const UNPROMISED: (&str, &str) = ("org.kozo.Peer1", "LastError");

/// An interface and a property of it.
type Property = (String, String);

type Interfaces = HashMap<String, HashMap<String, OwnedVariant>>;

/// What all properties of all objects are, by path, interface and name.
type Values = BTreeMap<(String, String, String), OwnedVariant>;

/// What a client knows of a Node that has asked once and goes by the signals since.
struct Watch<'c> {
    client: &'c Client,
    signals: MessageStream,
    known: Values,
    /// `true`, `const` or `false`: whether the changes of a property are announced, as its annotation says.
    emits: HashMap<Property, String>,
    announced: BTreeSet<Property>,
}

impl<'c> Watch<'c> {
    async fn begin(client: &'c Client) -> Watch<'c> {
        let rule = MatchRule::builder().msg_type(Type::Signal).build().unwrap();
        let stream = MessageStream::for_match_rule(rule, client.connection(), NonZero::new(10_000));
        let signals = stream.await.unwrap();
        let known = values(client).await;
        let mut emits = HashMap::new();
        for (path, interface, _) in known.keys() {
            emits.extend(annotations(client, path, interface).await);
        }
        Watch { client, signals, known, emits, announced: BTreeSet::new() }
    }

    fn emits(&self, property: &Property, how: &str) -> bool {
        self.emits[property] == how
    }

    /// Waits until the signals have said what is true, and checks that nothing changed that never does.
    async fn catch_up(&mut self, when: &str) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            while let Some(signal) = self.signals.next().now_or_never() {
                self.take(&signal.unwrap().unwrap());
            }
            let actual = values(self.client).await;
            let differs = self.known.keys().chain(actual.keys()).find(|at| {
                let property = (at.1.clone(), at.2.clone());
                !self.emits(&property, "false") && self.known.get(*at) != actual.get(*at)
            });
            let Some(differs) = differs else { return };
            let (known, actual) = (self.known.get(differs), actual.get(differs));
            let property = (differs.1.clone(), differs.2.clone());
            if let (Some(known), Some(actual)) = (known, actual) {
                assert!(!self.emits(&property, "const"), "{differs:?}: {known:?}, then {actual:?}");
            }
            let problem = || format!("{when}: {differs:?} is {actual:?}, and announced {known:?}");
            let wait = tokio::time::timeout_at(deadline, self.signals.next());
            let signal = wait.await.unwrap_or_else(|_| panic!("{}", problem()));
            self.take(&signal.unwrap().unwrap());
        }
    }

    fn take(&mut self, signal: &Message) {
        let (header, body) = (signal.header(), signal.body());
        match header.member().unwrap().as_str() {
            "PropertiesChanged" => {
                let path = header.path().unwrap().to_string();
                let (interface, changed, invalidated): (
                    String,
                    HashMap<String, OwnedVariant>,
                    Vec<String>,
                ) = body.deserialize().unwrap();
                assert!(!changed.is_empty() && invalidated.is_empty());
                for (name, value) in changed {
                    let property = (interface.clone(), name.clone());
                    let promised = self.emits(&property, "true");
                    let known = (&*interface, &*name) == UNPROMISED;
                    assert!(promised || known, "{property:?} is announced");
                    self.announced.insert(property);
                    let before = self.known.insert((path.clone(), interface.clone(), name), value);
                    assert!(before.is_some(), "{path} is not known");
                }
            }
            "InterfacesAdded" => {
                let (path, interfaces): (OwnedObjectPath, Interfaces) = body.deserialize().unwrap();
                self.known.extend(flat(path.as_str(), interfaces));
            }
            "InterfacesRemoved" => {
                let (path, interfaces): (OwnedObjectPath, Vec<String>) =
                    body.deserialize().unwrap();
                self.known.retain(|at, _| at.0 != path.as_str() || !interfaces.contains(&at.1));
            }
            other => panic!("{other}"),
        }
    }

    /// The properties whose changes are to be announced and were not yet.
    fn missing(&self) -> Vec<&Property> {
        let promised = self.emits.iter().filter(|(_, emits)| *emits == "true");
        promised.map(|(property, _)| property).filter(|at| !self.announced.contains(*at)).collect()
    }
}

fn flat(
    path: &str,
    interfaces: HashMap<impl ToString, HashMap<impl ToString, OwnedVariant>>,
) -> Values {
    let mut values = Values::new();
    for (interface, properties) in interfaces {
        let interface = interface.to_string();
        if INTERFACES.contains(&&*interface) {
            values.extend(properties.into_iter().map(|(name, value)| {
                ((path.to_owned(), interface.clone(), name.to_string()), value)
            }));
        }
    }
    values
}

async fn values(client: &Client) -> Values {
    let (connection, node) = (client.connection(), bus_name(client.node()));
    let properties = PropertiesProxy::builder(connection).destination(&*node).path(ROOT).build();
    let all = soon(properties.await.unwrap().get_all(INTERFACES[0].try_into().unwrap())).await;
    let mut values = flat(ROOT, HashMap::from([(INTERFACES[0], all.unwrap())]));
    let manager = ObjectManagerProxy::builder(connection).destination(&*node).path(ROOT).build();
    let objects = soon(manager.await.unwrap().get_managed_objects()).await.unwrap();
    for (path, interfaces) in objects {
        values.extend(flat(path.as_str(), interfaces));
    }
    values
}

/// What the introspection of an object says about the properties of an interface.
async fn annotations(client: &Client, path: &str, interface: &str) -> HashMap<Property, String> {
    let proxy = IntrospectableProxy::builder(client.connection())
        .destination(bus_name(client.node()))
        .path(path)
        .build();
    let described = soon(proxy.await.unwrap().introspect()).await.unwrap();
    let (_, described) = described.split_once(&format!("<interface name=\"{interface}\"")).unwrap();
    let (described, _) = described.split_once("</interface>").unwrap();
    let property = |part: &str| {
        let (name, rest) = part.split_once('"').unwrap();
        let annotation = rest.split_once("EmitsChangedSignal\" value=\"");
        let emits = annotation.map_or("true", |(_, value)| value.split_once('"').unwrap().0);
        ((interface.to_owned(), name.to_owned()), emits.to_owned())
    };
    described.split("<property name=\"").skip(1).map(property).collect()
}

/// Waits until the Role `witness` is like this.
async fn until_witness(client: &Client, is: fn(&RoleStatus) -> bool) {
    let mut changes = client.changes().await.unwrap();
    loop {
        let roles = soon(client.describe()).await.unwrap().roles;
        if roles.iter().find(|role| role.name == "witness").is_some_and(is) {
            return;
        }
        assert!(soon(changes.next()).await);
    }
}

/// A client that asks once and goes by the signals from then on knows every property that is said to be announced, no
/// other comes with them, and every announced one changes at least once here.
#[tokio::test]
async fn signals_carry_what_the_interfaces_promise() {
    let testnet = Testnet::start(NO_BUS);
    let clock = testnet.client("clock").await;
    testnet.until_up(&clock, "scribe").await;
    testnet.until_up(&clock, "injector").await;
    let text = fs::read_to_string(testnet.config()).unwrap();
    let (head, roles) = text.split_at(text.find("            timer1:").unwrap());
    let with = |witness: &str| format!("{head}            witness: {{{witness}}}\n{roles}");
    // No folder, not even for root.
    let file = testnet.config().join("log");
    let logger = with(&format!("type: logger, description: Mute., file: '{}'", file.display()));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listening =
        with(&format!("type: message_injector, bindAddress: 127.0.0.1, bindPort: {free}"));
    let injector =
        with(&format!("type: message_injector, bindAddress: 127.0.0.1, bindPort: {port}"));
    let (without_injector, _) = text.split_at(text.find("    injector:").unwrap());
    let policies =
        "selfToOthersConnectPolicy: ondemand\n        othersToSelfConnectPolicy: ondemand";
    let on_demand = without_injector.replacen(
        "        roles:\n",
        &format!("        {policies}\n        roles:\n"),
        1,
    );
    let apply = async |configuration: &str| {
        fs::write(testnet.config(), configuration).unwrap();
        soon(clock.reload()).await.unwrap();
    };

    let mut watch = Watch::begin(&clock).await;
    let deadline = Instant::now() + DEADLINE;
    // Once is not always enough: Since has seconds.
    while !watch.missing().is_empty() {
        assert!(Instant::now() < deadline, "never announced: {:?}", watch.missing());
        apply(&with("type: timer, tick: 60")).await;
        watch.catch_up("a timer").await;
        apply(&logger).await;
        until_witness(&clock, |role| role.problem.is_some()).await;
        watch.catch_up("a logger with a problem").await;
        apply(&injector).await;
        until_witness(&clock, |role| role.restarts > 0).await;
        watch.catch_up("an injector that failed").await;
        apply(&listening).await;
        until_witness(&clock, |role| role.status.is_some()).await;
        watch.catch_up("an injector that says where it listens").await;
        apply(&on_demand).await;
        watch.catch_up("one peer and other policies").await;
        apply(&text).await;
        testnet.until_up(&clock, "scribe").await;
        watch.catch_up("up").await;
        clock.peer("scribe").disconnect().await.unwrap();
        watch.catch_up("disconnected").await;
        clock.peer("scribe").connect().await.unwrap();
        testnet.until_up(&clock, "scribe").await;
        watch.catch_up("connected").await;
    }
}
