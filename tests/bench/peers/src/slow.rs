//! The flood through a slow line: how old messages are when they come, and how long a ping takes meanwhile, on
//! the same connection. Each system has an end for the sender and one for the receiver here.

use crate::figures::{Ages, Pace, pings, stamp, stamped};
use crate::link::{Options, Role, now_ns};
use crate::{linger, mqtt, nats, say, wait_for_go, zenoh};
use anyhow::{Result, bail};
use std::future::Future;
use std::io::BufRead;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a receiver's callback gets: the subject and the payload.
pub const DATA: &str = "data";
pub const PING: &str = "ping";
pub const PONG: &str = "pong";

/// Between two pings.
const EVERY: Duration = Duration::from_millis(250);

/// How long the pings that were not answered in the time measured may still be.
const GRACE: Duration = Duration::from_secs(5);

/// The sender's end.
pub trait Flood: Clone + Send + 'static {
    /// Sends a message of the flood, and waits where the client has no room and does not drop.
    fn data(&self, m: Vec<u8>) -> impl Future<Output = Result<()>> + Send;

    /// Sends a ping, before everything else where the system can do that.
    fn ping(&self, m: Vec<u8>) -> impl Future<Output = Result<()>> + Send;
}

pub async fn play(o: &Options) -> Result<()> {
    if o.role == Role::Sink {
        let ages = Ages::new(o.size, Duration::from_secs_f64(o.settle), Duration::from_secs_f64(o.time));
        let seen = Arc::new(Mutex::new(ages));
        let report = Arc::clone(&seen);
        std::thread::spawn(move || {
            for _ in std::io::stdin().lock().lines() {
                say(&report.lock().unwrap().report().to_string());
            }
            std::process::exit(0);
        });
        let take = move |m: &[u8]| seen.lock().unwrap().take(m, now_ns());
        return match o.system.as_str() {
            "mqtt" => mqtt::sink(o, take).await,
            "nats" => nats::sink(o, take).await,
            "zenoh" => zenoh::sink(o, take).await,
            s => bail!("{s} has no sink"),
        };
    }
    let pongs = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&pongs);
    let pong = move |m: &[u8]| {
        if let Some((number, made)) = stamp(m) {
            heard.lock().unwrap().push((number, now_ns().saturating_sub(made)));
        }
    };
    match o.system.as_str() {
        "mqtt" => flood(mqtt::flood(o, pong).await?, o, pongs).await,
        "nats" => flood(nats::flood(o, pong).await?, o, pongs).await,
        "zenoh" => flood(zenoh::flood(o, pong).await?, o, pongs).await,
        s => bail!("{s} has no flood"),
    }
}

type Pongs = Arc<Mutex<Vec<(u64, u64)>>>;

async fn flood<F: Flood>(f: F, o: &Options, pongs: Pongs) -> Result<()> {
    say("READY");
    tokio::task::spawn_blocking(wait_for_go).await?;
    let start = now_ns();
    let end = start + ((o.settle + o.time) * 1e9) as u64;
    let pinging = tokio::spawn(ping(f.clone(), o.settle, end, o.size));
    let mut sent = 0u64;
    let mut pace = Pace::new(o.pace, start);
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while now_ns() < end {
        ticks.tick().await;
        for _ in 0..pace.due(now_ns()) {
            // Made right before the call: while a call waits, no message grows old.
            f.data(stamped(sent, now_ns(), o.size)).await?;
            sent += 1;
        }
    }
    let stopped = now_ns();
    let asked = pinging.await??;
    let deadline = now_ns() + GRACE.as_nanos() as u64;
    while pongs.lock().unwrap().len() < asked.len() && now_ns() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut times = pongs.lock().unwrap().clone();
    let answered: Vec<u64> = times.iter().map(|(number, _)| *number).collect();
    let unanswered: Vec<_> = asked.iter().filter(|(number, _)| !answered.contains(number)).collect();
    // They take at least as long as they have taken already.
    times.extend(unanswered.iter().map(|(number, made)| (*number, now_ns() - made)));
    let mut result = pings(times.into_iter().map(|(_, time)| time).collect(), unanswered.len() as u64);
    result["sent"] = sent.into();
    result["start_ns"] = start.into();
    result["end_ns"] = stopped.into();
    say(&result.to_string());
    tokio::task::spawn_blocking(|| linger()).await?
}

/// Pings at a constant pace, whether the one before has been answered or not: their numbers, and when they were made.
async fn ping<F: Flood>(f: F, settle: f64, end: u64, size: usize) -> Result<Vec<(u64, u64)>> {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + Duration::from_secs_f64(settle), EVERY);
    let mut asked = Vec::new();
    while {
        ticks.tick().await;
        now_ns() < end
    } {
        let number = asked.len() as u64;
        let m = stamped(number, now_ns(), size);
        asked.push(stamp(&m).unwrap());
        f.ping(m).await?;
    }
    Ok(asked)
}
