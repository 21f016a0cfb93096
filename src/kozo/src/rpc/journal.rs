//! What programs want people to read: lines for the journal, and a status.

use kozo_core::value::show;
use rmpv::Value;

use super::fault::{Fault, code};
use super::part::Part;
use super::request::Asked;
use crate::process::Owner;
use crate::rate_limiter::Allowance;

/// Longest line for the journal, in bytes.
const LONGEST_LOG: usize = 4096;

/// Longest status, in bytes.
const LONGEST_STATUS: usize = 256;

/// Lines for the journal that a program may write in a minute.
const LOG_LINES: u32 = 600;

/// How grave a line for the journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Something failed.
    Error,
    /// Something will.
    Warning,
    /// Something happened.
    Info,
    /// Something that helps to find errors.
    Debug,
}

/// Reads what `log` asks for.
///
/// # Errors
/// When its parameters make no sense.
pub(crate) fn log(asked: &Asked<'_>) -> Result<(Level, String), Fault> {
    let [level, text] = asked.pick(["level", "text"])?;
    let level = match level.and_then(Part::some) {
        None => Level::Info,
        Some(level) => match &*level.text("level")? {
            "error" => Level::Error,
            "warning" => Level::Warning,
            "info" => Level::Info,
            "debug" => Level::Debug,
            _ => {
                let text = "level is one of error, warning, info, debug";
                return Err(level.fault(code::INVALID_PARAMS, text));
            }
        },
    };
    Ok((level, asked.needed(text, "text")?.text("text")?.into_owned()))
}

/// Reads what `status` asks for, as it is shown to people.
///
/// # Errors
/// When its parameters make no sense.
pub(crate) fn status(asked: &Asked<'_>) -> Result<Option<String>, Fault> {
    let [text] = asked.pick(["text"])?;
    let text = text.and_then(Part::some).map(|text| text.text("text")).transpose()?;
    let text = text.filter(|text| !text.is_empty());
    Ok(text.map(|text| show::shown(&Value::from(&*text), LONGEST_STATUS)))
}

/// The lines of one program, in the log of the Node.
pub(crate) struct Journal {
    owner: Owner,
    allowance: Allowance,
}

impl Journal {
    pub(crate) fn new(owner: Owner) -> Journal {
        Journal { owner, allowance: Allowance::new(LOG_LINES) }
    }

    /// Writes a line, unless there were too many in this minute.
    pub(crate) fn write(&mut self, level: Level, text: String) {
        let (role, transport) = (self.owner.role(), self.owner.transport());
        let Some(suppressed) = self.allowance.take() else { return };
        if suppressed > 0 {
            tracing::warn!(role, transport, "suppressed {suppressed} lines: too many in a minute");
        }
        let text = show::shown(&Value::from(text), LONGEST_LOG);
        match level {
            Level::Error => tracing::error!(role, transport, "{text}"),
            Level::Warning => tracing::warn!(role, transport, "{text}"),
            Level::Info => tracing::info!(role, transport, "{text}"),
            Level::Debug => tracing::debug!(role, transport, "{text}"),
        }
    }
}
