//! What is remembered of devices: where a service was found, and who was asked when.
//!
//! Any device in range can say that it has the service of a Peer, and only the handshake of the Nodes tells whether it is that
//! Peer. So where connections do not last, others are looked for.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bluer::{Address, Uuid};
use tokio::time::Instant;

/// A connection that is followed by another one sooner did not last. An attempt that the Node gives up takes two minutes.
const LASTING: Duration = Duration::from_secs(180);

/// Connections that do not last, one after the other, before others are looked for: a Peer may just start again.
const PATIENCE: u32 = 3;

/// Where services were found, and who was asked.
#[derive(Default)]
pub(crate) struct Places {
    found: RefCell<HashMap<Uuid, Place>>,
    asked: RefCell<HashMap<Address, Instant>>,
}

/// Where a service was found.
#[derive(Clone, Copy)]
struct Place {
    address: Address,
    tried: Option<Instant>,
    /// Connections in a row of which all but the last did not last.
    in_a_row: u32,
}

impl Place {
    fn is_doubted(&self) -> bool {
        let is_recent = self.tried.is_some_and(|tried| tried.elapsed() < LASTING);
        is_recent && self.in_a_row >= PATIENCE
    }
}

impl Places {
    /// Where a service is, as far as there is no reason to look for another place.
    pub(crate) fn trusted(&self, service: Uuid) -> Option<Address> {
        self.found
            .borrow()
            .get(&service)
            .filter(|place| !place.is_doubted())
            .map(|place| place.address)
    }

    /// Where a service was found the last time.
    pub(crate) fn last(&self, service: Uuid) -> Option<Address> {
        self.found.borrow().get(&service).map(|place| place.address)
    }

    /// A device has a service.
    pub(crate) fn found(&self, service: Uuid, address: Address) {
        let mut found = self.found.borrow_mut();
        if found.get(&service).is_none_or(|place| place.address != address) {
            found.insert(service, Place { address, tried: None, in_a_row: 0 });
        }
    }

    /// A device is connected to for a service now.
    pub(crate) fn tries(&self, service: Uuid, address: Address) {
        let mut found = self.found.borrow_mut();
        if let Some(place) = found.get_mut(&service).filter(|place| place.address == address) {
            let has_lasted = place.tried.is_none_or(|tried| tried.elapsed() >= LASTING);
            place.in_a_row = if has_lasted { 1 } else { place.in_a_row + 1 };
            place.tried = Some(Instant::now());
        }
    }

    /// A service is not at this device.
    pub(crate) fn forget(&self, service: Uuid, address: Address) {
        let mut found = self.found.borrow_mut();
        if found.get(&service).is_some_and(|place| place.address == address) {
            found.remove(&service);
        }
    }

    /// A device is asked now.
    pub(crate) fn asks(&self, device: Address) {
        self.asked.borrow_mut().insert(device, Instant::now());
    }

    /// In which order devices are asked, which are here with the strength of their signals (dBm): first those that were not asked
    /// for the longest time, of these the nearest. What others were asked is forgotten.
    pub(crate) fn in_order(&self, mut devices: Vec<(Address, i16)>) -> Vec<Address> {
        let here: HashSet<_> = devices.iter().map(|(address, _)| *address).collect();
        let mut asked = self.asked.borrow_mut();
        asked.retain(|address, _| here.contains(address));
        devices.sort_by_key(|(address, strength)| {
            (asked.get(address).copied(), -i32::from(*strength))
        });
        devices.into_iter().map(|(address, _)| address).collect()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SERVICE: Uuid = Uuid::from_u128(1);

    fn device(number: u8) -> Address {
        Address::new([0, 0, 0, 0, 0, number])
    }

    #[tokio::test(start_paused = true)]
    async fn where_connections_do_not_last_another_place_is_wanted() {
        let places = Places::default();
        places.found(SERVICE, device(1));
        for _ in 1..PATIENCE {
            places.tries(SERVICE, device(1));
            advance(Duration::from_secs(5)).await;
            assert_eq!(places.trusted(SERVICE), Some(device(1)));
        }
        places.tries(SERVICE, device(1));
        assert_eq!((places.trusted(SERVICE), places.last(SERVICE)), (None, Some(device(1))));
        // To find it again is no reason to trust it.
        places.found(SERVICE, device(1));
        assert_eq!(places.trusted(SERVICE), None);
        places.found(SERVICE, device(2));
        assert_eq!(places.trusted(SERVICE), Some(device(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_lasts_makes_good_those_before() {
        let places = Places::default();
        places.found(SERVICE, device(1));
        for _ in 0..PATIENCE {
            places.tries(SERVICE, device(1));
        }
        assert_eq!(places.trusted(SERVICE), None);
        advance(LASTING).await;
        assert_eq!(places.trusted(SERVICE), Some(device(1)));
        places.tries(SERVICE, device(1));
        assert_eq!(places.trusted(SERVICE), Some(device(1)));
        places.forget(SERVICE, device(2));
        assert_eq!(places.last(SERVICE), Some(device(1)));
        places.forget(SERVICE, device(1));
        assert_eq!(places.last(SERVICE), None);
    }

    #[tokio::test(start_paused = true)]
    async fn those_are_asked_first_that_were_not_asked_for_long() {
        let places = Places::default();
        let here = || vec![(device(1), -40), (device(2), -80), (device(3), -60)];
        assert_eq!(places.in_order(here()), [device(1), device(3), device(2)]);
        places.asks(device(1));
        advance(Duration::from_secs(1)).await;
        places.asks(device(3));
        assert_eq!(places.in_order(here()), [device(2), device(1), device(3)]);
        // One that goes is a new one when it is back.
        places.in_order(vec![(device(2), -80)]);
        assert_eq!(places.in_order(here()), [device(1), device(3), device(2)]);
    }
}
