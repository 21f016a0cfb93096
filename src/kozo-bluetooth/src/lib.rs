//! The Bluetooth adapter of this machine, for the programs of Kōzō that use it: the Role type `bluetooth-discover` and the
//! Transport type `bluetooth`.
//!
//! An adapter comes and goes: bluetoothd starts later or again, somebody turns it off or pulls it out. [`with_adapter`] does
//! something whenever there is one, and says what is in the way when there is none. Nothing here turns an adapter on: who turned
//! it off had a reason.

mod adapter;
mod bus;
mod daemon;
mod discovery;
mod rfkill;
mod service;

use std::convert::Infallible;
use std::time::Duration;

pub use bluer;
use bluer::{Adapter, Address, Session};
use kozo_role::Failure;
use tokio::time::{Instant, sleep};

use adapter::Adapters;
pub use adapter::Trouble;
use daemon::Daemon;
pub use discovery::Discovery;
pub use service::{Connection, Service};

/// How long to wait after BlueZ refused something: at first, and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What a program learns of the adapter.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// The adapter of this name can be used.
    Ready(String),
    /// There is none that can be; whether that is because of something else than the last time.
    Trouble(Trouble, bool),
}

/// Does `work` whenever an adapter can be used: that with this address, or that which BlueZ takes where none is named. What `work`
/// waits for is dropped when the adapter cannot be used any more. Where BlueZ or D-Bus refuse something, it is done again after a
/// pause.
///
/// # Errors
/// When nothing can be told, or `work` fails otherwise than by BlueZ.
pub async fn with_adapter(
    address: Option<Address>,
    tell: impl AsyncFn(News) -> Result<(), Failure>,
    work: impl AsyncFn(&Adapter) -> Result<Infallible, Failure>,
) -> Result<Infallible, Failure> {
    let mut teller = Teller { tell, last: None, pause: PAUSE, ready: None };
    loop {
        let Err(failure) = while_on_bus(address, &mut teller, &work).await;
        let pause = teller.failed(failure).await?;
        sleep(pause).await;
    }
}

/// Works whenever bluetoothd runs, for as long as there is a bus.
async fn while_on_bus<T: AsyncFn(News) -> Result<(), Failure>>(
    address: Option<Address>,
    teller: &mut Teller<T>,
    work: &impl AsyncFn(&Adapter) -> Result<Infallible, Failure>,
) -> Result<Infallible, Failure> {
    let mut daemon = Daemon::watch().await?;
    // One for all of it: bluer does not close the connection of one that is dropped for minutes.
    let session = Session::new().await?;
    loop {
        if !daemon.is_there() {
            teller.trouble(Trouble::NoDaemon).await?;
            daemon.changed().await?;
            continue;
        }
        let adapters = Adapters::new(&session, daemon.adapters());
        let Err(failure) = tokio::select! {
            ended = use_adapters(adapters, address, teller, work) => ended,
            changed = daemon.changed() => {
                changed?;
                continue;
            }
        };
        let pause = teller.failed(failure).await?;
        tokio::select! {
            () = sleep(pause) => {}
            changed = daemon.changed() => changed?,
        }
    }
}

/// Works whenever an adapter can be used, for as long as this bluetoothd runs.
async fn use_adapters<T: AsyncFn(News) -> Result<(), Failure>>(
    mut adapters: Adapters<'_>,
    address: Option<Address>,
    teller: &mut Teller<T>,
    work: &impl AsyncFn(&Adapter) -> Result<Infallible, Failure>,
) -> Result<Infallible, Failure> {
    loop {
        match adapters.usable(address).await? {
            Err(trouble) => {
                teller.trouble(trouble.clone()).await?;
                adapters.changed(&trouble).await;
            }
            Ok(adapter) => {
                teller.ready(&adapter).await?;
                tokio::select! {
                    Err(failure) = work(&adapter) => return Err(failure),
                    gone = adapters.gone(&adapter, address) => gone?,
                }
            }
        }
    }
}

/// Tells news, and knows what was in the way the last time.
struct Teller<T> {
    tell: T,
    last: Option<Trouble>,
    pause: Duration,
    /// Since when nothing is in the way.
    ready: Option<Instant>,
}

impl<T: AsyncFn(News) -> Result<(), Failure>> Teller<T> {
    async fn ready(&mut self, adapter: &Adapter) -> Result<(), Failure> {
        self.ready = Some(Instant::now());
        (self.tell)(News::Ready(adapter.name().to_owned())).await
    }

    async fn trouble(&mut self, trouble: Trouble) -> Result<(), Failure> {
        // What is in the way again and again is said once, until all was well for a while.
        if self.ready.take().is_some_and(|ready| ready.elapsed() >= LONGEST_PAUSE) {
            (self.last, self.pause) = (None, PAUSE);
        }
        let is_new = self.last.as_ref() != Some(&trouble);
        self.last = Some(trouble.clone());
        (self.tell)(News::Trouble(trouble, is_new)).await
    }

    /// Tells what BlueZ or D-Bus refuse, and how long to wait. Other failures are passed on.
    async fn failed(&mut self, failure: Failure) -> Result<Duration, Failure> {
        let trouble = match failure.downcast::<bluer::Error>() {
            Ok(refused) => Trouble::Refused(refused.to_string()),
            Err(failure) => *failure.downcast::<Trouble>()?,
        };
        self.trouble(trouble).await?;
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        Ok(pause)
    }
}
