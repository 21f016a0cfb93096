//! Roles that say while they run what they want, what they are doing, and that are told of Peers.

use std::sync::{Arc, Mutex};

use kozo::BoxFuture;
use kozo::config::{RoleConfig, Schema};
use kozo::interest::Interest;
use kozo::message::{Draft, Kind};
use kozo::role::{Host, Role, RoleContext, RoleError, RoleType};
use kozo::status::LinkState;
use tokio::sync::oneshot;

use crate::kit::memory::Network;
use crate::kit::{Plan, TestSystem};

/// Hands the context of its one Role to the test.
struct GuestType(Mutex<Option<oneshot::Sender<RoleContext>>>);

impl RoleType for GuestType {
    fn schema(&self) -> Schema {
        Schema { name: "guest".into(), description: "Is the test.".into(), ..Schema::default() }
    }

    fn interests(&self, _: &RoleConfig) -> Vec<Interest> {
        vec![Interest::exactly(Kind::Event, "declared")]
    }

    fn build(&self, _: &RoleConfig) -> Box<dyn Role> {
        Box::new(Guest(self.0.lock().unwrap().take()))
    }
}

struct Guest(Option<oneshot::Sender<RoleContext>>);

impl Role for Guest {
    fn run(self: Box<Self>, context: RoleContext) -> BoxFuture<'static, Result<(), RoleError>> {
        Box::pin(async move {
            let _ = self.0.expect("it runs once").send(context.clone());
            context.stopped().await;
            Ok(())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn peers_learn_what_a_role_wants_from_when_it_says_so() {
    let (sender, context) = oneshot::channel();
    let plan = Plan {
        types: vec![Arc::new(GuestType(Mutex::new(Some(sender))))],
        roles: |node| if node == "b" { &["guest"] } else { &[] },
        ..Plan::default()
    };
    let system = TestSystem::new(Network::new(), &["a", "b"], plan);
    let (a, b) = system.start_both("a", "b").await;
    let context = context.await.unwrap();
    let wanted = |name: &'static str| {
        let draft = Draft::event(name);
        move |a: &crate::kit::Running| a.try_send(&draft).unwrap().peers == 1
    };
    a.until("declared", wanted("declared")).await;

    context.set_interests(Some(vec![Interest::exactly(Kind::Event, "rung")]));
    a.until("wanted", wanted("rung")).await;
    assert!(!wanted("declared")(&a));
    while context.receive().await.unwrap().message_type() != "rung" {}

    context.set_interests(None);
    a.until("declared again", wanted("declared")).await;
    assert!(!wanted("rung")(&a));

    context.set_status(Some("at the door".to_owned()));
    assert_eq!(b.role("guest").status.as_deref(), Some("at the door"));
    b.node.stop_role("guest").await.unwrap();
    assert_eq!(b.role("guest").status, None);
    a.until("withdrawn", |a| a.try_send(&Draft::event("declared")).unwrap().peers == 0).await;
    // What is over wants nothing.
    context.set_interests(Some(vec![Interest::any()]));
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert!(!wanted("declared")(&a));
}

#[tokio::test(start_paused = true)]
async fn a_role_is_told_when_links_stand_differently() {
    let system = TestSystem::new(Network::new(), &["a", "b"], Plan::default());
    let (a, b) = system.start_both("a", "b").await;
    let mut changed = a.node.peers_changed();
    assert_eq!(a.node.peers()[0].state, LinkState::Up);
    b.node.stop().await;
    while a.node.peers()[0].state == LinkState::Up {
        changed.changed().await.unwrap();
    }
}
