//! Connection policies: what one direction between two Nodes comes to, and what that means for a Message.

use super::machine::State;
use super::outgoing::Disposition;
use crate::config::ConnectPolicy;

/// The policy for Messages from one Node to another.
///
/// It is the stricter of what the sender says of others and what the receiver says of itself: any
/// `never` forbids, else any `ondemand` waits for a Message, else the connection is kept.
pub fn direction(self_to_others: ConnectPolicy, others_to_self: ConnectPolicy) -> ConnectPolicy {
    use ConnectPolicy::{Constant, Never, OnDemand};
    match (self_to_others, others_to_self) {
        (Never, _) | (_, Never) => Never,
        (OnDemand, _) | (_, OnDemand) => OnDemand,
        (Constant, Constant) => Constant,
    }
}

/// What becomes of a Message for a Peer under this policy, while the link is in this state. `handover`: Messages
/// wait for it although it is not up.
pub fn disposition(outward: ConnectPolicy, state: State, handover: bool) -> Disposition {
    match (outward, state) {
        (ConnectPolicy::Never, _) => Disposition::Forbidden,
        (_, State::Up) => Disposition::Open,
        // It is kept closed: what would wait for it now would go out stale, or never.
        (_, State::Disabled) => Disposition::Down,
        _ if handover => Disposition::Hold,
        (outward, _) => disposition_while_down(outward),
    }
}

/// What becomes of a Message for a Peer under this policy while the link is down, or has not begun.
pub fn disposition_while_down(outward: ConnectPolicy) -> Disposition {
    match outward {
        ConnectPolicy::Constant => Disposition::Down,
        ConnectPolicy::OnDemand => Disposition::Hold,
        ConnectPolicy::Never => Disposition::Forbidden,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ConnectPolicy::{Constant, Never, OnDemand};

    /// The table of the reference README, "Connection policies", row by row.
    #[test]
    fn all_nine_rows() {
        let rows = [
            (Constant, Constant, Constant),
            (Constant, OnDemand, OnDemand),
            (Constant, Never, Never),
            (OnDemand, Constant, OnDemand),
            (OnDemand, OnDemand, OnDemand),
            (OnDemand, Never, Never),
            (Never, Constant, Never),
            (Never, OnDemand, Never),
            (Never, Never, Never),
        ];
        for (ours, theirs, expected) in rows {
            assert_eq!(direction(ours, theirs), expected, "{ours:?}, {theirs:?}");
        }
    }

    #[test]
    fn messages_wait_only_for_a_link_that_is_to_come() {
        use Disposition::{Down, Forbidden, Hold, Open};
        use State::{Connecting, Disabled, Idle, Up, Waiting};
        for state in [Disabled, Idle, Connecting, Waiting, Up] {
            let is = [Constant, OnDemand, Never].map(|policy| disposition(policy, state, false));
            let handover = disposition(Constant, state, true);
            let expected = match state {
                Up => ([Open, Open, Forbidden], Open),
                Disabled => ([Down, Down, Forbidden], Down),
                _ => ([Down, Hold, Forbidden], Hold),
            };
            assert_eq!((is, handover), expected, "{state:?}");
        }
    }
}
