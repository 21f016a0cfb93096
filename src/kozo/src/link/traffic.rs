//! What a link carries, as its writer last measured it: for those who look at the status.

use std::sync::atomic::{AtomicU64, Ordering};

use super::window::Measured;

/// What the session in use carries.
#[derive(Debug, Default)]
pub struct Traffic {
    rate: AtomicU64,
    age: AtomicU64,
    unacknowledged: AtomicU64,
}

/// The same at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Bytes a second that the line carries, as far as it was made to; 0 if it was never measured.
    pub rate: u64,
    /// How old a Message was when the Peer had it, in microseconds; 0 if it was never measured.
    pub age: u64,
    /// Bytes that are written and that the Peer has not acknowledged.
    pub unacknowledged: u64,
}

impl Traffic {
    /// How it is now.
    pub fn now(&self) -> Carried {
        let load = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let (rate, age) = (load(&self.rate), load(&self.age));
        Carried { rate, age, unacknowledged: load(&self.unacknowledged) }
    }

    pub(super) fn set_unacknowledged(&self, bytes: u64) {
        self.unacknowledged.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn set_measured(&self, measured: Measured) {
        self.rate.store(measured.rate, Ordering::Relaxed);
        if let Some(age) = measured.age {
            self.age.store(age, Ordering::Relaxed);
        }
    }

    /// Forgets what another session carried.
    pub(super) fn clear(&self) {
        for figure in [&self.rate, &self.age, &self.unacknowledged] {
            figure.store(0, Ordering::Relaxed);
        }
    }
}
