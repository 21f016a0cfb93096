//! How a link stands: what its task reports, and what people are shown of it.
//!
//! Pure: [`Peer`](super::Peer) holds the lock.

use std::time::SystemTime;

use kozo_core::status::Direction;

use super::machine::{LinkState, SessionId, State};
use super::signals::RoundTrip;

/// What carries the Messages of this side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Carrier {
    /// Type of its Transport.
    pub transport: String,
    /// Where it goes to or comes from.
    pub address: String,
    /// Which side opened it.
    pub direction: Direction,
}

/// How a link stands.
#[derive(Debug)]
pub(super) struct LinkStatus {
    /// What the link is doing.
    pub state: State,
    /// What people are told of that.
    pub link_state: LinkState,
    /// Since when it is so.
    pub since: SystemTime,
    /// What carries the Messages of this side, while the link is up.
    pub carrier: Option<Carrier>,
    /// Why there is no session, or no longer.
    pub last_error: Option<String>,
    /// The last round trip, in microseconds.
    pub round_trip: Option<u64>,
    /// Microseconds by which the Peer's clock was ahead then.
    pub skew: Option<i64>,
    /// How often the link has come up.
    pub sessions: u64,
    /// The session in use.
    pub in_use: Option<SessionId>,
    /// Whether Messages wait although the link is not up, because it was until another link took its place.
    pub handover: bool,
}

impl LinkStatus {
    /// Of a link that has not begun.
    pub(super) fn new(now: SystemTime) -> LinkStatus {
        LinkStatus {
            state: State::Disabled,
            link_state: LinkState::Disabled,
            since: now,
            carrier: None,
            last_error: None,
            round_trip: None,
            skew: None,
            sessions: 0,
            in_use: None,
            handover: false,
        }
    }

    /// Another link takes the place of this one: Messages wait for it if this one is up.
    pub(super) fn begin_handover(&mut self) {
        self.handover |= self.link_state == LinkState::Up;
    }

    /// The link is doing this now. True if people are told something else than before.
    pub(super) fn set_state(&mut self, state: State, now: SystemTime) -> bool {
        let before = self.link_state;
        self.state = state;
        self.link_state = state.link_state(before);
        let changed = self.link_state != before;
        if changed {
            self.since = now;
        }
        if state == State::Up {
            self.sessions += 1;
            self.last_error = None;
            self.handover = false;
        } else {
            self.carrier = None;
        }
        changed
    }

    /// This carries the Messages of this side now. True if something else did before, on a link that is up already.
    pub(super) fn set_carrier(&mut self, carrier: Carrier) -> bool {
        let moved = self.state == State::Up && self.carrier.as_ref() != Some(&carrier);
        self.carrier = Some(carrier);
        moved
    }

    /// The round trip was measured.
    pub(super) fn set_round_trip(&mut self, measured: RoundTrip) {
        (self.round_trip, self.skew) = (Some(measured.time), Some(measured.skew));
    }

    /// Since when people are told what they are told, in microseconds since the Unix epoch.
    pub(super) fn since(&self) -> u64 {
        kozo_core::status::micros(self.since)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn people_are_told_of_changes_and_not_of_attempts() {
        let mut status = LinkStatus::new(at(1));
        assert!(status.set_state(State::Waiting, at(2)));
        assert!(!status.set_state(State::Connecting, at(3)));
        assert_eq!((status.link_state, status.since()), (LinkState::Down, 2_000_000));
        assert!(status.set_state(State::Up, at(4)));
        assert_eq!(
            (status.link_state, status.since(), status.sessions),
            (LinkState::Up, 4_000_000, 1)
        );
    }

    #[test]
    fn only_what_a_link_that_is_up_moves_to_is_news() {
        let mut status = LinkStatus::new(at(1));
        let carrier = |address: &str| Carrier {
            transport: "tcp".to_owned(),
            address: address.to_owned(),
            direction: Direction::Out,
        };
        assert!(!status.set_carrier(carrier("here")), "its being up is the news");
        status.set_state(State::Up, at(2));
        assert!(!status.set_carrier(carrier("here")));
        assert!(status.set_carrier(carrier("there")));
        status.set_state(State::Waiting, at(3));
        assert_eq!(status.carrier, None);
    }

    #[test]
    fn messages_wait_only_for_what_takes_the_place_of_a_link_that_was_up() {
        let mut status = LinkStatus::new(at(1));
        status.begin_handover();
        assert!(!status.handover);
        status.set_state(State::Up, at(2));
        status.begin_handover();
        status.set_state(State::Waiting, at(3));
        assert!(status.handover);
        status.set_state(State::Up, at(4));
        assert!(!status.handover);
    }
}
