//! What a Node says about itself: plain data, made by the daemon and shown by every client.
//!
//! Fields are only ever added, and one that an older daemon does not know is read as empty. Times are microseconds since the Unix epoch, durations microseconds.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::ConnectPolicy;

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $state:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$about])* #[serde(rename = $text)] $state,)*
            /// None of these: another version of the daemon may have more states.
            #[default]
            #[serde(rename = "unknown", other)]
            Unknown,
        }

        impl $name {
            /// All states.
            pub const ALL: &[$name] = &[$($name::$state),*];

            /// Its name, for people and in all interfaces.
            pub fn name(self) -> &'static str {
                match self {
                    $($name::$state => $text,)*
                    $name::Unknown => "unknown",
                }
            }

            /// The state of this name, if there is one.
            pub fn from_name(name: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|state| state.name() == name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

states! {
    /// What a Role does.
    RoleState {
        /// It is about to run, or its program has been started and is not ready yet.
        Starting = "starting",
        /// It runs.
        Running = "running",
        /// It failed, and is started again after a pause.
        Failed = "failed",
        /// It came to its end by itself.
        Finished = "finished",
        /// It was stopped.
        Stopped = "stopped",
    }
}

states! {
    /// What a Transport does.
    TransportState {
        /// Its program has been started and is not ready yet.
        Starting = "starting",
        /// It can be used.
        Running = "running",
        /// It failed, and is started again after a pause.
        Failed = "failed",
        /// It does nothing: it was not needed yet, or was stopped.
        Stopped = "stopped",
    }
}

states! {
    /// What a link is to people: this stays the same however often a Peer that is away is tried.
    LinkState {
        /// This side does not connect, see [`LinkSubState::Disabled`].
        Disabled = "disabled",
        /// Nothing to send, and only that would be a reason to connect.
        Idle = "idle",
        /// The Peer is away, and is tried again and again.
        Down = "down",
        /// A session is in use.
        Up = "up",
    }
}

states! {
    /// What a link is doing, in detail.
    LinkSubState {
        /// This side does not connect: by policy, because it was asked not to, or because the Node stops.
        Disabled = "disabled",
        /// Nothing to send, and only that would be a reason to connect.
        Idle = "idle",
        /// An attempt is under way, or a session waits for the decider.
        Connecting = "connecting",
        /// A session is in use.
        Up = "up",
        /// The next attempt is due later.
        Waiting = "waiting",
    }
}

impl LinkSubState {
    /// What people take the link for in this state, when they took it for `before` until now. An attempt
    /// changes nothing until it has succeeded or failed.
    pub fn link_state(self, before: LinkState) -> LinkState {
        match self {
            LinkSubState::Disabled => LinkState::Disabled,
            LinkSubState::Idle => LinkState::Idle,
            LinkSubState::Connecting if before != LinkState::Up => before,
            LinkSubState::Connecting | LinkSubState::Waiting => LinkState::Down,
            LinkSubState::Up => LinkState::Up,
            LinkSubState::Unknown => before,
        }
    }
}

/// A policy as a Node states it. None if it has one that is unknown here, as another version of the daemon may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkPolicy(pub Option<ConnectPolicy>);

impl LinkPolicy {
    /// Its name, for people and in all interfaces.
    pub fn name(self) -> &'static str {
        self.0.map_or("unknown", ConnectPolicy::name)
    }
}

impl From<ConnectPolicy> for LinkPolicy {
    fn from(policy: ConnectPolicy) -> Self {
        LinkPolicy(Some(policy))
    }
}

impl fmt::Display for LinkPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for LinkPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for LinkPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(LinkPolicy(ConnectPolicy::from_name(&name)))
    }
}

/// Which side opened a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// This one.
    Out,
    /// The Peer.
    In,
}

impl Direction {
    /// Its name, as it is in JSON and on D-Bus.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Out => "out",
            Direction::In => "in",
        }
    }
}

/// Microseconds since the Unix epoch; 0 of a time before it.
pub fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// A Node at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Version of the daemon.
    pub version: String,
    /// Random number of this run of the daemon. In JSON a text: many programs round numbers beyond 2^53.
    #[serde(with = "crate::value::json::as_text")]
    pub boot: u64,
    /// When this run began, in microseconds since the Unix epoch.
    pub started: u64,
    /// Messages its Roles sent.
    pub sent: u64,
    /// Messages refused or dropped by the Node itself, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Its Roles, in the order of the configuration.
    pub roles: Vec<RoleStatus>,
    /// Its Transports, in the order of the configuration.
    pub transports: Vec<TransportStatus>,
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
    /// What it does.
    pub state: RoleState,
    /// What it says of itself, while it runs.
    pub status: Option<String>,
    /// What keeps it from doing all of its job now, while it runs: a disk that is full.
    pub problem: Option<String>,
    /// Why it failed last, if it did.
    pub last_error: Option<String>,
    /// How often it was started again after failing.
    pub restarts: u64,
    /// The program that it runs, if it runs one now; of several, the one that has run longest.
    pub process: Option<ProcessStatus>,
    /// How its last program ended, if one did: "exited with code 3".
    pub last_exit: Option<String>,
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

/// A Transport of this Node at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TransportStatus {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub transport_type: String,
    /// What it does.
    pub state: TransportState,
    /// Where it accepts streams, for people.
    pub address: Option<String>,
    /// What it says of itself, while it runs.
    pub status: Option<String>,
    /// Why it failed last, if it did.
    pub last_error: Option<String>,
    /// How often it was started again after failing.
    pub restarts: u64,
    /// The process id of its program, if it is one and runs now.
    pub process: Option<u32>,
}

/// A program of a Role at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessStatus {
    /// Its process id.
    pub pid: u32,
    /// Memory that it has resident, in bytes, without that of its children.
    pub memory: u64,
    /// Processor time that it has used, in microseconds, without that of its children.
    pub cpu_time: u64,
}

/// A Peer, and this Node's link to it, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PeerStatus {
    /// Its name.
    pub name: String,
    /// What the link is to people.
    pub state: LinkState,
    /// What the link is doing, in detail.
    pub sub_state: LinkSubState,
    /// When the link entered `state`, in microseconds since the Unix epoch, however often it was tried since.
    pub since: u64,
    /// Policy for Messages from here to there.
    pub policy_out: LinkPolicy,
    /// Policy for Messages from there to here.
    pub policy_in: LinkPolicy,
    /// Type of the Transport that carries the link now.
    pub transport: Option<String>,
    /// Where the session goes to or comes from.
    pub address: Option<String>,
    /// Which side opened the session.
    pub direction: Option<Direction>,
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn states_have_one_name_everywhere() {
        for state in RoleState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
            assert_eq!(serde_json::from_value::<RoleState>(state.name().into()).unwrap(), *state);
            assert_eq!(RoleState::from_name(state.name()), Some(*state));
        }
        assert_eq!(RoleState::from_name("unknown"), None);
        for state in TransportState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
    }

    #[test]
    fn policies_have_one_name_everywhere() {
        for policy in ConnectPolicy::ALL {
            let stated = LinkPolicy::from(policy);
            assert_eq!(serde_json::to_value(stated).unwrap(), policy.name());
            assert_eq!(serde_json::from_value::<LinkPolicy>(policy.name().into()).unwrap(), stated);
        }
        assert_eq!(LinkPolicy::default().to_string(), "unknown");
    }

    #[test]
    fn what_another_version_says_can_be_read() {
        let status: PeerStatus = serde_json::from_str(
            r#"{"name": "scribe", "state": "asleep", "policy_in": "at night", "more": 1}"#,
        )
        .unwrap();
        let wanted = PeerStatus { name: "scribe".to_owned(), ..PeerStatus::default() };
        assert_eq!(status, wanted);
        assert_eq!(status.state, LinkState::Unknown);
    }
}
