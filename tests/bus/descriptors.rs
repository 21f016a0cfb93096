//! File descriptors that clients send unasked, and whose close(2) takes long: the Node goes on meanwhile.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::SendFlags;
use tokio::time::sleep;
use zbus::connection::Builder;
use zbus::{Fd, OwnedVariant, Proxy};

use crate::kit::lingering::{inside, lingering, send};
use crate::kit::memory::Network;
use crate::kit::pulse::steady;
use crate::kit::{Plan, TestSystem};
use crate::private_bus::PrivateBus;
use crate::{Served, soon};

/// Lets the Node work for a while, during which it is asked something. Its loop is that of the test.
async fn goes_on(node: &Served, what: &str) {
    let ask = async {
        for _ in 0..5 {
            soon(node.client().await.describe()).await.unwrap();
            sleep(Duration::from_millis(20)).await;
        }
    };
    steady(what, ask).await;
}

/// The ways in which a descriptor that lingers comes.
const WAYS: [&str; 4] = ["alone", "as one of many", "in a socket", "out of band"];

/// Sends one with these bytes; gives what it is connected to. It is in the socket only then, and closed with it.
fn put(stream: &UnixStream, bytes: &[u8], way: &str) -> TcpStream {
    let (near, far) = lingering();
    match way {
        "as one of many" => send(stream, bytes, &[near.as_fd(); 253], SendFlags::empty()),
        "in a socket" => send(stream, bytes, &[inside(&near).as_fd()], SendFlags::empty()),
        // Only the last byte is.
        "out of band" => {
            send(stream, b" ", &[near.as_fd()], SendFlags::OOB);
            (&*stream).write_all(bytes).unwrap();
        }
        _ => send(stream, bytes, &[near.as_fd()], SendFlags::empty()),
    }
    far
}

/// Sends descriptors into connections to a Node with bytes that make no sense there. It reads no further than to where the
/// first came, and closes the connection with the second in it.
async fn attack(node: &Served, door: &str, open: impl AsyncFn() -> UnixStream, bytes: &[u8]) {
    for way in WAYS {
        let stream = open().await;
        let _far = [(); 2].map(|()| put(&stream, bytes, way));
        goes_on(node, &format!("{door}, {way}")).await;
        drop(stream);
        goes_on(node, &format!("{door}, {way}, closed")).await;
    }
}

/// Calls a method of the Node that gives a connection.
async fn given(node: &Served, method: &str) -> UnixStream {
    let client = node.client().await;
    let (path, interface) = ("/org/kozo/Node1", "org.kozo.Node1");
    let proxy = Proxy::new(client.connection(), "org.kozo.Node1.clock", path, interface);
    let proxy = proxy.await.unwrap();
    let options = HashMap::<String, OwnedVariant>::new();
    let given: zbus::OwnedFd = soon(proxy.call(method, &(options,))).await.unwrap();
    UnixStream::from(OwnedFd::from(given))
}

#[tokio::test]
async fn the_node_waits_for_none_that_comes_to_its_sockets() {
    let system = TestSystem::new(Network::new(), &["clock"], Plan::default());
    let clock = Served::alone(&system, "clock").await;
    let connect = async |path: &Path| UnixStream::connect(path).unwrap();
    attack(&clock, "the control socket", || connect(&clock.socket), b"\0\n").await;
    attack(&clock, "the socket of Roles", || connect(&clock.role_socket), b"\n").await;
    attack(&clock, "a connection to attach", || given(&clock, "Attach"), b"\n").await;
    attack(&clock, "a view of Messages", || given(&clock, "Monitor"), b" ").await;
    let attached = async || {
        clock.running.until("gone", |clock| clock.node.role_status("bell").is_none()).await;
        let mut stream = UnixStream::connect(&clock.role_socket).unwrap();
        stream
            .write_all(b"{\"id\": 0, \"method\": \"attach\", \"params\": {\"name\": \"bell\"}}\n")
            .unwrap();
        clock.running.until("attached", |clock| clock.node.role_status("bell").is_some()).await;
        stream
    };
    attack(&clock, "a Role that has attached itself", attached, b"rubbish\n").await;
}

#[tokio::test]
async fn the_node_waits_for_none_that_comes_over_the_bus() {
    let bus = PrivateBus::start();
    let system = TestSystem::new(Network::new(), &["clock"], Plan::default());
    let clock = Served::start(&system, "clock", &bus.address).await;
    let caller = Builder::address(&*bus.address).build().await.unwrap();
    let name = "org.kozo.Node1.clock";
    for is_nested in [false, true] {
        let (near, _far) = lingering();
        let sent = if is_nested { inside(&near) } else { near };
        let body = (Fd::from(sent),);
        let path = "/org/kozo/Node1";
        let called =
            caller.call_method(Some(name), path, Some("org.kozo.Node1"), "Describe", &body);
        let refused = steady("the bus", soon(called)).await.unwrap_err();
        // It is in the bus or the Node only.
        drop(body);
        assert!(refused.to_string().contains("a file descriptor cannot be sent"), "{refused}");
        goes_on(&clock, "the bus").await;
    }
}
