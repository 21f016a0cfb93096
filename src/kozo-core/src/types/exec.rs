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
        description:
            "Runs a command for Messages, or at a regular interval, and sends what it prints."
                .into(),
        options: vec![
            optional(
                "on",
                OptionKind::Interests,
                "The Messages to run it for, as `TYPE`, `KIND:TYPE` or `KIND:TYPE:CHANNEL`; one or a \
                 list. `*` stands for anything, `?` for one character.",
            ),
            optional(
                "every",
                duration(10),
                "The interval to run it at, from the start on, in seconds or with a unit. One that comes \
                 due while there is no room to run is left out.",
            ),
            required(
                "run",
                OptionKind::Command,
                "The command: a text for `/bin/sh -c`, or a list of a program and its arguments. The Message is \
                 in its environment (`KOZO_KIND`, `KOZO_TYPE`, `KOZO_CHANNEL`; its sender in `KOZO_NODE` \
                 and `KOZO_ROLE`), its data on standard input, as JSON.",
            ),
            optional(
                "send",
                OptionKind::Options(send()),
                "What becomes of its output: a block of `kind` (default `event`), `type`, `channel` \
                 and `each`: a Message for each `line` (the default), or one of the `whole` output once \
                 it has ended with exit code 0. What is JSON is sent as that, all else as a text. Without \
                 it, output is dropped.",
            ),
            number(
                "parallel",
                1,
                MOST_PARALLEL,
                1,
                "How many may run at once. Messages wait in the queue of the Role meanwhile.",
            ),
            with_default(
                "timeout",
                duration(10),
                OptionValue::Duration(Duration::from_secs(60)),
                "How long it may run until it is ended, in seconds or with a unit.",
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
        optional("channel", OptionKind::Text, "Their channel; none if not given."),
        text(
            "each",
            OptionKind::Choice(vec!["line".into(), "whole".into()]),
            "line",
            "What is a Message: each line, or the whole output.",
        ),
    ]
}
