//! The writer of a session: the only task that writes on it.
//!
//! It sends what the signals say and, while its session is the one in use, Messages from the Peer's
//! queue: all that are there at each wake-up in one write.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use tokio::time::timeout;

use super::established::{Established, part_with};
use super::peer::Peer;
use super::signals::{Echoed, SessionSignals, ToWriter, Work};
use super::window::SendWindow;
use crate::message::Message;
use crate::session::ssh;
use crate::session::{Session, SessionError};
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
pub(super) async fn run(established: Established, peer: Arc<Peer>) -> SessionError {
    let Established { session, signals, mut interests, .. } = established;
    let mut writer = Writer {
        session,
        signals,
        peer,
        window: SendWindow::default(),
        heartbeat: 0,
        buffer: BytesMut::new(),
        counted: 0,
        batch: Vec::new(),
        padding: 0,
    };
    loop {
        if interests.has_changed().unwrap_or(false) {
            let interests = interests.borrow_and_update();
            wire::encode(&Control::Interest(&interests), &mut writer.buffer);
        }
        let Work { to_writer, active, echoed } = writer.signals.take_for_writer();
        if let Some(echoed) = echoed {
            writer.acknowledge(echoed);
        }
        let bye = to_writer.bye;
        writer.gather(&to_writer, active);
        if writer.buffer.is_empty() {
            let has_room = writer.window.room() > 0;
            if active && has_room {
                writer.window.idle();
            }
            let peer = Arc::clone(&writer.peer);
            tokio::select! {
                biased;
                reason = writer.session.end.reason() => {
                    part_with(&mut writer.session, &reason).await;
                    return reason;
                }
                () = writer.signals.wake.notified() => {}
                () = peer.outgoing.ready.notified(), if active && has_room => {}
                Ok(()) = interests.changed() => interests.mark_changed(),
            }
        } else if let Err(reason) = writer.flush().await {
            return reason;
        }
        if let Some(bye) = bye {
            // This side has closed it, and not what the other side says to that.
            let _ = timeout(GOODBYE, writer.session.end.reason()).await;
            return SessionError::Stream(bye.to_owned());
        }
    }
}

struct Writer {
    session: Session,
    signals: Arc<SessionSignals>,
    peer: Arc<Peer>,
    window: SendWindow,
    /// When the last heartbeat was sent, by the session's clock, in microseconds.
    heartbeat: u64,
    buffer: BytesMut,
    /// Bytes in it that the window knows of.
    counted: usize,
    batch: Vec<Message>,
    /// Bytes of nothing that are still to be written.
    padding: usize,
}

impl Writer {
    /// Encodes what there is to send now: what is urgent goes before Messages.
    fn gather(&mut self, to_writer: &ToWriter, active: bool) {
        if to_writer.say_use {
            wire::encode(&Control::Use, &mut self.buffer);
        }
        if to_writer.finished {
            wire::encode(&Control::Finished(self.received()), &mut self.buffer);
        }
        if let Some(sent) = to_writer.echo {
            let echo = Echo { sent, received: self.received(), clock: wall_clock() };
            wire::encode(&Control::Echo(echo), &mut self.buffer);
        }
        if self.window.begin_probe() || to_writer.heartbeat {
            self.put_heartbeat(None);
        }
        let last = if active { self.gather_messages() } else { None };
        if let Some(drain) = to_writer.finish {
            if drain && active {
                self.signals.set_active(false);
                self.drain();
            }
            wire::encode(&Control::Finish, &mut self.buffer);
        }
        if let Some(reason) = to_writer.bye {
            // The last word on what has come: the other side need not take it for lost.
            self.put_heartbeat(None);
            wire::encode(&Control::Bye(reason), &mut self.buffer);
        }
        if to_writer.padding > 0 {
            // The question for what was left of the padding before was dropped.
            self.padding = to_writer.padding;
        }
        self.pad();
        self.finish_write(last);
        if active {
            self.peer.traffic.set_unacknowledged(self.window.unacknowledged());
        }
    }

    /// Counts what is about to be written, and asks the Peer to acknowledge it where that is due. `last` is when the
    /// Message at its end was made.
    fn finish_write(&mut self, last: Option<u64>) {
        if !self.buffer.is_empty() {
            self.count(self.signals.now());
        }
        if self.window.wants_mark() {
            self.put_heartbeat(last.map(|made| wall_clock().saturating_sub(made)));
        }
        self.counted = 0;
    }

    /// Counts what has been encoded since the last time.
    fn count(&mut self, now: u64) {
        self.window.write(self.buffer.len() - self.counted, now);
        self.counted = self.buffer.len();
    }

    /// Encodes a heartbeat. Its echo acknowledges what was written before.
    fn put_heartbeat(&mut self, age: Option<u64>) {
        // No two have the same time, by which the Peer's echo names them.
        self.heartbeat = self.signals.now().max(self.heartbeat + 1);
        let heartbeat = Heartbeat { sent: self.heartbeat, received: self.received() };
        wire::encode(&Control::Heartbeat(heartbeat), &mut self.buffer);
        self.count(self.heartbeat);
        self.window.mark(self.heartbeat, age);
    }

    fn acknowledge(&mut self, echoed: Echoed) {
        if let Some(measured) = self.window.acknowledge(echoed.sent, echoed.at) {
            self.peer.traffic.set_measured(measured);
        }
    }

    /// Encodes a piece of what padding there is, if there is nothing else: a Message goes before all of it
    /// that was not yet handed over.
    fn pad(&mut self) {
        let room = self.room();
        if self.padding == 0 || room == 0 || !self.buffer.is_empty() {
            return;
        }
        let piece = self.padding.min(room);
        wire::encode(&Control::Padding(piece), &mut self.buffer);
        self.padding -= piece;
        if self.padding == 0 {
            self.put_heartbeat(None);
            self.signals.set_padded(self.heartbeat);
        }
    }

    /// Bytes that may be written now, at most those of a packet.
    fn room(&self) -> usize {
        usize::try_from(self.window.room()).unwrap_or(usize::MAX).min(BATCH)
    }

    /// Encodes Messages, if there are any and there is room; returns when the last of them was
    /// made.
    fn gather_messages(&mut self) -> Option<u64> {
        let room = self.room();
        if room == 0 {
            return None;
        }
        let bytes = self.peer.take_messages(&mut self.batch, room);
        self.put_batch(bytes)
    }

    /// Encodes all Messages that are left.
    fn drain(&mut self) {
        while self.peer.outgoing.has_messages() {
            let bytes = self.peer.take_messages(&mut self.batch, BATCH);
            self.put_batch(bytes);
        }
    }

    fn put_batch(&mut self, bytes: usize) -> Option<u64> {
        let last = self.batch.last()?.timestamp();
        self.buffer.reserve(bytes + ROOM);
        wire::encode_messages(&self.batch, &mut self.buffer);
        self.batch.clear();
        Some(last)
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

/// Microseconds since the Unix epoch.
fn wall_clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
