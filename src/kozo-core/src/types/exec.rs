//! The Role `exec`: what it does and takes.

use std::time::Duration;

use super::{number, sample, text};
use crate::config::schema::{optional, required, with_default};
use crate::config::{OptionKind, OptionSpec, OptionValue, Sample, Schema};
use crate::message::Kind;

/// Ten years: far enough, and no sum of times overflows.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// Commands of one Role that may run at once.
pub const MOST_PARALLEL: i64 = 64;

/// What it does and takes.
pub fn schema() -> Schema {
    let duration = |min| OptionKind::Duration { min: Duration::from_millis(min), max: LONGEST };
    Schema {
        name: "exec".into(),
        description: "Runs a command on Messages or at a regular interval, and sends its output."
            .into(),
        options: vec![
            optional(
                "on",
                OptionKind::Interests,
                "The Messages that trigger the command, as `TYPE`, `KIND:TYPE` or \
                 `KIND:TYPE:CHANNEL`; one or a list. `*` matches anything, `?` one character.",
            ),
            optional(
                "every",
                duration(10),
                "Run the command at this interval, in seconds or with a unit; first when the Role \
                 starts. A run that comes due while `parallel` commands are running is skipped.",
            ),
            required(
                "run",
                OptionKind::Command,
                "The command: a text for `/bin/sh -c`, or a list of a program and its arguments. It gets the \
                 Message in its environment (`KOZO_KIND`, `KOZO_TYPE`, `KOZO_CHANNEL`; the sender in \
                 `KOZO_NODE` and `KOZO_ROLE`) and the data on standard input, as JSON.",
            ),
            optional(
                "send",
                OptionKind::Options(send()),
                "How to send the output: a block of `kind` (default `event`), `type`, `channel` and \
                 `each`: one Message for each `line` (the default), or one with the `whole` output \
                 after exit code 0. JSON is sent as data, anything else as text. Default: drop the output.",
            ),
            number(
                "parallel",
                1,
                MOST_PARALLEL,
                1,
                "Commands that may run at once. Meanwhile, Messages wait in the queue of the Role.",
            ),
            with_default(
                "timeout",
                duration(10),
                OptionValue::Duration(Duration::from_secs(60)),
                "How long a command may run before it is killed, in seconds or with a unit.",
            ),
        ],
        any_of: vec!["on".into(), "every".into()],
        runs_programs: true,
        sample: Sample {
            options: vec![
                sample("every", "10min"),
                sample("run", "uptime"),
                sample("send", "{type: load}"),
            ],
            comment: None,
        },
        ..Schema::default()
    }
}

/// What is said of the Messages that its output becomes.
fn send() -> Vec<OptionSpec> {
    let kinds = Kind::ALL.map(|kind| kind.name().into()).to_vec();
    vec![
        text("kind", OptionKind::Choice(kinds), Kind::Event.name(), "Their kind."),
        required("type", OptionKind::Text, "Their type."),
        optional("channel", OptionKind::Text, "Their channel. Optional."),
        text(
            "each",
            OptionKind::Choice(vec!["line".into(), "whole".into()]),
            "line",
            "One Message for each line, or one with the whole output.",
        ),
    ]
}
