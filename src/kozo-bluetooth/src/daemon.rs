//! Whether bluetoothd runs, without starting it: systemd would do that for whoever asks it something.

use std::sync::Arc;
use std::time::Duration;

use dbus::channel::MatchingReceiver as _;
use dbus::message::MatchRule;
use dbus::nonblock::{Proxy, SyncConnection};
use dbus_tokio::connection;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

use crate::Trouble;

/// The name of bluetoothd.
const BLUEZ: &str = "org.bluez";

/// The name and the interface of the bus, and its object.
const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";

/// The signal of the bus about the owners of names, and how it is asked for.
const SIGNAL: &str = "NameOwnerChanged";
const WANTED: &str = "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',\
    member='NameOwnerChanged',arg0='org.bluez'";

/// How long the bus may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Follows whether bluetoothd runs.
pub(crate) struct Daemon {
    /// Who it is on the bus; nobody while it does not run.
    owner: watch::Receiver<Option<String>>,
    /// Why the bus is gone.
    lost: oneshot::Receiver<String>,
    _connection: Arc<SyncConnection>,
    io: AbortHandle,
}

impl Daemon {
    /// Begins.
    ///
    /// # Errors
    /// When there is no system bus.
    pub(crate) async fn watch() -> Result<Daemon, Trouble> {
        let connecting = tokio::task::spawn_blocking(connection::new_system_sync).await;
        let connected = connecting.map_err(|error| Trouble::NoBus(error.to_string()))?;
        let (resource, connection) = connected.map_err(|error| no_bus(&error))?;
        let (gone, lost) = oneshot::channel();
        let io = tokio::spawn(async move {
            let _ = gone.send(resource.await.to_string());
        });
        let (sender, owner) = watch::channel(None);
        let owners = sender.clone();
        connection.add_match_no_cb(WANTED).await.map_err(|error| no_bus(&error))?;
        let rule = MatchRule::new_signal(BUS, SIGNAL);
        let receive = move |message: dbus::Message, _: &SyncConnection| {
            if let Ok((BLUEZ, _, owner)) = message.read3::<&str, &str, &str>() {
                owners.send_replace((!owner.is_empty()).then(|| owner.to_owned()));
            }
            true
        };
        connection.start_receive(rule, Box::new(receive));
        let bus = Proxy::new(BUS, BUS_PATH, TIMEOUT, connection.clone());
        // It fails where nobody has the name. What has been signalled before is not newer.
        let asked: Result<(String,), _> = bus.method_call(BUS, "GetNameOwner", (BLUEZ,)).await;
        sender.send_replace(asked.ok().map(|(owner,)| owner));
        Ok(Daemon { owner, lost, _connection: connection, io: io.abort_handle() })
    }

    /// Whether it runs.
    pub(crate) fn is_there(&mut self) -> bool {
        self.owner.borrow_and_update().is_some()
    }

    /// Waits until it has started or ended since it was last asked.
    ///
    /// # Errors
    /// When the bus is gone.
    pub(crate) async fn changed(&mut self) -> Result<(), Trouble> {
        tokio::select! {
            // The sender is with the connection.
            Ok(()) = self.owner.changed() => Ok(()),
            lost = &mut self.lost => Err(Trouble::NoBus(lost.unwrap_or_default())),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.io.abort();
    }
}

fn no_bus(error: &dbus::Error) -> Trouble {
    Trouble::NoBus(error.message().unwrap_or("it does not answer").to_owned())
}
