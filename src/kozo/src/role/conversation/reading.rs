//! The half of a conversation that listens to the program, and does what it asks for.

use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::time::{Instant, timeout_at};

use super::Encoding;
use super::acting::Acting;
use super::outbox::Outbox;
use crate::role::{RoleContext, RoleError};
use crate::rpc::{Broken, Fault, Input};

/// How long a program has until it is ready.
pub(super) const READY: Duration = Duration::from_secs(30);

/// Listens to a program.
pub(super) struct Reading<'c, R> {
    context: &'c RoleContext,
    outbox: &'c Outbox,
    input: Input<R>,
    acting: Acting<'c>,
    /// When it has to be ready.
    deadline: Instant,
}

impl<'c, R: AsyncRead + Unpin> Reading<'c, R> {
    pub(super) fn new(
        context: &'c RoleContext,
        outbox: &'c Outbox,
        encoding: Encoding,
        input: Input<R>,
    ) -> Reading<'c, R> {
        Reading {
            context,
            outbox,
            input,
            acting: Acting::new(context, outbox, encoding),
            deadline: Instant::now() + READY,
        }
    }

    /// Does what the program asks for until it closes.
    ///
    /// # Errors
    /// When it says something that makes no sense, or is not ready in time. What is wrong is said to it too.
    pub(super) async fn read(mut self) -> Result<(), RoleError> {
        loop {
            // What it has said already may be much.
            tokio::task::coop::consume_budget().await;
            let told = match self.next().await? {
                Ok(true) => self.acting.obey(self.input.line()).await,
                Ok(false) => return Ok(()),
                Err(fault) => Err(fault),
            };
            if let Err(fault) = told {
                let text = self.input.described(&fault);
                self.outbox.refuse(fault.id.as_deref(), fault.code, &text);
                return Err(RoleError(text));
            }
        }
    }

    /// Goes on to the next line. A program that asks and asks and does not listen has to wait.
    async fn listen(&mut self) -> Result<bool, Broken> {
        if !self.outbox.has_room() {
            tokio::select! {
                () = self.outbox.room() => {}
                () = self.context.stopped() => {}
            }
        }
        self.input.next().await
    }

    /// Goes on to the next line, but does not wait for ever for one that says that the program is ready.
    async fn next(&mut self) -> Result<Result<bool, Fault>, RoleError> {
        let next = if self.is_expected() {
            let in_time = timeout_at(self.deadline, self.listen()).await;
            match in_time.ok().filter(|_| Instant::now() < self.deadline) {
                Some(next) => next,
                None if self.is_expected() => {
                    let seconds = READY.as_secs();
                    return Err(RoleError(format!("it was not ready within {seconds} s")));
                }
                None => self.listen().await,
            }
        } else {
            self.listen().await
        };
        match next {
            Ok(is_there) => Ok(Ok(is_there)),
            Err(Broken::Fault(fault)) => Ok(Err(fault)),
            Err(broken) if broken.is_end() => Ok(Ok(false)),
            Err(Broken::Io(error)) => Err(RoleError(format!("it cannot be read: {error}"))),
        }
    }

    /// Whether the program has yet to say that it is ready, and is not to stop before that.
    fn is_expected(&self) -> bool {
        !self.acting.is_ready() && !*self.context.stop.borrow()
    }
}
