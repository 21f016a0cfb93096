//! Transports whose program is not there, or cannot be used: they carry nothing, and say why.

use std::io;
use std::os::fd::OwnedFd;

use super::{Connection, Found, Listener, Priority, Target, Transport};
use crate::BoxFuture;
use crate::config::TransportConfig;
use crate::status::{TransportState, TransportStatus};

/// A Transport that has failed for good.
pub struct Missing {
    /// Why, for people.
    pub why: String,
}

impl Missing {
    fn error(&self) -> io::Error {
        io::Error::other(self.why.clone())
    }
}

impl Transport for Missing {
    fn priority(&self) -> Priority {
        Priority::Worst
    }

    fn can_connect(&self, _other: &TransportConfig) -> bool {
        false
    }

    fn addresses(&self, _other: &TransportConfig) -> Vec<String> {
        Vec::new()
    }

    fn connect<'a>(
        &'a self,
        _target: &'a Target,
        _found: &'a Found,
    ) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async { Err(self.error()) })
    }

    fn can_accept(&self) -> bool {
        false
    }

    fn listen(&self, _inherited: Vec<OwnedFd>) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async { Err(self.error()) })
    }

    fn status(&self) -> TransportStatus {
        TransportStatus {
            state: TransportState::Failed,
            last_error: Some(self.why.clone()),
            ..TransportStatus::default()
        }
    }
}
