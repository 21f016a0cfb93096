//! Going on when the Node restarts, for commands that show until Ctrl-C.

use std::time::Duration;

use kozo_client::{Client, Error, Way, names};
use kozo_core::pauses::Pauses;
use tokio::time::sleep;

use crate::failure::{Exit, Failure};
use crate::output::say;

/// Pauses between two looks at whether the Node runs again.
const PAUSES: Pauses = Pauses::new(Duration::from_millis(100), Duration::from_secs(1));

/// Connects anew to a Node with which something ended like this, once it runs again.
///
/// # Errors
/// That end, if it was another one than the Node's; or what is wrong with the Node that runs again.
pub(crate) async fn connect(client: &Client, ended: Failure) -> Result<Client, Failure> {
    match &ended {
        Failure::Told { exit: Exit::NoDaemon, message, .. } => {
            say(&format!("kozoctl: {message}; waiting until it runs again"));
        }
        _ => return Err(ended),
    }
    let mut pauses = PAUSES;
    loop {
        sleep(pauses.after_failure()).await;
        match same(client).await {
            Err(Error::NoDaemon { .. } | Error::Gone(_) | Error::TimedOut(_)) => {}
            found => return Ok(found?),
        }
    }
}

/// The same Node, reached as it was: another daemon may have the same name elsewhere.
async fn same(client: &Client) -> Result<Client, Error> {
    match client.way() {
        Way::Socket(path) => Client::at_socket(path).await,
        Way::SystemBus => Client::connect(Some(&names::bus_name(client.node()))).await,
    }
}
