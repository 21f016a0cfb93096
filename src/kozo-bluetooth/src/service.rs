//! A service that this machine offers to all that connect, by RFCOMM.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bluer::{Address, Uuid};
use dbus::arg::{self, PropMap, RefArg, Variant};
use dbus::channel::Sender as _;
use dbus::message::MatchRule;
use dbus::{Message, MethodErr, Path};
use kozo_role::duplicate;
use tokio::sync::mpsc;

use crate::bus::{Bus, is_from};

/// Where bluetoothd registers services, and where it hands over who connects.
const MANAGER: &str = "org.bluez.ProfileManager1";
const MANAGER_PATH: &str = "/org/bluez";
const PROFILE: &str = "org.bluez.Profile1";
const PROFILE_PATH: &str = "/kozo/service";

/// Who has connected.
#[derive(Debug)]
pub struct Connection {
    /// The device.
    pub device: Address,
    /// The stream.
    pub socket: OwnedFd,
}

/// A service. It ends when this is dropped; its connections go on.
pub struct Service {
    bus: Bus,
    connections: mpsc::Receiver<Connection>,
    refused: Arc<AtomicUsize>,
}

impl Service {
    /// Registers a service, at a channel that is free. At most `backlog` connections wait to be taken; more are refused.
    ///
    /// # Errors
    /// When BlueZ refuses, as where another program has this UUID, or the bus.
    pub async fn register(service: Uuid, backlog: usize) -> bluer::Result<Service> {
        let bus = Bus::connect().await?;
        let owner = bus.running().await?;
        let bluez = owner.clone();
        let (waiting, connections) = mpsc::channel(backlog);
        let refused = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&refused);
        let calls = MatchRule::new_method_call().with_path(PROFILE_PATH).with_interface(PROFILE);
        bus.receive(calls, move |call, connection| {
            let taken = match is_from(&call, Some(&bluez)) {
                true => take(&call, &waiting, &counted),
                false => Err(MethodErr::failed("only bluetoothd hands over connections")),
            };
            let answer = match taken {
                Ok(()) => call.method_return(),
                Err(error) => error.to_message(&call),
            };
            if !call.get_no_reply() {
                // Or bluetoothd is gone.
                let _ = connection.send(answer);
            }
        });
        let path = Path::from(PROFILE_PATH);
        let arguments = (path, service.to_string(), options());
        let () = bus.call(&owner, MANAGER_PATH, MANAGER, "RegisterProfile", arguments).await?;
        Ok(Service { bus, connections, refused })
    }

    /// The next connection. None when the connection to the bus is lost.
    pub async fn accept(&mut self) -> Option<Connection> {
        tokio::select! {
            biased;
            connection = self.connections.recv() => connection,
            _ = self.bus.lost() => None,
        }
    }

    /// How many connections were refused since this was last asked.
    pub fn take_refused(&self) -> usize {
        self.refused.swap(0, Ordering::Relaxed)
    }
}

/// No pairing, nobody who is asked: who connects proves who he is by other means.
fn options() -> PropMap {
    let options: [(&str, Box<dyn RefArg>); 5] = [
        ("Name", Box::new("Kōzō".to_owned())),
        ("Role", Box::new("server".to_owned())),
        ("Channel", Box::new(0_u16)),
        ("RequireAuthentication", Box::new(false)),
        ("RequireAuthorization", Box::new(false)),
    ];
    options.into_iter().map(|(name, value)| (name.to_owned(), Variant(value))).collect()
}

/// What bluetoothd says to a service.
fn take(
    call: &Message,
    waiting: &mpsc::Sender<Connection>,
    refused: &AtomicUsize,
) -> Result<(), MethodErr> {
    if call.member().as_deref() != Some("NewConnection") {
        // It is told that a connection, or the service, has ended, which the streams tell too.
        return Ok(());
    }
    let (path, socket) = call.read2::<Path<'_>, arg::OwnedFd>()?;
    let Ok(room) = waiting.try_reserve() else {
        refused.fetch_add(1, Ordering::Relaxed);
        return Err(MethodErr::failed("too many connections wait"));
    };
    let device = device(&path).ok_or_else(|| MethodErr::invalid_arg(&*path))?;
    let socket = duplicate(&socket).map_err(|error| MethodErr::failed(&error))?;
    room.send(Connection { device, socket });
    Ok(())
}

/// The address of a device, of the path of its object: `/org/bluez/hci0/dev_00_1A_7D_DA_71_13`.
fn device(path: &str) -> Option<Address> {
    path.rsplit_once("/dev_")?.1.replace('_', ":").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_device_is_in_its_path() {
        let wanted = Address::new([0, 0x1A, 0x7D, 0xDA, 0x71, 0x13]);
        assert_eq!(device("/org/bluez/hci0/dev_00_1A_7D_DA_71_13"), Some(wanted));
        assert_eq!(device("/org/bluez/hci0"), None);
        assert_eq!(device("/org/bluez/hci0/dev_00_1A"), None);
    }
}
