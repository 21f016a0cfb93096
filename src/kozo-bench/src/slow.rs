//! The parts `flood` and `sink`: what becomes of Messages of which more are sent than a slow line carries.

use std::time::Duration;

use kozo::message::Draft;
use kozo::node::Node;
use kozo::role::{Host as _, RoleContext, RoleError};
use kozo::status::{NodeStatus, PeerStatus};
use kozo_bench::figures::{Ages, Pace, nanoseconds, pings, stamped};
use kozo_bench::tally::now;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use crate::say;
use crate::work::Work;

/// How often the flood sends what is due: as often as the runtime's clock ticks.
const TICK: Duration = Duration::from_millis(1);

/// Between two pings.
const PING: Duration = Duration::from_millis(250);

/// Sends at a constant pace, and pings the Peer in the time that is measured. Never waits for room in a queue.
pub(super) async fn flood(context: &RoleContext, mut work: Work) -> Result<(), RoleError> {
    let node = work.node.get().cloned().ok_or_else(|| "the Node has not started".to_owned())?;
    let pinging = tokio::spawn(ping(node, work.settle, work.time));
    let (start, size) = (now(), work.size());
    let end = start.saturating_add(nanoseconds(work.settle + work.time));
    let mut pace = Pace::new(work.pace, start);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent = 0;
    while now() < end {
        ticks.tick().await;
        for _ in 0..pace.due(now()) {
            let payload = stamped(sent, now(), size);
            let outcome = context.send(Draft::event("data").bytes(&payload)).await;
            outcome.map_err(|error| error.to_string())?;
            sent += 1;
        }
    }
    let end = now();
    let pings = pinging.await.map_err(|error| error.to_string())?;
    loop {
        let mut report = account_of_sender(&context.host.status());
        merge(&mut report, pings.clone());
        merge(&mut report, json!({"sent": sent, "start_ns": start, "end_ns": end}));
        // Before it is said: the next question may come right behind it.
        work.lines.borrow_and_update();
        say(&report.to_string());
        if work.lines.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// Pings every Peer over and over for this time, a while from now. A ping does not wait for the answer to the
/// one before; what it takes is the time from asking to answer, or to giving up.
async fn ping(node: Node, settle: Duration, time: Duration) -> Value {
    let start = Instant::now() + settle;
    let mut ticks = interval_at(start, PING);
    let mut asked = JoinSet::new();
    while ticks.tick().await < start + time {
        for peer in node.status().peers {
            let node = node.clone();
            asked.spawn(async move {
                let asked = now();
                let answered = node.ping_peer(&peer.name, 0).await.is_ok();
                (now() - asked, answered)
            });
        }
    }
    let answers = asked.join_all().await;
    let unanswered = answers.iter().filter(|(_, answered)| !answered).count();
    pings(answers.into_iter().map(|(time, _)| time).collect(), unanswered as u64)
}

/// Takes the Messages of a flood.
pub(super) async fn sink(context: &RoleContext, mut work: Work) -> Result<(), RoleError> {
    let mut ages = Ages::new(work.size(), work.settle, work.time);
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            came = context.receive_many(&mut batch) => {
                if !came {
                    return Ok(());
                }
            }
            said = work.lines.changed() => {
                if said.is_err() {
                    return Ok(());
                }
                let mut report = account_of_receiver(&context.host.status(), &context.name);
                merge(&mut report, ages.report());
                say(&report.to_string());
            }
        }
        for message in batch.drain(..) {
            ages.take(message.bytes().unwrap_or_default(), now());
        }
    }
}

/// What became of the Messages that a Node sent: handed to a session, dropped by reason, or waiting.
fn account_of_sender(status: &NodeStatus) -> Value {
    let sum = |count: fn(&PeerStatus) -> u64| status.peers.iter().map(count).sum::<u64>();
    let mut dropped = serde_json::Map::new();
    for (reason, count) in status.peers.iter().flat_map(|peer| &peer.dropped) {
        let before = dropped.get(reason).and_then(Value::as_u64).unwrap_or(0);
        dropped.insert(reason.clone(), Value::from(before + count));
    }
    json!({
        "handed": sum(|peer| peer.sent),
        "queued": sum(|peer| peer.queue_length as u64),
        "dropped": dropped,
        "sessions": sum(|peer| peer.sessions),
    })
}

/// What became of the Messages that came to a Node: what is not dropped reaches this Role.
fn account_of_receiver(status: &NodeStatus, role: &str) -> Value {
    let mut dropped: serde_json::Map<_, _> = status
        .refused
        .iter()
        .map(|(reason, count)| (reason.clone(), Value::from(*count)))
        .collect();
    let of_role = status.roles.iter().find(|known| known.name == role);
    dropped.insert("role_queue_full".to_owned(), of_role.map_or(0, |role| role.dropped).into());
    let sum = |count: fn(&PeerStatus) -> u64| status.peers.iter().map(count).sum::<u64>();
    json!({
        "came": sum(|peer| peer.received),
        "dropped": dropped,
        "sessions": sum(|peer| peer.sessions),
    })
}

/// Adds the fields of another object.
fn merge(report: &mut Value, more: Value) {
    if let (Value::Object(report), Value::Object(more)) = (report, more) {
        report.extend(more);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use kozo::status::RoleStatus;

    use super::*;

    fn peer(sent: u64, dropped: &[(&str, u64)]) -> PeerStatus {
        let dropped = dropped.iter().map(|(reason, count)| ((*reason).to_owned(), *count));
        PeerStatus {
            sent,
            received: 7,
            sessions: 1,
            dropped: dropped.collect(),
            ..PeerStatus::default()
        }
    }

    #[test]
    fn drops_are_counted_by_reason_over_all_peers() {
        let peers =
            vec![peer(10, &[("queue_full", 3), ("lost", 1)]), peer(20, &[("queue_full", 4)])];
        let mut report = account_of_sender(&NodeStatus { peers, ..NodeStatus::default() });
        merge(&mut report, json!({"sent": 37}));
        let dropped = json!({"queue_full": 7, "lost": 1});
        let expected =
            json!({"handed": 30, "queued": 0, "dropped": dropped, "sessions": 2, "sent": 37});
        assert_eq!(report, expected);
    }

    #[test]
    fn a_receiver_names_what_did_not_reach_its_role() {
        let role = |name: &str, dropped| RoleStatus {
            name: name.to_owned(),
            dropped,
            ..RoleStatus::default()
        };
        let status = NodeStatus {
            refused: [("duplicate".to_owned(), 2)].into(),
            roles: vec![role("other", 5), role("bench_sink", 3)],
            peers: vec![peer(0, &[])],
            ..NodeStatus::default()
        };
        let report = account_of_receiver(&status, "bench_sink");
        assert_eq!(report["dropped"], json!({"duplicate": 2, "role_queue_full": 3}));
        assert_eq!(report["came"], 7);
    }
}
