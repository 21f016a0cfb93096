//! What a Node says about itself: plain data, made by the daemon and shown by every client.
//!
//! Fields are only ever added, and one that an older daemon does not know is read as empty. Times are seconds since the Unix epoch, durations microseconds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A Node at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Version of the daemon.
    pub version: String,
    /// Random number of this run of the daemon.
    pub boot: u64,
    /// When this run began, in seconds since the Unix epoch.
    pub started: u64,
    /// Messages its Roles sent.
    pub sent: u64,
    /// Messages refused or dropped by the Node itself, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Its Roles, in the order of the configuration.
    pub roles: Vec<RoleStatus>,
    /// The other Nodes of the System, in the order of the configuration.
    pub peers: Vec<PeerStatus>,
}

/// A Role at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoleStatus {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub role_type: String,
    /// What it is for, as the configuration says.
    pub description: Option<String>,
    /// `starting`, `running`, `failed` (to be started again), `finished` or `stopped`.
    pub state: String,
    /// What keeps it from doing all of its job now, while it runs: a disk that is full.
    pub problem: Option<String>,
    /// Why it failed last, if it did.
    pub last_error: Option<String>,
    /// How often it was started again after failing.
    pub restarts: u64,
    /// Messages it sent.
    pub sent: u64,
    /// Messages put into its queue.
    pub received: u64,
    /// Messages dropped from its queue.
    pub dropped: u64,
    /// Messages in its queue now.
    pub queue_length: usize,
    /// Bytes in its queue now.
    pub queue_size: usize,
}

/// A Peer, and this Node's link to it, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PeerStatus {
    /// Its name.
    pub name: String,
    /// `disabled`, `idle`, `down` or `up`.
    pub state: String,
    /// What the link is doing, in detail: `disabled`, `idle`, `connecting`, `waiting` (for the next attempt)
    /// or `up`.
    pub sub_state: String,
    /// When the link entered `state`, in seconds since the Unix epoch, however often it was tried since.
    pub since: u64,
    /// Policy for Messages from here to there.
    pub policy_out: String,
    /// Policy for Messages from there to here.
    pub policy_in: String,
    /// Type of the Transport that carries the link now.
    pub transport: Option<String>,
    /// Where the session goes to or comes from.
    pub address: Option<String>,
    /// Why the link is not up, or went down last.
    pub last_error: Option<String>,
    /// Last measured round-trip time, in microseconds.
    pub round_trip_time: Option<u64>,
    /// Bytes a second that the line to it carries, as far as it was made to: measured under load, and kept until
    /// there is load again; 0 if it was never measured.
    pub rate: u64,
    /// Bytes that were written for it and that it has not acknowledged.
    pub backlog: u64,
    /// How old a Message was when the Peer had it, in microseconds, as last measured; 0 if it never was.
    pub age: u64,
    /// How far the Peer's clock is ahead of ours, in microseconds, as last measured.
    pub clock_skew: Option<i64>,
    /// Sessions that came up so far.
    pub sessions: u64,
    /// Messages handed to a session.
    pub sent: u64,
    /// Messages that came from it.
    pub received: u64,
    /// Messages for it that were dropped here, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Messages in its outgoing queue now.
    pub queue_length: usize,
    /// Bytes in its outgoing queue now.
    pub queue_size: usize,
}
