//! The Role `logger`: what it does and takes.

use std::path::Path;

use super::{flag, number, text};
use crate::config::schema::with_default;
use crate::config::{OptionKind, OptionValue, Schema, WrittenFile};
use crate::places::LOGS;

/// What it does and takes.
pub fn schema() -> Schema {
    Schema {
        name: "logger".into(),
        description: "Prints Log Messages and writes them to a file.".into(),
        options: vec![
            with_default(
                "file",
                OptionKind::Path,
                OptionValue::Path(Path::new(LOGS).join("kozo.log")),
                "The file to write to.",
            ),
            text(
                "timePrefix",
                OptionKind::Text,
                "[%Y-%m-%d %H:%M:%S] ",
                "Prefix of every line, in strftime(3) format: when the Message was sent, in \
                 local time.",
            ),
            text(
                "nodeRestrict",
                OptionKind::NodeOrAny,
                "*",
                "Log only Messages from this Node; `*` for all Nodes.",
            ),
            number(
                "flushEvery",
                1,
                1 << 32,
                1024,
                "Write to the file after this many lines, or after one second at the \
                 latest.",
            ),
            flag("clearLog", false, "Empty the file when the Role starts."),
            number(
                "rotateEvery",
                0,
                i64::MAX,
                524_288,
                "Rotate the file after this many lines; 0 for never.",
            ),
            number("rotateMax", 1, 1000, 9, "Rotated files to keep; FILE.1 is the newest."),
        ],
        writes: vec![WrittenFile { option: "file".into(), extension: "log".into() }],
        ..Schema::default()
    }
}
