//! The command, and what it gets of a Message: variables and standard input. No part of a Message ever becomes part of
//! a command line.

use std::ffi::OsString;
use std::process::Stdio;

use kozo_core::monitored::MonitoredMessage;

use crate::config::{OptionValue, Options};
use crate::message::Message;
use crate::process::Launch;
use crate::role::RoleContext;

/// The sender of the Message in place of the Node and the Role that the command is of.
const SENDER: [&str; 2] = ["KOZO_NODE", "KOZO_ROLE"];

/// What is run.
pub(super) struct Command {
    words: Vec<OsString>,
}

impl Command {
    pub(super) fn new(options: &Options) -> Command {
        let words = match options.0.get("run") {
            Some(OptionValue::List(words)) => words.iter().map(OsString::from).collect(),
            Some(OptionValue::Text(line)) => ["/bin/sh", "-c", line].map(OsString::from).to_vec(),
            _ => Vec::new(),
        };
        Command { words }
    }

    /// The program to be started for this Message, or for none.
    pub(super) fn of(&self, message: Option<&Message>, context: &RoleContext) -> Launch {
        let mut environment = vec![
            variable("KOZO_LOCAL_NODE", context.host.node_name()),
            variable("KOZO_LOCAL_ROLE", &context.name),
        ];
        if let Some(message) = message {
            environment.push(variable("KOZO_KIND", message.kind().name()));
            environment.push(variable("KOZO_TYPE", message.message_type()));
            environment.extend(message.channel().map(|name| variable("KOZO_CHANNEL", name)));
            let [node, role] = SENDER;
            environment.push(variable(node, &message.origin().node));
            environment.push(variable(role, message.role()));
        }
        Launch { environment, without: SENDER.to_vec(), ..Launch::of(self.words.iter().cloned()) }
    }

    /// Where its standard input comes from.
    pub(super) fn stdin(&self, message: Option<&Message>) -> Stdio {
        message.map_or_else(Stdio::null, |_| Stdio::piped())
    }
}

/// A variable. A name may have any character in it, but a variable no zero byte.
fn variable(name: &str, value: &str) -> (OsString, OsString) {
    (name.into(), value.replace('\0', "\u{fffd}").into())
}

/// The data of a Message as one line of JSON.
pub(super) fn data(message: &Message) -> Vec<u8> {
    let mut line = MonitoredMessage::of(message).data.to_string().into_bytes();
    line.push(b'\n');
    line
}
