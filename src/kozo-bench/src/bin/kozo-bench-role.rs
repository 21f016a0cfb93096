//! `kozo-bench-role`: one process of a benchmark between programs that are Roles, on the crate `kozo-role`.
//!
//! It attaches itself to a Node that runs already, and plays the parts of `kozo-bench` of the same names, with the same words on
//! standard input and output (`tests/bench/kozo-role.json`).

use std::io::{self, BufRead as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use kozo_bench::figures::{WARM_UP, number, payload, round_trips};
use kozo_bench::tally::{OVER, Tally, heard, now};
use kozo_role::serde_json::json;
use kozo_role::{Description, Draft, Failure, Message, Pattern, Role, Setting};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// The part, and how much of it.
#[derive(Deserialize)]
struct Options {
    part: Part,
    size: usize,
    count: u64,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    Recv,
    Send,
    Echo,
    Ping,
    Drip,
    Watch,
}

impl Part {
    const NAMES: [&str; 6] = ["recv", "send", "echo", "ping", "drip", "watch"];

    /// The type of the Events that it wants.
    fn wants(self) -> Option<&'static str> {
        match self {
            Part::Recv | Part::Watch => Some("data"),
            Part::Echo => Some("ping"),
            Part::Ping => Some("pong"),
            Part::Send | Part::Drip => None,
        }
    }
}

fn main() -> ExitCode {
    let part = Description::new("Plays a part in a benchmark.")
        .option("part", Setting::choice("The part.", &Part::NAMES))
        .option("size", Setting::integer("Bytes of each Message.").default(64).min(8))
        .option("count", Setting::integer("Messages, or round trips.").default(20_000));
    Role::describe(part).says_ready().run(async |role| {
        let Options { part, size, count } = role.options()?;
        let begin = listen_to_stdin()?;
        if let Some(wanted) = part.wants() {
            role.interest(&[Pattern::event(wanted)]).await?;
        }
        role.ready().await?;
        // What the Node answers comes after it has read all of that.
        role.send_confirmed(Draft::event("ready")).await?;
        say("READY");
        match part {
            Part::Recv => recv(&role, count, size).await,
            Part::Send => send(&role, begin, count, size).await?,
            Part::Echo => echo(&role).await?,
            Part::Ping => ping(&role, begin, count, size).await?,
            Part::Drip => drip(&role, size).await?,
            Part::Watch => watch_pauses(&role).await?,
        }
        // The end of standard input ends the process.
        std::future::pending().await
    })
}

/// Counts the lines on standard input, and ends the process when it is closed.
fn listen_to_stdin() -> io::Result<watch::Receiver<u64>> {
    let (said, lines) = watch::channel(0);
    let listen = move || {
        let mut stdin = io::stdin().lock();
        // What cannot be read has ended.
        while stdin.skip_until(b'\n').unwrap_or(0) > 0 {
            said.send_modify(|lines| *lines += 1);
        }
        std::process::exit(0);
    };
    std::thread::Builder::new().name("stdin".to_owned()).spawn(listen)?;
    Ok(lines)
}

/// Writes a line to standard output. When that is closed, the process is about to end.
fn say(line: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

async fn recv(role: &Role, count: u64, size: usize) {
    let mut tally = Tally::new(count, size);
    while !tally.is_complete() {
        // A timer for each Message would be most of its cost.
        let message = match role.try_receive() {
            Some(message) => Some(message),
            None if tally.has_begun() => timeout(OVER, role.receive()).await.unwrap_or(None),
            None => role.receive().await,
        };
        let Some(message) = message else { break };
        tally.take(&message.bytes().unwrap_or_default());
    }
    say(&tally.report().to_string());
}

async fn send(
    role: &Role,
    mut begin: watch::Receiver<u64>,
    count: u64,
    size: usize,
) -> Result<(), Failure> {
    begin.wait_for(|lines| *lines > 0).await?;
    let start = now();
    for number in 0..count {
        role.send(Draft::event("data").bytes(&payload(number, size))).await?;
    }
    role.send_confirmed(Draft::event("sent")).await?;
    say(&json!({"sent": count, "start_ns": start, "end_ns": now()}).to_string());
    Ok(())
}

async fn echo(role: &Role) -> Result<(), Failure> {
    while let Some(message) = role.receive().await {
        role.send(Draft::event("pong").data_of(&message)).await?;
    }
    Ok(())
}

async fn ping(
    role: &Role,
    mut begin: watch::Receiver<u64>,
    count: u64,
    size: usize,
) -> Result<(), Failure> {
    begin.wait_for(|lines| *lines > 0).await?;
    let mut times = Vec::new();
    for ordinal in 0..WARM_UP + count {
        let payload = payload(ordinal, size);
        let start = now();
        role.send(Draft::event("ping").bytes(&payload)).await?;
        let answer = role.receive().await.ok_or("the Node stops")?;
        let time = now() - start;
        if answer.bytes().as_deref() != Some(&payload) {
            return Err(format!("wrong answer in round {ordinal}").into());
        }
        if ordinal >= WARM_UP {
            times.push(time);
        }
    }
    say(&round_trips(times).to_string());
    Ok(())
}

async fn drip(role: &Role, size: usize) -> Result<(), Failure> {
    let mut ticks = interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0.. {
        ticks.tick().await;
        role.send(Draft::event("data").bytes(&payload(number, size))).await?;
    }
    Ok(())
}

async fn watch_pauses(role: &Role) -> Result<(), Failure> {
    let is_numbered =
        |message: &Message| message.bytes().is_some_and(|bytes| number(&bytes).is_some());
    let mut last = None;
    while let Some(message) = role.receive().await {
        if !is_numbered(&message) {
            return Err("a message without a number came".into());
        }
        heard(&mut last, now()).iter().for_each(|line| say(line));
    }
    Ok(())
}
