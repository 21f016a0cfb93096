//! A search for devices.

use bluer::{Adapter, DiscoveryTransport};
use dbus::Message;
use dbus::arg::{PropMap, Variant, prop_cast};
use dbus::message::{MatchRule, MessageType};
use tokio::sync::watch;

use crate::bus::{Bus, is_from};

/// The interface of adapters.
const ADAPTER: &str = "org.bluez.Adapter1";

/// A search for devices. It ends when this is dropped.
pub struct Discovery {
    bus: Bus,
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
        let owner = bus.running().await?;
        let path = format!("/org/bluez/{}", adapter.name());
        let (end, mut ended) = watch::channel(());
        let signals = MatchRule::new().with_type(MessageType::Signal).with_path(path.clone());
        let bluez = owner.clone();
        bus.receive(signals, move |signal, _| {
            // Reading comes after: what strangers send may be what libraries cannot read.
            if is_from(&signal, Some(&bluez)) && is_end(&signal) {
                end.send_replace(());
            }
        });
        bus.subscribe(&format!(
            "type='signal',sender='org.bluez',path='{path}',member='PropertiesChanged'"
        ))
        .await?;
        let mut filter = PropMap::new();
        filter.insert("Transport".to_owned(), Variant(Box::new(transport.to_string())));
        let () = bus.call(&owner, &path, ADAPTER, "SetDiscoveryFilter", (filter,)).await?;
        ended.mark_unchanged();
        let () = bus.call(&owner, &path, ADAPTER, "StartDiscovery", ()).await?;
        Ok(Discovery { bus, ended })
    }

    /// Waits until it ends otherwise.
    pub async fn ended(&mut self) {
        tokio::select! {
            Ok(()) = self.ended.changed() => {}
            _ = self.bus.lost() => {}
        }
    }
}

fn is_end(signal: &Message) -> bool {
    let changed = signal.read2::<&str, PropMap>();
    changed.is_ok_and(|(_, changed)| prop_cast(&changed, "Discovering") == Some(&false))
}
