//! Accepting: bluetoothd tells who asks where the service is, and hands over who comes.

use std::cell::RefCell;
use std::convert::Infallible;
use std::time::Duration;

use bluer::rfcomm::{ConnectRequest, Profile, ReqError, Role};
use bluer::{Adapter, Session, Uuid};
use kozo_role::{Failure, Level, Node, Stream, duplicate};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::StreamExt as _;

/// Connections after which the service is registered anew: bluer keeps a few bytes of each.
const MOST_CONNECTIONS: usize = 10_000;

/// The shortest time, in seconds, for which BlueZ lets others find an adapter; none is without end.
const SHORTEST: u32 = 1;

/// Accepts for ever. At most `backlog` connections wait to be handed over to the Node.
pub(crate) async fn listen(
    session: &Session,
    node: &Node,
    service: Uuid,
    backlog: usize,
) -> Result<Infallible, Failure> {
    let (waiting, mut accepted) = mpsc::channel(backlog);
    let hand_over = async {
        while let Some(stream) = accepted.recv().await {
            node.accepted(stream).await?;
        }
        Ok::<(), Failure>(())
    };
    let accept = async {
        loop {
            let mut requests = session.register_profile(profile(service)).await?;
            for _ in 0..MOST_CONNECTIONS {
                match requests.next().await {
                    Some(request) => accept(node, request, &waiting).await?,
                    None => break,
                }
            }
        }
    };
    tokio::select! {
        ended = accept => ended,
        ended = hand_over => Err(ended.err().unwrap_or_else(|| "nothing is handed over".into())),
    }
}

/// The service as bluetoothd registers it, at a channel that is free.
fn profile(service: Uuid) -> Profile {
    Profile {
        uuid: service,
        name: Some("Kōzō".to_owned()),
        role: Some(Role::Server),
        channel: Some(0),
        require_authentication: Some(false),
        require_authorization: Some(false),
        ..Profile::default()
    }
}

async fn accept(
    node: &Node,
    request: ConnectRequest,
    waiting: &mpsc::Sender<Stream>,
) -> Result<(), Failure> {
    let device = request.device().to_string();
    let Ok(room) = waiting.try_reserve() else {
        request.reject(ReqError::Rejected);
        let text =
            format!("a connection of {device} is refused: socketConnectionBacklog wait already");
        return Ok(node.log(Level::Warning, &text).await?);
    };
    // It may be gone.
    if let Ok(socket) =
        request.accept().map_err(Failure::from).and_then(|stream| Ok(duplicate(&stream)?))
    {
        room.send(Stream::new(socket).address(&device));
    }
    Ok(())
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
        let (is_found, usual) =
            (adapter.is_discoverable().await?, adapter.discoverable_timeout().await?);
        // Zero is without end.
        if is_found && (usual == 0 || !is_searched) {
            return Ok(());
        }
        if !is_found {
            self.before.borrow_mut().get_or_insert_with(|| (adapter.clone(), usual));
        }
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
            adapter.set_discoverable(false).await?;
            adapter.set_discoverable_timeout(usual).await?;
        }
        Ok(())
    }
}
