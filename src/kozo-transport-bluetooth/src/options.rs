//! What the configuration says of a Transport of this type.

use std::collections::HashSet;
use std::time::Duration;

use bluer::{Address, Uuid};
use kozo_role::serde_json::{self, Value};
use kozo_role::{Failure, Node, Priority, Setting, Target, TransportDescription};
use serde::Deserialize;

/// What the type is called.
const TYPE: &str = "bluetooth";

/// Connections that wait to be handed over, where the configuration does not say how many may.
const BACKLOG: u64 = 256;

/// How long an attempt to connect may take: an inquiry of 10 s, then devices are asked, each for 12 s at most. The next attempt
/// goes on with those that were not asked.
const CONNECTING: Duration = Duration::from_secs(120);

/// The options, as the Node gives them.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Options {
    uuid: String,
    #[serde(default)]
    address: Option<String>,
    socket_connection_backlog: u64,
}

impl Options {
    /// The UUID of the service.
    pub(crate) fn service(&self) -> Result<Uuid, Failure> {
        let service = Uuid::parse_str(&self.uuid);
        Ok(service.map_err(|_| {
            format!("uuid: '{}' is no UUID; uuidgen makes one", self.uuid.escape_debug())
        })?)
    }

    /// The address of the adapter.
    pub(crate) fn address(&self) -> Result<Option<Address>, Failure> {
        let Some(text) = &self.address else { return Ok(None) };
        let address = text.parse().map_err(|_| {
            format!(
                "address: '{}' is no Bluetooth address, such as 00:1A:7D:DA:71:13",
                text.escape_debug()
            )
        })?;
        Ok(Some(address))
    }

    /// How many connections may wait to be handed over.
    pub(crate) fn backlog(&self) -> usize {
        usize::try_from(self.socket_connection_backlog).unwrap_or(1).max(1)
    }
}

/// The service of a Peer, and its address if it is known.
pub(crate) fn of_peer(target: &Target) -> Result<(Uuid, Option<Address>), Failure> {
    let options: Options = serde_json::from_value(Value::Object(target.options.clone()))?;
    Ok((options.service()?, options.address()?))
}

/// The services of other Nodes that may be at any address.
pub(crate) fn anywhere(node: &Node) -> HashSet<Uuid> {
    let others = node.nodes().iter().filter(|(name, _)| *name != node.name());
    others
        .flat_map(|(_, other)| other.transports.values())
        .filter(|transport| transport.transport_type == TYPE)
        .filter_map(|transport| {
            let options = Value::Object(transport.options.clone());
            let options: Options = serde_json::from_value(options).ok()?;
            options.address().ok()?.is_none().then(|| options.service().ok())?
        })
        .collect()
}

/// What the type says of itself.
pub(crate) fn description() -> TransportDescription {
    TransportDescription::new("Bluetooth, by RFCOMM and the service of a UUID.")
        .option("uuid", Setting::text("UUID of the service of this Node; uuidgen makes one."))
        .option(
            "address",
            Setting::text(
                "Address of the Bluetooth adapter. Default: Peers ask every device in range for the UUID.",
            )
            .optional(),
        )
        .option(
            "socketConnectionBacklog",
            Setting::integer("Connections that may wait to be processed.")
                .default(BACKLOG)
                .min(1)
                .max(4096),
        )
        .priority(Priority::Bad)
        .connect_timeout(CONNECTING)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use kozo_role::serde_json::json;

    use super::*;

    fn options(options: Value) -> Options {
        serde_json::from_value(options).unwrap()
    }

    #[test]
    fn any_valid_uuid_and_address_is_read() {
        let wanted = Uuid::from_u128(0x7be1_fcb3_5776_42fb_91fd_2ee7_b5bb_b86d);
        for uuid in ["7be1fcb3-5776-42fb-91fd-2ee7b5bbb86d", "7BE1FCB3577642FB91FD2EE7B5BBB86D"] {
            let given =
                json!({"uuid": uuid, "address": "00:1a:7D:DA:71:13", "socketConnectionBacklog": 7});
            let options = options(given);
            assert_eq!(options.service().unwrap(), wanted);
            assert_eq!(
                options.address().unwrap(),
                Some(Address::new([0, 0x1A, 0x7D, 0xDA, 0x71, 0x13]))
            );
            assert_eq!(options.backlog(), 7);
        }
        let anywhere = options(json!({"uuid": wanted.to_string(), "socketConnectionBacklog": 1}));
        assert_eq!(anywhere.address().unwrap(), None);
    }

    #[test]
    fn others_are_named() {
        let given = json!({"uuid": "clock\n", "address": "00:1A", "socketConnectionBacklog": 256});
        let options = options(given);
        let problem = options.service().unwrap_err().to_string();
        assert_eq!(problem, "uuid: 'clock\\n' is no UUID; uuidgen makes one");
        let problem = options.address().unwrap_err().to_string();
        assert!(
            problem.starts_with("address: '00:1A' is no Bluetooth address, such as"),
            "{problem}"
        );
    }
}
