//! Types of Roles that tests send and receive with.

use std::sync::Arc;

use kozo::BoxFuture;
use kozo::config::{RoleConfig, Schema};
use kozo::interest::Interest;
use kozo::message::{Draft, Message};
use kozo::role::{Role, RoleContext, RoleError, RoleType};
use rmpv::Value;
use tokio::sync::mpsc;

/// Messages that a Role of type `steady` sends.
pub const STEADY: u64 = 2000;

/// All of these types: their Roles want these Messages, and each `probe` passes on what it receives.
pub fn types(
    interests: &[Interest],
    received: &mpsc::UnboundedSender<Message>,
) -> Vec<Arc<dyn RoleType>> {
    let interests = || interests.to_vec();
    vec![
        Arc::new(ProbeType { interests: interests(), received: received.clone() }),
        Arc::new(DeafType { interests: interests() }),
        Arc::new(BriefType { interests: interests() }),
        Arc::new(SteadyType),
    ]
}

fn schema(name: &'static str, description: &'static str) -> Schema {
    Schema { name: name.into(), description: description.into(), ..Schema::default() }
}

/// `probe` hands what it receives to the test.
struct ProbeType {
    interests: Vec<Interest>,
    received: mpsc::UnboundedSender<Message>,
}

impl RoleType for ProbeType {
    fn schema(&self) -> Schema {
        schema("probe", "Hands what it receives to a test.")
    }

    fn interests(&self, _: &RoleConfig) -> Vec<Interest> {
        self.interests.clone()
    }

    fn build(&self, _: &RoleConfig) -> Box<dyn Role> {
        Box::new(Probe(self.received.clone()))
    }
}

struct Probe(mpsc::UnboundedSender<Message>);

impl Role for Probe {
    fn run(self: Box<Self>, context: RoleContext) -> BoxFuture<'static, Result<(), RoleError>> {
        Box::pin(async move {
            while let Some(message) = context.receive().await {
                let _ = self.0.send(message);
            }
            Ok(())
        })
    }
}

/// `deaf` never takes what is in its queue.
struct DeafType {
    interests: Vec<Interest>,
}

impl RoleType for DeafType {
    fn schema(&self) -> Schema {
        schema("deaf", "Never takes what is in its queue.")
    }

    fn interests(&self, _: &RoleConfig) -> Vec<Interest> {
        self.interests.clone()
    }

    fn build(&self, _: &RoleConfig) -> Box<dyn Role> {
        Box::new(Deaf)
    }
}

struct Deaf;

impl Role for Deaf {
    fn run(self: Box<Self>, context: RoleContext) -> BoxFuture<'static, Result<(), RoleError>> {
        Box::pin(async move {
            context.stopped().await;
            Ok(())
        })
    }
}

/// `brief` ends as soon as it has begun.
struct BriefType {
    interests: Vec<Interest>,
}

impl RoleType for BriefType {
    fn schema(&self) -> Schema {
        schema("brief", "Ends as soon as it has begun.")
    }

    fn interests(&self, _: &RoleConfig) -> Vec<Interest> {
        self.interests.clone()
    }

    fn build(&self, _: &RoleConfig) -> Box<dyn Role> {
        Box::new(Brief)
    }
}

struct Brief;

impl Role for Brief {
    fn run(self: Box<Self>, _: RoleContext) -> BoxFuture<'static, Result<(), RoleError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// `steady` sends [`STEADY`] numbered Messages of a kilobyte once its Node's links are ready, and waits for
/// room for each.
struct SteadyType;

impl RoleType for SteadyType {
    fn schema(&self) -> Schema {
        schema("steady", "Sends numbered Messages, and waits for room for each.")
    }

    fn interests(&self, _: &RoleConfig) -> Vec<Interest> {
        Vec::new()
    }

    fn build(&self, _: &RoleConfig) -> Box<dyn Role> {
        Box::new(Steady)
    }
}

struct Steady;

impl Role for Steady {
    fn run(self: Box<Self>, context: RoleContext) -> BoxFuture<'static, Result<(), RoleError>> {
        Box::pin(async move {
            context.links_ready().await;
            for number in 0..STEADY {
                let data = Value::Array(vec![Value::from(number), Value::from(vec![0; 1000])]);
                context.send_waiting(Draft::event("tick").data(&data)).await.unwrap();
            }
            Ok(())
        })
    }
}
