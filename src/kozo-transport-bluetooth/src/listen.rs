//! Accepting: bluetoothd tells who asks where the service is, and hands over who comes.

use std::cell::RefCell;
use std::convert::Infallible;

use bluer::rfcomm::{ConnectRequest, Profile, ReqError, Role};
use bluer::{Adapter, Session, Uuid};
use kozo_role::{Failure, Level, Node, Stream, duplicate};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;

/// Connections after which the service is registered anew: bluer keeps a few bytes of each.
const MOST_CONNECTIONS: usize = 10_000;

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

/// Whether other devices can find this one. What was before is set again when nobody needs that any more.
#[derive(Default)]
pub(crate) struct Visibility {
    before: RefCell<Option<(Adapter, u32)>>,
}

impl Visibility {
    /// Lets others find this adapter, for as long as it is on.
    pub(crate) async fn show(&self, adapter: &Adapter) -> bluer::Result<()> {
        if !adapter.is_discoverable().await? {
            let seconds = adapter.discoverable_timeout().await?;
            *self.before.borrow_mut() = Some((adapter.clone(), seconds));
        }
        adapter.set_discoverable_timeout(0).await?;
        adapter.set_discoverable(true).await
    }

    /// Sets it as it was.
    pub(crate) async fn restore(&self) -> bluer::Result<()> {
        let before = self.before.borrow_mut().take();
        if let Some((adapter, seconds)) = before {
            adapter.set_discoverable(false).await?;
            adapter.set_discoverable_timeout(seconds).await?;
        }
        Ok(())
    }
}
