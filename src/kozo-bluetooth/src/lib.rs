//! The Bluetooth adapter of this machine, for the programs of Kōzō that use it: the Role type `bluetooth-discover` and the
//! Transport type `bluetooth`.
//!
//! An adapter comes and goes: bluetoothd starts later or again, somebody turns it off or pulls it out. [`with_adapter`] does
//! something whenever there is one, and says what is in the way when there is none. Nothing here turns an adapter on: who turned
//! it off had a reason.

mod adapter;
mod daemon;
mod rfkill;

use std::convert::Infallible;
use std::time::Duration;

pub use bluer;
use bluer::{Adapter, Address};
use kozo_role::Failure;
use tokio::time::{Instant, sleep};

use adapter::Adapters;
pub use adapter::Trouble;
use daemon::Daemon;

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
/// waits for is dropped when the adapter cannot be used any more.
///
/// # Errors
/// When nothing can be told, the system's D-Bus cannot be reached, or `work` fails otherwise than by BlueZ.
pub async fn with_adapter(
    address: Option<Address>,
    tell: impl AsyncFn(News) -> Result<(), Failure>,
    work: impl AsyncFn(&Adapter) -> Result<Infallible, Failure>,
) -> Result<Infallible, Failure> {
    let mut daemon = Daemon::watch().await?;
    let mut teller = Teller { tell, last: None };
    let mut pause = PAUSE;
    loop {
        if !daemon.is_there() {
            teller.trouble(Trouble::NoDaemon).await?;
            daemon.changed().await?;
            continue;
        }
        let began = Instant::now();
        let Err(failure) = tokio::select! {
            changed = daemon.changed() => {
                changed?;
                continue;
            }
            ended = use_adapters(address, &mut teller, &work) => ended,
        };
        // What it refuses again and again is said once.
        if began.elapsed() >= LONGEST_PAUSE {
            (teller.last, pause) = (None, PAUSE);
        }
        teller.trouble(Trouble::Refused(failure.downcast::<bluer::Error>()?.to_string())).await?;
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Works for as long as bluetoothd runs and refuses nothing.
async fn use_adapters<T: AsyncFn(News) -> Result<(), Failure>>(
    address: Option<Address>,
    teller: &mut Teller<T>,
    work: &impl AsyncFn(&Adapter) -> Result<Infallible, Failure>,
) -> Result<Infallible, Failure> {
    let mut adapters = Adapters::new().await?;
    loop {
        match adapters.usable(address).await? {
            Err(trouble) => {
                teller.trouble(trouble).await?;
                adapters.changed().await?;
            }
            Ok(adapter) => {
                (teller.tell)(News::Ready(adapter.name().to_owned())).await?;
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
}

impl<T: AsyncFn(News) -> Result<(), Failure>> Teller<T> {
    async fn trouble(&mut self, trouble: Trouble) -> Result<(), Failure> {
        let is_new = self.last.as_ref() != Some(&trouble);
        self.last = Some(trouble.clone());
        (self.tell)(News::Trouble(trouble, is_new)).await
    }
}
