//! Finding the device that offers a service: all in range are asked, and what was found is remembered.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bluer::{Adapter, Address, AddressType, DiscoveryFilter, DiscoveryTransport, Uuid};
use kozo_role::Failure;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_stream::StreamExt as _;

use crate::connect::channels;

/// How long devices are looked for: a device answers an inquiry of 10.24 s, or is not there.
const INQUIRY: Duration = Duration::from_millis(10_240);

/// Devices that are asked at most in one search. A search goes on with others where the last one ended.
const MOST_DEVICES: usize = 16;

/// Where services were found, and who was asked.
#[derive(Default)]
pub(crate) struct Places {
    found: RefCell<HashMap<Uuid, Address>>,
    asked: RefCell<HashMap<Address, Instant>>,
    /// One search is enough for all that wait for one.
    searching: Mutex<()>,
}

impl Places {
    /// Where a service was the last time.
    pub(crate) fn known(&self, service: Uuid) -> Option<Address> {
        self.found.borrow().get(&service).copied()
    }

    /// A service was not where it was the last time.
    pub(crate) fn forget(&self, service: Uuid) {
        self.found.borrow_mut().remove(&service);
    }

    /// Searches for a service. Others that are wanted are looked for with it.
    pub(crate) async fn search(
        &self,
        adapter: &Adapter,
        service: Uuid,
        others: &HashSet<Uuid>,
    ) -> Result<Address, Failure> {
        let _searching = self.searching.lock().await;
        if let Some(address) = self.known(service) {
            return Ok(address);
        }
        let here = adapter.address().await?;
        let devices = self.in_range(adapter).await?;
        let count = devices.len();
        let mut problem = String::new();
        for device in devices.into_iter().take(MOST_DEVICES) {
            // Most devices are no Nodes, and need not even answer.
            if let Err(error) = self.ask(here, device, service, others).await {
                problem = format!("; {device}: {error}");
            }
            if let Some(address) = self.known(service) {
                return Ok(address);
            }
        }
        let devices = if count == 1 { "device" } else { "devices" };
        Err(format!("none of {count} {devices} in range has the service {service}{problem}").into())
    }

    /// Asks one device for all services whose place is not known.
    async fn ask(
        &self,
        here: Address,
        device: Address,
        service: Uuid,
        others: &HashSet<Uuid>,
    ) -> Result<(), Failure> {
        self.asked.borrow_mut().insert(device, Instant::now());
        let known: HashSet<_> = self.found.borrow().keys().copied().collect();
        let mut wanted = vec![service];
        wanted.extend(others.iter().filter(|other| **other != service && !known.contains(*other)));
        let channels = channels(here, device, &wanted).await?;
        for (service, channel) in wanted.into_iter().zip(channels) {
            if channel.is_some() {
                self.found.borrow_mut().insert(service, device);
            }
        }
        Ok(())
    }

    /// The devices in range: those first that were not asked for the longest time, of these the nearest.
    async fn in_range(&self, adapter: &Adapter) -> Result<Vec<Address>, Failure> {
        let filter =
            DiscoveryFilter { transport: DiscoveryTransport::BrEdr, ..DiscoveryFilter::default() };
        adapter.set_discovery_filter(filter).await?;
        let mut inquiry = Box::pin(adapter.discover_devices().await?);
        // What it tells has to be taken. It ends when bluetoothd does.
        let _ = timeout(INQUIRY, async { while inquiry.next().await.is_some() {} }).await;
        let mut heard = HashSet::new();
        let mut devices = Vec::new();
        for address in adapter.device_addresses().await? {
            let device = adapter.device(address)?;
            // It may have gone meanwhile.
            let (Ok(Some(strength)), Ok(kind)) = (device.rssi().await, device.address_type().await)
            else {
                continue;
            };
            if kind != AddressType::LeRandom && heard.insert(address) {
                devices.push((address, strength));
            }
        }
        let mut asked = self.asked.borrow_mut();
        asked.retain(|address, _| heard.contains(address));
        devices.sort_by_key(|(address, strength)| {
            (asked.get(address).copied(), -i32::from(*strength))
        });
        Ok(devices.into_iter().map(|(address, _)| address).collect())
    }
}
