//! The conversation with a program that is a Role: the protocol of kozo-role(7), over any stream of bytes.
//!
//! [`converse`] is all of it. It does not know which door the program came through; who calls it makes the stream, and
//! bounds how long a program may take to close it once it is to stop.
//!
//! Two halves share one future, and neither waits for what the other one waits for: [`reading`] takes what comes line by line ([`crate::rpc`]),
//! reads it ([`call`]) and does what they ask for ([`acting`]); [`writing`] says what there is to say ([`output`]). Answers and
//! wishes pass through the [`outbox`]. Messages stay in the Role's inbox, which drops the oldest, until they can be
//! written. A conversation in which nothing is said holds no buffer.

mod acting;
mod call;
mod outbox;
mod output;
mod reading;
#[cfg(test)]
mod tests;
mod writing;

use std::pin::pin;
use std::time::Duration;

use rmpv::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::{RoleContext, RoleError};
use crate::rpc::Input;
pub(crate) use crate::rpc::code;
use crate::rpc::output::object;
pub use crate::rpc::{Encoding, LONGEST_LINE, LineBudget};
use outbox::Outbox;
use reading::Reading;

/// Version of the protocol that is spoken here.
pub const PROTOCOL: u32 = 1;

/// How long a program may take to read why the conversation is over.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a program is told of itself when it starts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Start {
    /// The type of the Role.
    pub role_type: String,
    /// Its options: durations in seconds, sizes in bytes.
    pub options: serde_json::Map<String, serde_json::Value>,
}

/// Speaks with a program for a Role. Returns once the program has closed its side: at any time, or after `stop`, which it is
/// told when the Role is to stop; after that it is sent nothing more, but what it sends still counts. Whether it may close by
/// itself, the caller knows.
///
/// # Errors
/// When the stored value cannot be loaded, the program is not ready within 30 s, or says something that makes no sense. What
/// that is, and where, is in the error, and the program was told it too.
pub async fn converse<R, W>(
    context: &RoleContext,
    start: Start,
    encoding: Encoding,
    budget: &LineBudget,
    reader: R,
    writer: W,
) -> Result<(), RoleError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let outbox = Outbox::new(encoding);
    outbox.notify("start", &params(context, start, encoding).await?);
    let input = Input::new(reader, encoding, budget.clone());
    let mut reading = pin!(Reading::new(context, &outbox, encoding, input).read());
    let mut writing = pin!(writing::write(context, encoding, &outbox, writer));
    let mut is_writing = true;
    loop {
        tokio::select! {
            ended = &mut reading => {
                if is_writing {
                    outbox.want(|wanted| wanted.nothing = true);
                    // Answers to its last requests, or what is wrong. A program that does not read them learns nothing.
                    let _ = timeout(FAREWELL, writing).await;
                }
                return ended;
            }
            written = &mut writing, if is_writing => {
                is_writing = false;
                outbox.close();
                if let Err(error) = written {
                    tracing::debug!(role = %context.name, "its program reads no more: {error}");
                }
            }
        }
    }
}

/// The parameters of `start`.
async fn params(
    context: &RoleContext,
    start: Start,
    encoding: Encoding,
) -> Result<Value, RoleError> {
    let stored = match &context.storage {
        Some(storage) => storage.load().await.map_err(|error| RoleError(error.to_string()))?,
        None => None,
    };
    let stored = stored.unwrap_or(Value::Nil);
    let (stored, packed) = match encoding {
        Encoding::Json => output::json_or_packed(stored),
        Encoding::MessagePack => (stored, None),
    };
    let value = |options| {
        rmpv::ext::to_value(options)
            .map_err(|error| RoleError(format!("the options cannot be encoded: {error}")))
    };
    let system = context.host.system();
    let mut said = vec![
        ("protocol", PROTOCOL.into()),
        ("features", Value::Array(Vec::new())),
        ("node", context.host.node_name().into()),
        ("role", (&*context.name).into()),
        ("type", start.role_type.into()),
        ("options", value(&start.options)?),
        ("config", value(&system.config)?),
        ("keys", value(&system.keys)?),
        ("stored", stored),
    ];
    said.extend(packed.map(|packed| ("storedMsgpack", packed)));
    Ok(object(said))
}
