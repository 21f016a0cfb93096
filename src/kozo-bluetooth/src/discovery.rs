//! A search for devices.

use bluer::{Adapter, DiscoveryTransport};
use dbus::arg::{PropMap, Variant, prop_cast};
use dbus::message::{MatchRule, MessageType};
use tokio::sync::watch;

use crate::bus::{Bus, is_from};

/// The interface of adapters.
const ADAPTER: &str = "org.bluez.Adapter1";

/// A search for devices. It ends when this is dropped.
pub struct Discovery {
    _bus: Bus,
    ended: watch::Receiver<()>,
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
        let bus = Bus::connect().await?;
        let owner = bus.owner().await;
        let path = format!("/org/bluez/{}", adapter.name());
        let (end, mut ended) = watch::channel(());
        let signals = MatchRule::new().with_type(MessageType::Signal).with_path(path.clone());
        bus.receive(signals, move |signal, _| {
            let changed = signal.read2::<&str, PropMap>();
            let is_end = changed
                .is_ok_and(|(_, changed)| prop_cast(&changed, "Discovering") == Some(&false));
            if is_end && is_from(&signal, owner.as_deref()) {
                end.send_replace(());
            }
        });
        bus.subscribe(&format!(
            "type='signal',sender='org.bluez',path='{path}',member='PropertiesChanged'"
        ))
        .await?;
        let mut filter = PropMap::new();
        filter.insert("Transport".to_owned(), Variant(Box::new(transport.to_string())));
        let () = bus.call(&path, ADAPTER, "SetDiscoveryFilter", (filter,)).await?;
        ended.mark_unchanged();
        let () = bus.call(&path, ADAPTER, "StartDiscovery", ()).await?;
        Ok(Discovery { _bus: bus, ended })
    }

    /// Waits until it ends otherwise.
    pub async fn ended(&mut self) {
        // Or until the connection does.
        let _ = self.ended.changed().await;
    }
}
