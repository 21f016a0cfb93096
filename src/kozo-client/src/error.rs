//! What can go wrong between a client and a Node.

use std::fmt;

use zbus::fdo;

use crate::found::Found;
use crate::names::ERROR_PREFIX;

/// Where a Node was looked for, and what was found there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// A name on the bus, or a path.
    pub place: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

/// Why something did not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no Node that can be reached.
    #[error("{}", no_daemon(.node.as_deref()))]
    NoDaemon {
        /// The Node that was wanted, if one was named.
        node: Option<String>,
        /// Everywhere it was looked for.
        attempts: Vec<Attempt>,
    },
    /// Several Nodes run here, and none was named.
    #[error("several nodes run here ({}): choose one", .0.join(", "))]
    Ambiguous(Vec<String>),
    /// Several daemons run here under the one name that was given, or that there is.
    #[error("several nodes with the same name run here: choose one")]
    Namesakes(Vec<Found>),
    /// The caller may not do this; the text names the polkit action.
    #[error("{0}")]
    NotAllowed(String),
    /// The Node has no Role of this name.
    #[error("{0}")]
    NoSuchRole(String),
    /// The Node has no Peer of this name.
    #[error("{0}")]
    NoSuchPeer(String),
    /// Something that was given makes no sense.
    #[error("{0}")]
    InvalidArgument(String),
    /// The Message is larger than a queue that it should go into.
    #[error("{0}")]
    MessageTooLarge(String),
    /// The changed configuration was refused; the text says where it is wrong.
    #[error("{0}")]
    InvalidConfiguration(String),
    /// The Peer did not answer in time.
    #[error("{0}")]
    TimedOut(String),
    /// There is no object at the path that was called.
    #[error("no such object")]
    NoObject,
    /// The Node has gone, or does not answer.
    #[error("the node stopped answering: {0}")]
    Gone(String),
    /// It did not work for another reason.
    #[error("{0}")]
    Failed(String),
}

fn no_daemon(node: Option<&str>) -> String {
    match node {
        Some(node) => format!("node '{node}' does not run here"),
        None => "no node runs here".to_owned(),
    }
}

impl From<zbus::Error> for Error {
    fn from(error: zbus::Error) -> Error {
        match error {
            zbus::Error::MethodError(name, text, _) => {
                let text = text.unwrap_or_else(|| name.to_string());
                named(name.as_str(), text)
            }
            zbus::Error::FDO(error) => Error::from(*error),
            zbus::Error::InputOutput(error) => Error::Gone(error.to_string()),
            other => Error::Failed(other.to_string()),
        }
    }
}

/// The error of this name on D-Bus.
fn named(name: &str, text: String) -> Error {
    match name.strip_prefix(ERROR_PREFIX) {
        Some("NoSuchRole") => Error::NoSuchRole(text),
        Some("NoSuchPeer") => Error::NoSuchPeer(text),
        Some("InvalidArgument") => Error::InvalidArgument(text),
        Some("MessageTooLarge") => Error::MessageTooLarge(text),
        Some("InvalidConfiguration") => Error::InvalidConfiguration(text),
        Some("TimedOut") => Error::TimedOut(text),
        Some("NotAllowed") => Error::NotAllowed(text),
        _ => Error::Failed(text),
    }
}

impl From<fdo::Error> for Error {
    fn from(error: fdo::Error) -> Error {
        match error {
            fdo::Error::AccessDenied(text) | fdo::Error::InteractiveAuthorizationRequired(text) => {
                Error::NotAllowed(text)
            }
            fdo::Error::InvalidArgs(text) => Error::InvalidArgument(text),
            fdo::Error::UnknownObject(_) => Error::NoObject,
            fdo::Error::LimitsExceeded(text) => Error::Failed(text),
            fdo::Error::ServiceUnknown(text)
            | fdo::Error::NameHasNoOwner(text)
            | fdo::Error::NoReply(text)
            | fdo::Error::Disconnected(text) => Error::Gone(text),
            fdo::Error::ZBus(error) => Error::from(error),
            other => Error::Failed(other.to_string()),
        }
    }
}
