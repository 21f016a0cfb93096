//! The errors that clients get, by their names on D-Bus.

use zbus::DBusError;

use crate::control::ReloadError;
use crate::message::MessageError;
use crate::node::ControlError;
use crate::role::SendError;

/// `org.kozo.Error.…`, with a text for people.
#[derive(Debug, DBusError)]
#[zbus(prefix = "org.kozo.Error")]
pub(super) enum Error {
    #[zbus(error)]
    ZBus(zbus::Error),
    NoSuchRole(String),
    NoSuchPeer(String),
    InvalidArgument(String),
    MessageTooLarge(String),
    InvalidConfiguration(String),
    NotAllowed(String),
    TimedOut(String),
    Failed(String),
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Error {
        let text = error.to_string();
        match error {
            SendError::TooLarge { .. } | SendError::Invalid(MessageError::TooLarge(_)) => {
                Error::MessageTooLarge(text)
            }
            SendError::Invalid(_) => Error::InvalidArgument(text),
        }
    }
}

impl From<ControlError> for Error {
    fn from(error: ControlError) -> Error {
        let text = error.to_string();
        match error {
            ControlError::NoSuchRole(_) => Error::NoSuchRole(text),
            ControlError::NoSuchPeer(_) => Error::NoSuchPeer(text),
            ControlError::NoAnswer(_) => Error::TimedOut(text),
            ControlError::Forbidden(_) | ControlError::NotUp(_) | ControlError::Start(_) => {
                Error::Failed(text)
            }
        }
    }
}

impl From<ReloadError> for Error {
    fn from(error: ReloadError) -> Error {
        let text = error.to_string();
        match error {
            ReloadError::Configuration(_) => Error::InvalidConfiguration(text),
            ReloadError::Apply(_) => Error::Failed(text),
        }
    }
}
