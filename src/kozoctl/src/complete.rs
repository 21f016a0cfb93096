//! Completions of shells: the names of Nodes, Roles and Peers as they are at that moment.
//!
//! The script that a shell reads calls this program at every TAB; `clap_complete` then finds out what
//! is being completed, and asks here for names. A TAB must neither take long nor say anything that
//! is not a completion: without an answer there are none.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap::ValueEnum;
use clap_complete::CompletionCandidate;
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use kozo_client::status::NodeStatus;
use kozo_client::{Client, Lookup};
use tokio::time::timeout;

use crate::failure::Failure;
use crate::output::Output;
use crate::wait::{peer_states, role_states};

/// Longer than this a person does not wait for a completion.
const PATIENCE: Duration = Duration::from_secs(1);

/// A shell for which there are completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Fish,
    Zsh,
}

/// Writes the script for a shell.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn script(shell: Shell, output: Output) -> Result<(), Failure> {
    let shell: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Fish => &Fish,
        Shell::Zsh => &Zsh,
    };
    let mut script = Vec::new();
    shell.write_registration("COMPLETE", "kozoctl", "kozoctl", "kozoctl", &mut script)?;
    Ok(output.line(String::from_utf8_lossy(&script).trim_end())?)
}

/// Names of Nodes that run here.
pub(crate) fn nodes(current: &OsStr) -> Vec<CompletionCandidate> {
    let running = patiently(async { Some(Lookup::default().running().await) });
    let names = running.unwrap_or_default().into_iter().map(|found| found.node);
    candidates(names, current)
}

/// Names of Roles of the Node.
pub(crate) fn roles(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(node().roles.into_iter().map(|role| role.name), current)
}

/// Names of Peers of the Node.
pub(crate) fn peers(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(node().peers.into_iter().map(|peer| peer.name), current)
}

/// What can be waited for.
pub(crate) fn conditions(current: &OsStr) -> Vec<CompletionCandidate> {
    let node = node();
    let of = |subject: &'static str, name: String, states: Vec<&'static str>| {
        states.into_iter().map(move |state| format!("{subject}={name}:{state}"))
    };
    let peers = node.peers.into_iter().flat_map(|peer| of("peer", peer.name, peer_states()));
    let roles = node.roles.into_iter().flat_map(|role| of("role", role.name, role_states()));
    candidates(peers.chain(roles), current)
}

fn candidates(names: impl Iterator<Item = String>, current: &OsStr) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    names.filter(|name| name.starts_with(&*current)).map(CompletionCandidate::new).collect()
}

/// The Node that the command line is about, as far as it is written.
fn node() -> NodeStatus {
    let name = named_node(std::env::args_os());
    let status = patiently(async {
        let client = Client::connect(name.as_deref()).await.ok()?;
        client.describe().await.ok()
    });
    status.unwrap_or_default()
}

/// The value of `--node` among the words of the command line that is being completed.
fn named_node(words: impl Iterator<Item = OsString>) -> Option<String> {
    let mut words = words.filter_map(|word| word.into_string().ok());
    while let Some(word) = words.next() {
        if word == "-n" || word == "--node" {
            // To bash, an equals sign is a word of its own.
            return words.find(|word| word != "=");
        }
        let value = word.strip_prefix("--node=").or_else(|| word.strip_prefix("-n"));
        if let Some(value) = value {
            return Some(value.to_owned());
        }
    }
    None
}

fn patiently<T>(question: impl Future<Output = Option<T>>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let answer = runtime.block_on(async { timeout(PATIENCE, question).await });
    runtime.shutdown_background();
    answer.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_is_found_however_it_is_written() {
        for words in [
            &["kozoctl", "-n", "clock", "role", ""][..],
            &["kozoctl", "role", "--node", "clock"],
            &["kozoctl", "role", "--node=clock"],
            &["kozoctl", "role", "--node", "=", "clock"],
            &["kozoctl", "-nclock"],
        ] {
            let words = words.iter().map(OsString::from);
            assert_eq!(named_node(words).as_deref(), Some("clock"));
        }
        assert_eq!(named_node(["kozoctl", "role"].iter().map(OsString::from)), None);
    }
}
