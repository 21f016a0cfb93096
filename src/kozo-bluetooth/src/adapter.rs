//! Which adapter can be used, and why none can.

use std::future::pending;
use std::time::Duration;

use bluer::{Adapter, Address, ErrorKind, Session};
use tokio::sync::watch;
use tokio::time::sleep;

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

/// How long to wait after a change before bluetoothd is asked: one that ends takes its adapters away first, and systemd would start
/// another one for who asks then.
const SETTLING: Duration = Duration::from_millis(300);

/// How often to look whether an adapter is blocked, which bluetoothd does not tell.
const LOOKING: Duration = Duration::from_secs(10);

/// The adapters that bluetoothd knows.
pub(crate) struct Adapters<'s> {
    session: &'s Session,
    changes: watch::Receiver<()>,
}

impl<'s> Adapters<'s> {
    /// Those of this session, and what changes of them.
    pub(crate) fn new(session: &'s Session, changes: watch::Receiver<()>) -> Adapters<'s> {
        Adapters { session, changes }
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

    /// Waits until another adapter may be usable than before, or something else may be in the way.
    pub(crate) async fn changed(&mut self, trouble: &Trouble) {
        let is_silent =
            matches!(trouble, Trouble::Off(_) | Trouble::Blocked(_) | Trouble::SwitchedOff(_));
        let looking = async {
            match is_silent {
                true => sleep(LOOKING).await,
                false => pending().await,
            }
        };
        tokio::select! {
            () = change(&mut self.changes) => {}
            () = looking => {}
        }
        sleep(SETTLING).await;
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
            change(&mut self.changes).await;
            sleep(SETTLING).await;
            match self.usable(address).await? {
                Ok(usable) if usable.name() == adapter.name() => {}
                _ => return Ok(()),
            }
        }
    }
}

async fn change(changes: &mut watch::Receiver<()>) {
    if changes.changed().await.is_err() {
        // The connection to the bus is gone, which others see too.
        pending::<()>().await;
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
