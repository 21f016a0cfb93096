//! The parts of a benchmark, as Roles.

use std::time::Duration;

use kozo::BoxFuture;
use kozo::config::{RoleConfig, Schema};
use kozo::interest::Interest;
use kozo::message::{Draft, Kind};
use kozo::role::{Role, RoleContext, RoleError, RoleType};
use kozo_bench::figures::{WARM_UP, number, payload, round_trips};
use kozo_bench::tally::{OVER, Tally, heard, now};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::arguments::Part;
use crate::work::Work;
use crate::{say, slow};

/// The type of Role that plays one part.
pub(super) struct PartType {
    pub(super) part: Part,
    pub(super) work: Work,
}

impl RoleType for PartType {
    fn schema(&self) -> Schema {
        Schema {
            name: self.part.name().into(),
            description: "A part of a benchmark.".into(),
            ..Schema::default()
        }
    }

    fn interests(&self, _: &RoleConfig) -> Vec<Interest> {
        let wanted = match self.part {
            Part::Recv | Part::Watch | Part::Sink => "data",
            Part::Echo => "ping",
            Part::Ping => "pong",
            Part::Send | Part::Drip | Part::Flood => return Vec::new(),
        };
        vec![Interest::exactly(Kind::Event, wanted)]
    }

    fn build(&self, _: &RoleConfig) -> Box<dyn Role> {
        Box::new(Player { part: self.part, work: self.work.clone() })
    }
}

struct Player {
    part: Part,
    work: Work,
}

impl Role for Player {
    fn run(self: Box<Self>, context: RoleContext) -> BoxFuture<'static, Result<(), RoleError>> {
        let Player { part, mut work } = *self;
        Box::pin(async move {
            if part.waits() {
                // An error means that standard input is closed: the process is about to end.
                let _ = work.lines.wait_for(|lines| *lines > 0).await;
            }
            match part {
                Part::Recv => recv(&context, &work).await,
                Part::Send => send(&context, &work).await,
                Part::Echo => echo(&context).await,
                Part::Ping => ping(&context, &work).await,
                Part::Drip => drip(&context, &work).await,
                Part::Watch => watch(&context).await,
                Part::Flood => slow::flood(&context, work).await,
                Part::Sink => slow::sink(&context, work).await,
            }
        })
    }
}

async fn recv(context: &RoleContext, work: &Work) -> Result<(), RoleError> {
    let mut tally = Tally::new(work.count, work.size());
    let mut batch = Vec::new();
    while !tally.is_complete() {
        let came = context.receive_many(&mut batch);
        let came = if tally.has_begun() {
            timeout_at(Instant::now() + OVER, came).await.unwrap_or(false)
        } else {
            came.await
        };
        if !came {
            break;
        }
        for message in batch.drain(..) {
            tally.take(message.bytes().unwrap_or_default());
        }
    }
    say(&tally.report().to_string());
    Ok(())
}

async fn send(context: &RoleContext, work: &Work) -> Result<(), RoleError> {
    let (start, size) = (now(), work.size());
    for number in 0..work.count {
        let payload = payload(number, size);
        let sent = context.send_waiting(Draft::event("data").bytes(&payload)).await;
        sent.map_err(|error| error.to_string())?;
    }
    let sent = work.count;
    say(&serde_json::json!({"sent": sent, "start_ns": start, "end_ns": now()}).to_string());
    Ok(())
}

async fn echo(context: &RoleContext) -> Result<(), RoleError> {
    while let Some(message) = context.receive().await {
        let sent = context.send(Draft::event("pong").encoded(message.data())).await;
        sent.map_err(|error| error.to_string())?;
    }
    Ok(())
}

async fn ping(context: &RoleContext, work: &Work) -> Result<(), RoleError> {
    let size = work.size();
    let mut times = Vec::new();
    for number in 0..WARM_UP + work.count {
        let time = round_trip(context, number, size).await?;
        if number >= WARM_UP {
            times.push(time);
        }
    }
    say(&round_trips(times).to_string());
    Ok(())
}

/// Sends a payload, and says how many nanoseconds later it was back.
async fn round_trip(context: &RoleContext, ordinal: u64, size: usize) -> Result<u64, String> {
    let payload = payload(ordinal, size);
    let start = now();
    let sent = context.send(Draft::event("ping").bytes(&payload)).await;
    sent.map_err(|error| error.to_string())?;
    let answer = context.receive().await.ok_or("the Node stops")?;
    let time = now() - start;
    match answer.bytes() {
        Some(bytes) if bytes == payload => Ok(time),
        _ => Err(format!("wrong answer in round {ordinal}")),
    }
}

async fn drip(context: &RoleContext, work: &Work) -> Result<(), RoleError> {
    let size = work.size();
    let mut ticks = interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0.. {
        ticks.tick().await;
        let payload = payload(number, size);
        let sent = context.send(Draft::event("data").bytes(&payload)).await;
        sent.map_err(|error| error.to_string())?;
    }
    Ok(())
}

async fn watch(context: &RoleContext) -> Result<(), RoleError> {
    let mut last = None;
    while let Some(message) = context.receive().await {
        if number(message.bytes().unwrap_or_default()).is_none() {
            return Err("a message without a number came".to_owned().into());
        }
        heard(&mut last, now()).iter().for_each(|line| say(line));
    }
    Ok(())
}
