//! The half of a conversation that speaks to the program.

use std::collections::HashMap;
use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;

use super::Encoding;
use super::outbox::Outbox;
use crate::message::Message;
use crate::role::RoleContext;
use crate::rpc::output::object;
use crate::status::{LinkState, PeerStatus};

/// Bytes beyond which no more Messages go into one write. The others wait in the inbox, which drops the oldest.
const BATCH: usize = 64 * 1024;

/// Tells the program all that it is to know, until the Role is to stop or nothing more is wanted. Then the program's input is
/// closed.
pub(super) async fn write(
    context: &RoleContext,
    encoding: Encoding,
    outbox: &Outbox,
    mut writer: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut news = News::new(context, encoding);
    loop {
        let mut out = outbox.take();
        let wanted = outbox.wanted();
        let last = wanted.nothing || *context.stop.borrow();
        if last {
            if !wanted.nothing {
                let ends = if context.host.is_stopping() { "node" } else { "role" };
                encoding.notify(&mut out, "stop", &object([("ends", ends.into())]));
            }
            outbox.close();
        } else {
            news.put_reopen(&mut out);
            if wanted.peers {
                news.put_peers(&mut out);
            }
            if wanted.messages {
                news.put_messages(&mut out);
            }
        }
        if !out.is_empty() {
            writer.write_all(&out).await?;
            writer.flush().await?;
            drop(out);
        } else if !last {
            tokio::select! {
                () = outbox.changed() => {}
                () = news.changed(wanted.messages, wanted.peers) => {}
                () = context.stopped() => {}
            }
        }
        if last {
            return writer.shutdown().await;
        }
    }
}

/// What comes to the program without being asked for.
struct News<'c> {
    context: &'c RoleContext,
    encoding: Encoding,
    reopen: watch::Receiver<u64>,
    peers_changed: watch::Receiver<()>,
    /// How the Peers stood when the program was last told; nothing before it wants that.
    peers: Option<HashMap<String, (LinkState, u64)>>,
    /// The Message that was waited for.
    first: Option<Message>,
}

impl News<'_> {
    fn new(context: &RoleContext, encoding: Encoding) -> News<'_> {
        let mut reopen = context.reopen.clone();
        reopen.mark_unchanged();
        let peers_changed = context.host.peers_changed();
        News { context, encoding, reopen, peers_changed, peers: None, first: None }
    }

    /// Returns when there is something new. Cancel safe.
    async fn changed(&mut self, messages: bool, peers: bool) {
        let News { context, reopen, peers_changed, first, .. } = self;
        tokio::select! {
            message = context.receive(), if messages => match message {
                Some(message) => *first = Some(message),
                // The Role is about to be told to stop.
                None => context.stopped().await,
            },
            Ok(()) = reopen.changed() => reopen.mark_changed(),
            Ok(()) = peers_changed.changed(), if peers => peers_changed.mark_changed(),
            else => std::future::pending().await,
        }
    }

    fn put_reopen(&mut self, out: &mut Vec<u8>) {
        if self.reopen.has_changed().unwrap_or(false) {
            self.reopen.mark_unchanged();
            self.encoding.notify(out, "reopen", &object([]));
        }
    }

    fn put_peers(&mut self, out: &mut Vec<u8>) {
        let changed = self.peers_changed.has_changed().unwrap_or(false);
        if !changed && self.peers.is_some() {
            return;
        }
        self.peers_changed.mark_unchanged();
        let mut before = self.peers.take().unwrap_or_default();
        let mut now = HashMap::new();
        for PeerStatus { name, state, since, .. } in self.context.host.peers() {
            if before.remove(&name) != Some((state, since)) {
                let said = [
                    ("name", name.as_str().into()),
                    ("state", state.name().into()),
                    ("since", since.into()),
                ];
                self.encoding.notify(out, "peer", &object(said));
            }
            now.insert(name, (state, since));
        }
        for name in before.into_keys() {
            let said = [("name", name.into()), ("state", "removed".into())];
            self.encoding.notify(out, "peer", &object(said));
        }
        self.peers = Some(now);
    }

    fn put_messages(&mut self, out: &mut Vec<u8>) {
        let mut next = self.first.take().or_else(|| self.context.inbox.try_receive());
        while let Some(message) = next {
            self.encoding.message(out, &message);
            next = if out.len() < BATCH { self.context.inbox.try_receive() } else { None };
        }
    }
}
