//! Finding the device that offers a service: all in range are asked.

use std::collections::HashSet;
use std::time::Duration;

use bluer::{Adapter, Address, AddressType, DiscoveryTransport, Uuid};
use kozo_bluetooth::Discovery;
use kozo_role::Failure;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::connect::channels;
use crate::places::Places;

/// How long devices are looked for: a device answers an inquiry of 10.24 s, or is not there.
const INQUIRY: Duration = Duration::from_millis(10_240);

/// Devices that are asked at most in one search. The next one goes on with others.
const MOST_DEVICES: usize = 16;

/// Searches, one after the other: one is enough for all that wait for one.
pub(crate) struct Search {
    one: Mutex<()>,
    services: HashSet<Uuid>,
}

impl Search {
    /// For these services, and others: who is asked for one is asked for all of these.
    pub(crate) fn new(services: HashSet<Uuid>) -> Search {
        Search { one: Mutex::new(()), services }
    }

    /// Searches for a service, unless that has just been found.
    pub(crate) async fn find(
        &self,
        places: &Places,
        adapter: &Adapter,
        service: Uuid,
    ) -> Result<Address, Failure> {
        let _searching = self.one.lock().await;
        if let Some(address) = places.trusted(service) {
            return Ok(address);
        }
        let here = adapter.address().await?;
        let devices = places.in_order(in_range(adapter).await?);
        let count = devices.len();
        let mut problem = String::new();
        for device in devices.into_iter().take(MOST_DEVICES) {
            // Most devices are no Nodes, and need not even answer.
            if let Err(error) = self.ask(places, here, device, service).await {
                problem = format!("; {device}: {error}");
            }
            if let Some(address) = places.trusted(service) {
                return Ok(address);
            }
        }
        let devices = if count == 1 { "device" } else { "devices" };
        let text =
            || format!("none of {count} {devices} in range has the service {service}{problem}");
        // Better than none is one where connections did not last.
        Ok(places.last(service).ok_or_else(text)?)
    }

    /// Asks one device for this service and all whose place is not known.
    async fn ask(
        &self,
        places: &Places,
        here: Address,
        device: Address,
        service: Uuid,
    ) -> Result<(), Failure> {
        places.asks(device);
        let mut wanted = vec![service];
        let is_wanted = |other: &Uuid| *other != service && places.last(*other).is_none();
        wanted.extend(self.services.iter().copied().filter(is_wanted));
        let channels = channels(here, device, &wanted).await?;
        for (service, channel) in wanted.into_iter().zip(channels) {
            if channel.is_some() {
                places.found(service, device);
            }
        }
        Ok(())
    }
}

/// The devices in range, with the strength of their signals (dBm).
async fn in_range(adapter: &Adapter) -> Result<Vec<(Address, i16)>, Failure> {
    let mut inquiry = Discovery::begin(adapter, DiscoveryTransport::BrEdr).await?;
    if timeout(INQUIRY, inquiry.ended()).await.is_ok() {
        return Err("the adapter has ended the search".into());
    }
    let mut devices = Vec::new();
    for address in adapter.device_addresses().await? {
        let device = adapter.device(address)?;
        // It may have gone meanwhile. BlueZ forgets the strength when an inquiry ends, so who has one is here.
        if let (Ok(Some(strength)), Ok(kind)) = (device.rssi().await, device.address_type().await)
            && kind != AddressType::LeRandom
        {
            devices.push((address, strength));
        }
    }
    Ok(devices)
}
