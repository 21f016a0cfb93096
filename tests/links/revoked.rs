//! A key that a reload replaces: a Peer that came in with it is out at once, in every stage of the session.

use std::sync::{Arc, Mutex};

use kozo::config::{LocalNode, NodeConfig, System};
use kozo::interest::Interest;
use kozo::status::LinkState;
use kozo::wire::{Control, Frame};
use russh::client::{self, DisconnectReason};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use tokio::time::Instant;

use crate::kit::client::{Client, hello, messages};
use crate::kit::log::Log;
use crate::kit::memory::Network;
use crate::kit::{Plan, Running, TestSystem, new_key};

/// The configuration of a Node with another key for a Peer.
pub(crate) fn rekeyed(node: &Running, peer: &str) -> LocalNode {
    let mut local = node.node.local();
    let mut nodes = local.system.nodes.clone();
    let found = nodes.iter_mut().find(|node| node.name == peer).unwrap();
    *found = Arc::new(NodeConfig {
        public_key: new_key().public_key().clone(),
        ..NodeConfig::clone(found)
    });
    local.system = Arc::new(System { nodes });
    local
}

/// A client that has authenticated and asked for nothing yet.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<String>>);

impl client::Handler for Said {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<russh::Error>,
    ) -> Result<(), russh::Error> {
        if let DisconnectReason::ReceivedDisconnect(said) = reason {
            *self.0.lock().unwrap() = said.message;
        }
        Ok(())
    }
}

pub(crate) const REASON: &str = "the configuration no longer allows";

async fn said_goodbye(client: &mut Client) -> String {
    client
        .frame(|frame| match frame {
            Frame::Bye(reason) => Some(reason),
            _ => None,
        })
        .await
}

#[tokio::test(start_paused = true)]
async fn who_came_with_it_is_out_in_every_stage() {
    let log = Log::new();
    let system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
    let mut scribe = system.start("scribe").await;

    let authenticated = Said::default();
    let stream = system.connect("clock", "scribe").await.unwrap().stream;
    let config = Arc::default();
    let mut handle = client::connect_stream(config, stream, authenticated.clone()).await.unwrap();
    let key = PrivateKeyWithHashAlg::new(system.key("clock"), None);
    assert!(handle.authenticate_publickey("clock", key).await.unwrap().success());

    let mut in_use = Client::greeted(&system, "clock", "scribe", 7).await;
    scribe.until_up("clock").await;
    let mut opened =
        Client::connect(&system, "clock", system.key("clock"), "scribe").await.unwrap();
    let mut offered =
        Client::connect(&system, "clock", system.key("clock"), "scribe").await.unwrap();
    offered.say(&Control::Hello(&hello(7))).await;
    offered.say(&Control::Interest(&[Interest::any()])).await;
    in_use.send(&messages("clock", 7, &[1])).await;
    assert_eq!(scribe.next().await, ("clock".to_owned(), 1));

    let begun = Instant::now();
    scribe.node.reload(rekeyed(&scribe, "clock")).await.unwrap();
    for client in [&mut in_use, &mut opened, &mut offered] {
        let reason = said_goodbye(client).await;
        assert!(reason.contains(REASON), "{reason}");
    }
    let _ = handle.await;
    let said = authenticated.0.lock().unwrap().clone();
    assert!(said.contains(REASON), "{said}");
    let took = begun.elapsed();
    println!("all out after {took:?}");
    assert!(took.as_secs() < 3, "{took:?}");
    log.until("ending all sessions").await;
    log.until("refused a connection").await;
    assert_ne!(scribe.peer("clock").state, LinkState::Up);
    let refused =
        Client::connect(&system, "clock", system.key("clock"), "scribe").await.err().unwrap();
    assert!(refused.to_string().contains("it refused our key"), "{refused}");
}
