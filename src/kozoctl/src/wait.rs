//! `kozoctl wait`: returns when Peers and Roles are in the states asked for.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use kozo_client::status::{LinkState, NodeStatus, RoleState};
use kozo_client::{Client, Error};
use serde_json::json;
use tokio::time::timeout;

use crate::failure::{Exit, Failure};
use crate::output::{Output, progress};
use crate::view;

/// States of a Peer.
pub(crate) fn peer_states() -> Vec<&'static str> {
    LinkState::ALL.iter().map(|state| state.name()).collect()
}

/// States of a Role.
pub(crate) fn role_states() -> Vec<&'static str> {
    RoleState::ALL.iter().map(|state| state.name()).collect()
}

/// What is waited for: that a Peer or Role is in a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    subject: Subject,
    name: String,
    state: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Peer,
    Role,
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Condition, String> {
        let (subject, states, usual, rest) =
            match (text.strip_prefix("peer="), text.strip_prefix("role=")) {
                (Some(rest), _) => (Subject::Peer, peer_states(), LinkState::Up.name(), rest),
                (_, Some(rest)) => (Subject::Role, role_states(), RoleState::Running.name(), rest),
                _ => return Err("expected peer=NAME[:STATE] or role=NAME[:STATE]".to_owned()),
            };
        // The name of a Role may have a colon in it.
        let (name, state) = rest.rsplit_once(':').unwrap_or((rest, usual));
        if name.is_empty() {
            return Err("the name is missing".to_owned());
        }
        match states.iter().find(|known| **known == state) {
            Some(state) => Ok(Condition { subject, name: name.to_owned(), state }),
            None => Err(format!("unknown state '{state}': use one of {}", states.join(", "))),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = match self.subject {
            Subject::Peer => "peer",
            Subject::Role => "role",
        };
        write!(f, "{subject}={}:{}", self.name, self.state)
    }
}

impl Condition {
    /// The state that there is now; none of a Role that is not there, as a program may yet attach itself.
    fn state(&self, node: &NodeStatus) -> Result<Option<&'static str>, Failure> {
        let name = &self.name;
        match self.subject {
            Subject::Peer => {
                let peer = node.peers.iter().find(|peer| peer.name == *name);
                Ok(Some(peer.ok_or_else(|| view::no_peer(name, node))?.state.name()))
            }
            Subject::Role => {
                let role = node.roles.iter().find(|role| role.name == *name);
                Ok(role.map(|role| role.state.name()))
            }
        }
    }
}

/// What is said of a Role that is not there: it may yet come, or its name is wrong.
fn absent(node: &NodeStatus) -> String {
    let names: Vec<_> = node.roles.iter().map(|role| &*role.name).collect();
    match names.is_empty() {
        true => "no such Role yet, nor any other".to_owned(),
        false => format!("no such Role yet; there are: {}", names.join(", ")),
    }
}

/// What is not so yet.
struct Missing {
    condition: Condition,
    /// The state there is instead, if that is known.
    state: Option<&'static str>,
    /// What there is to say of it for people.
    now: Option<String>,
}

impl Missing {
    fn json(&self) -> serde_json::Value {
        json!({ "condition": self.condition.to_string(), "state": self.state })
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.now {
            Some(now) => write!(f, "{} ({now})", self.condition),
            None => self.condition.fmt(f),
        }
    }
}

/// Waits until all of it is so at one moment.
///
/// # Errors
/// When it takes too long, there is no such Peer, or the Node stops.
pub(crate) async fn run(
    client: &Client,
    conditions: &[Condition],
    limit: Duration,
    output: Output,
) -> Result<(), Failure> {
    let mut missing: Vec<Missing> = Vec::new();
    let result = timeout(limit, until(client, conditions, &mut missing)).await;
    if output.json {
        let names: Vec<_> = conditions.iter().map(Condition::to_string).collect();
        match &result {
            Ok(Ok(())) => output.json(&json!({ "conditions": names, "missing": [] }))?,
            Ok(Err(_)) => {}
            Err(_) => {
                let missing: Vec<_> = missing.iter().map(Missing::json).collect();
                output.json(&json!({ "conditions": names, "missing": missing }))?;
            }
        }
    }
    match result {
        Ok(result) => result,
        Err(_) => {
            let limit = kozo_core::config::show_duration(limit);
            let told = format!("timed out after {limit}, still waiting for {}", listed(&missing));
            Err(Failure::new(Exit::TimedOut, told))
        }
    }
}

fn listed(missing: &[Missing]) -> String {
    missing.iter().map(Missing::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns when nothing is `missing` any more.
async fn until(
    client: &Client,
    conditions: &[Condition],
    missing: &mut Vec<Missing>,
) -> Result<(), Failure> {
    let unseen =
        |condition: &Condition| Missing { condition: condition.clone(), state: None, now: None };
    *missing = conditions.iter().map(unseen).collect();
    // Before looking for the first time, so that nothing happens in between unseen.
    let mut changes = client.changes().await?;
    let mut told = String::new();
    loop {
        let node = client.describe().await?;
        let mut now = Vec::new();
        for condition in conditions {
            let state = condition.state(&node)?;
            if state != Some(condition.state) {
                let told = state.map_or_else(|| absent(&node), |state| format!("now {state}"));
                now.push(Missing { condition: condition.clone(), state, now: Some(told) });
            }
        }
        if now.is_empty() {
            return Ok(());
        }
        *missing = now;
        let waiting = listed(missing);
        if waiting != told {
            progress(&format!("waiting for {waiting}"));
            told = waiting;
        }
        if !changes.next().await {
            return Err(Error::Gone("it has stopped".to_owned()).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_as_they_are_written() {
        for (text, wanted) in [
            ("peer=scribe:up", "peer=scribe:up"),
            ("peer=scribe", "peer=scribe:up"),
            ("role=timer1", "role=timer1:running"),
            ("role=a:b:failed", "role=a:b:failed"),
        ] {
            assert_eq!(text.parse::<Condition>().map(|read| read.to_string()), Ok(wanted.into()));
        }
        for text in ["scribe", "peer=", "peer=:up", "peer=a:running", "role=a:up", "node=a:up"] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
    }
}
