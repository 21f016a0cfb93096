//! The reader of a session: frames to Messages, and signals for the writer and the link.
//!
//! Messages are read once the link has decided on the session; what comes before that waits in the stream. The
//! reader hands them over to the Node as they came, with what it knows of the session: whether they are taken is
//! decided there.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

use super::dispatch::{Dispatch, Source};
use super::machine::{Reason, SessionId};
use super::peer::Peer;
use super::signals::{Echoed, RoundTrip, SessionSignals, ToLink};
use super::standing::{Stand, Standing};
use super::turn::Turn;
use crate::BoxFuture;
use crate::message::{Head, Origin};
use crate::session::{Flow, SessionError, Sink};
use crate::wire::{Decoder, Frame, Hello, Messages, Stage, VERSION};

/// Steps of a turn that a frame takes, besides those of what is in it.
const FRAME: usize = 8;

/// Takes what comes in on one session.
pub struct Reader {
    id: SessionId,
    peer: Arc<Peer>,
    dispatch: Arc<dyn Dispatch>,
    signals: Arc<SessionSignals>,
    standing: Standing,
    decoder: Decoder,
    turn: Turn,
    hello: Option<Hello>,
    origin: Arc<Origin>,
    established: Option<oneshot::Sender<Result<Hello, SessionError>>>,
    refused: bool,
    /// Messages of the last frame that are still to be delivered.
    messages: Option<Messages>,
    /// The head of the last Message.
    head: Option<Arc<Head>>,
}

impl Reader {
    /// A reader for a session with this Peer that stands as `standing` says. `established` is told when hello
    /// and interest have come, or why this Node wants nothing to do with them: then nothing more is read.
    pub fn new(
        id: SessionId,
        peer: Arc<Peer>,
        dispatch: Arc<dyn Dispatch>,
        signals: Arc<SessionSignals>,
        standing: Standing,
        established: oneshot::Sender<Result<Hello, SessionError>>,
    ) -> Reader {
        let origin = Arc::new(Origin { node: peer.name().to_owned(), boot: 0 });
        Reader {
            id,
            peer,
            dispatch,
            signals,
            standing,
            decoder: Decoder::new(Stage::Silent),
            turn: Turn::default(),
            hello: None,
            origin,
            established: Some(established),
            refused: false,
            messages: None,
            head: None,
        }
    }

    fn frame(&mut self, frame: Frame) -> Result<(), SessionError> {
        if self.hello.is_none() && !matches!(frame, Frame::Hello(_) | Frame::Bye(_)) {
            return Err(SessionError::Protocol("a frame came before the hello".to_owned()));
        }
        match frame {
            Frame::Hello(hello) => self.take_hello(hello)?,
            Frame::Interest(interests) => {
                self.turn.step(interests.len());
                self.signals.keep_interests(interests);
                self.tell(|_| {});
                if let Some(hello) = self.hello.clone() {
                    self.greet(Ok(hello));
                }
            }
            Frame::Messages(mut messages) => {
                messages.share(&self.origin, self.head.take());
                self.messages = Some(messages);
            }
            Frame::TooLarge => {
                let source = source(&self.peer, &self.origin, &self.standing);
                let taken = self.dispatch.receive_too_large(&source);
                self.count(taken);
            }
            Frame::Heartbeat(heartbeat) => {
                self.acknowledge(heartbeat.received);
                self.signals.tell_writer(|say| say.echo = Some(heartbeat.sent));
            }
            Frame::Echo(echo) => {
                self.acknowledge(echo.received);
                let at = self.signals.now();
                self.signals.acknowledge(Echoed { sent: echo.sent, at });
                let round_trip = at.saturating_sub(echo.sent);
                let measured = RoundTrip {
                    sent: echo.sent,
                    time: round_trip,
                    skew: skew(echo.clock, round_trip),
                };
                self.tell(|read| read.echo = Some(measured));
            }
            Frame::Use => self.tell(|read| read.chosen = true),
            Frame::Finish => {
                self.signals.tell_writer(|say| say.finished = true);
                self.tell(|read| read.finish = true);
            }
            Frame::Finished(received) => {
                self.acknowledge(received);
                self.tell(|read| read.finished = true);
            }
            Frame::Bye(reason) => {
                if reason == Reason::Twin.text() {
                    return Err(SessionError::TurnedAway(reason.to_owned()));
                }
                return Err(SessionError::closed_for(&reason));
            }
        }
        Ok(())
    }

    fn take_hello(&mut self, hello: Hello) -> Result<(), SessionError> {
        if self.hello.is_some() {
            return Err(SessionError::Protocol("a second hello came".to_owned()));
        }
        if let Some(problem) = objection(&hello) {
            self.refused = true;
            self.greet(Err(SessionError::Protocol(problem)));
            return Ok(());
        }
        self.origin = Arc::new(Origin { node: self.peer.name().to_owned(), boot: hello.boot });
        if self.peer.in_use().is_none() {
            self.peer.set_boot(hello.boot);
        }
        self.hello = Some(hello);
        self.decoder.set_stage(Stage::Greeting);
        Ok(())
    }

    fn greet(&mut self, result: Result<Hello, SessionError>) {
        if let Some(established) = self.established.take() {
            // An error: the handshake has given up.
            let _ = established.send(result);
        }
    }

    /// Reads Messages once it is decided what becomes of them.
    fn heed_standing(&mut self) {
        let most = match self.standing.now() {
            _ if self.hello.is_none() => return,
            Stand::Undecided => return,
            Stand::Known => self.dispatch.largest(),
            // They are only counted.
            Stand::GivenUp => 0,
        };
        self.decoder.set_stage(Stage::Open(most));
    }

    /// Hands over the Messages of the last frame, until a queue is full or the turn is over.
    fn deliver(&mut self) -> Result<Flow, SessionError> {
        let Some(mut messages) = self.messages.take() else { return Ok(Flow::Continue) };
        let source = source(&self.peer, &self.origin, &self.standing);
        let (flow, taken) = self.dispatch.receive(&source, &mut messages, &mut self.turn)?;
        self.count(taken);
        if flow == Flow::Yield {
            self.messages = Some(messages);
        } else {
            self.head = messages.into_head();
        }
        Ok(flow)
    }

    /// Counts Messages as received.
    fn count(&self, messages: u64) {
        if messages > 0 {
            self.peer.count_received(self.origin.boot, messages);
        }
    }

    fn acknowledge(&self, received: u64) {
        self.peer.acknowledge(self.origin.boot, received);
    }

    fn tell(&self, note: impl FnOnce(&mut ToLink)) {
        self.signals.tell_link(note);
        self.peer.pending.tell(self.id);
    }
}

/// What the Node has to know of a session whose Messages it is handed.
fn source<'a>(peer: &'a Peer, origin: &'a Arc<Origin>, standing: &Standing) -> Source<'a> {
    Source { peer, origin, stand: standing.now() }
}

/// What stands against a session with a Peer that says this.
fn objection(hello: &Hello) -> Option<String> {
    if hello.version != VERSION {
        let version = hello.version;
        return Some(format!("version {version} of the protocol is unknown, this is {VERSION}"));
    }
    let feature = hello.features.first()?;
    Some(format!("the feature '{}' is unknown", feature.escape_debug()))
}

impl Sink for Reader {
    fn data(&mut self, bytes: &[u8]) -> Result<Flow, SessionError> {
        if !bytes.is_empty() {
            self.signals.hear();
        }
        if self.refused {
            return Ok(Flow::Continue);
        }
        self.decoder.feed(bytes);
        self.turn.read(bytes.len());
        self.heed_standing();
        while !self.refused {
            if self.turn.is_over() || self.deliver()? == Flow::Yield {
                return Ok(Flow::Yield);
            }
            let Some(frame) = self.decoder.next_frame()? else { break };
            self.frame(frame)?;
            self.turn.step(FRAME);
        }
        Ok(if self.decoder.is_held() { Flow::Wait } else { Flow::Continue })
    }

    fn ready(&self) -> BoxFuture<'static, ()> {
        self.standing.decided()
    }
}

/// By how much the other side's clock is ahead, in microseconds, if it looked at it half-way through
/// the round trip.
fn skew(clock: u64, round_trip: u64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let there = i128::from(clock) + i128::from(round_trip / 2);
    let ahead = there - i128::try_from(now).unwrap_or(i128::MAX);
    i64::try_from(ahead).unwrap_or(if ahead > 0 { i64::MAX } else { i64::MIN })
}
