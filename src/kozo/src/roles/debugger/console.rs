//! The commands of the debug console: reading them, and showing the state of a Node as text.
//!
//! Pure; `debugger` has the connections.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kozo_core::monitored::MonitoredMessage;
use kozo_core::value::show::{json_line, one_line};

use crate::interest::{Interest, Pattern};
use crate::message::Message;
use crate::status::{LinkState, NodeStatus, RoleState};

/// What the console can do.
pub(super) const HELP: &str = "\
help          this text
status        the Node in short
roles         its Roles, their states and queues
peers         the other Nodes, the links to them and their queues
tap [WHAT…]   show Messages as they pass, as JSON lines, until Enter
              WHAT is a type such as tick, or tick* for several; or one of
              kind=order, channel=kitchen, role=timer1, node=clock
log FILTER    what the daemon logs from now on, such as info or kozo::link=debug
quit          leave
";

/// A line that was understood.
#[derive(Debug, PartialEq)]
pub(super) enum Command {
    Nothing,
    Help,
    Status,
    Roles,
    Peers,
    Tap(Vec<Interest>),
    Log(String),
    Quit,
}

impl Command {
    /// Reads a line.
    pub(super) fn parse(line: &str) -> Result<Command, String> {
        let mut words = line.split_whitespace();
        let Some(command) = words.next() else { return Ok(Command::Nothing) };
        let rest: Vec<&str> = words.collect();
        match (command, rest.as_slice()) {
            ("help" | "?", []) => Ok(Command::Help),
            ("status", []) => Ok(Command::Status),
            ("roles", []) => Ok(Command::Roles),
            ("peers", []) => Ok(Command::Peers),
            ("tap", patterns) => Ok(Command::Tap(interests(patterns)?)),
            ("log", [filter]) => Ok(Command::Log((*filter).to_owned())),
            ("log", _) => Err("log takes one filter, such as info or kozo::link=debug".to_owned()),
            ("quit" | "exit", []) => Ok(Command::Quit),
            ("help" | "?" | "status" | "roles" | "peers" | "quit" | "exit", _) => {
                Err(format!("{command} takes no arguments"))
            }
            _ => Err(format!("{} is no command: help lists them", one_line(command))),
        }
    }
}

/// One interest for each type that is named, all with the other conditions.
fn interests(words: &[&str]) -> Result<Vec<Interest>, String> {
    let mut common = Interest::any();
    let mut types = Vec::new();
    for word in words {
        match word.split_once('=') {
            None => types.push(Pattern::new(word)),
            Some(("type", pattern)) => types.push(Pattern::new(pattern)),
            Some((part, text)) => {
                common.narrow(part, text).map_err(|error| one_line(&error.to_string()))?;
            }
        }
    }
    if types.is_empty() {
        types.push(Pattern::Any);
    }
    Ok(types.into_iter().map(|message_type| Interest { message_type, ..common.clone() }).collect())
}

/// The Node in short.
pub(super) fn status(node: &NodeStatus) -> String {
    let up = node.peers.iter().filter(|peer| peer.state == LinkState::Up).count();
    let running = node.roles.iter().filter(|role| role.state == RoleState::Running).count();
    let mut text = format!(
        "node {} · kozo {} · running since {}\n\
         {running} of {} roles running, {up} of {} peers up, {} messages sent\n",
        node.name,
        node.version,
        time(node.started),
        node.roles.len(),
        node.peers.len(),
        node.sent
    );
    for (reason, count) in &node.refused {
        text.push_str(&format!("refused: {count} ({reason})\n"));
    }
    text
}

/// The Roles as a table.
pub(super) fn roles(node: &NodeStatus) -> String {
    let head =
        ["ROLE", "TYPE", "STATE", "RESTARTS", "SENT", "RECEIVED", "DROPPED", "QUEUE", "BYTES"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut problems = String::new();
    for role in &node.roles {
        rows.push(vec![
            role.name.clone(),
            role.role_type.clone(),
            role.state.to_string(),
            role.restarts.to_string(),
            role.sent.to_string(),
            role.received.to_string(),
            role.dropped.to_string(),
            role.queue_length.to_string(),
            role.queue_size.to_string(),
        ]);
        for problem in role.problem.iter().chain(&role.last_error) {
            problems.push_str(&format!("{}: {}\n", role.name, one_line(problem)));
        }
    }
    table(&rows) + &problems
}

/// The Peers as a table.
pub(super) fn peers(node: &NodeStatus) -> String {
    let head = [
        "PEER", "STATE", "SINCE", "OUT", "IN", "OVER", "ADDRESS", "RTT", "SENT", "RECEIVED",
        "DROPPED", "QUEUE", "BYTES",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut problems = String::new();
    let none = || "-".to_owned();
    for peer in &node.peers {
        let trip =
            peer.round_trip_time.map(|micros| format!("{}.{:03}ms", micros / 1000, micros % 1000));
        rows.push(vec![
            peer.name.clone(),
            peer.state.to_string(),
            time(peer.since),
            peer.policy_out.to_string(),
            peer.policy_in.to_string(),
            peer.transport.clone().unwrap_or_else(none),
            peer.address.clone().unwrap_or_else(none),
            trip.unwrap_or_else(none),
            peer.sent.to_string(),
            peer.received.to_string(),
            peer.dropped.values().sum::<u64>().to_string(),
            peer.queue_length.to_string(),
            peer.queue_size.to_string(),
        ]);
        if let Some(error) = &peer.last_error {
            problems.push_str(&format!("{}: {}\n", peer.name, one_line(error)));
        }
        for (reason, count) in &peer.dropped {
            problems.push_str(&format!("{}: {count} dropped ({reason})\n", peer.name));
        }
    }
    table(&rows) + &problems
}

/// A Message on one line of JSON, as a monitor shows it.
pub(super) fn message_line(message: &Message) -> String {
    json_line(&MonitoredMessage::of(message))
}

/// A time in microseconds since the epoch.
fn time(micros: u64) -> String {
    let timestamp =
        i64::try_from(micros).ok().and_then(|time| Timestamp::from_microsecond(time).ok());
    match timestamp {
        Some(time) => time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        None => "-".to_owned(),
    }
}

/// Columns as wide as they must be, two spaces apart.
fn table(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(column) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells: Vec<_> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use std::sync::Arc;

    use rmpv::Value;

    use super::*;
    use crate::message::{Draft, Kind, Origin};
    use crate::status::{PeerStatus, RoleStatus};

    #[test]
    fn commands() {
        for (line, command) in [
            ("", Command::Nothing),
            ("  help ", Command::Help),
            ("status", Command::Status),
            ("roles", Command::Roles),
            ("peers", Command::Peers),
            ("tap", Command::Tap(vec![Interest::any()])),
            ("log kozo::link=debug", Command::Log("kozo::link=debug".to_owned())),
            ("quit", Command::Quit),
        ] {
            assert_eq!(Command::parse(line), Ok(command), "{line}");
        }
        for (line, part) in [
            ("halp", "halp is no command"),
            ("status now", "takes no arguments"),
            ("log", "one filter"),
            ("tap kind=evnt", "unknown kind 'evnt'"),
            ("tap colour=red", "cannot filter by 'colour'"),
        ] {
            let error = Command::parse(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn a_tap_with_conditions() {
        let Ok(Command::Tap(interests)) =
            Command::parse("tap tick* kind=event node=clock type=tock channel=a role=?")
        else {
            panic!("no tap")
        };
        let wanted = |message_type| Interest {
            kind: Some(Kind::Event),
            message_type: Pattern::new(message_type),
            channel: Some(Pattern::new("a")),
            role: Pattern::new("?"),
            node: Pattern::new("clock"),
        };
        assert_eq!(interests, [wanted("tick*"), wanted("tock")]);
    }

    #[test]
    fn tables_line_up() {
        let node = NodeStatus {
            name: "clock".to_owned(),
            version: "1.2.3".to_owned(),
            roles: vec![
                RoleStatus {
                    name: "timer1".to_owned(),
                    role_type: "timer".to_owned(),
                    state: RoleState::Running,
                    sent: 17,
                    ..RoleStatus::default()
                },
                RoleStatus {
                    name: "a-longer-name".to_owned(),
                    role_type: "logger".to_owned(),
                    state: RoleState::Failed,
                    last_error: Some("no\nway".to_owned()),
                    ..RoleStatus::default()
                },
            ],
            peers: vec![PeerStatus {
                name: "scribe".to_owned(),
                state: LinkState::Up,
                round_trip_time: Some(1234),
                dropped: [("down".to_owned(), 3), ("full".to_owned(), 4)].into(),
                ..PeerStatus::default()
            }],
            refused: [("forged".to_owned(), 2)].into(),
            ..NodeStatus::default()
        };
        insta::assert_snapshot!(roles(&node), @r"
        ROLE           TYPE    STATE    RESTARTS  SENT  RECEIVED  DROPPED  QUEUE  BYTES
        timer1         timer   running  0         17    0         0        0      0
        a-longer-name  logger  failed   0         0     0         0        0      0
        a-longer-name: no\nway
        ");
        let peers = peers(&node);
        assert!(peers.contains("1.234ms"), "{peers}");
        assert!(peers.contains("  7  "), "{peers}");
        assert!(peers.contains("scribe: 4 dropped (full)"), "{peers}");
        let status = status(&node);
        assert!(status.contains("1 of 2 roles running, 1 of 1 peers up"), "{status}");
        assert!(status.contains("refused: 2 (forged)"), "{status}");
    }

    #[test]
    fn times_are_told_from_microseconds() {
        // Whatever the time zone is.
        let told = time(1_700_000_000_000_000);
        assert!(told.starts_with("2023-11-1"), "{told}");
        assert_eq!(time(u64::MAX), "-");
    }

    #[test]
    fn a_message_is_one_line_of_json() {
        let origin = Arc::new(Origin { node: "clock".to_owned(), boot: 7 });
        let draft = Draft::event("tick").channel(Some("c")).data(&Value::from("a\nb\u{9b}"));
        let message = Message::encode(origin, "timer1", 5, 1_000_000, &draft).unwrap();
        let line = message_line(&message);
        assert_eq!(
            line,
            r#"{"time":1000000,"node":"clock","boot":"7","id":5,"role":"timer1","kind":"event","type":"tick","channel":"c","data":"a\nb\u009b"}"#
        );
    }
}
