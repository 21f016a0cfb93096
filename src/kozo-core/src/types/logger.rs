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
                "Start of every line, as strftime(3) takes it: when the Message was sent, in the \
                 local time zone.",
            ),
            text(
                "nodeRestrict",
                OptionKind::NodeOrAny,
                "*",
                "The Node whose Log Messages are wanted, or `*` for all.",
            ),
            number(
                "flushEvery",
                1,
                1 << 32,
                1024,
                "Lines after which they are written to the file. After a second they are in \
                 any case.",
            ),
            flag("clearLog", false, "Whether to empty the file at the start."),
            number(
                "rotateEvery",
                0,
                i64::MAX,
                524_288,
                "Lines after which the file is renamed and a new one begun; 0 for never.",
            ),
            number("rotateMax", 1, 1000, 9, "Renamed files that are kept: FILE.1 is the newest."),
        ],
        writes: vec![WrittenFile { option: "file".into(), extension: "log".into() }],
        ..Schema::default()
    }
}
