//! What the configuration says of the pin.

use std::time::Duration;

use kozo_role::{Description, Setting};
use serde::Deserialize;

use crate::watch::Pace;

/// Shorter periods, in seconds, say nothing that a person could tell apart.
const SHORTEST_PERIOD: f64 = 0.01;

/// The shortest time, in seconds, for which a level has to last: what a wire that flickers may cost is bounded by it.
const SHORTEST_DEBOUNCE: f64 = 0.001;

/// The longest time, in seconds, that the kernel can be told, which counts microseconds in 32 bits, is 71 minutes.
const LONGEST_DEBOUNCE: f64 = 60.0;

/// The longest period: a day, in seconds.
const LONGEST_PERIOD: f64 = 86_400.0;

/// What keeps a wire that nothing drives at a level.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Bias {
    None,
    PullUp,
    PullDown,
}

/// The options of a Role of this type, as the Node gives them.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Options {
    /// The number of the pin: that of Broadcom on a Raspberry Pi, the offset of the line on another chip.
    pub(crate) pin: u32,
    /// Seconds between two Events.
    period: f64,
    /// Whether there is a Log when motion starts or stops.
    pub(crate) log: bool,
    /// Whether what happens between two Events is said at once.
    pub(crate) edges: bool,
    /// Seconds for which a level has to last.
    debounce: f64,
    /// The chip, by its file, name or label.
    pub(crate) chip: Option<String>,
    /// Whether there is motion where the wire is low.
    pub(crate) active_low: bool,
    /// What the pin does where nothing drives the wire.
    pub(crate) bias: Bias,
}

impl Options {
    /// How often to look, and for what.
    pub(crate) fn pace(&self) -> Pace {
        Pace {
            period: seconds(self.period, SHORTEST_PERIOD),
            has_edges: self.edges,
            debounce: self.debounce(),
        }
    }

    /// For how long a level has to last.
    pub(crate) fn debounce(&self) -> Duration {
        seconds(self.debounce, SHORTEST_DEBOUNCE)
    }
}

/// The Node has checked what the configuration says; what a command line says is as it was typed.
fn seconds(given: f64, least: f64) -> Duration {
    Duration::try_from_secs_f64(given.max(least)).unwrap_or(Duration::MAX)
}

/// What the type says of itself.
pub(crate) fn description() -> Description {
    Description::new("Says whether there is motion, from a sensor at a GPIO pin.")
        .option(
            "pin",
            Setting::integer(
                "Number of the pin: the GPIO number on a Raspberry Pi, else the line of the chip.",
            )
            .default(18)
            .min(0)
            .max(1023),
        )
        .option(
            "period",
            Setting::duration("Time between two Events `motion detection`.")
                .default(0.5)
                .min(SHORTEST_PERIOD)
                .max(LONGEST_PERIOD),
        )
        .option(
            "log",
            Setting::flag("Whether to send a Log when motion starts or stops.").default(true),
        )
        .option(
            "edges",
            Setting::flag("Whether to send an Event at once when motion starts or stops.")
                .default(true),
        )
        .option(
            "debounce",
            Setting::duration("How long a level has to last; shorter changes are ignored.")
                .default(0.05)
                .min(SHORTEST_DEBOUNCE)
                .max(LONGEST_DEBOUNCE),
        )
        .option(
            "chip",
            Setting::text(
                "GPIO chip, by its name, file or label. Default: the pins of a Raspberry Pi, or the first chip.",
            )
            .optional(),
        )
        .option("activeLow", Setting::flag("Whether a low level means motion.").default(false))
        .option(
            "bias",
            Setting::choice(
                "What the pin itself does about its level.",
                &["none", "pullUp", "pullDown"],
            )
            .default("none"),
        )
}
