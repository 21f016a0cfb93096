//! A search for devices, which ends with the connection to the bus that it was asked for over. That of bluer asks bluetoothd to end
//! it: systemd would start one for it that somebody has just stopped.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bluer::{Adapter, AdapterEvent, AdapterProperty, DiscoveryTransport};
use dbus::arg::{PropMap, Variant};
use dbus::nonblock::{Proxy, SyncConnection};
use dbus_tokio::connection::{self, IOResourceError};
use tokio::task::JoinHandle;
use tokio_stream::{Stream, StreamExt as _};

/// Whom to ask, and as what.
const BLUEZ: &str = "org.bluez";
const ADAPTER: &str = "org.bluez.Adapter1";

/// How long bluetoothd may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A search for devices. It ends when this is dropped.
pub struct Discovery {
    events: Pin<Box<dyn Stream<Item = AdapterEvent>>>,
    bus: JoinHandle<IOResourceError>,
    _connection: Arc<SyncConnection>,
}

impl Discovery {
    /// Begins.
    ///
    /// # Errors
    /// When BlueZ refuses, or the bus.
    pub async fn begin(
        adapter: &Adapter,
        transport: DiscoveryTransport,
    ) -> bluer::Result<Discovery> {
        let events = Box::pin(adapter.events().await?);
        let (resource, connection) =
            tokio::task::spawn_blocking(connection::new_system_sync).await??;
        let bus = tokio::spawn(resource);
        let discovery = Discovery { events, bus, _connection: connection.clone() };
        let path = format!("/org/bluez/{}", adapter.name());
        let asked = Proxy::new(BLUEZ, path, TIMEOUT, connection);
        let mut filter = PropMap::new();
        filter.insert("Transport".to_owned(), Variant(Box::new(transport.to_string())));
        let () = asked.method_call(ADAPTER, "SetDiscoveryFilter", (filter,)).await?;
        let () = asked.method_call(ADAPTER, "StartDiscovery", ()).await?;
        Ok(discovery)
    }

    /// Waits until it ends otherwise.
    pub async fn ended(&mut self) {
        while let Some(event) = self.events.next().await {
            if matches!(event, AdapterEvent::PropertyChanged(AdapterProperty::Discovering(false))) {
                return;
            }
        }
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.bus.abort();
    }
}
