//! `kozoctl config add-peer`: the Nodes of other machines, as `kozoctl config new` shows them there.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::Path;

use kozo_core::config::edit;
use serde_json::json;

use super::file::{ConfigFile, Unread, read_text};
use super::{HEADER, change, next, refused};
use crate::cli::AddPeer;
use crate::failure::Failure;
use crate::output::{Output, say};

/// Adds the Nodes, and says what has changed.
///
/// # Errors
/// When there are none, when one is there and different, and when anything is refused or cannot be
/// read or written. Then nothing is changed.
pub(super) fn run(command: &AddPeer, output: Output) -> Result<(), Failure> {
    let config_file = ConfigFile::open(&command.file)?;
    let mut nodes = Vec::new();
    for block in &command.blocks {
        let (name, text) = read(block)?;
        nodes.extend(edit::nodes(&name, &text).map_err(|error| refused(&error))?);
    }
    let source = match command.blocks.as_slice() {
        [one] => shown(one),
        _ => "the blocks".to_owned(),
    };
    let old = config_file.read()?;
    let is_new = old.is_none();
    let old = old.unwrap_or_else(|| HEADER.to_owned());
    let change = change::put(&config_file.shown, &old, &nodes, &source, command.replace)?;
    if change.is_some() {
        config_file.write(&change.text)?;
        change::tell_warnings(&config_file.shown, &change.text);
        next::tell_systemd(&config_file);
    }
    let answer = json!({
        "file": config_file.path.to_string_lossy(),
        "added": change.added,
        "replaced": change.replaced,
        "unchanged": change.unchanged,
    });
    let file = &config_file.shown;
    let parts = [
        (&change.added, format!("added to {file}")),
        (&change.replaced, format!("replaced in {file}")),
        (&change.unchanged, format!("already in {file}, not changed")),
    ];
    let lines: Vec<_> = parts
        .iter()
        .filter(|(nodes, _)| !nodes.is_empty())
        .map(|(nodes, done)| format!("{}: {done}", nodes.join(", ")))
        .collect();
    output.answer(&answer, &lines.join("\n"))?;
    if is_new {
        let own = next::new_node(&config_file);
        say(&format!("{file} is new and has no Node for this machine yet. Add it: {own}"));
    } else if change.is_some() {
        say(&format!("To apply it to running Nodes: {}", next::reload(&config_file)));
    }
    Ok(())
}

/// What messages call a block.
fn shown(block: &Path) -> String {
    if block == Path::new("-") {
        "standard input".to_owned()
    } else {
        block.to_string_lossy().into_owned()
    }
}

fn read(block: &Path) -> Result<(String, String), Failure> {
    let name = shown(block);
    let text = if block == Path::new("-") {
        if io::stdin().is_terminal() {
            say("Paste the block, then press Enter and Ctrl-D:");
        }
        read_text(&name, Ok(io::stdin().lock()))
    } else {
        read_text(&name, File::open(block))
    };
    match text {
        Ok(text) => Ok((name, text)),
        Err(Unread::Absent) => Err(Failure::failed(format_args!("there is no file {name}"))),
        Err(Unread::Failed(failure)) => Err(failure),
    }
}
