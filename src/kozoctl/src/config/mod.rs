//! `kozoctl config`: everything about the file that describes the System, without a daemon.

mod add_peer;
mod ask;
mod change;
mod draft;
mod file;
mod new;
mod next;
mod show;

use std::path::Path;

use kozo_core::config::{self, ConfigError, Loaded};
use kozo_core::types;
use serde_json::json;

use crate::cli::Config;
use crate::failure::{Exit, Failure};
use crate::output::{Output, say, stderr_colour};

/// What a new file begins with.
const HEADER: &str = "\
# The configuration of a Kōzō System; all of its machines can have the same.
# `kozoctl config check FILE` finds mistakes; kozo.yml(5) lists all options.

";

/// Runs a command about the configuration; `node` is the one named by `--node`.
///
/// # Errors
/// When the configuration is refused, or cannot be read or written.
pub(crate) fn run(command: &Config, node: Option<&str>, output: Output) -> Result<(), Failure> {
    match command {
        Config::Check { file, local } => check(file, local.as_deref().or(node), output),
        Config::Show { file } => show(file, output),
        Config::New(command) => new::run(command, node, output),
        Config::AddPeer(command) => add_peer::run(command, output),
    }
}

/// Makes a key pair and shows its public half.
///
/// # Errors
/// When the file exists, or cannot be written.
pub(crate) fn keygen(file: &Path, comment: &str, output: Output) -> Result<(), Failure> {
    let public = kozo_core::keygen::generate(file, comment).map_err(Failure::failed)?;
    let public = public.to_openssh().map_err(Failure::failed)?;
    let answer = json!({ "privateKey": file.to_string_lossy(), "publicKey": public });
    Ok(output.answer(&answer, &public)?)
}

fn check(file: &Path, node: Option<&str>, output: Output) -> Result<(), Failure> {
    let name = file.to_string_lossy();
    match load(file, node) {
        Ok(loaded) => {
            let nodes = names(&loaded);
            let answer = json!({
                "file": name, "ok": true, "nodes": nodes, "warnings": loaded.warnings, "error": null,
            });
            let count = nodes.len();
            let plural = |count| if count == 1 { "" } else { "s" };
            let but = match loaded.warnings.len() {
                0 => String::new(),
                count => format!(", but for {count} warning{}", plural(count)),
            };
            let (plural, names) = (plural(count), nodes.join(", "));
            let text = format!("{name} is fine{but}: {count} node{plural} ({names})");
            Ok(output.answer(&answer, &text)?)
        }
        Err(error) if output.json => {
            let error = error.render(false);
            let answer = json!({
                "file": name, "ok": false, "nodes": [], "warnings": [], "error": error.trim_end(),
            });
            output.json(&answer)?;
            Err(Failure::Silent(Exit::Failed))
        }
        Err(error) => Err(refused(&error)),
    }
}

fn show(file: &Path, output: Output) -> Result<(), Failure> {
    let loaded = load(file, None).map_err(|error| refused(&error))?;
    if output.json {
        return Ok(output.json(&show::system(&loaded.system, show::Numbers::Plain))?);
    }
    let item = show::system(&loaded.system, show::Numbers::Units);
    let text = serde_saphyr::to_string(&item).map_err(Failure::failed)?;
    Ok(output.line(text.trim_end())?)
}

/// Loads a file and tells its warnings.
fn load(file: &Path, node: Option<&str>) -> Result<Loaded, ConfigError> {
    let loaded = config::load(file, node, &types::built_in())?;
    warn(&loaded.warnings);
    Ok(loaded)
}

fn warn(warnings: &[String]) {
    warnings.iter().for_each(|warning| say(warning));
}

fn refused(error: &ConfigError) -> Failure {
    say(error.render(stderr_colour()).trim_end());
    Failure::Silent(Exit::Failed)
}

/// Names of the Nodes, in the order of the file.
fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.system.nodes.iter().map(|node| &*node.name).collect()
}
