//! Doing what a program asks for.

use std::sync::Arc;
use std::time::Duration;

use rmpv::Value;
use tokio::time::timeout;

use super::Encoding;
use super::call::{self, Call, Request, Sending};
use super::outbox::Outbox;
use crate::process::Owner;
use crate::role::RoleContext;
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
            Ok(result) => {
                if let Some(id) = id {
                    self.outbox.answer(id, &result);
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

    /// Does what is asked for, and gives what is to be answered. A refusal does not end the conversation.
    async fn carry_out(&mut self, call: Call<'_>) -> Result<Value, Fault> {
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
        Ok(object([]))
    }

    /// Sends a Message once others have taken what came before it, or after a while.
    async fn send(&self, sending: &Sending<'_>) -> Result<Value, Fault> {
        let waiting = self.context.send_waiting(sending.draft());
        let sent = match timeout(PATIENCE, waiting).await {
            Ok(sent) => sent,
            Err(_) => self.context.send(sending.draft()).await,
        };
        let sent = sent.map_err(|error| Fault::new(code::REFUSED, error.to_string()))?;
        Ok(object([
            ("sequence", sent.sequence.into()),
            ("roles", sent.roles.into()),
            ("peers", sent.peers.into()),
            ("unreachable", sent.unreachable.into()),
        ]))
    }

    async fn store(&self, value: &Value) -> Result<(), Fault> {
        let not_stored = |text: String| Fault::new(code::NOT_STORED, text);
        let Some(storage) = &self.context.storage else {
            return Err(not_stored("the Node has no roleStorage to store anything in".to_owned()));
        };
        storage.save(value).await.map_err(|error| not_stored(error.to_string()))
    }
}
