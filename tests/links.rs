//! Links between Nodes of one process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kit;

use kit::{Lab, Plan};
use kozo::message::Draft;
use kozo::transport::memory::Network;
use rmpv::Value;

#[tokio::test]
async fn a_message_reaches_the_other_node() {
    let lab = Lab::new(Network::new(), &["clock", "scribe"], Plan::default());
    let mut clock = lab.start("clock").await;
    let mut scribe = lab.start("scribe").await;
    clock.until_up("scribe").await;
    scribe.until_up("clock").await;
    for number in 0..1000 {
        let sent = clock.node.send("probe", &Draft::event("tick").data(&Value::from(number)));
        assert_eq!(sent.unwrap().peers, 1);
        if number % 50 == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
    for number in 0..1000 {
        let message = scribe.received.recv().await.unwrap();
        assert_eq!(message.value().unwrap(), Value::from(number));
        assert_eq!(message.to_string(), "event tick from probe@clock");
        let own = clock.received.recv().await.unwrap();
        assert_eq!(own.counter(), message.counter());
    }
    clock.node.stop().await;
    scribe.until("down", |node| node.peer("clock").state != "up").await;
    scribe.node.stop().await;
}
