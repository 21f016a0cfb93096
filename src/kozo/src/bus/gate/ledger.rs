//! The calls of one connection that are not answered yet.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::OwnedSemaphorePermit;
use zbus::Message;

use super::super::accounts::Held;

/// What a call holds until it is answered.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// The caller wants no answer.
    pub(super) is_silent: bool,
    /// Counts for its user.
    pub(super) _held: Vec<Held>,
    /// Counts among the open calls of its connection.
    pub(super) _permit: Option<OwnedSemaphorePermit>,
}

/// Whose call it is, as far as there are several on the connection, and its number.
type Key = (Option<String>, u32);

/// The calls that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<HashMap<Key, Open>>);

impl Ledger {
    /// Notes a call. False if its number is that of another one.
    pub(super) fn begin(&self, sender: Option<String>, serial: u32, open: Open) -> bool {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match calls.entry((sender, serial)) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(open);
                true
            }
        }
    }

    /// Strikes out the call that this message answers, if it answers one.
    pub(super) fn end(&self, answer: &Message, by_sender: bool) -> Option<Open> {
        let header = answer.header();
        let serial = header.reply_serial()?.get();
        let sender = header.destination().filter(|_| by_sender).map(ToString::to_string);
        self.strike(sender, serial)
    }

    /// Strikes out a call.
    pub(super) fn strike(&self, sender: Option<String>, serial: u32) -> Option<Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(sender, serial))
    }
}
