//! What a part of a benchmark has to do.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kozo::node::Node;
use tokio::sync::watch;

/// What there is to do.
#[derive(Clone)]
pub(super) struct Work {
    /// Messages, or round trips.
    pub(super) count: u64,
    /// Bytes of each.
    pub(super) size: u32,
    /// Messages a second of a flood that does not wait.
    pub(super) pace: u64,
    /// How long such a flood goes on before it is measured.
    pub(super) settle: Duration,
    /// How long it is measured.
    pub(super) time: Duration,
    /// Lines that came on standard input.
    pub(super) lines: watch::Receiver<u64>,
    /// The Node, once it has started.
    pub(super) node: Arc<OnceLock<Node>>,
}

impl Work {
    /// Bytes of each Message.
    pub(super) fn size(&self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX)
    }
}
