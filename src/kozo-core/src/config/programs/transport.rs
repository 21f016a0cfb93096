//! What the description of a Transport says besides what that of a Role does.

use std::time::Duration;

use serde::Deserialize;

/// Which Transport to prefer where several reach a Peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Only when nothing else works.
    Worst,
    /// Slow or unreliable, as Bluetooth.
    Bad,
    /// Neither good nor bad, as Tor.
    #[default]
    Meh,
    /// Good.
    Good,
    /// Fast and reliable, as TCP.
    Best,
}

/// How a Transport is to be used.
#[derive(Clone, Debug, PartialEq)]
pub struct TransportTraits {
    /// How much it is to be preferred.
    pub priority: Priority,
    /// Whether it can be connected to.
    pub can_accept: bool,
    /// Whether it authenticates the Peer and encrypts by itself. SSH does so where it does not.
    pub authenticates: bool,
    /// The types of Transports that it can connect to: its own if none are said, all with `*`.
    pub connects_to: Option<Vec<String>>,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
}

/// As they are written; what is left out is as usual.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SaidTraits {
    priority: Option<Priority>,
    can_accept: Option<bool>,
    authenticates: Option<bool>,
    connects_to: Option<Vec<String>>,
    connect_timeout: Option<f64>,
}

/// Seconds that an attempt to connect may take, unless a description says otherwise.
const CONNECT: u64 = 30;

/// The most seconds that it may say.
const LONGEST_CONNECT: f64 = 600.0;

impl SaidTraits {
    /// Whether any of it was said.
    pub(super) fn is_empty(&self) -> bool {
        self.priority.is_none()
            && self.can_accept.is_none()
            && self.authenticates.is_none()
            && self.connects_to.is_none()
            && self.connect_timeout.is_none()
    }

    /// What was said, and what is usual.
    ///
    /// # Errors
    /// What makes no sense, for people.
    pub(super) fn read(self) -> Result<TransportTraits, String> {
        let usual = TransportTraits::usual();
        let connect_timeout = match self.connect_timeout {
            None => usual.connect_timeout,
            Some(seconds) if seconds > 0.0 && seconds <= LONGEST_CONNECT => {
                Duration::from_secs_f64(seconds)
            }
            Some(seconds) => {
                return Err(format!(
                    "`connectTimeout`: {seconds} is not a number of seconds above 0, at most {LONGEST_CONNECT}"
                ));
            }
        };
        Ok(TransportTraits {
            priority: self.priority.unwrap_or(usual.priority),
            can_accept: self.can_accept.unwrap_or(usual.can_accept),
            authenticates: self.authenticates.unwrap_or(usual.authenticates),
            connects_to: self.connects_to,
            connect_timeout,
        })
    }
}

impl TransportTraits {
    /// What holds where nothing is said.
    pub fn usual() -> TransportTraits {
        TransportTraits {
            priority: Priority::default(),
            can_accept: true,
            authenticates: false,
            connects_to: None,
            connect_timeout: Duration::from_secs(CONNECT),
        }
    }
}
