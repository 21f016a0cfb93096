//! What a search finds, and what Events say of it.

use std::collections::{BTreeMap, HashSet};

use kozo_bluetooth::bluer::Address;
use serde::Serialize;

/// How many devices an Event has at most. Anything in range can pretend to be thousands of them.
const MOST_DEVICES: usize = 256;

/// How many services an Event has of a device at most.
const MOST_SERVICES: usize = 32;

/// A device in range. What it says of itself may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) address: Address,
    /// Whether the device has made up its address, as only those with Low Energy do.
    pub(crate) is_random: bool,
    /// What it calls itself; empty if it has not said that.
    pub(crate) name: String,
    /// How strong its signal is, in dBm, if the adapter tells.
    pub(crate) rssi: Option<i16>,
    /// What it is: the class of device of classic Bluetooth.
    pub(crate) class: Option<u32>,
    /// UUIDs of the services that it is known to have, in order.
    pub(crate) services: Vec<String>,
}

impl Device {
    /// Whether it will have the same address tomorrow. Of the random ones only those are static whose first two bits are set.
    pub(crate) fn has_lasting_address(&self) -> bool {
        let Address([first, ..]) = self.address;
        !self.is_random || first >= 0b1100_0000
    }

    /// Whether BlueZ is going to ask it what it is called: it does that after an inquiry, to which only devices with a class answer.
    pub(crate) fn is_asked_its_name(&self) -> bool {
        self.name.is_empty() && self.class.is_some()
    }

    fn detail(&self) -> Detail<'_> {
        Detail {
            name: &self.name,
            rssi: self.rssi,
            class: self.class,
            services: self.services.get(..MOST_SERVICES).unwrap_or(&self.services),
            random_address: self.is_random,
        }
    }
}

/// All that is in range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// That with the strongest signal first.
    pub(crate) devices: Vec<Device>,
    /// What is in range too, but one too many.
    pub(crate) left_out: HashSet<Address>,
}

/// What an Event says of all devices.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Details<'a> {
    devices: BTreeMap<String, Detail<'a>>,
    /// How many devices are not among these.
    left_out: usize,
}

/// What it says of one.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail<'a> {
    name: &'a str,
    rssi: Option<i16>,
    class: Option<u32>,
    services: &'a [String],
    random_address: bool,
}

/// Which addresses are among those that an Event has, and which are not: the strongest signals come first.
pub(crate) fn strongest(
    mut in_range: Vec<(Address, Option<i16>)>,
) -> (Vec<(Address, Option<i16>)>, HashSet<Address>) {
    in_range
        .sort_unstable_by_key(|(address, rssi)| (-i32::from(rssi.unwrap_or(i16::MIN)), *address));
    let rest = in_range.split_off(in_range.len().min(MOST_DEVICES));
    (in_range, rest.into_iter().map(|(address, _)| address).collect())
}

impl Found {
    /// The data of the Event of the first programs of this type: address and name. A device that has not said its name has an
    /// empty one.
    pub(crate) fn names(&self) -> BTreeMap<String, &str> {
        self.devices.iter().map(|device| (device.address.to_string(), &*device.name)).collect()
    }

    /// The data of the other Event.
    pub(crate) fn details(&self) -> Details<'_> {
        let devices =
            self.devices.iter().map(|device| (device.address.to_string(), device.detail()));
        Details { devices: devices.collect(), left_out: self.left_out.len() }
    }

    /// How many there are, for people.
    pub(crate) fn summary(&self, adapter: &str) -> String {
        let number = match self.devices.len() + self.left_out.len() {
            0 => "no device".to_owned(),
            1 => "1 device".to_owned(),
            number => format!("{number} devices"),
        };
        let left_out = match self.left_out.len() {
            0 => String::new(),
            weakest => format!(", of which the Events leave out the {weakest} weakest"),
        };
        format!("{number} in range of {adapter}{left_out}")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use kozo_role::serde_json;

    use super::*;

    /// A device with this number as its address.
    pub(crate) fn device(number: u8, name: &str) -> Device {
        let address = Address([0, 0, 0, 0, 0, number]);
        Device { address, name: name.to_owned(), ..Device::default() }
    }

    #[test]
    fn only_private_addresses_do_not_last() {
        for (address, is_random, lasts) in [
            ("00:1A:7D:DA:71:13", false, true),
            ("40:1A:7D:DA:71:13", false, true),
            ("C0:1A:7D:DA:71:13", true, true),
            ("FF:1A:7D:DA:71:13", true, true),
            // Resolvable, and not.
            ("7F:1A:7D:DA:71:13", true, false),
            ("00:1A:7D:DA:71:FF", true, false),
        ] {
            let address = address.parse().unwrap();
            let device = Device { address, is_random, ..Device::default() };
            assert_eq!(device.has_lasting_address(), lasts, "{address}");
        }
    }

    #[test]
    fn the_strongest_are_kept() {
        let address = |number: u16| {
            let [high, low] = number.to_be_bytes();
            Address([0, 0, 0, 0, high, low])
        };
        let in_range = (0..1000).map(|number| {
            let rssi = i16::try_from(number % 100).unwrap() - 100;
            (address(number), (number >= 10).then_some(rssi))
        });
        let (kept, left_out) = strongest(in_range.collect());
        assert_eq!((kept.len(), left_out.len()), (256, 744));
        assert_eq!(kept.first(), Some(&(address(99), Some(-1))));
        assert_eq!(kept.last(), Some(&(address(574), Some(-26))));
        assert!(left_out.contains(&address(5)) && !left_out.contains(&address(99)));
        let few = vec![(address(1), None), (address(2), Some(-90))];
        assert_eq!(strongest(few).0, [(address(2), Some(-90)), (address(1), None)]);
    }

    #[test]
    fn the_first_event_is_what_it_was_and_the_other_says_more() {
        let mut phone = device(1, "Pho\nne");
        phone.rssi = Some(-61);
        phone.class = Some(0x5a_020c);
        phone.services = (0..40).map(|number| format!("{number:08x}")).collect();
        let mut tag = device(2, "");
        tag.is_random = true;
        let left_out = HashSet::from([Address([1; 6])]);
        let found = Found { devices: vec![phone.clone(), tag], left_out };
        assert_eq!(
            serde_json::to_string(&found.names()).unwrap(),
            r#"{"00:00:00:00:00:01":"Pho\nne","00:00:00:00:00:02":""}"#
        );
        let services = phone.services.get(..32).unwrap().join(r#"",""#);
        let wanted = [
            r#"{"devices":{"00:00:00:00:00:01":{"name":"Pho\nne","rssi":-61,"class":5898764,"services":[""#,
            &services,
            r#""],"randomAddress":false},"00:00:00:00:00:02":{"name":"","rssi":null,"class":null,"services":[],"#,
            r#""randomAddress":true}},"leftOut":1}"#,
        ];
        assert_eq!(serde_json::to_string(&found.details()).unwrap(), wanted.concat());
    }

    #[test]
    fn people_are_told_how_many() {
        let found = |here: u8, more: u8| Found {
            devices: (0..here).map(|number| device(number, "")).collect(),
            left_out: (0..more).map(|number| Address([1, 0, 0, 0, 0, number])).collect(),
        };
        for (here, more, text) in [
            (0, 0, "no device in range of hci0"),
            (1, 0, "1 device in range of hci0"),
            (2, 3, "5 devices in range of hci0, of which the Events leave out the 3 weakest"),
        ] {
            assert_eq!(found(here, more).summary("hci0"), text);
        }
    }
}
