//! Pings: those who want to know the round-trip time to a Peer as it is now.
//!
//! Pure: an answer goes to each once a heartbeat that was sent after the question, on the same session, has come
//! back. To ask with padding is to ask for the heartbeat that goes behind the padding.

use tokio::sync::oneshot;

use super::machine::SessionId;
use super::signals::RoundTrip;

/// Most pings that wait for an answer.
const MOST_PINGS: usize = 1024;

/// The pings of one link that wait for an answer.
#[derive(Debug, Default)]
pub(super) struct Pings(Vec<Ping>);

#[derive(Debug)]
struct Ping {
    session: SessionId,
    /// When it was asked, by that session's clock, in microseconds.
    asked: u64,
    /// Whether it asks for the heartbeat behind some padding.
    padded: bool,
    answer: oneshot::Sender<u64>,
}

impl Pings {
    /// Takes a ping on this session at this time by its clock. False if there is no room for it: then it is
    /// dropped, which tells the task that asked.
    pub(super) fn ask(
        &mut self,
        session: SessionId,
        asked: u64,
        padded: bool,
        answer: oneshot::Sender<u64>,
    ) -> bool {
        self.0.retain(|ping| !ping.answer.is_closed());
        // One with padding at a time: what another one adds would come before the answer to the first.
        let has_room =
            self.0.len() < MOST_PINGS && !(padded && self.0.iter().any(|ping| ping.padded));
        if has_room {
            self.0.push(Ping { session, asked, padded, answer });
        }
        has_room
    }

    /// The echo of a heartbeat has come on this session, where the heartbeat behind the last padding was sent at
    /// `padded`.
    pub(super) fn answer(&mut self, session: SessionId, measured: RoundTrip, padded: u64) {
        let answered = |ping: &mut Ping| {
            // Of several heartbeats the Peer may echo the last alone: that one is behind the padding too.
            let sent = if ping.padded { padded } else { measured.sent };
            ping.session == session && (ping.asked..=measured.sent).contains(&sent)
        };
        for ping in self.0.extract_if(.., answered) {
            // An error: nothing waits for it any more.
            let _ = ping.answer.send(measured.time);
        }
    }

    /// Drops the pings on a session that is over.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.0.retain(|ping| ping.session != session);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::sync::oneshot::Receiver;
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    /// Nothing was padded yet.
    const NEVER: u64 = u64::MAX;

    fn ask(pings: &mut Pings, session: SessionId, asked: u64, padded: bool) -> Receiver<u64> {
        let (answer, answered) = oneshot::channel();
        pings.ask(session, asked, padded, answer);
        answered
    }

    /// The echo of a heartbeat that was sent then.
    fn echo(sent: u64, time: u64) -> RoundTrip {
        RoundTrip { sent, time, skew: 0 }
    }

    #[test]
    fn the_echo_of_a_heartbeat_from_before_the_question_is_no_answer() {
        let mut pings = Pings::default();
        let mut answered = ask(&mut pings, 1, 100, false);
        pings.answer(1, echo(99, 7), NEVER);
        assert_eq!(answered.try_recv(), Err(TryRecvError::Empty));
        pings.answer(1, echo(100, 8), NEVER);
        assert_eq!(answered.try_recv(), Ok(8));
        assert!(pings.0.is_empty());
    }

    #[test]
    fn one_echo_answers_all_that_asked_before_its_heartbeat() {
        let mut pings = Pings::default();
        let mut early = [10, 20].map(|asked| ask(&mut pings, 1, asked, false));
        let mut late = ask(&mut pings, 1, 30, false);
        pings.answer(1, echo(25, 7), NEVER);
        early.iter_mut().for_each(|answered| assert_eq!(answered.try_recv(), Ok(7)));
        assert_eq!(late.try_recv(), Err(TryRecvError::Empty));
    }

    #[test]
    fn another_session_answers_nothing() {
        let mut pings = Pings::default();
        let mut answered = ask(&mut pings, 1, 100, false);
        pings.answer(2, echo(200, 7), NEVER);
        assert_eq!(answered.try_recv(), Err(TryRecvError::Empty));
        pings.forget(2);
        assert_eq!(answered.try_recv(), Err(TryRecvError::Empty));
        pings.forget(1);
        assert_eq!(answered.try_recv(), Err(TryRecvError::Closed));
    }

    #[test]
    fn padding_is_answered_by_a_heartbeat_behind_it() {
        let mut pings = Pings::default();
        let mut answered = ask(&mut pings, 1, 100, true);
        for (padded, sent) in [(NEVER, 200), (50, 200), (250, 200)] {
            pings.answer(1, echo(sent, 7), padded);
            let early = answered.try_recv();
            assert_eq!(early, Err(TryRecvError::Empty), "padded at {padded}, echo of {sent}");
        }
        pings.answer(1, echo(260, 8), 250);
        assert_eq!(answered.try_recv(), Ok(8));
    }

    #[test]
    fn one_with_padding_is_taken_at_a_time() {
        let mut pings = Pings::default();
        let mut first = ask(&mut pings, 1, 1, true);
        assert_eq!(ask(&mut pings, 1, 2, true).try_recv(), Err(TryRecvError::Closed));
        let mut without = ask(&mut pings, 1, 3, false);
        assert_eq!(without.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(first.try_recv(), Err(TryRecvError::Empty));
        drop(first);
        let mut second = ask(&mut pings, 1, 4, true);
        assert_eq!(second.try_recv(), Err(TryRecvError::Empty), "the first no longer waits");
    }

    #[test]
    fn so_many_wait_and_no_more_until_one_is_gone() {
        let mut pings = Pings::default();
        let mut waiting: Vec<_> = (0..MOST_PINGS).map(|_| ask(&mut pings, 1, 1, false)).collect();
        let (answer, _refused) = oneshot::channel();
        assert!(!pings.ask(1, 1, false, answer));
        waiting.pop();
        let (answer, _taken) = oneshot::channel();
        assert!(pings.ask(1, 1, false, answer));
    }
}
