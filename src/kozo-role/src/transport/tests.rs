//! Transports, with a Node that the tests play.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

use super::program::serve;
use super::{Connection, Node, Stream, Target, Transport, TransportDescription};
use crate::{Error, Failure, Level, Setting};

/// A Transport that does what addresses say.
struct Obedient {
    dropped: Rc<RefCell<Vec<String>>>,
}

/// Says when it is dropped.
struct Witness(Rc<RefCell<Vec<String>>>, String);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1.clone());
    }
}

impl Transport for Obedient {
    async fn listen(&self, _: &Node) -> Result<Option<String>, Failure> {
        Err("the cable is missing".into())
    }

    async fn connect(
        &self,
        node: &Node,
        to: &Target,
        address: &Value,
    ) -> Result<Connection, Failure> {
        match address.as_str() {
            Some("never") => {
                let _witness = Witness(Rc::clone(&self.dropped), to.node.clone());
                std::future::pending().await
            }
            Some("command") => Ok(Connection::Command(vec!["nc".to_owned(), "host".to_owned()])),
            Some("long") => Err("\u{1}".repeat(70_000).into()),
            Some("longer") => Ok(Connection::Command(vec!["x".repeat(70_000)])),
            Some("long address") => {
                let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
                node.log(Level::Info, &"ö".repeat(70_000)).await?;
                Ok(Stream::new(ours).address(&"\u{1}".repeat(70_000)).into())
            }
            Some("fdpass") => Ok(Connection::FdpassCommand(vec!["nc".to_owned()])),
            Some("sign") => {
                let signature = node.sign(b"data").await?;
                let holds = node.verify(&to.node, b"data", &signature).await?;
                Ok(Connection::Command(vec![signature, holds.to_string()]))
            }
            _ => {
                let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
                Ok(Stream::new(ours).address("here").peer(&to.node).into())
            }
        }
    }
}

/// The Node's side.
struct Played {
    reader: BufReader<UnixStream>,
    dropped: Rc<RefCell<Vec<String>>>,
}

impl Played {
    async fn say(&mut self, line: Value) {
        self.reader.get_mut().write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn next(&mut self) -> Value {
        let mut line = String::new();
        let read = timeout(Duration::from_secs(30), self.reader.read_line(&mut line));
        read.await.unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }

    async fn connect(&mut self, id: u64, node: &str, address: &str) {
        let params = json!({"node": node, "transport": "t", "type": "x", "options": {}, "address": address, "index": 0});
        self.say(json!({"id": id, "method": "connect", "params": params})).await;
    }
}

/// Runs a test with a Transport that has started.
fn play(test: impl AsyncFnOnce(&mut Played)) -> Result<(), Failure> {
    play_building(async |_| Ok(()), test)
}

/// Likewise, with something that is done before there is one.
fn play_building(
    before: impl AsyncFnOnce(&Node) -> Result<(), Failure> + 'static,
    test: impl AsyncFnOnce(&mut Played),
) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut played = Played { reader: BufReader::new(ours), dropped: Rc::default() };
        let dropped = Rc::clone(&played.dropped);
        let serving = spawn_local(async move {
            serve(theirs, async |node| {
                assert_eq!((node.name(), node.transport(), node.transport_type()), ("clock", "t", "x"));
                assert_eq!(node.nodes()["scribe"].transports["t"].transport_type, "x");
                assert_eq!(node.configuration()["heartbeat"], 10);
                before(node).await?;
                Ok(Obedient { dropped })
            })
            .await
        });
        let nodes = json!({"scribe": {"publicKey": "ssh-ed25519 AAAA", "transports": {"t": {"type": "x", "options": {}}}}});
        let params = json!({"protocol": 1, "node": "clock", "transport": "t", "type": "x", "options": {}, "nodes": nodes,
            "config": {"heartbeat": 10}});
        played.say(json!({"jsonrpc": "2.0", "method": "start", "params": params})).await;
        test(&mut played).await;
        drop(played);
        timeout(Duration::from_secs(30), serving).await.unwrap().unwrap()
    })
}

#[test]
fn requests_are_answered_as_they_become_ready_and_cancelled_ones_never() {
    play(async |node| {
        node.connect(1, "scribe", "never").await;
        node.connect(2, "other", "never").await;
        node.connect(3, "scribe", "stream").await;
        let wanted =
            json!({"jsonrpc": "2.0", "id": 3, "result": {"address": "here", "peer": "scribe"}});
        assert_eq!(node.next().await, wanted);
        node.say(json!({"method": "cancel", "params": {"id": 1}})).await;
        node.connect(4, "scribe", "command").await;
        assert_eq!(node.next().await["result"], json!({"proxyCommand": ["nc", "host"]}));
        assert_eq!(*node.dropped.borrow(), ["scribe"]);
        node.connect(5, "scribe", "fdpass").await;
        assert_eq!(
            node.next().await["result"],
            json!({"proxyCommand": ["nc"], "proxyUseFdpass": true})
        );
    })
    .unwrap();
}

#[test]
fn a_transport_has_data_signed_and_signatures_verified() {
    play(async |node| {
        node.connect(1, "scribe", "sign").await;
        let asked = node.next().await;
        assert_eq!(
            (&asked["method"], &asked["params"]),
            (&json!("sign"), &json!({"data": "ZGF0YQ=="}))
        );
        node.say(json!({"id": asked["id"], "result": {"signature": "SSHSIG"}})).await;
        let asked = node.next().await;
        let wanted = json!({"node": "scribe", "data": "ZGF0YQ==", "signature": "SSHSIG"});
        assert_eq!((&asked["method"], &asked["params"]), (&json!("verify"), &wanted));
        node.say(json!({"id": asked["id"], "result": true})).await;
        assert_eq!(node.next().await["result"]["proxyCommand"], json!(["SSHSIG", "true"]));
        node.connect(2, "scribe", "sign").await;
        let asked = node.next().await;
        node.say(json!({"id": asked["id"], "error": {"code": -32000, "message": "too often"}}))
            .await;
        let refused = node.next().await;
        assert!(refused["error"]["message"].as_str().unwrap().contains("too often"), "{refused}");
    })
    .unwrap();
}

#[test]
fn data_is_signed_while_a_transport_is_built_and_what_else_is_asked_waits() {
    let building = async |node: &Node| {
        assert_eq!(node.sign(b"data").await?, "SSHSIG");
        Ok(())
    };
    play_building(building, async |node| {
        let asked = node.next().await;
        assert_eq!(asked["method"], "sign");
        node.connect(7, "scribe", "command").await;
        node.say(json!({"id": asked["id"], "result": {"signature": "SSHSIG"}})).await;
        assert_eq!(node.next().await["id"], 7);
        node.connect(8, "scribe", "command").await;
        assert_eq!(node.next().await["id"], 8);
    })
    .unwrap();
}

#[test]
fn what_cannot_be_signed_or_verified_is_not_asked_for() {
    let building = async |node: &Node| {
        let large = vec![0; 16 * 1024 + 1];
        assert!(matches!(node.sign(&large).await, Err(Error::Encode(_))));
        assert!(matches!(node.verify("scribe", &large, "SSHSIG").await, Err(Error::Encode(_))));
        let (long, name) = ("x".repeat(16 * 1024 + 1), "x".repeat(256));
        for (node_name, signature) in
            [("scribe", &*long), ("scribe", "SSH\rSIG"), ("scribe", "SSH\0SIG"), (&*name, "SSHSIG")]
        {
            assert!(!node.verify(node_name, b"data", signature).await?);
        }
        assert!(node.verify(&name[1..], &large[1..], &"\n".repeat(16 * 1024)).await?);
        Ok(())
    };
    play_building(building, async |node| {
        // Nothing else was asked for before.
        let asked = node.next().await;
        assert_eq!((&asked["method"], &asked["id"]), (&json!("verify"), &json!(1)));
        node.say(json!({"id": 1, "result": true})).await;
        node.connect(7, "scribe", "command").await;
        assert_eq!(node.next().await["id"], 7);
    })
    .unwrap();
}

#[test]
fn a_transport_that_is_built_for_ever_ends_with_its_node_and_when_it_is_told_to() {
    for is_told in [true, false] {
        let building = async |_: &Node| std::future::pending().await;
        let (sender, ended) = tokio::sync::oneshot::channel::<()>();
        let building = async move |node: &Node| {
            let _sender = sender;
            building(node).await
        };
        play_building(building, async |node| {
            if is_told {
                node.say(json!({"method": "stop"})).await;
                // It does not wait for the Node to close.
                let dropped = timeout(Duration::from_secs(30), ended).await.unwrap();
                assert!(dropped.is_err());
            }
        })
        .unwrap();
    }
}

#[test]
fn a_transport_ends_when_its_node_reads_no_more() {
    play(async |node| {
        node.say(json!({"id": 1, "method": "listen", "params": {}})).await;
        node.next().await;
        rustix::net::shutdown(node.reader.get_ref(), rustix::net::Shutdown::Read).unwrap();
        node.say(json!({"id": 2, "method": "listen", "params": {}})).await;
        let mut line = String::new();
        // This side can still write, so only the Transport can have closed it.
        let closed = async {
            while node.reader.get_mut().write_all(b"\n").await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(30), closed).await.unwrap();
        assert_eq!(node.reader.read_line(&mut line).await.unwrap(), 0);
    })
    .unwrap();
}

#[test]
fn texts_are_cut_and_other_lines_that_are_too_long_are_refused() {
    play(async |node| {
        let cut = Value::from("\u{1}".repeat(8192));
        node.connect(1, "scribe", "long").await;
        assert_eq!(node.next().await["error"]["message"], cut);
        node.connect(2, "scribe", "longer").await;
        let refused = node.next().await;
        assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(2), &json!(-32000)));
        node.connect(3, "scribe", "long address").await;
        assert_eq!(node.next().await["params"]["text"], "ö".repeat(8192));
        assert_eq!(node.next().await["result"]["address"], cut);
    })
    .unwrap();
}

#[test]
fn what_fails_is_told_and_what_makes_no_sense_ends_it() {
    play(async |node| {
        node.say(json!({"id": 1, "method": "listen", "params": {}})).await;
        let wanted = json!({"code": -32000, "message": "the cable is missing"});
        assert_eq!(node.next().await["error"], wanted);
        node.say(json!({"id": "x", "method": "connect", "params": {}})).await;
        let refused = node.next().await;
        assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!("x"), &json!(-32602)));
        node.say(json!({"id": 2, "method": "addresses", "params": {"node": "a", "transport": "t", "type": "x"}})).await;
        assert_eq!(node.next().await["result"], json!([null]));
        node.say(json!({"method": "later"})).await;
        node.say(json!({"method": "stop"})).await;
    })
    .unwrap();
    let nonsense = play(async |node| node.reader.get_mut().write_all(b"{]\n").await.unwrap());
    assert!(nonsense.is_err());
}

#[test]
fn a_description_says_what_a_node_reads() {
    let described = TransportDescription::new("Radio.")
        .option("port", Setting::integer("The port."))
        .priority(super::Priority::Bad)
        .cannot_accept()
        .authenticates()
        .connects_to(&["radio", "tcp"])
        .connect_timeout(Duration::from_secs(90));
    let wanted = json!({
        "format": "1.0", "kind": "transport", "description": "Radio.",
        "config": {"port": {"description": "The port.", "kind": "integer"}}, "priority": "bad", "canAccept": false,
        "authenticates": true, "connectsTo": ["radio", "tcp"], "connectTimeout": 90.0,
    });
    assert_eq!(described.to_json(), wanted);
}
