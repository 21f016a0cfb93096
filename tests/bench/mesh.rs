//! What a mesh costs as it grows: Nodes in one process, each linked with each other by real SSH sessions
//! over streams in memory. Says how long it takes until all links are up, how much memory a link takes
//! (both of its ends), and how busy the process is when nobody sends anything.
//!
//! `cargo bench --bench mesh [-- NODES…]`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../kit/mod.rs"]
mod kit;

use std::time::{Duration, Instant};

use kit::memory::Network;
use kit::{Plan, TestSystem};
use kozo::role::Host as _;
use kozo::status::LinkState;

/// Sizes that are measured when none are named.
const NODES: [usize; 4] = [2, 10, 50, 200];

/// How long the idle mesh is watched: twice the interval of heartbeats.
const IDLE: Duration = Duration::from_secs(20);

/// Bytes of memory that the process has now.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Processor time that the process has used.
fn busy() -> Duration {
    let clock = nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID;
    nix::time::clock_gettime(clock).unwrap().into()
}

async fn measure(count: usize) {
    let names: Vec<_> = (0..count).map(|number| format!("node{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let plan = Plan { roles: |_| &[], ..Plan::default() };
    let system = TestSystem::new(Network::new(), &names, plan);
    let (before, began, used) = (memory(), Instant::now(), busy());
    let mut nodes = Vec::new();
    for name in &names {
        nodes.push(system.start(name).await);
    }
    for node in &nodes {
        let up = |node: &kit::Running| {
            node.node.status().peers.iter().all(|peer| peer.state == LinkState::Up)
        };
        node.until("joined with all", up).await;
    }
    let (joined, joining) = (began.elapsed(), busy() - used);
    let links = count * (count - 1) / 2;
    let per_link = (memory() - before) as f64 / links as f64 / 1000.0;
    let used = busy();
    tokio::time::sleep(IDLE).await;
    let idle = (busy() - used).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    println!(
        "{count:5} {links:6} {:10.3} {:10.3} {per_link:12.1} {idle:8.3} {:12.4}",
        joined.as_secs_f64(),
        joining.as_secs_f64() * 1000.0 / links as f64,
        // Two ends.
        idle / (2 * links) as f64 * 200.0,
    );
    for node in &nodes {
        node.node.stop().await;
    }
}

fn main() {
    let arguments: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    if let [count] = arguments[..] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(measure(count));
    }
    let sizes = if arguments.is_empty() { NODES.to_vec() } else { arguments };
    println!("nodes  links   joined s  ms a link  kB of a link   idle %  200 links' %");
    let this = std::env::current_exe().unwrap();
    for count in sizes {
        // In a process of its own: what one has freed is not there for the next one.
        let mut measuring = std::process::Command::new(&this);
        assert!(measuring.arg(count.to_string()).status().unwrap().success());
    }
}
