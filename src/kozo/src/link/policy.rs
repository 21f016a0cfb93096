//! Connection policies: what one direction between two Nodes comes to.

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
}
