//! What goes wrong, and what the program then says and ends with.

use std::fmt;
use std::io;
use std::process::ExitCode;

use kozo_core::config::nearest;

/// What the program ends with. The numbers are promised to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something else went wrong.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// No daemon answers.
    NoDaemon = 3,
    /// The caller may not do this.
    NotAllowed = 4,
    /// There is no such Peer or Role.
    Unknown = 5,
    /// No Role and no Peer got the Message.
    NobodyInterested = 6,
    /// It did not happen in time.
    TimedOut = 7,
    /// Ssh does not reach the host.
    Unreachable = 8,
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// For the user: what went wrong, and what to do about it.
    Told {
        /// What the program ends with.
        exit: Exit,
        /// What went wrong. Several lines are shown as they are.
        message: String,
        /// What the user may do about it.
        hints: Vec<String>,
    },
    /// All that is to be said was said.
    Silent(Exit),
    /// The reader of the answer has gone.
    Unread,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Failure {
        Failure::Told { exit, message: message.to_string(), hints: Vec::new() }
    }

    pub(crate) fn failed(message: impl fmt::Display) -> Failure {
        Failure::new(Exit::Failed, message)
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    /// Adds what the user may do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        if let Failure::Told { hints, .. } = &mut self {
            hints.push(hint.into());
        }
        self
    }

    /// Adds which of these was probably meant by a name that is none of them, if any is similar.
    #[must_use]
    pub(crate) fn meant(self, name: &str, known: &[&str]) -> Failure {
        match nearest(name, known.iter().copied()) {
            Some(meant) => self.hint(format!("Did you mean '{meant}'?")),
            None => self,
        }
    }

    /// Tells the user, and says what the program ends with.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Failure::Told { exit, message, hints } => {
                crate::output::say(&format!("kozoctl: {message}"));
                for hint in hints {
                    crate::output::say(&format!("  {hint}"));
                }
                ExitCode::from(exit as u8)
            }
            Failure::Silent(exit) => ExitCode::from(exit as u8),
            // As if the signal that others end by had been left to do its work, but quietly.
            Failure::Unread => ExitCode::SUCCESS,
        }
    }
}

/// A failure to write the answer. All other operations name their file.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Unread,
            _ => Failure::failed(format_args!("cannot write the answer: {error}")),
        }
    }
}
