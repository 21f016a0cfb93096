//! The writer of a session: the only task that writes on it.
//!
//! It sends what the notes say and, while its session is the one in use, Messages from the Peer's
//! queue: all that are there at each wake-up in one write.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use tokio::time::timeout;

use super::greeting::{Greeted, part_with};
use super::notes::{Notes, Sayings};
use super::peer::Peer;
use crate::message::Message;
use crate::transport::session::{Session, SessionError};
use crate::transport::ssh;
use crate::wire::{self, Control, Echo, Heartbeat};

/// Bytes of Messages that go into one write, if more than one does: with what is said of them, they fill
/// one packet of the session.
const BATCH: usize = ssh::PACKET as usize - ROOM;

/// Bytes for what is said of the Messages of a write, beside their own size.
const ROOM: usize = 1024;

const _: () = assert!(BATCH + ROOM <= wire::MAX_BATCH);

/// How long the other side has to close a session after a goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Writes until the session ends; returns why it did.
pub(super) async fn run(greeted: Greeted, peer: Arc<Peer>) -> SessionError {
    let Greeted { session, notes, mut interests, .. } = greeted;
    let mut writer =
        Writer { session, notes, peer, buffer: BytesMut::new(), batch: Vec::new(), padding: 0 };
    loop {
        if interests.has_changed().unwrap_or(false) {
            let interests = interests.borrow_and_update();
            wire::encode(&Control::Interest(&interests), &mut writer.buffer);
        }
        let (sayings, active) = writer.notes.take();
        let bye = sayings.bye;
        writer.gather(&sayings, active);
        if writer.buffer.is_empty() {
            let peer = Arc::clone(&writer.peer);
            tokio::select! {
                biased;
                reason = writer.session.end.reason() => {
                    part_with(&mut writer.session, &reason).await;
                    return reason;
                }
                () = writer.notes.wake.notified() => {}
                () = peer.outgoing.ready.notified(), if active => {}
                Ok(()) = interests.changed() => interests.mark_changed(),
            }
        } else if let Err(reason) = writer.flush().await {
            return reason;
        }
        if let Some(bye) = bye {
            // Whatever the other side says to it, this side has closed it.
            let _ = timeout(GOODBYE, writer.session.end.reason()).await;
            return SessionError::Stream(bye.to_owned());
        }
    }
}

struct Writer {
    session: Session,
    notes: Arc<Notes>,
    peer: Arc<Peer>,
    buffer: BytesMut,
    batch: Vec<Message>,
    /// Bytes of nothing that are still to be written.
    padding: usize,
}

impl Writer {
    /// Encodes what there is to send now.
    fn gather(&mut self, sayings: &Sayings, active: bool) {
        if sayings.say_use {
            wire::encode(&Control::Use, &mut self.buffer);
        }
        if active {
            self.gather_messages();
        }
        if let Some(drain) = sayings.finish {
            if drain && active {
                self.notes.set_active(false);
                while self.peer.outgoing.has_messages() {
                    self.gather_messages();
                }
            }
            wire::encode(&Control::Finish, &mut self.buffer);
        }
        if sayings.finished {
            wire::encode(&Control::Finished(self.received()), &mut self.buffer);
        }
        if let Some(sent) = sayings.echo {
            let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let clock = u64::try_from(clock.as_micros()).unwrap_or(u64::MAX);
            let echo = Echo { sent, received: self.received(), clock };
            wire::encode(&Control::Echo(echo), &mut self.buffer);
        }
        // The last word on what has come: the other side need not take it for lost.
        if sayings.heartbeat || sayings.bye.is_some() {
            let heartbeat = Heartbeat { sent: self.notes.now(), received: self.received() };
            wire::encode(&Control::Heartbeat(heartbeat), &mut self.buffer);
        }
        if let Some(reason) = sayings.bye {
            wire::encode(&Control::Bye(reason), &mut self.buffer);
        }
        if sayings.padding > 0 {
            // Nobody waits any more for what was left of the padding before.
            self.padding = sayings.padding;
        }
        self.pad();
    }

    /// Encodes a piece of what padding there is, if there is nothing else: a Message goes before all of it
    /// that was not yet handed over.
    fn pad(&mut self) {
        if self.padding == 0 || !self.buffer.is_empty() {
            return;
        }
        let piece = self.padding.min(BATCH);
        wire::encode(&Control::Padding(piece), &mut self.buffer);
        self.padding -= piece;
        if self.padding == 0 {
            let heartbeat = Heartbeat { sent: self.notes.now(), received: self.received() };
            self.notes.set_padded(heartbeat.sent);
            wire::encode(&Control::Heartbeat(heartbeat), &mut self.buffer);
        }
    }

    fn gather_messages(&mut self) {
        let bytes = self.peer.outgoing.take(&mut self.batch, BATCH);
        if self.batch.is_empty() {
            return;
        }
        self.buffer.reserve(bytes + ROOM);
        wire::encode_messages(&self.batch, &mut self.buffer);
        self.batch.clear();
    }

    fn received(&self) -> u64 {
        self.peer.received().1
    }

    /// Writes what was gathered, unless the session ends meanwhile.
    async fn flush(&mut self) -> Result<(), SessionError> {
        let bytes = self.buffer.split().freeze();
        let (reason, is_whole) = {
            let Session { writer, end, .. } = &mut self.session;
            let mut written = pin!(writer.write(bytes));
            let reason = tokio::select! {
                biased;
                written = &mut written => return written,
                reason = end.reason() => reason,
            };
            let is_whole =
                reason.is_refusal() && matches!(timeout(GOODBYE, written).await, Ok(Ok(())));
            (reason, is_whole)
        };
        // A goodbye in the middle of a frame would be taken for a piece of it.
        if is_whole {
            part_with(&mut self.session, &reason).await;
        }
        Err(reason)
    }
}
