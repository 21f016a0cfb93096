//! Completions of shells: the names of Nodes, Roles and Peers as they are at that moment.
//!
//! The script that a shell reads calls this program at every TAB; `clap_complete` then finds out what
//! is being completed, and asks here for names. A TAB must neither take long nor say anything that
//! is not a completion: without an answer there are none.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::time::Duration;

use clap::{Command, CommandFactory, ValueEnum};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use clap_complete::{ArgValueCompleter, CompleteEnv, CompletionCandidate};
use kozo_client::status::NodeStatus;
use kozo_client::{Client, Lookup};
use kozo_core::{config, types};
use tokio::time::timeout;

use crate::cli::Cli;
use crate::failure::Failure;
use crate::output::Output;
use crate::wait::{peer_states, role_states};

/// Longer than this a person does not wait for a completion.
const PATIENCE: Duration = Duration::from_secs(1);

/// The variable with which a shell asks for completions.
const ASKED: &str = "COMPLETE";

/// Which of the words is being completed, where it is not the last.
const INDEX: &str = "_CLAP_COMPLETE_INDEX";

/// In bash a colon and an equals sign are words of their own, and in the words of these programs they are not. PROGRAM
/// stands for the name of the program.
const BASH_GLUE: &str = r#"
_PROGRAM() {
    local glued=() at=-1 before= part i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        part=${COMP_WORDS[i]}
        if [[ $at -ge 0 && ( $part == [:=]* || $before == *[:=] ) &&
            ! ( $i -eq $COMP_CWORD && ${COMP_LINE:0:COMP_POINT} == *[[:space:]] ) ]]; then
            glued[at]+=$part
        else
            glued[++at]=$part
        fi
        before=$part
    done
    local COMP_WORDS=("${glued[@]}") COMP_CWORD=$at
    _clap_complete_PROGRAM "$1" "${glued[at]}"
    # Of what is offered, bash wants what comes behind the last of them.
    local there=${glued[at]%"${glued[at]##*[:=]}"}
    COMPREPLY=("${COMPREPLY[@]#"$there"}")
}
complete -o nospace -o bashdefault -o nosort -F _PROGRAM PROGRAM"#;

/// A shell for which there are completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Fish,
    Zsh,
}

/// A program of which there are completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Program {
    Kozoctl,
    Kozo,
}

/// Writes the script for a shell.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn script(
    shell: Shell,
    program: Option<Program>,
    output: Output,
) -> Result<(), Failure> {
    let completer: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Fish => &Fish,
        Shell::Zsh => &Zsh,
    };
    let mut script = Vec::new();
    for (known, name) in [(Program::Kozoctl, "kozoctl"), (Program::Kozo, "kozo")] {
        if program.is_some_and(|program| program != known) {
            continue;
        }
        completer.write_registration(ASKED, name, name, "kozoctl", &mut script)?;
        if shell == Shell::Bash {
            script.extend(BASH_GLUE.replace("PROGRAM", name).into_bytes());
            script.push(b'\n');
        }
    }
    Ok(output.line(String::from_utf8_lossy(&script).trim_end())?)
}

/// Answers a shell that asks for completions; says no if none does.
pub(crate) fn answer(arguments: &[OsString]) -> bool {
    let directory = std::env::current_dir().ok();
    let words = words(arguments);
    let is_kozo = words.first().is_some_and(|word| Path::new(word).ends_with("kozo"));
    let begun = words.len() > 2;
    let is_option = current(words).is_some_and(|word| word.as_encoded_bytes().starts_with(b"-"));
    let completing = CompleteEnv::with_factory(move || {
        let command = match is_kozo {
            // What follows a configuration is a Node.
            true if begun => kozo().mut_subcommands(|command| command.hide(true)),
            true => kozo(),
            false => Cli::command(),
        };
        if is_option { command } else { without_options(command) }
    });
    let answered = completing.var(ASKED).try_complete(arguments.to_vec(), directory.as_deref());
    // A shell that completes wants no words about what went wrong.
    answered.unwrap_or(true)
}

/// The words of the command line that a shell completes: what comes behind `--`.
fn words(arguments: &[OsString]) -> &[OsString] {
    let begin = arguments.iter().position(|argument| argument == "--");
    begin.and_then(|begin| arguments.get(begin + 1..)).unwrap_or_default()
}

/// The word that is being completed.
fn current(words: &[OsString]) -> Option<&OsString> {
    let index = std::env::var(INDEX).ok().and_then(|index| index.parse().ok());
    words.get(index.unwrap_or_else(|| words.len().saturating_sub(1)))
}

/// The command line of the daemon, with the Nodes of its configuration.
fn kozo() -> Command {
    let named = |complete: fn(&OsStr) -> Vec<CompletionCandidate>| ArgValueCompleter::new(complete);
    kozo_arguments::Arguments::command().mut_args(|argument| match argument.get_id().as_str() {
        "node" => argument.add(named(configured_nodes)),
        "reload" => argument.add(named(nodes)),
        _ => argument,
    })
}

/// Options are offered to who has begun one.
fn without_options(command: Command) -> Command {
    command
        .disable_help_flag(true)
        .disable_version_flag(true)
        .mut_args(|argument| if argument.is_positional() { argument } else { argument.hide(true) })
        .mut_subcommands(without_options)
}

/// Names of the Nodes in the configuration that stands before them, or the one of this machine.
pub(crate) fn configured_nodes(current: &OsStr) -> Vec<CompletionCandidate> {
    let arguments: Vec<_> = std::env::args_os().collect();
    let file = words(&arguments).iter().skip(1).map(Path::new).find(|word| word.is_file());
    let file = file.unwrap_or(Path::new(kozo_core::places::CONFIG));
    let text = fs::read_to_string(file).unwrap_or_default();
    let checked = config::check(&file.to_string_lossy(), &text, None, &types::built_in());
    let nodes = checked.map(|loaded| loaded.system.nodes.clone()).unwrap_or_default();
    candidates(nodes.into_iter().map(|node| node.name.clone()), current)
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
