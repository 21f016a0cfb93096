//! Showing a Node once, or whenever something changes; also when it restarts.

use std::convert::Infallible;
use std::time::Duration;

use kozo_client::status::NodeStatus;
use kozo_client::{Client, Error};
use kozo_core::value::show;
use tokio::time::{sleep, timeout};

use crate::again;
use crate::cli::Watch;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::view::View;

/// Counters are no reason for the Node to tell of a change, so it is asked so often.
const LOOK: Duration = Duration::from_secs(1);

/// No screen is drawn more often.
const PAUSE: Duration = Duration::from_millis(100);

/// Shows the Node, once or until the reader has gone.
///
/// # Errors
/// When the Node does not answer, or has no such Role or Peer.
pub(crate) async fn show(
    client: &Client,
    view: View,
    watch: Watch,
    output: Output,
) -> Result<(), Failure> {
    if !watch.watch {
        return Ok(output.line(&shown(client, &view, output).await?)?);
    }
    let drawn = async {
        let mut client = client.clone();
        loop {
            let Err(ended) = redraw(&client, &view, output).await;
            client = again::connect(&client, ended).await?;
        }
    };
    tokio::select! {
        ended = drawn => ended,
        () = output::unread() => Err(Failure::Unread),
    }
}

/// Draws it until that fails.
async fn redraw(client: &Client, view: &View, output: Output) -> Result<Infallible, Failure> {
    let mut changes = client.changes().await?;
    let mut before = String::new();
    loop {
        // The terminal may have another size now.
        let output = Output::new(output.json);
        let now = shown(client, view, output).await?;
        if now != before {
            output.line(&drawn(&now, before.is_empty(), output))?;
            before = now;
        }
        sleep(PAUSE).await;
        if let Ok(false) = timeout(LOOK, changes.next()).await {
            return Err(Error::Gone("it has stopped".to_owned()).into());
        }
    }
}

/// What is to be seen now.
async fn shown(client: &Client, view: &View, output: Output) -> Result<String, Failure> {
    let told = client.describe_json().await?;
    let unread = |error| Failure::failed(format_args!("invalid status from the node: {error}"));
    let status: NodeStatus = serde_json::from_str(&told).map_err(unread)?;
    let text = view.text(&status, output)?;
    if !output.json {
        return Ok(text);
    }
    Ok(show::json_lines(&view.json(serde_json::from_str(&told).map_err(unread)?)))
}

/// The text as it is written: over what was there, where that is possible.
fn drawn(text: &str, first: bool, output: Output) -> String {
    if output.json {
        // One line for each.
        return text.lines().map(str::trim_start).collect();
    }
    if !output.terminal {
        return if first { text.to_owned() } else { format!("\n{text}") };
    }
    // To the upper left corner; and nothing of the old text is left beside or below the new one.
    let clear = if first { "\x1b[2J" } else { "" };
    format!("{clear}\x1b[H{}\x1b[K\x1b[J", text.replace('\n', "\x1b[K\n"))
}
