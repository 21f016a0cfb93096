//! Whether bluetoothd runs, without starting it: systemd would do that for whoever asks it something. And what it tells of
//! its adapters.

use dbus::Message;
use dbus::arg::PropMap;
use dbus::message::{MatchRule, MessageType};
use tokio::sync::watch;

use crate::Trouble;
use crate::bus::{BLUEZ, BUS, Bus, is_from};

/// What is told of who runs, and of adapters that come, go, or are turned on or off.
const WANTED: [&str; 3] = [
    "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.bluez'",
    "type='signal',sender='org.bluez',interface='org.freedesktop.DBus.ObjectManager'",
    "type='signal',sender='org.bluez',member='PropertiesChanged',arg0='org.bluez.Adapter1'",
];

/// The folder of the objects that are adapters.
const ADAPTERS: &str = "/org/bluez/";

/// Follows whether bluetoothd runs.
pub(crate) struct Daemon {
    bus: Bus,
    /// Who it is on the bus; nobody while it does not run.
    owner: watch::Receiver<Option<String>>,
    /// Changes of its adapters.
    adapters: watch::Receiver<()>,
}

impl Daemon {
    /// Begins.
    ///
    /// # Errors
    /// When there is no system bus.
    pub(crate) async fn watch() -> Result<Daemon, Trouble> {
        let bus = Bus::connect().await.map_err(|error| no_bus(&error))?;
        let (owners, owner) = watch::channel(None);
        let (changes, adapters) = watch::channel(());
        let signals = MatchRule::new().with_type(MessageType::Signal);
        let known = owners.clone();
        bus.receive(signals, move |signal, _| {
            if let Some(owner) = new_owner(&signal) {
                known.send_replace(owner);
            } else if is_from(&signal, known.borrow().as_deref()) && is_of_adapter(&signal) {
                changes.send_replace(());
            }
        });
        for wanted in WANTED {
            bus.subscribe(wanted).await.map_err(|error| no_bus(&error))?;
        }
        let asked = bus.owner().await.map_err(|error| no_bus(&error))?;
        // What has been signalled since is newer.
        if !owner.has_changed().unwrap_or(false) {
            owners.send_replace(asked);
        }
        Ok(Daemon { bus, owner, adapters })
    }

    /// Whether it runs.
    pub(crate) fn is_there(&mut self) -> bool {
        self.owner.borrow_and_update().is_some()
    }

    /// What it will tell of its adapters from now on.
    pub(crate) fn adapters(&self) -> watch::Receiver<()> {
        let mut adapters = self.adapters.clone();
        adapters.mark_unchanged();
        adapters
    }

    /// Waits until it has started or ended since it was last asked.
    ///
    /// # Errors
    /// When the bus is gone.
    pub(crate) async fn changed(&mut self) -> Result<(), Trouble> {
        tokio::select! {
            // The sender is with the connection.
            Ok(()) = self.owner.changed() => Ok(()),
            lost = self.bus.lost() => Err(Trouble::NoBus(lost)),
        }
    }
}

/// Who bluetoothd is now, if that is what the bus says.
fn new_owner(signal: &Message) -> Option<Option<String>> {
    let is_of_bus = is_from(signal, Some(BUS)) && signal.member()? == *"NameOwnerChanged";
    let (name, _, owner) = is_of_bus.then(|| signal.read3::<&str, &str, &str>())?.ok()?;
    (name == BLUEZ).then(|| (!owner.is_empty()).then(|| owner.to_owned()))
}

/// Whether an adapter has come or gone, or was turned on or off.
fn is_of_adapter(signal: &Message) -> bool {
    match signal.member().as_deref() {
        Some("InterfacesAdded" | "InterfacesRemoved") => {
            let path = signal.read1::<dbus::Path<'_>>().ok();
            path.and_then(|path| path.strip_prefix(ADAPTERS).map(|name| !name.contains('/')))
                .unwrap_or(false)
        }
        Some("PropertiesChanged") => signal
            .read2::<&str, PropMap>()
            .is_ok_and(|(_, changed)| changed.contains_key("Powered")),
        _ => false,
    }
}

fn no_bus(error: &dbus::Error) -> Trouble {
    Trouble::NoBus(error.message().unwrap_or("it does not answer").to_owned())
}
