//! `kozoctl inject`: sends a Message.

use std::io::Read;

use kozo::message::Kind;
use kozo_client::Client;
use rmpv::Value;
use serde_json::json;

use crate::cli::Inject;
use crate::data;
use crate::failure::{Exit, Failure};
use crate::output::{Output, say};

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
        let value: Value = data::read(&command.data, input)?;
        let mut data = Vec::new();
        rmpv::encode::write_value(&mut data, &value).map_err(Failure::failed)?;
        let Inject { kind, message_type, channel, .. } = command;
        Ok(Message { kind: kind.into(), message_type, channel, data })
    }
}

/// Sends the Message and says to how many.
///
/// # Errors
/// When the Node refuses it, or nobody gets it.
pub(crate) async fn run(client: &Client, message: Message, output: Output) -> Result<(), Failure> {
    let Message { kind, message_type, channel, data } = message;
    let sent = client.inject_msgpack(kind.name(), &message_type, channel.as_deref(), &data).await?;
    let answer = json!({
        "id": sent.id, "roles": sent.roles, "peers": sent.peers, "unreachable": sent.unreachable,
    });
    let away = match sent.unreachable {
        0 => String::new(),
        count => format!("; {} cannot be reached now", counted(count, "interested peer")),
    };
    let nobody = sent.roles == 0 && sent.peers == 0;
    if output.json {
        output.json(&answer)?;
    } else if nobody {
        say(&format!("kozoctl: nobody is interested{away}"));
    } else {
        let targets: Vec<_> = [(sent.roles, "role"), (sent.peers, "peer")]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| counted(count, what))
            .collect();
        output.line(&format!("queued for {}{away}", targets.join(" and ")))?;
    }
    if nobody { Err(Failure::Silent(Exit::NobodyInterested)) } else { Ok(()) }
}

fn counted(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
