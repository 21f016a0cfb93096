//! Accepting: bluetoothd tells who asks where the service is, and hands over who comes.

use std::cell::RefCell;
use std::convert::Infallible;
use std::time::Duration;

use bluer::{Adapter, Uuid};
use kozo_bluetooth::Service;
use kozo_role::{Failure, Level, Node, Stream};
use tokio::time::sleep;

/// The shortest time, in seconds, for which BlueZ lets others find an adapter; none is without end.
const SHORTEST: u32 = 1;

/// Accepts for ever. At most `backlog` connections wait to be handed over to the Node.
pub(crate) async fn listen(
    node: &Node,
    service: Uuid,
    backlog: usize,
) -> Result<Infallible, Failure> {
    let mut service = Service::register(service, backlog).await?;
    while let Some(connection) = service.accept().await {
        let device = connection.device.to_string();
        node.accepted(Stream::new(connection.socket).address(&device)).await?;
        let refused = service.take_refused();
        if refused > 0 {
            let text =
                format!("{refused} connections refused: socketConnectionBacklog others waited");
            node.log(Level::Warning, &text).await?;
        }
    }
    Err(kozo_bluetooth::Trouble::NoBus("the connection is lost".to_owned()).into())
}

/// Whether other devices can find this one, and connect. What was before is set again when nobody needs that any more.
#[derive(Default)]
pub(crate) struct Visibility {
    /// The adapter that nobody could find, and for how many seconds they can when somebody else asks for that.
    before: RefCell<Option<(Adapter, u32)>>,
}

impl Visibility {
    /// Lets others connect to this adapter, for as long as it is on, and find it, if they have to.
    ///
    /// BlueZ has no way to let others connect but to let them find the adapter too. When the time for that is over, they can still
    /// connect, but not when it is ended by request.
    pub(crate) async fn open(&self, adapter: &Adapter, is_searched: bool) -> bluer::Result<()> {
        let is_found = adapter.is_discoverable().await?;
        let usual = adapter.discoverable_timeout().await?;
        // Others want it so. Zero is without end.
        let is_ours =
            self.before.borrow().as_ref().is_some_and(|(ours, _)| ours.name() == adapter.name());
        if is_found && !is_ours && (usual == 0 || !is_searched) {
            return Ok(());
        }
        if !is_ours {
            *self.before.borrow_mut() = Some((adapter.clone(), usual));
        }
        // What was set here is not what is usual.
        let usual = self.before.borrow().as_ref().map_or(usual, |(_, usual)| *usual);
        adapter.set_discoverable_timeout(if is_searched { 0 } else { SHORTEST }).await?;
        adapter.set_discoverable(true).await?;
        if !is_searched {
            // Before, it would be for as long as usual.
            sleep(2 * Duration::from_secs(SHORTEST.into())).await;
            adapter.set_discoverable_timeout(usual).await?;
        }
        Ok(())
    }

    /// Sets what was before.
    pub(crate) async fn restore(&self) -> bluer::Result<()> {
        let before = self.before.borrow_mut().take();
        if let Some((adapter, usual)) = before {
            let hidden = adapter.set_discoverable(false).await;
            adapter.set_discoverable_timeout(usual).await?;
            hidden?;
        }
        Ok(())
    }
}
