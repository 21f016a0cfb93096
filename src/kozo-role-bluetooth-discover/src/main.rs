//! The Role type `bluetooth-discover`: searches for Bluetooth devices every so often, and sends an Event `bluetooth devices in range`
//! after each search.
//!
//! [`options`] is what the configuration says, [`mod@search`] decides how long to search and when again, [`radio`] searches by BlueZ,
//! [`device`] is what a search finds and what Events say of it, and [`changes`] compares one search with that before. An
//! adapter that cannot be used is waited for, for as long as the Role runs.

mod changes;
mod device;
mod options;
mod radio;
mod search;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::process::ExitCode;

use kozo_bluetooth::bluer::Adapter;
use kozo_bluetooth::{News, with_adapter};
use kozo_role::{Draft, Failure, Level, Role};

use changes::Known;
use device::Found;
use options::Options;
use radio::Radio;
use search::search;

/// The type of the Events with the names of the devices in range.
const IN_RANGE: &str = "bluetooth devices in range";

/// The type of the Events with what else is known of them.
const DETAILS: &str = "bluetooth device details";

fn main() -> ExitCode {
    Role::describe(options::description()).run(async |role| {
        let options: Options = role.options()?;
        let address = options.adapter()?;
        let reporter = Reporter::new(&role, options.log);
        let tell = async |news: News| reporter.adapter(news).await;
        let work = async |adapter: &Adapter| search_by(adapter, &options, &reporter).await;
        tokio::select! {
            () = role.stopped() => Ok(()),
            Err(failure) = with_adapter(address, tell, work) => Err(failure),
        }
    })
}

/// Searches with this adapter, again and again.
async fn search_by(
    adapter: &Adapter,
    options: &Options,
    reporter: &Reporter<'_>,
) -> Result<Infallible, Failure> {
    let begin = async || Radio::begin(adapter, options.le).await;
    let knows = |address| reporter.known.borrow().has(address);
    let tell = async |found: Found| reporter.found(&found, adapter.name()).await;
    search(&options.pace(), begin, knows, tell).await
}

/// Passes on what becomes known.
struct Reporter<'a> {
    role: &'a Role,
    /// Whether there is a Log of changes.
    has_log: bool,
    /// What was in range after the last search.
    known: RefCell<Known>,
    /// Whether the journal has which adapter searches, since the last new trouble.
    is_told: Cell<bool>,
}

impl<'a> Reporter<'a> {
    fn new(role: &'a Role, has_log: bool) -> Reporter<'a> {
        Reporter { role, has_log, known: RefCell::default(), is_told: Cell::new(false) }
    }

    /// Of the adapter.
    async fn adapter(&self, news: News) -> Result<(), Failure> {
        let (level, text, is_new) = match news {
            News::Ready(name) => {
                (Level::Info, format!("searching with {name}"), !self.is_told.replace(true))
            }
            News::Trouble(trouble, is_new) => {
                self.is_told.set(self.is_told.get() && !is_new);
                (Level::Warning, trouble.to_string(), is_new)
            }
        };
        self.role.status(&text).await?;
        if is_new {
            self.role.log(level, &text).await?;
        }
        Ok(())
    }

    /// Of the devices in range of an adapter.
    async fn found(&self, found: &Found, adapter: &str) -> Result<(), Failure> {
        self.role.status(&found.summary(adapter)).await?;
        let changes = self.known.borrow_mut().update(found);
        if self.has_log {
            for text in changes.texts() {
                self.role.send(Draft::log().data(&text)).await?;
            }
        }
        self.role.send(Draft::event(IN_RANGE).data(&found.names())).await?;
        self.role.send(Draft::event(DETAILS).data(&found.details())).await?;
        Ok(())
    }
}
