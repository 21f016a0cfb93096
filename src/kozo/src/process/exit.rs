//! How a program ended.

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use nix::sys::signal::Signal;

use super::launch;

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// In a way that the system does not tell.
    Unknown,
}

impl Exit {
    /// Whether it ended well: with exit code 0.
    pub fn is_success(self) -> bool {
        self == Exit::Code(0)
    }

    /// What it is to people that a program ended so which was to go on, with the last line that it wrote to standard
    /// error, if it wrote one.
    pub fn as_failure(self, last_line: &str) -> String {
        match last_line {
            "" => format!("the program {self}"),
            line => format!("the program {self}: {line}"),
        }
    }

    /// Whether it was a signal that ended it, and none of those by which programs are ended: also by SIGPIPE, once what
    /// they write is no longer read.
    pub fn is_crash(self) -> bool {
        let ending =
            [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGPIPE].map(|signal| signal as i32);
        matches!(self, Exit::Signal(signal) if !ending.contains(&signal))
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Unknown,
        }
    }
}

/// In words: "exited with code 3", "was killed by SIGSEGV".
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Exit::Code(launch::NOT_STARTED) => f.write_str("could not be started"),
            Exit::Code(code) => write!(f, "exited with code {code}"),
            Exit::Signal(signal) => match Signal::try_from(signal) {
                Ok(signal) => write!(f, "was killed by {signal}"),
                Err(_) => write!(f, "was killed by signal {signal}"),
            },
            Exit::Unknown => f.write_str("ended in an unknown way"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_in_words() {
        for (status, words) in [
            (0x0000, "exited with code 0"),
            (0x0300, "exited with code 3"),
            (0x7d00, "could not be started"),
            (11, "was killed by SIGSEGV"),
            (0x80 | 6, "was killed by SIGABRT"),
            (40, "was killed by signal 40"),
        ] {
            assert_eq!(Exit::from(ExitStatus::from_raw(status)).to_string(), words);
        }
        assert!(Exit::from(ExitStatus::from_raw(0)).is_success());
        assert!(!Exit::from(ExitStatus::from_raw(9)).is_success());
    }

    #[test]
    fn who_is_ended_has_not_crashed() {
        let crashed = |signal| Exit::from(ExitStatus::from_raw(signal as i32)).is_crash();
        assert!([Signal::SIGSEGV, Signal::SIGABRT].iter().all(|signal| crashed(*signal)));
        let ending = [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGPIPE];
        assert!(!ending.iter().any(|signal| crashed(*signal)));
    }
}
