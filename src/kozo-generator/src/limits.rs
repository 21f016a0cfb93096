//! What a Node may take of the machine: what its configuration lets it hold, and some more. It never gets there
//! unless something is wrong with it, or it is attacked; then it is ended, and started again.

use kozo_core::config::{Limits, NodeConfig, System};
use kozo_core::message::MAX_MESSAGE;
use kozo_core::types::BLOCKING_THREADS;

const MIB: u64 = 1024 * 1024;

/// Bytes of the program itself, of whoever has not yet said who they are, and of clients: half of it would be for
/// thirty who watch Messages and do not keep up.
const BASE: u64 = 256 * MIB;

/// Bytes for each Peer besides what waits for it and what comes from it: its sessions, their buffers.
const PEER: u64 = MIB;

/// Bytes for each Role besides what waits for it: what it is at work on, a logger's lines above all.
const ROLE: u64 = 8 * MIB;

/// Bytes for each Role or Transport that runs programs: as many as one process of a program may have, unless its options say.
pub(super) const PROGRAM: u64 = 512 * MIB;

/// Processes and threads of programs. They are held back at about half of it, by a limit that the Node itself does not
/// have (`kozo::process::limits`).
const PROGRAM_TASKS: usize = 1024;

/// Bytes of a Message beside its data: its head, its place in the queue.
const MESSAGE: u64 = 256;

/// File descriptors of the Node itself, of strangers and of clients; for each Peer (sessions, attempts); and
/// for each Role (its files, its clients).
const FILES: [u64; 3] = [1024, 16, 96];

/// Threads besides those for what blocks.
const THREADS: usize = 16;

/// The limits of a Node whose programs may have so many bytes, a number for each Role or Transport that runs some, as lines of the
/// section `[Service]`.
pub(super) fn of_node(node: &NodeConfig, system: &System, programs: &[u64]) -> String {
    let peers = count(system.nodes.len().saturating_sub(1));
    let outgoing = node.options.outgoing_queue;
    // What comes from a Peer is at most one Message that some queue could take.
    let queues = node.roles.iter().map(|role| role.queue).chain([outgoing]);
    let largest = queues.map(|queue| count(queue.size)).max().unwrap_or(0).min(count(MAX_MESSAGE));
    let of_peers = peers.saturating_mul(held(outgoing).saturating_add(largest + PEER));
    let of_roles = node.roles.iter().map(|role| held(role.queue).saturating_add(ROLE));
    let high = of_roles.fold(BASE.saturating_add(of_peers), u64::saturating_add);
    let high = programs.iter().copied().fold(high, u64::saturating_add);
    let max = high.saturating_add(high / 4);
    let [files, of_peer, of_role] = FILES;
    let files = files + of_peer * peers + of_role * count(node.roles.len());
    let tasks = BLOCKING_THREADS + THREADS + if !programs.is_empty() { PROGRAM_TASKS } else { 0 };
    format!("MemoryHigh={high}\nMemoryMax={max}\nTasksMax={tasks}\nLimitNOFILE={files}\n")
}

/// Bytes that a queue may hold.
fn held(queue: Limits) -> u64 {
    count(queue.size).saturating_add(count(queue.length).saturating_mul(MESSAGE))
}

/// As a number of the same kind as all others here.
pub(super) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
