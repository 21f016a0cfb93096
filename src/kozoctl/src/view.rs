//! What is shown of a Node: for people, and in JSON as the Node itself has said it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::SystemTime;

use anstyle::Style;
use kozo_client::status::{
    self, Direction, LinkState, LinkSubState, NodeStatus, PeerStatus, RoleState, RoleStatus,
    TransportState, TransportStatus,
};
use kozo_core::value::show::one_line;
use serde_json::Value;

use crate::failure::{Exit, Failure};
use crate::output::{BAD, BOLD, FAINT, GOOD, Output, WARNING};
use crate::table::{Cell, Table};

/// What is to be seen.
#[derive(Debug, Clone)]
pub(crate) enum View {
    /// The Node with all that is on it.
    Node,
    /// All Roles.
    Roles,
    /// All Peers.
    Peers,
    /// The Role of this name.
    Role(String),
    /// The Peer of this name.
    Peer(String),
}

impl View {
    /// The text for people.
    ///
    /// # Errors
    /// When there is no such Role or Peer.
    pub(crate) fn text(&self, node: &NodeStatus, output: Output) -> Result<String, Failure> {
        Ok(match self {
            View::Node => whole(node, output),
            View::Roles => roles(&node.roles).show(output),
            View::Peers => peers(&node.peers).show(output),
            View::Role(name) => {
                let role = node.roles.iter().find(|role| role.name == *name);
                one_role(role.ok_or_else(|| no_role(name, node))?, output)
            }
            View::Peer(name) => {
                let peer = node.peers.iter().find(|peer| peer.name == *name);
                one_peer(peer.ok_or_else(|| no_peer(name, node))?, output)
            }
        })
    }

    /// The part of what the Node says, with everything that is in it, that is to be seen.
    pub(crate) fn json(&self, mut node: Value) -> Value {
        let list = |key: &str| node.get_mut(key).map(Value::take).unwrap_or_default();
        let (mut list, name) = match self {
            View::Node => return node,
            View::Roles => return { list }("roles"),
            View::Peers => return { list }("peers"),
            View::Role(name) => ({ list }("roles"), name),
            View::Peer(name) => ({ list }("peers"), name),
        };
        let mut all = list.as_array_mut().into_iter().flatten();
        let found = all.find(|one| one.get("name").and_then(Value::as_str) == Some(name));
        found.map(Value::take).unwrap_or_default()
    }
}

/// There is no such Role; these are.
pub(crate) fn no_role(name: &str, node: &NodeStatus) -> Failure {
    let names: Vec<_> = node.roles.iter().map(|role| &*role.name).collect();
    unknown("role", name, &node.name, &names)
}

/// There is no such Peer; these are.
pub(crate) fn no_peer(name: &str, node: &NodeStatus) -> Failure {
    let names: Vec<_> = node.peers.iter().map(|peer| &*peer.name).collect();
    unknown("peer", name, &node.name, &names)
}

fn unknown(what: &str, name: &str, node: &str, names: &[&str]) -> Failure {
    let failure = Failure::new(Exit::Unknown, format_args!("node '{node}' has no {what} '{name}'"));
    if names.is_empty() {
        failure.hint(format!("It has no {what}s."))
    } else {
        failure.meant(name, names).hint(format!("Its {what}s: {}", names.join(", ")))
    }
}

fn whole(node: &NodeStatus, output: Output) -> String {
    let name = output.paint(BOLD, &node.name);
    let mut text = format!("{name}  kozo {}, up {}\n", node.version, ago(node.started));
    let up = node.peers.iter().filter(|peer| peer.state == LinkState::Up).count();
    let sent = format!("{} messages{}", node.sent, reasons(", refused", &node.refused));
    for (key, value) in [
        ("Roles", count_states(node.roles.iter().map(|role| role.state.name()))),
        ("Peers", format!("{up} of {} up", node.peers.len())),
        ("Sent", sent),
    ] {
        text.push_str(&format!("{key:>7}: {value}\n"));
    }
    for (known, table) in [
        (node.roles.len(), roles(&node.roles)),
        (node.transports.len(), transports(&node.transports)),
        (node.peers.len(), peers(&node.peers)),
    ] {
        if known > 0 {
            text.push('\n');
            text.push_str(&table.show(output));
            text.push('\n');
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// `2 running, 1 failed`, in the order in which they come first.
fn count_states<'a>(states: impl Iterator<Item = &'a str>) -> String {
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for state in states {
        match counted.iter_mut().find(|(known, _)| *known == state) {
            Some((_, count)) => *count += 1,
            None => counted.push((state, 1)),
        }
    }
    let counted: Vec<_> = counted.iter().map(|(state, count)| format!("{count} {state}")).collect();
    if counted.is_empty() { "none".to_owned() } else { counted.join(", ") }
}

fn roles(roles: &[RoleStatus]) -> Table {
    let mut table = Table::new(&[
        "ROLE",
        "TYPE",
        "STATE",
        ">SENT",
        ">RECEIVED",
        ">DROPPED",
        ">WAITING",
        "PROBLEM",
    ])
    .spare(&["TYPE", "WAITING", "SENT", "RECEIVED", "DROPPED"]);
    for role in roles {
        let failed = if role.state == RoleState::Running { &None } else { &role.last_error };
        let problem = role.problem.as_ref().or(failed.as_ref());
        table.row([
            role.name.as_str().into(),
            role.role_type.as_str().into(),
            Cell::new(role.state.name(), role_style(role.state)),
            role.sent.into(),
            role.received.into(),
            alarming(role.dropped),
            role.queue_length.into(),
            one_line(problem.map_or("", String::as_str)).into(),
        ]);
    }
    table
}

fn transports(transports: &[TransportStatus]) -> Table {
    let mut table =
        Table::new(&["TRANSPORT", "TYPE", "STATE", "ADDRESS", "STATUS"]).spare(&["TYPE"]);
    for transport in transports {
        let is_well = transport.state == TransportState::Running;
        let said = if is_well { &transport.status } else { &transport.last_error };
        let style = match transport.state {
            TransportState::Running => GOOD,
            TransportState::Failed => BAD,
            _ => FAINT,
        };
        table.row([
            transport.name.as_str().into(),
            transport.transport_type.as_str().into(),
            Cell::new(transport.state.name(), style),
            dash(transport.address.as_deref()),
            one_line(said.as_deref().unwrap_or_default()).into(),
        ]);
    }
    table
}

fn peers(peers: &[PeerStatus]) -> Table {
    let mut table = Table::new(&[
        "PEER",
        "STATE",
        "SINCE",
        "OVER",
        "WAY",
        "ADDRESS",
        ">RTT",
        ">SENT",
        ">RECEIVED",
        ">DROPPED",
        "PROBLEM",
    ])
    .spare(&["WAY", "OVER", "SENT", "RECEIVED", "DROPPED", "RTT", "ADDRESS"]);
    for peer in peers {
        let problem = if peer.state == LinkState::Up { None } else { peer.last_error.as_deref() };
        table.row([
            peer.name.as_str().into(),
            Cell::new(peer.state.name(), peer_style(peer.state)),
            ago(peer.since).into(),
            dash(peer.transport.as_deref()),
            dash(peer.direction.map(Direction::name)),
            dash(address(peer).as_deref()),
            dash(peer.round_trip_time.map(micros).as_deref()),
            peer.sent.into(),
            peer.received.into(),
            alarming(peer.dropped.values().sum()),
            one_line(problem.unwrap_or_default()).into(),
        ]);
    }
    table
}

/// Where the link leads. The port that a Peer connects from is of no use to people.
fn address(peer: &PeerStatus) -> Option<String> {
    let address = peer.address.as_deref()?;
    let host = address.parse::<SocketAddr>().map(|address| address.ip().to_string());
    match (peer.direction, host) {
        (Some(Direction::In), Ok(host)) => Some(host),
        _ => Some(address.to_owned()),
    }
}

fn one_role(role: &RoleStatus, output: Output) -> String {
    let state = output.paint(role_style(role.state), role.state.name());
    let waiting = format!("{} messages, {} bytes", role.queue_length, role.queue_size);
    let mut lines = vec![
        ("Type", role.role_type.clone()),
        ("State", state),
        ("Restarts", role.restarts.to_string()),
        ("Sent", role.sent.to_string()),
        ("Received", role.received.to_string()),
        ("Dropped", role.dropped.to_string()),
        ("Waiting", waiting),
    ];
    if let Some(process) = &role.process {
        lines.push(("Process", process.pid.to_string()));
        lines.push(("Memory", size(process.memory)));
        lines.push(("CPU", micros(process.cpu_time)));
    }
    lines.extend(role.last_exit.as_ref().map(|exit| ("Last exit", one_line(exit))));
    lines.extend(role.description.clone().map(|text| ("Description", one_line(&text))));
    lines.extend(role.status.as_ref().map(|status| ("Status", one_line(status))));
    lines.extend(role.problem.as_ref().map(|problem| ("Problem", one_line(problem))));
    lines.extend(role.last_error.as_ref().map(|error| ("Last error", one_line(error))));
    entry(&role.name, &lines, output)
}

fn one_peer(peer: &PeerStatus, output: Output) -> String {
    let state = output.paint(peer_style(peer.state), peer.state.name());
    let waiting = format!("{} messages, {} bytes", peer.queue_length, peer.queue_size);
    let over = peer.transport.as_ref().map(|transport| {
        let side = peer.direction.map(|direction| match direction {
            Direction::Out => "to",
            Direction::In => "from",
        });
        let leads = side.zip(address(peer)).map(|(side, address)| format!(" {side} {address}"));
        one_line(&format!("{transport}{}", leads.unwrap_or_default()))
    });
    let dropped: u64 = peer.dropped.values().sum();
    let skew = |skew: i64| {
        let side = if skew < 0 { "behind" } else { "ahead" };
        format!("{} {side}", micros(skew.unsigned_abs()))
    };
    let measured = |figure: u64, show: fn(u64) -> String| {
        if figure == 0 { "-".to_owned() } else { show(figure) }
    };
    let mut lines = vec![
        ("State", format!("{state} for {}{}", ago(peer.since), detail(peer))),
        ("Policy", format!("out {}, in {}", peer.policy_out, peer.policy_in)),
        ("Over", over.unwrap_or_else(|| "-".to_owned())),
        ("Round trip", peer.round_trip_time.map_or_else(|| "-".to_owned(), micros)),
        ("Rate", measured(peer.rate, rate)),
        ("Backlog", size(peer.backlog)),
        ("Age", measured(peer.age, micros)),
        ("Its clock", peer.clock_skew.map_or_else(|| "-".to_owned(), skew)),
        ("Sessions", peer.sessions.to_string()),
        ("Sent", peer.sent.to_string()),
        ("Received", peer.received.to_string()),
        ("Dropped", format!("{dropped}{}", reasons(":", &peer.dropped))),
        ("Waiting", waiting),
    ];
    lines.extend(peer.last_error.as_ref().map(|error| ("Last error", one_line(error))));
    entry(&peer.name, &lines, output)
}

/// What the link is doing to be up again.
fn detail(peer: &PeerStatus) -> &'static str {
    match peer.sub_state {
        LinkSubState::Connecting => ", connecting",
        LinkSubState::Waiting => ", waiting for the next attempt",
        _ => "",
    }
}

fn entry(name: &str, lines: &[(&str, String)], output: Output) -> String {
    let width = lines.iter().map(|(key, _)| key.len()).max().unwrap_or(0) + 2;
    let lines = lines.iter().map(|(key, value)| format!("{key:>width$}: {value}"));
    let name = output.paint(BOLD, name);
    std::iter::once(name).chain(lines).collect::<Vec<_>>().join("\n")
}

/// `: link_down 3, lost 1`, or nothing if there is nothing.
fn reasons(before: &str, counted: &BTreeMap<String, u64>) -> String {
    let counted: Vec<_> = counted
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(reason, count)| format!("{} {count}", one_line(reason)))
        .collect();
    if counted.is_empty() { String::new() } else { format!("{before} {}", counted.join(", ")) }
}

fn role_style(state: RoleState) -> Style {
    match state {
        RoleState::Running => GOOD,
        RoleState::Failed => BAD,
        RoleState::Starting => WARNING,
        _ => FAINT,
    }
}

fn peer_style(state: LinkState) -> Style {
    match state {
        LinkState::Up => GOOD,
        LinkState::Down => BAD,
        _ => FAINT,
    }
}

fn alarming(count: u64) -> Cell {
    Cell::new(count.to_string(), if count > 0 { WARNING } else { Style::new() })
}

fn dash(text: Option<&str>) -> Cell {
    text.map_or_else(|| Cell::new("-", FAINT), |text| one_line(text).into())
}

/// How long ago a moment was, from its microseconds since the Unix epoch.
fn ago(moment: u64) -> String {
    age(status::micros(SystemTime::now()).saturating_sub(moment) / 1_000_000)
}

/// A number of seconds in its two largest units.
fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}min {}s", seconds % 60),
        3600..86400 => format!("{hours}h {}min", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// Bytes a second as people read them.
pub(crate) fn rate(rate: u64) -> String {
    format!("{}/s", size(rate))
}

/// Bytes as people read them.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..1_000_000 => format!("{}.{} kB", bytes / 1000, bytes / 100 % 10),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
    }
}

/// Microseconds as people read them.
pub(crate) fn micros(micros: u64) -> String {
    let (millis, rest) = (micros / 1000, micros % 1000);
    match micros {
        0..1000 => format!("{micros}µs"),
        1000..100_000 => format!("{millis}.{}ms", rest / 100),
        100_000..10_000_000 => format!("{millis}ms"),
        _ => age(micros / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_for_people() {
        for (seconds, wanted) in
            [(0, "0s"), (59, "59s"), (61, "1min 1s"), (7260, "2h 1min"), (90_000, "1d 1h")]
        {
            assert_eq!(age(seconds), wanted);
        }
        for (time, wanted) in
            [(17, "17µs"), (1780, "1.7ms"), (123_456, "123ms"), (61_000_000, "1min 1s")]
        {
            assert_eq!(micros(time), wanted);
        }
    }

    #[test]
    fn rates_for_people() {
        for (bytes, wanted) in [(120, "120 B/s"), (12_590, "12.5 kB/s"), (2_000_000, "2.0 MB/s")] {
            assert_eq!(rate(bytes), wanted);
        }
    }

    #[test]
    fn reasons_are_named_only_where_there_are_any() {
        let counted = BTreeMap::from([("lost".to_owned(), 1), ("queue".to_owned(), 0)]);
        assert_eq!(reasons(":", &counted), ": lost 1");
        assert_eq!(reasons(":", &BTreeMap::new()), "");
    }
}
