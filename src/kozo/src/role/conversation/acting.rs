//! Doing what a program asks for.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use rmpv::Value;
use tokio::time::timeout;

use super::Encoding;
use super::call::{self, Call, Request, Sending};
use super::outbox::Outbox;
use crate::process::Owner;
use crate::role::{RoleContext, Sent};
use crate::rpc::journal::Journal;
use crate::rpc::output::object;
use crate::rpc::{Fault, Part, code};

/// How long a program is not read because others are slow to take a Message of it.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// Does what one program asks for.
pub(super) struct Acting<'c> {
    context: &'c RoleContext,
    outbox: &'c Outbox,
    encoding: Encoding,
    is_ready: bool,
    has_interest: bool,
    journal: Journal,
}

impl<'c> Acting<'c> {
    pub(super) fn new(
        context: &'c RoleContext,
        outbox: &'c Outbox,
        encoding: Encoding,
    ) -> Acting<'c> {
        let journal = Journal::new(Owner::Role(Arc::clone(&context.name)));
        Acting { context, outbox, encoding, is_ready: false, has_interest: false, journal }
    }

    /// Whether the program has said that it is ready.
    pub(super) fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Does what the line asks for.
    pub(super) async fn obey(&mut self, line: &[u8]) -> Result<(), Fault> {
        let part = Part::new(self.encoding, line)?;
        if part.is_blank() {
            return Ok(());
        }
        let Some(Request { id, call }) = call::read(&part)? else { return Ok(()) };
        match self.carry_out(call).await {
            Ok(done) => {
                if let Some(id) = id {
                    self.outbox.answer(id, &done.answer());
                }
            }
            Err(refusal) => match id {
                Some(id) => self.outbox.refuse(Some(id), refusal.code, &refusal.text),
                None if self.context.may_complain("refused") => {
                    tracing::warn!(role = %self.context.name, "refused: {}", refusal.text);
                }
                None => {}
            },
        }
        Ok(())
    }

    /// Does what is asked for. A refusal does not end the conversation.
    async fn carry_out(&mut self, call: Call<'_>) -> Result<Done, Fault> {
        match call {
            Call::Ready => {
                if !self.is_ready && !self.has_interest {
                    // What it wanted before it failed and was started again holds no longer.
                    self.context.set_interests(None);
                }
                self.is_ready = true;
                self.context.set_running();
                self.outbox.want(|wanted| wanted.messages = true);
            }
            Call::Interest(interests) => {
                self.has_interest = true;
                self.context.set_interests(Some(interests));
            }
            Call::Send(sending) => return self.send(&sending).await,
            Call::Store(value) => self.store(&value).await?,
            Call::Log(level, text) => self.journal.write(level, text),
            Call::Status(text) => self.context.set_status(text),
            Call::Subscribe => self.outbox.want(|wanted| wanted.peers = true),
        }
        Ok(Done::Plainly)
    }

    /// Sends a Message once others have taken what came before it, or after a while.
    async fn send(&self, sending: &Sending<'_>) -> Result<Done, Fault> {
        let mut waiting = pin!(self.context.send_waiting(sending.draft()));
        // Mostly there is nothing to wait for, and so nothing to be timed.
        let sent = match (&mut waiting).now_or_never() {
            Some(sent) => sent,
            None => match timeout(PATIENCE, waiting).await {
                Ok(sent) => sent,
                Err(_) => self.context.send(sending.draft()).await,
            },
        };
        sent.map(Done::Sent).map_err(|error| Fault::new(code::REFUSED, error.to_string()))
    }

    async fn store(&self, value: &Value) -> Result<(), Fault> {
        let not_stored = |text: String| Fault::new(code::NOT_STORED, text);
        let Some(storage) = &self.context.storage else {
            return Err(not_stored("the Node has no roleStorage".to_owned()));
        };
        storage.save(value).await.map_err(|error| not_stored(error.to_string()))
    }
}

/// What was done.
enum Done {
    /// What there is nothing more to say of.
    Plainly,
    /// A Message was sent.
    Sent(Sent),
}

impl Done {
    /// What a request for it is answered.
    fn answer(&self) -> Value {
        match self {
            Done::Plainly => object([]),
            Done::Sent(sent) => object([
                ("sequence", sent.sequence.into()),
                ("roles", sent.roles.into()),
                ("peers", sent.peers.into()),
                ("unreachable", sent.unreachable.into()),
            ]),
        }
    }
}
