//! `kozoctl inject`: sends a Message.

use std::io::Read;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use kozo_client::Client;
use kozo_core::message::Kind;
use kozo_core::value::show;
use rmpv::Value;
use serde_json::json;

use crate::cli::{Inject, MessageKind};
use crate::failure::{Exit, Failure};
use crate::output::{Output, say};
use crate::{data, shell};

/// What is to be sent.
pub(crate) struct Message {
    kind: Kind,
    message_type: String,
    channel: Option<String>,
    data: Vec<u8>,
}

impl Message {
    /// Reads the data.
    ///
    /// # Errors
    /// When it makes no sense.
    pub(crate) fn new(command: Inject, input: impl Read) -> Result<Message, Failure> {
        has_a_type(&command)?;
        let value: Value = data::read(&command.data, input)?;
        let mut data = Vec::new();
        rmpv::encode::write_value(&mut data, &value).map_err(Failure::failed)?;
        let Inject { kind, message_type, channel, .. } = command;
        Ok(Message { kind: kind.into(), message_type, channel, data })
    }
}

/// Refuses what was probably meant as the text of a Message without a type: it would be lost.
fn has_a_type(command: &Inject) -> Result<(), Failure> {
    let Inject { kind, message_type, data, .. } = command;
    let text = data.is_empty() && message_type.contains(char::is_whitespace);
    let textless = data.is_empty() && *kind == MessageKind::Log;
    if !text && !textless {
        return Ok(());
    }
    let shown = show::one_line(message_type);
    let problem = if text {
        format!("expected the type of the message, found '{shown}'")
    } else {
        format!("a log message needs a type and a text, and there is only '{shown}'")
    };
    let mut quoted = Vec::new();
    shell::quote(message_type.as_bytes(), &mut quoted);
    let (kind, quoted) = (Kind::from(*kind).name(), String::from_utf8_lossy(&quoted));
    Err(Failure::usage(problem).hint(format!("Example: kozoctl inject {kind} note {quoted}")))
}

/// An example for who gave no type at all.
pub(crate) fn example(error: &clap::Error) -> Option<&'static str> {
    let missing = error.kind() == ErrorKind::MissingRequiredArgument;
    let which = error.get(ContextKind::InvalidArg).filter(|_| missing)?;
    let ContextValue::Strings(which) = which else { return None };
    which
        .iter()
        .any(|argument| argument == "<TYPE>")
        .then_some("Example: kozoctl inject log note 'The cat is out'")
}

/// Sends the Message and says to how many.
///
/// # Errors
/// When the Node refuses it, or no Role and no Peer gets it.
pub(crate) async fn run(client: &Client, message: Message, output: Output) -> Result<(), Failure> {
    let Message { kind, message_type, channel, data } = message;
    let sent = client.inject_msgpack(kind.name(), &message_type, channel.as_deref(), &data).await?;
    let answer = json!({
        "id": sent.id, "roles": sent.roles, "peers": sent.peers, "unreachable": sent.unreachable,
    });
    let away = match sent.unreachable {
        0 => None,
        1 => Some("1 interested peer is unreachable".to_owned()),
        count => Some(format!("{count} interested peers are unreachable")),
    };
    let nobody = sent.roles == 0 && sent.peers == 0;
    if output.json {
        output.json(&answer)?;
    } else if nobody {
        let why = away.as_deref().unwrap_or("no one is interested");
        say(&format!("kozoctl: not delivered: {why}"));
    } else {
        let targets: Vec<_> = [(sent.roles, "role"), (sent.peers, "peer")]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| counted(count, what))
            .collect();
        let away = away.map(|away| format!("; {away}")).unwrap_or_default();
        output.line(&format!("queued for {}{away}", targets.join(" and ")))?;
    }
    if nobody { Err(Failure::Silent(Exit::NobodyInterested)) } else { Ok(()) }
}

fn counted(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
