//! The flood through a slow line: how old messages are when they come, and how long a ping takes meanwhile, on
//! the same connection. Each system has an end for the sender and one for the receiver here.

use crate::link::{Options, Role, now_ns};
use crate::{linger, mqtt, nats, say, wait_for_go, zenoh};
use anyhow::{Result, bail};
use serde_json::{Value, json};
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
        let seen = Arc::new(Mutex::new(Seen::new(o)));
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
        if let Some((number, made)) = read(m) {
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
    let mut due_before = 0;
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while now_ns() < end {
        ticks.tick().await;
        let due = ((now_ns() - start) as u128 * o.pace as u128 / 1_000_000_000) as u64;
        // What is more than a twentieth of a second late is left out: a flood has no need to catch up.
        for _ in 0..(due - due_before).min(o.pace / 20 + 1) {
            // Made right before the call: while a call waits, no message grows old.
            f.data(stamped(sent, o.size)).await?;
            sent += 1;
        }
        due_before = due;
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
    let mut times: Vec<u64> = times.into_iter().map(|(_, time)| time).collect();
    times.sort_unstable();
    say(&json!({"sent": sent, "start_ns": start, "end_ns": stopped,
        "pings": times.len(), "ping_unanswered": unanswered.len(), "ping_p50_ms": quantile(&times, 0.5),
        "ping_p99_ms": quantile(&times, 0.99), "ping_max_ms": quantile(&times, 1.0)})
    .to_string());
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
        let m = stamped(number, size);
        asked.push(read(&m).unwrap());
        f.ping(m).await?;
    }
    Ok(asked)
}

/// What the receiver has seen.
struct Seen {
    size: usize,
    settle: u64,
    time: u64,
    first: Option<u64>,
    received: u64,
    highest: Option<u64>,
    out_of_order: u64,
    wrong_size: u64,
    ages: Vec<u64>,
}

impl Seen {
    fn new(o: &Options) -> Seen {
        let ns = |seconds: f64| (seconds * 1e9) as u64;
        Seen {
            size: o.size,
            settle: ns(o.settle),
            time: ns(o.time),
            first: None,
            received: 0,
            highest: None,
            out_of_order: 0,
            wrong_size: 0,
            ages: Vec::new(),
        }
    }

    fn take(&mut self, m: &[u8], came: u64) {
        let Some((number, made)) = read(m).filter(|_| m.len() == self.size) else {
            self.wrong_size += 1;
            return;
        };
        self.received += 1;
        self.out_of_order += u64::from(self.highest.is_some_and(|highest| number <= highest));
        self.highest = self.highest.max(Some(number));
        let since = came - *self.first.get_or_insert(came);
        if since >= self.settle && since < self.settle + self.time {
            self.ages.push(came.saturating_sub(made));
        }
    }

    fn report(&self) -> Value {
        let mut ages = self.ages.clone();
        ages.sort_unstable();
        json!({"received": self.received, "highest": self.highest, "out_of_order": self.out_of_order,
            "wrong_size": self.wrong_size, "counted": ages.len(), "age_p50_ms": quantile(&ages, 0.5),
            "age_p99_ms": quantile(&ages, 0.99), "age_max_ms": quantile(&ages, 1.0)})
    }
}

/// A fresh payload: its number, when it was made, and zeros.
fn stamped(number: u64, size: usize) -> Vec<u8> {
    let mut m = crate::message(number, size);
    m[8..16].copy_from_slice(&now_ns().to_le_bytes());
    m
}

fn read(m: &[u8]) -> Option<(u64, u64)> {
    let at = |range| m.get(range).map(|bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap()));
    Some((at(0..8)?, at(8..16)?))
}

/// In milliseconds.
fn quantile(sorted: &[u64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    Some(sorted[(last as f64 * q).round() as usize] as f64 / 1e6)
}
