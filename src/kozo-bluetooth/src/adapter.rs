//! Which adapter can be used, and why none can.

use std::pin::Pin;

use bluer::{Adapter, AdapterEvent, AdapterProperty, Address, ErrorKind, Session};
use tokio_stream::{Stream, StreamExt as _};

use crate::rfkill::{self, Block};

/// Why Bluetooth cannot be used now, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// There is no way to BlueZ.
    #[error("the D-Bus of the system cannot be reached: {0}")]
    NoBus(String),
    /// BlueZ is not installed, or was not started.
    #[error("bluetoothd does not run: see systemctl status bluetooth")]
    NoDaemon,
    /// There is no adapter.
    #[error("there is no Bluetooth adapter")]
    NoAdapter,
    /// There is none with the address that was asked for.
    #[error("no Bluetooth adapter has the address {0}; there is {1}")]
    OtherAdapters(Address, String),
    /// It is turned off.
    #[error("the Bluetooth adapter {0} is off: bluetoothctl power on turns it on")]
    Off(String),
    /// A program keeps it from sending.
    #[error("the Bluetooth adapter {0} is blocked: rfkill unblock bluetooth lets it send")]
    Blocked(String),
    /// A switch or key of the machine does.
    #[error("the Bluetooth adapter {0} is blocked by a switch or key of the machine")]
    SwitchedOff(String),
    /// BlueZ refused something.
    #[error("BlueZ: {0}")]
    Refused(String),
}

/// The adapters that bluetoothd knows.
pub(crate) struct Adapters<'s> {
    session: &'s Session,
    changes: Changes,
}

/// Something for each change that matters.
type Changes = Pin<Box<dyn Stream<Item = ()>>>;

impl<'s> Adapters<'s> {
    /// Those of this moment's bluetoothd.
    pub(crate) async fn new(session: &'s Session) -> bluer::Result<Adapters<'s>> {
        Ok(Adapters { session, changes: changes(session).await? })
    }

    /// The adapter that can be used, or why there is none.
    ///
    /// # Errors
    /// When BlueZ does not answer.
    pub(crate) async fn usable(
        &self,
        address: Option<Address>,
    ) -> bluer::Result<Result<Adapter, Trouble>> {
        let found = match address {
            Some(address) => with_address(self.session, address).await?,
            None => default(self.session).await?,
        };
        let adapter = match found {
            Ok(adapter) => adapter,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let name = adapter.name().to_owned();
        Ok(match (adapter.is_powered().await?, rfkill::block(&name)) {
            (true, _) => Ok(adapter),
            (false, None) => Err(Trouble::Off(name)),
            (false, Some(Block::Soft)) => Err(Trouble::Blocked(name)),
            (false, Some(Block::Hard)) => Err(Trouble::SwitchedOff(name)),
        })
    }

    /// Waits until another adapter may be usable than before.
    ///
    /// # Errors
    /// When BlueZ does not answer.
    pub(crate) async fn changed(&mut self) -> bluer::Result<()> {
        // One that has come has properties that are not followed yet.
        if self.changes.next().await.is_some() {
            self.changes = changes(self.session).await?;
        }
        Ok(())
    }

    /// Waits until this adapter is not the usable one any more.
    ///
    /// # Errors
    /// When BlueZ does not answer.
    pub(crate) async fn gone(
        &mut self,
        adapter: &Adapter,
        address: Option<Address>,
    ) -> bluer::Result<()> {
        loop {
            self.changed().await?;
            match self.usable(address).await? {
                Ok(usable) if usable.name() == adapter.name() => {}
                _ => return Ok(()),
            }
        }
    }
}

async fn default(session: &Session) -> bluer::Result<Result<Adapter, Trouble>> {
    match session.default_adapter().await {
        Ok(adapter) => Ok(Ok(adapter)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(Err(Trouble::NoAdapter)),
        Err(error) => Err(error),
    }
}

async fn with_address(
    session: &Session,
    wanted: Address,
) -> bluer::Result<Result<Adapter, Trouble>> {
    let mut others = Vec::new();
    let mut names = session.adapter_names().await?;
    // Said in the same order each time, the same trouble is not another one.
    names.sort_unstable();
    for name in names {
        let adapter = session.adapter(&name)?;
        match adapter.address().await? {
            address if address == wanted => return Ok(Ok(adapter)),
            address => others.push(format!("{name} with {address}")),
        }
    }
    Ok(Err(match others.is_empty() {
        true => Trouble::NoAdapter,
        false => Trouble::OtherAdapters(wanted, others.join(", ")),
    }))
}

/// Adapters that come or go, or are turned on or off.
async fn changes(session: &Session) -> bluer::Result<Changes> {
    let mut changes: Changes = Box::pin(session.events().await?.map(|_| ()));
    for name in session.adapter_names().await? {
        let powered = session.adapter(&name)?.events().await?.filter_map(|event| match event {
            AdapterEvent::PropertyChanged(AdapterProperty::Powered(_)) => Some(()),
            _ => None,
        });
        changes = Box::pin(changes.merge(powered));
    }
    Ok(changes)
}
