//! What the parts of one Transport share: how it is set up, how it does, and where its streams go.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kozo_core::value::show;
use rmpv::Value;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

use super::requests::{Described, Requests};
use super::socket::{self, Handed};
use super::{Knowledge, Setup};
use crate::rate_limiter::{RateLimiter, Suppressed};
use crate::status::{TransportState, TransportStatus};
use crate::transport::Connection;

/// Longest address that is kept, in bytes.
const LONGEST_ADDRESS: usize = 256;

/// What the program does, for those who want to connect.
#[derive(Debug)]
pub(super) enum Run {
    /// It is about to run.
    Starting,
    /// It can be asked.
    Running(Arc<Requests>),
    /// It is started again after a pause.
    Failed(String),
    /// It was stopped.
    Stopped,
}

/// What the parts of one Transport share.
pub(super) struct Shared {
    pub(super) setup: Setup,
    knowledge: Mutex<Knowledge>,
    pub(super) run: watch::Sender<Run>,
    status: Mutex<TransportStatus>,
    incoming: Mutex<Option<mpsc::Sender<Connection>>>,
    complaints: Mutex<RateLimiter<&'static str>>,
}

impl Shared {
    pub(super) fn new(setup: Setup) -> Shared {
        let stopped =
            TransportStatus { state: TransportState::Stopped, ..TransportStatus::default() };
        Shared {
            knowledge: Mutex::new(setup.knowledge.clone()),
            setup,
            run: watch::Sender::new(Run::Stopped),
            status: Mutex::new(stopped),
            incoming: Mutex::default(),
            complaints: Mutex::default(),
        }
    }

    /// What the program is to know of the System when it starts.
    pub(super) fn knowledge(&self) -> Knowledge {
        self.knowledge.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps what the program is to know from its next start on, and says whether it is news to one that runs.
    pub(super) fn learn(&self, mut knowledge: Knowledge) -> bool {
        let mut known = self.knowledge.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = !known.is_same(&knowledge);
        knowledge.launcher = Arc::new(knowledge.launcher.in_place_of(&known.launcher));
        *known = knowledge;
        is_news
    }

    /// How it does.
    pub(super) fn status(&self) -> TransportStatus {
        self.lock().clone()
    }

    /// Keeps that it is about to run.
    pub(super) fn starting(&self) {
        self.enter(TransportState::Starting);
        self.run.send_replace(Run::Starting);
    }

    /// Keeps that it runs, and where it listens.
    pub(super) fn running(&self, requests: &Arc<Requests>, address: Option<String>) {
        {
            let mut status = self.lock();
            status.state = TransportState::Running;
            status.address = address;
        }
        self.run.send_replace(Run::Running(Arc::clone(requests)));
    }

    /// Keeps why it has failed.
    pub(super) fn failed(&self, problem: &str) {
        self.enter(TransportState::Failed);
        {
            let mut status = self.lock();
            status.last_error = Some(problem.to_owned());
            status.restarts += 1;
        }
        self.run.send_replace(Run::Failed(problem.to_owned()));
    }

    /// Keeps that it was stopped.
    pub(super) fn stopped(&self) {
        self.enter(TransportState::Stopped);
        self.run.send_replace(Run::Stopped);
    }

    /// What the program said of itself holds as long as it runs.
    fn enter(&self, state: TransportState) {
        let mut status = self.lock();
        let TransportStatus { last_error, restarts, .. } = std::mem::take(&mut *status);
        *status = TransportStatus { state, last_error, restarts, ..TransportStatus::default() };
    }

    /// Keeps which process it is.
    pub(super) fn set_process(&self, pid: u32) {
        self.lock().process = Some(pid);
    }

    /// Keeps what the program says of itself.
    pub(super) fn set_status(&self, text: Option<String>) {
        self.lock().status = text;
    }

    /// Lets streams that come in go here.
    pub(super) fn accept_into(&self, sender: mpsc::Sender<Connection>) {
        *self.incoming.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    }

    /// Hands over a stream that came in; closes it if too many wait already.
    pub(super) fn deliver(&self, connection: Connection) {
        let sender = self.incoming.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let transport = &*self.setup.name;
        match sender.map(|sender| sender.try_send(connection)) {
            Some(Ok(())) => {}
            Some(Err(TrySendError::Full(connection))) => {
                if let Some(more) = self.may_complain("full") {
                    let address = &connection.address;
                    warn!(transport, "closed a stream from {address}: too many at once{more}");
                }
            }
            Some(Err(TrySendError::Closed(_))) | None => {
                debug!(transport, "closed a stream: this node does not accept now");
            }
        }
    }

    /// Whether a line about this may be logged; if so, how many were not since the last one.
    pub(super) fn may_complain(&self, cause: &'static str) -> Option<Suppressed> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).allow(cause)
    }

    /// The stream that a program has handed over.
    ///
    /// # Errors
    /// When the descriptor is none, or it does not say who the Peer is as its description promises.
    pub(super) fn connection(
        &self,
        described: Described,
        otherwise: &str,
    ) -> io::Result<Connection> {
        let peer = self.vouched(described.peer)?;
        let Handed { stream, address } = socket::stream(described.descriptor)?;
        let address = described.address.or(address).unwrap_or_else(|| otherwise.to_owned());
        Ok(Connection { stream, address, peer })
    }

    /// Who the program says the Peer is, where it may say that.
    ///
    /// # Errors
    /// When it says it and does not authenticate, or the other way round.
    pub(super) fn vouched(&self, peer: Option<String>) -> io::Result<Option<String>> {
        match (self.setup.authenticates, peer) {
            (true, None) => Err(io::Error::other(
                "the description of this type says that it authenticates, so its program must name \
                 the peer, but did not",
            )),
            (false, Some(_)) => Err(io::Error::other(
                "the description of this type does not say that it authenticates, so its program \
                 may not name the peer",
            )),
            (_, peer) => Ok(peer),
        }
    }

    fn lock(&self) -> MutexGuard<'_, TransportStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address that a program says, as people may see it.
pub(super) fn shown(address: &str) -> String {
    show::shown(&Value::from(address), LONGEST_ADDRESS)
}
