//! The Role `logger`: what it does and takes.

use std::path::PathBuf;

use super::{flag, option};
use crate::config::{OptionKind, OptionSpec, OptionValue, Presence, Schema};

/// The file, where none is given.
pub const DEFAULT_FILE: &str = "/var/log/kozo/kozo.log";
/// Start of every line, where none is given.
pub const DEFAULT_PREFIX: &str = "[%Y-%m-%d %H:%M:%S] ";
/// Lines after which they are written to the file, where no number is given.
pub const DEFAULT_FLUSH_EVERY: i64 = 1024;
/// Lines after which the file is renamed, where no number is given.
pub const DEFAULT_ROTATE_EVERY: i64 = 524_288;
/// Renamed files that are kept, where no number is given.
pub const DEFAULT_ROTATE_MAX: i64 = 9;

fn number(name: &'static str, min: i64, max: i64, default: i64, text: &'static str) -> OptionSpec {
    let default = Presence::Default(OptionValue::Integer(default));
    option(name, OptionKind::Integer { min, max }, default, text)
}

fn text(default: &str) -> Presence {
    Presence::Default(OptionValue::Text(default.to_owned()))
}

/// What it does and takes.
pub fn schema() -> Schema {
    Schema {
        name: "logger".into(),
        description: "Prints Log Messages and writes them to a file.".into(),
        options: vec![
            option(
                "file",
                OptionKind::Path,
                Presence::Default(OptionValue::Path(PathBuf::from(DEFAULT_FILE))),
                "The file to write to.",
            ),
            option(
                "timePrefix",
                OptionKind::Text,
                text(DEFAULT_PREFIX),
                "Start of every line, as strftime(3) takes it: when the Message was sent, in the \
                 local time zone.",
            ),
            option(
                "nodeRestrict",
                OptionKind::NodeOrAny,
                text("*"),
                "The Node whose Log Messages are wanted, or `*` for all.",
            ),
            number(
                "flushEvery",
                1,
                1 << 32,
                DEFAULT_FLUSH_EVERY,
                "Lines after which they are written to the file. After a second they are in \
                 any case.",
            ),
            flag("clearLog", false, "Whether to empty the file at the start."),
            number(
                "rotateEvery",
                0,
                i64::MAX,
                DEFAULT_ROTATE_EVERY,
                "Lines after which the file is renamed and a new one begun; 0 for never.",
            ),
            number(
                "rotateMax",
                1,
                1000,
                DEFAULT_ROTATE_MAX,
                "Renamed files that are kept: FILE.1 is the newest.",
            ),
        ],
        needs_storage: false,
    }
}
