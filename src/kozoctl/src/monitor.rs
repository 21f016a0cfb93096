//! `kozoctl monitor`: the Messages that pass, one line for each.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kozo_client::{Client, Error, Filter, Monitored, MonitoredMessage};
use kozo_core::message::Kind;
use kozo_core::value::show;
use serde_json::Value;

use crate::again;
use crate::cli::Monitor;
use crate::failure::Failure;
use crate::output::{self, BOLD, FAINT, Output, WARNING, say};

/// Shows Messages until there were enough or the reader has gone; when the Node stops, goes on once it runs again.
///
/// # Errors
/// When the Node refuses, or stops and is not to be waited for.
pub(crate) async fn run(client: &Client, command: Monitor, output: Output) -> Result<(), Failure> {
    let filter = Filter {
        kind: command.kind.map(|kind| Kind::from(kind).name().to_owned()),
        message_type: command.pattern,
        channel: command.channel,
        role: command.role,
        node: command.from,
    };
    let mut left = command.count;
    let shown = async {
        let mut client = client.clone();
        loop {
            match follow(&client, &filter, &mut left, output).await {
                Err(ended) if !command.once => client = again::connect(&client, ended).await?,
                ended => return ended,
            }
        }
    };
    tokio::select! {
        ended = shown => ended,
        () = output::unread() => Err(Failure::Unread),
    }
}

/// Shows so many Messages as are `left` to be shown.
async fn follow(
    client: &Client,
    filter: &Filter,
    left: &mut Option<u64>,
    output: Output,
) -> Result<(), Failure> {
    let mut monitor = client.monitor(filter).await?;
    let broken = |error| Failure::failed(format_args!("cannot read from the node: {error}"));
    while *left != Some(0) {
        let Some(line) = monitor.next_line().await.map_err(broken)? else {
            return Err(Error::Gone("it has stopped".to_owned()).into());
        };
        let broken = |error: serde_json::Error| match error.is_eof() {
            // It ended in the middle of a line.
            true => Error::Gone("it has stopped".to_owned()).into(),
            false => Failure::failed(format_args!("invalid data from the node: {error}")),
        };
        match serde_json::from_str(&line).map_err(broken)? {
            Monitored::Skipped { .. } if output.json => output.line(&line)?,
            Monitored::Skipped { skipped } => {
                let told = format!("… {skipped} more skipped: too fast to show");
                // Among the others, since it tells of those that are not.
                if output.terminal {
                    output.line(&output.paint(WARNING, &told))?;
                } else {
                    say(&told);
                }
            }
            Monitored::Message(message) => {
                let shown = if output.json {
                    // With everything that is in it, whether known here or not.
                    show::json_line(&serde_json::from_str::<Value>(&line).map_err(broken)?)
                } else {
                    text(&message, output)
                };
                output.line(&shown)?;
                *left = left.map(|left| left - 1);
            }
        }
    }
    Ok(())
}

/// The line for people.
fn text(message: &MonitoredMessage, output: Output) -> String {
    let time = i64::try_from(message.time).ok().and_then(|time| {
        let time = Timestamp::from_microsecond(time).ok()?.to_zoned(TimeZone::system());
        Some(time.strftime("%H:%M:%S%.3f").to_string())
    });
    let time = time.unwrap_or_else(|| message.time.to_string());
    let channel =
        message.channel.as_deref().map(|channel| format!(" [{}]", show::one_line(channel)));
    let data = match &message.data {
        Value::Null if message.msgpack.is_some() => ": (data not shown)".to_owned(),
        Value::Null => String::new(),
        Value::String(text) => format!(": {}", show::one_line(text)),
        data => format!(": {}", show::json_line(data)),
    };
    format!(
        "{} {} {}{} {}{data}",
        output.paint(FAINT, &time),
        show::one_line(&message.kind),
        output.paint(BOLD, &show::one_line(&message.message_type)),
        channel.unwrap_or_default(),
        output.paint(FAINT, &show::one_line(&format!("{}@{}", message.role, message.node))),
    )
}
