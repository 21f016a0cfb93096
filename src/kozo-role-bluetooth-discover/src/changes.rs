//! What has changed from one search to the next.

use std::collections::HashMap;
use std::fmt::Write as _;

use kozo_bluetooth::bluer::Address;

use crate::device::Found;

/// How many devices are known at most: all that an Event has, and some that did not fit into the last ones.
const MOST_KNOWN: usize = 1024;

/// How many devices a text names at most.
const MOST_NAMED: usize = 16;

/// How many characters of a name it has at most.
const LONGEST_NAME: usize = 64;

/// What was in range after the last search: addresses, and names if they are known. Devices that take a new address every few minutes
/// are not among them: they would come and go for ever.
#[derive(Debug, Default)]
pub(crate) struct Known(HashMap<Address, String>);

/// What has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    came: Vec<Named>,
    went: Vec<Named>,
    /// Each with the name that it had; empty if none was known.
    renamed: Vec<(String, Named)>,
}

/// A device, for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    address: Address,
    name: String,
}

impl Known {
    /// Whether the device with this address was in range.
    pub(crate) fn has(&self, address: Address) -> bool {
        self.0.contains_key(&address)
    }

    /// Takes over what a search has found, and tells what is different.
    pub(crate) fn update(&mut self, found: &Found) -> Changes {
        let mut before = std::mem::take(&mut self.0);
        let mut changes = Changes::default();
        for device in found.devices.iter().filter(|device| device.has_lasting_address()) {
            let now = Named { address: device.address, name: device.name.clone() };
            let name = match before.remove(&device.address) {
                None => {
                    changes.came.push(now.clone());
                    now.name
                }
                // What is not said this time has not changed.
                Some(old) if now.name.is_empty() || now.name == old => old,
                Some(old) => {
                    changes.renamed.push((old, now.clone()));
                    now.name
                }
            };
            self.0.insert(device.address, name);
        }
        for (address, name) in before {
            if !found.left_out.contains(&address) {
                changes.went.push(Named { address, name });
            } else if self.0.len() < MOST_KNOWN {
                self.0.insert(address, name);
            }
        }
        // The order of a map means nothing.
        changes.went.sort_unstable();
        changes
    }
}

impl Changes {
    /// What to log, each a line.
    pub(crate) fn texts(&self) -> Vec<String> {
        let renamed = |(old, now): &(String, Named)| match &**old {
            "" => format!("{} is {}", now.address, quoted(&now.name)),
            old => format!("{} is now {}", shown(now.address, old), quoted(&now.name)),
        };
        let named = |device: &Named| shown(device.address, &device.name);
        [
            list("Bluetooth devices came into range", &self.came, named),
            list("Bluetooth devices left the range", &self.went, named),
            list("Bluetooth devices have another name", &self.renamed, renamed),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// A text with the first of these items; none if there are none.
fn list<T>(what: &str, items: &[T], shown: impl Fn(&T) -> String) -> Option<String> {
    let named: Vec<_> = items.iter().take(MOST_NAMED).map(shown).collect();
    let mut text = format!("{what}: {}", named.join(", "));
    let more = items.len().saturating_sub(MOST_NAMED);
    if more > 0 {
        let _ = write!(text, ", and {more} more");
    }
    (!items.is_empty()).then_some(text)
}

fn shown(address: Address, name: &str) -> String {
    if name.is_empty() { address.to_string() } else { format!("{} ({address})", quoted(name)) }
}

/// A name in quotes, with nothing in it that could be taken for the end of it, or of the line.
fn quoted(name: &str) -> String {
    match name.char_indices().nth(LONGEST_NAME) {
        None => format!("{name:?}"),
        Some((end, _)) => format!("{:?}…", name.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::device::tests::device;

    fn found(devices: &[(u8, &str)]) -> Found {
        let devices = devices.iter().map(|(number, name)| device(*number, name)).collect();
        Found { devices, ..Found::default() }
    }

    fn texts(known: &mut Known, devices: &[(u8, &str)]) -> Vec<String> {
        known.update(&found(devices)).texts()
    }

    #[test]
    fn what_came_went_and_was_renamed() {
        let mut known = Known::default();
        assert_eq!(
            texts(&mut known, &[(1, "Phone"), (2, ""), (3, "Watch")]),
            [
                r#"Bluetooth devices came into range: "Phone" (00:00:00:00:00:01), 00:00:00:00:00:02, "Watch" (00:00:00:00:00:03)"#
            ]
        );
        assert_eq!(texts(&mut known, &[(3, "Watch"), (1, "Phone"), (2, "")]), [""; 0]);
        assert_eq!(
            texts(&mut known, &[(1, "Tablet"), (2, "Radio"), (4, "Car")]),
            [
                r#"Bluetooth devices came into range: "Car" (00:00:00:00:00:04)"#,
                r#"Bluetooth devices left the range: "Watch" (00:00:00:00:00:03)"#,
                r#"Bluetooth devices have another name: "Phone" (00:00:00:00:00:01) is now "Tablet", 00:00:00:00:00:02 is "Radio""#,
            ]
        );
        assert_eq!(
            texts(&mut known, &[]),
            [
                r#"Bluetooth devices left the range: "Tablet" (00:00:00:00:00:01), "Radio" (00:00:00:00:00:02), "Car" (00:00:00:00:00:04)"#
            ]
        );
    }

    #[test]
    fn a_name_that_is_not_said_has_not_changed() {
        let mut known = Known::default();
        known.update(&found(&[(1, "Phone")]));
        for name in ["", "Phone"] {
            assert_eq!(texts(&mut known, &[(1, name)]), [""; 0]);
        }
    }

    #[test]
    fn an_address_that_is_new_every_few_minutes_is_no_news() {
        let mut known = Known::default();
        let tag = Device { is_random: true, ..device(1, "Tag") };
        let found = Found { devices: vec![tag], ..Found::default() };
        assert_eq!(known.update(&found), Changes::default());
        assert!(!known.has(Address([0, 0, 0, 0, 0, 1])));
        assert_eq!(known.update(&Found::default()), Changes::default());
    }

    #[test]
    fn what_is_left_out_has_not_gone() {
        let mut known = Known::default();
        known.update(&found(&[(1, "Phone"), (2, "Watch")]));
        let address = Address([0, 0, 0, 0, 0, 1]);
        let crowded = Found { left_out: [address].into(), ..found(&[(3, "")]) };
        let changes = known.update(&crowded);
        let went: Vec<_> = changes.went.iter().map(|device| &*device.name).collect();
        assert_eq!((went, known.has(address)), (vec!["Watch"], true));
        assert_eq!(texts(&mut known, &[(1, "Phone"), (3, "")]), [""; 0]);
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut known = Known::default();
        let address = |number: u16| {
            let [high, low] = number.to_be_bytes();
            Address([0, 0, 0, 0, high, low])
        };
        for round in 0..8 {
            let device = |number| Device { address: address(number), ..Device::default() };
            let devices: Vec<_> = (round * 256..round * 256 + 256).map(device).collect();
            let left_out = (0..round * 256).map(address).collect();
            known.update(&Found { devices, left_out });
        }
        assert_eq!(known.0.len(), MOST_KNOWN);
    }

    #[test]
    fn no_name_forges_a_line_or_fills_one() {
        let mut known = Known::default();
        let name = "a\nBluetooth devices left the range: \"x\" \u{202e}\u{1b}[2J\r";
        let shown = texts(&mut known, &[(1, name), (2, &"ö".repeat(124))]).concat();
        let wanted = r#": "a\nBluetooth devices left the range: \"x\" \u{202e}\u{1b}[2J\r" (00:00:00:00:00:01), "#;
        assert!(shown.contains(wanted), "{shown}");
        assert!(shown.contains(&format!("\"{}\"… (00:00:00:00:00:02)", "ö".repeat(64))), "{shown}");
        let many: Vec<_> = (0..200).map(|number| (number, "")).collect();
        let shown = texts(&mut Known::default(), &many).concat();
        assert!(shown.ends_with("00:00:00:00:00:0F, and 184 more"), "{shown}");
    }
}
