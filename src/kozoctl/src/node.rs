//! The Node that a command is about, and what is said when it cannot be had.

use std::io::{self, IsTerminal as _};
use std::path::Path;

use kozo_client::{Attempt, Client, Error, Found, Lookup, Way, places};

use crate::failure::{Exit, Failure};
use crate::view;

/// Connects to the Node of this name, or to the only one there is.
///
/// # Errors
/// When there is none, or there are several.
pub(crate) async fn connect(node: Option<&str>) -> Result<Client, Failure> {
    let somebody_is_there = io::stdin().is_terminal() && io::stderr().is_terminal();
    match Client::connect(node).await {
        Ok(client) => Ok(client.may_ask(somebody_is_there)),
        Err(Error::NoDaemon { node: Some(wanted), attempts }) => {
            let running = Lookup::default().running().await;
            let mut names: Vec<_> = running.into_iter().map(|found| found.node).collect();
            names.sort();
            names.dedup();
            Err(match names.is_empty() {
                false => not_among(&wanted, &names, &attempts),
                true => Error::NoDaemon { node: Some(wanted), attempts }.into(),
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// Others run, but not this Node: where it was looked for is only of interest then if something is there.
fn not_among(node: &str, running: &[String], attempts: &[Attempt]) -> Failure {
    let names: Vec<_> = running.iter().map(String::as_str).collect();
    let failure = Failure::new(Exit::NoDaemon, format_args!("node '{node}' does not run here"));
    let failure = failure.meant(node, &names);
    let failure = failure.hint(format!("Running here: {}", names.join(", ")));
    let dead = attempts.iter().filter(|attempt| Path::new(&attempt.place).exists());
    let failure = dead.fold(failure, |failure, dead| failure.hint(format!("tried {dead}")));
    start(node).into_iter().fold(failure, Failure::hint)
}

/// What became of something that was done to the Role or Peer of this name; when there is none, those
/// are named that there are.
///
/// # Errors
/// What was given.
pub(crate) async fn named<T>(
    client: &Client,
    name: &str,
    done: Result<T, Error>,
) -> Result<T, Failure> {
    match done {
        Ok(done) => Ok(done),
        Err(Error::NoSuchRole(_)) => Err(view::no_role(name, &client.describe().await?)),
        Err(Error::NoSuchPeer(_)) => Err(view::no_peer(name, &client.describe().await?)),
        Err(error) => Err(error.into()),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let exit = match &error {
            Error::NoDaemon { .. } | Error::Gone(_) => Exit::NoDaemon,
            Error::NotAllowed(_) => Exit::NotAllowed,
            Error::NoSuchRole(_) | Error::NoSuchPeer(_) => Exit::Unknown,
            Error::Ambiguous(_) | Error::Namesakes(_) | Error::InvalidArgument(_) => Exit::Usage,
            Error::TimedOut(_) => Exit::TimedOut,
            _ => Exit::Failed,
        };
        let failure = Failure::new(exit, &error);
        match &error {
            Error::NoDaemon { node, attempts } => {
                let lines = attempts.iter().map(|attempt| format!("tried {attempt}"));
                let failure = lines.fold(failure, Failure::hint);
                start(node.as_deref().unwrap_or("NODE")).into_iter().fold(failure, Failure::hint)
            }
            Error::Ambiguous(nodes) => {
                let first = nodes.first().map_or("NODE", |node| node);
                failure.hint(format!("Example: kozoctl --node {first} …"))
            }
            Error::Namesakes(found) => {
                let choices = found.iter().map(|found| (place(found), found.unmistakable()));
                choices.fold(failure, |failure, (place, node)| {
                    failure.hint(format!("{place}: kozoctl --node {node} …"))
                })
            }
            _ => failure,
        }
    }
}

/// Where one of several Nodes of a name is.
fn place(found: &Found) -> String {
    match &found.way {
        Way::Socket(path) if path.starts_with(places::SYSTEM) => {
            format!("'{}', the service", found.node)
        }
        Way::Socket(_) => format!("'{}', started by hand", found.node),
        Way::SystemBus => format!("'{}' on the system bus", found.node),
    }
}

/// What to run so that the Node does.
fn start(node: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if !Path::new(kozo_core::places::CONFIG).exists() {
        lines.push("Create a Node for this machine: sudo kozoctl config new".to_owned());
        lines.push("Try Kōzō without one: kozo testnet".to_owned());
    }
    // As sd_booted(3) finds out.
    if Path::new("/run/systemd/system").is_dir() {
        lines.push(format!("Start it: systemctl start kozo@{node}"));
        lines.push(format!("See why it does not run: journalctl -eu kozo@{node}"));
    }
    lines.push(format!("Run it in the foreground: kozo CONFIG {node}"));
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn namesakes_are_listed_with_what_to_write_for_each() {
        let found = |way| Found { node: "clock".to_owned(), way };
        let error = Error::Namesakes(vec![
            found(Way::SystemBus),
            found(Way::Socket("/run/kozo/clock/bus".into())),
            found(Way::Socket("/run/user/7/kozo/clock/bus".into())),
        ]);
        let Failure::Told { message, hints, .. } = Failure::from(error) else { panic!("told") };
        assert_eq!(message, "several nodes with the same name run here: choose one");
        assert_eq!(
            hints,
            [
                "'clock' on the system bus: kozoctl --node org.kozo.Node1.clock …",
                "'clock', the service: kozoctl --node /run/kozo/clock/bus …",
                "'clock', started by hand: kozoctl --node /run/user/7/kozo/clock/bus …",
            ]
        );
    }
}
