//! A Node that was found, and how it is reached.

use std::path::PathBuf;

use crate::names;

/// How a Node is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Over the system bus.
    SystemBus,
    /// Over its control socket.
    Socket(PathBuf),
}

/// A Node that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub node: String,
    /// How it is reached.
    pub way: Way,
}

impl Found {
    /// What to give as a Node's name to mean this one, where others have its name.
    pub fn unmistakable(&self) -> String {
        match &self.way {
            Way::SystemBus => names::bus_name(&self.node),
            Way::Socket(path) => path.display().to_string(),
        }
    }
}
