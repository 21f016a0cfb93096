//! Searches by BlueZ.

use kozo_bluetooth::Discovery;
use kozo_bluetooth::bluer::{self, Adapter, Address, AddressType, DiscoveryTransport};
use kozo_role::Failure;

use crate::device::{Device, Found, strongest};
use crate::search::Search;

/// What stands for a signal strength that is not known.
const NO_RSSI: i16 = 127;

/// A search by an adapter.
pub(crate) struct Radio<'a> {
    adapter: &'a Adapter,
    discovery: Discovery,
    has_le: bool,
}

impl<'a> Radio<'a> {
    /// Begins to search for devices with Low Energy too, or only for classic ones.
    ///
    /// # Errors
    /// When BlueZ refuses.
    pub(crate) async fn begin(adapter: &'a Adapter, has_le: bool) -> Result<Self, Failure> {
        let transport = if has_le { DiscoveryTransport::Auto } else { DiscoveryTransport::BrEdr };
        let discovery = Discovery::begin(adapter, transport).await?;
        Ok(Radio { adapter, discovery, has_le })
    }
}

impl Search for Radio<'_> {
    async fn ended(&mut self) {
        self.discovery.ended().await;
    }

    async fn found(&self) -> Result<Option<Found>, Failure> {
        let mut in_range = Vec::new();
        for address in self.adapter.device_addresses().await? {
            if let Some(rssi) = rssi(self.adapter, address).await
                // Another program may search for them.
                && (self.has_le || !has_le_address(self.adapter, address).await)
            {
                in_range.push((address, (rssi != NO_RSSI).then_some(rssi)));
            }
        }
        let (strongest, left_out) = strongest(in_range);
        let mut devices = Vec::new();
        for (address, rssi) in strongest {
            // Those that have been forgotten meanwhile are skipped.
            devices.extend(device(self.adapter, address, rssi).await.ok());
        }
        // Or all have been forgotten.
        Ok(self.adapter.is_discovering().await?.then_some(Found { devices, left_out }))
    }
}

/// How strong the signal of a device is; nothing if it is not in range: BlueZ forgets it when nobody searches any more.
async fn rssi(adapter: &Adapter, address: Address) -> Option<i16> {
    adapter.device(address).ok()?.rssi().await.ok()?
}

/// Whether a device has an address that only those with Low Energy have.
async fn has_le_address(adapter: &Adapter, address: Address) -> bool {
    let found = async { adapter.device(address)?.address_type().await };
    found.await.is_ok_and(|found| found == AddressType::LeRandom)
}

async fn device(adapter: &Adapter, address: Address, rssi: Option<i16>) -> bluer::Result<Device> {
    let device = adapter.device(address)?;
    let uuids = device.uuids().await.ok().flatten().unwrap_or_default();
    let mut services: Vec<_> = uuids.iter().map(ToString::to_string).collect();
    services.sort_unstable();
    Ok(Device {
        address,
        is_random: device.address_type().await? == AddressType::LeRandom,
        name: device.name().await?.unwrap_or_default(),
        rssi,
        class: device.class().await?,
        services,
    })
}
