//! The errors that clients get, by their names on D-Bus.

use zbus::message::{Header, Message};
use zbus::names::ErrorName;

use crate::control::ReloadError;
use crate::message::MessageError;
use crate::node::ControlError;
use crate::role::SendError;

/// `org.kozo.Error.…`, or one of those that all of D-Bus has, with a text for people.
#[derive(Debug)]
pub(super) enum Error {
    NoSuchRole(String),
    NoSuchPeer(String),
    InvalidArgument(String),
    MessageTooLarge(String),
    InvalidConfiguration(String),
    NotAllowed(String),
    TimedOut(String),
    Failed(String),
    /// It would have been allowed with a password, which the caller did not let the user be asked for.
    InteractiveAuthorizationRequired(String),
    /// Too much is kept for the caller already.
    LimitsExceeded(String),
}

impl Error {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Error::NoSuchRole(text) => ("org.kozo.Error.NoSuchRole", text),
            Error::NoSuchPeer(text) => ("org.kozo.Error.NoSuchPeer", text),
            Error::InvalidArgument(text) => ("org.kozo.Error.InvalidArgument", text),
            Error::MessageTooLarge(text) => ("org.kozo.Error.MessageTooLarge", text),
            Error::InvalidConfiguration(text) => ("org.kozo.Error.InvalidConfiguration", text),
            Error::NotAllowed(text) => ("org.kozo.Error.NotAllowed", text),
            Error::TimedOut(text) => ("org.kozo.Error.TimedOut", text),
            Error::Failed(text) => ("org.kozo.Error.Failed", text),
            Error::InteractiveAuthorizationRequired(text) => {
                ("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", text)
            }
            Error::LimitsExceeded(text) => ("org.freedesktop.DBus.Error.LimitsExceeded", text),
        }
    }
}

impl zbus::DBusError for Error {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        let (name, text) = self.parts();
        Message::error(call, name).build(&text)
    }

    fn name(&self) -> ErrorName<'_> {
        ErrorName::from_static_str_unchecked(self.parts().0)
    }

    fn description(&self) -> Option<&str> {
        Some(self.parts().1)
    }
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
            ControlError::BadName(_) => Error::InvalidArgument(text),
            ControlError::Forbidden(_)
            | ControlError::NotUp(_)
            | ControlError::RoleExists(_)
            | ControlError::IsAttached(_)
            | ControlError::Start(_) => Error::Failed(text),
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
