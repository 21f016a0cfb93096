//! What the configuration says of the searches.

use std::time::Duration;

use kozo_bluetooth::bluer::Address;
use kozo_role::{Description, Failure, Setting};
use serde::Deserialize;

use crate::search::Pace;

/// The shortest search and the shortest pause, in seconds: what searching costs the adapter and BlueZ is bounded by them.
const SHORTEST: f64 = 1.0;

/// The longest search: an hour, in seconds.
const LONGEST_SEARCH: f64 = 3600.0;

/// The longest pause: a day, in seconds.
const LONGEST_COOLDOWN: f64 = 86_400.0;

/// The options of a Role of this type, as the Node gives them.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Options {
    /// Seconds that a search takes.
    search_duration: f64,
    /// Seconds between two searches.
    cooldown: f64,
    /// Whether there is a Log when devices come, go or are renamed.
    pub(crate) log: bool,
    /// Whether devices with Bluetooth Low Energy are searched for too.
    pub(crate) le: bool,
    /// The address of the adapter.
    adapter: Option<String>,
}

impl Options {
    /// How long to search, and when again.
    pub(crate) fn pace(&self) -> Pace {
        Pace {
            search: seconds(self.search_duration, LONGEST_SEARCH),
            cooldown: seconds(self.cooldown, LONGEST_COOLDOWN),
        }
    }

    /// The address of the adapter, if one is named.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn adapter(&self) -> Result<Option<Address>, Failure> {
        let wrong = |text| {
            format!("the option 'adapter': '{text}' is no address, as in 00:1A:7D:DA:71:13").into()
        };
        self.adapter.as_ref().map(|text| text.parse().map_err(|_| wrong(text))).transpose()
    }
}

/// The Node has checked what the configuration says; what a command line says is as it was typed.
fn seconds(given: f64, most: f64) -> Duration {
    Duration::from_secs_f64(given.max(SHORTEST).min(most))
}

/// What the type says of itself.
pub(crate) fn description() -> Description {
    Description::new("Says which Bluetooth devices are in range.")
        .option(
            "searchDuration",
            Setting::duration("How long to search for devices.")
                .default(8)
                .min(SHORTEST)
                .max(LONGEST_SEARCH),
        )
        .option(
            "cooldown",
            Setting::duration("Time between two searches.")
                .default(30)
                .min(SHORTEST)
                .max(LONGEST_COOLDOWN),
        )
        .option(
            "log",
            Setting::flag(
                "Whether to send a Log when devices come into range, leave it or are renamed.",
            )
            .default(true),
        )
        .option(
            "le",
            Setting::flag("Whether to search for Bluetooth Low Energy devices too.").default(false),
        )
        .option(
            "adapter",
            Setting::text("Address of the adapter. Default: the adapter hci0, or the first one.")
                .optional(),
        )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn options(search: f64, adapter: Option<&str>) -> Options {
        let adapter = adapter.map(str::to_owned);
        Options { search_duration: search, cooldown: search, log: true, le: false, adapter }
    }

    #[test]
    fn times_are_those_that_are_allowed() {
        for (given, search, cooldown) in [
            (8.5, 8.5, 8.5),
            (0.0, 1.0, 1.0),
            (-1.0, 1.0, 1.0),
            (f64::NAN, 1.0, 1.0),
            (f64::INFINITY, 3600.0, 86_400.0),
        ] {
            let pace = options(given, None).pace();
            assert_eq!(
                (pace.search.as_secs_f64(), pace.cooldown.as_secs_f64()),
                (search, cooldown)
            );
        }
    }

    #[test]
    fn an_adapter_has_an_address() {
        assert_eq!(options(1.0, None).adapter().unwrap(), None);
        let address = options(1.0, Some("00:1a:7d:da:71:13")).adapter().unwrap().unwrap();
        assert_eq!(address.to_string(), "00:1A:7D:DA:71:13");
        let error = options(1.0, Some("hci0")).adapter().unwrap_err();
        assert!(error.to_string().contains("'hci0' is no address"), "{error}");
    }
}
