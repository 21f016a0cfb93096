//! A connection to the bus of the system, which ends when it is dropped: what was asked of bluetoothd over it ends with it.
//!
//! bluer has one of its own, which stays open for minutes after it is dropped, believes signals of anybody, and takes back what
//! it asked for by more requests: systemd starts a bluetoothd for those that somebody has just stopped.

use std::sync::Arc;
use std::time::Duration;

use dbus::Message;
use dbus::arg::{AppendAll, ReadAll};
use dbus::channel::MatchingReceiver as _;
use dbus::message::MatchRule;
use dbus::nonblock::{Proxy, SyncConnection};
use dbus_tokio::connection;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// The name of bluetoothd.
pub(crate) const BLUEZ: &str = "org.bluez";

/// The name and the interface of the bus, and its object.
pub(crate) const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";

/// What the bus says of a name that nobody has.
const NOBODY: &str = "org.freedesktop.DBus.Error.NameHasNoOwner";

/// How long the bus or bluetoothd may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to the bus.
pub(crate) struct Bus {
    connection: Arc<SyncConnection>,
    io: AbortHandle,
    lost: watch::Receiver<Option<String>>,
}

impl Bus {
    /// Connects.
    pub(crate) async fn connect() -> Result<Bus, dbus::Error> {
        let connecting = tokio::task::spawn_blocking(connection::new_system_sync).await;
        let connected = connecting.map_err(|error| dbus::Error::new_failed(&error.to_string()))?;
        let (resource, connection) = connected?;
        let (gone, lost) = watch::channel(None);
        let io = tokio::spawn(async move {
            gone.send_replace(Some(resource.await.to_string()));
        });
        Ok(Bus { connection, io: io.abort_handle(), lost })
    }

    /// Calls a method of the bluetoothd that is this on the bus: by that name none is started.
    pub(crate) async fn call<R: ReadAll + 'static>(
        &self,
        owner: &str,
        path: &str,
        interface: &str,
        method: &str,
        arguments: impl AppendAll,
    ) -> Result<R, dbus::Error> {
        let bluez = Proxy::new(owner, path, TIMEOUT, &*self.connection);
        bluez.method_call(interface, method, arguments).await
    }

    /// Who bluetoothd is on the bus; nobody while it does not run.
    pub(crate) async fn owner(&self) -> Result<Option<String>, dbus::Error> {
        let bus = Proxy::new(BUS, BUS_PATH, TIMEOUT, &*self.connection);
        match bus.method_call(BUS, "GetNameOwner", (BLUEZ,)).await {
            Ok((owner,)) => Ok(Some(owner)),
            Err(error) if error.name() == Some(NOBODY) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Who bluetoothd is, for those who need one.
    pub(crate) async fn running(&self) -> Result<String, dbus::Error> {
        let owner = self.owner().await?;
        owner.ok_or_else(|| dbus::Error::new_failed("bluetoothd has ended"))
    }

    /// Has the bus send what matches.
    pub(crate) async fn subscribe(&self, wanted: &str) -> Result<(), dbus::Error> {
        self.connection.add_match_no_cb(wanted).await
    }

    /// Takes what comes and matches. Anybody may send it: the sender is to be looked at.
    pub(crate) fn receive(
        &self,
        matching: MatchRule<'static>,
        mut take: impl FnMut(Message, &SyncConnection) + Send + 'static,
    ) {
        let take = move |message: Message, connection: &SyncConnection| {
            take(message, connection);
            true
        };
        self.connection.start_receive(matching, Box::new(take));
    }

    /// Waits until the connection is lost, and tells why.
    pub(crate) async fn lost(&self) -> String {
        let mut lost = self.lost.clone();
        // Where nothing was said, what reads it has failed.
        let why = lost.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        why.unwrap_or_else(|| "it cannot be read any more".to_owned())
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.io.abort();
    }
}

/// Whether a message is of this sender.
pub(crate) fn is_from(message: &Message, sender: Option<&str>) -> bool {
    sender.is_some_and(|sender| message.sender().is_some_and(|name| *name == *sender))
}
