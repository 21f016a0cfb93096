//! Whether what comes on a session counts: only while its link knows the session.
//!
//! The handshake, and then the link, has the [`Hold`] on a session; the reader
//! looks at the [`Standing`].

use tokio::sync::watch;

use crate::BoxFuture;

/// What a session is to its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// The link has not heard of it yet.
    Undecided,
    /// The link uses it, may do so, or waits for its end.
    Known,
    /// The link wants nothing of it, or nothing more.
    GivenUp,
}

/// Held by the handshake or link that is responsible for a session. Dropping it gives the session up.
#[derive(Debug)]
pub struct Hold(watch::Sender<bool>);

/// How a session stands, for its reader.
#[derive(Clone, Debug)]
pub struct Standing(watch::Receiver<bool>);

impl Hold {
    /// For a session that is not decided on.
    pub fn new() -> (Hold, Standing) {
        let (sender, receiver) = watch::channel(false);
        (Hold(sender), Standing(receiver))
    }

    /// The link knows the session.
    pub fn confirm(&self) {
        self.0.send_replace(true);
    }
}

impl Standing {
    /// How it stands now.
    pub fn now(&self) -> Stand {
        match self.0.has_changed() {
            Err(_) => Stand::GivenUp,
            Ok(_) if *self.0.borrow() => Stand::Known,
            Ok(_) => Stand::Undecided,
        }
    }

    /// Waits until it is decided on.
    pub fn decided(&self) -> BoxFuture<'static, ()> {
        let mut known = self.0.clone();
        Box::pin(async move {
            // An error: the hold on it was dropped.
            let _ = known.wait_for(|known| *known).await;
        })
    }
}
