//! Connecting to a device: where it offers the service is asked first, then that channel is opened.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use bluer::{Address, AddressType, Uuid, l2cap, rfcomm};
use kozo_role::{Failure, Stream, duplicate};
use rustix::net::sockopt::socket_error;
use tokio::io::unix::AsyncFd;
use tokio::time::{sleep, timeout};

use crate::sdp;

/// Where every device answers about its services, without pairing.
const SDP: u16 = 1;

/// How long a device may take to be reached and to say where it has a service. Paging alone takes up to 5 s.
const ASKING: Duration = Duration::from_secs(12);

/// How long a device may take to open a channel.
const OPENING: Duration = Duration::from_secs(15);

/// Bytes of the largest packet of an answer, and how many there may be.
const LARGEST_PACKET: usize = 4096;
const MOST_PARTS: u16 = 64;

/// How often a channel is opened, and how long it is waited in between, by who has the lower address: two that connect to each other
/// at once get in each other's way, and both fail.
const TRIES: usize = 3;
const PAUSES: (Duration, Duration) = (Duration::from_millis(1500), Duration::from_secs(4));

/// A stream to the service of this UUID at a device, from the adapter with this address.
pub(crate) async fn connect(
    adapter: Address,
    device: Address,
    service: Uuid,
) -> Result<Stream, Failure> {
    let asked = channels(adapter, device, &[service]).await?;
    let channel = asked.first().copied().flatten();
    let channel = channel.ok_or_else(|| format!("{device} has no service {service}"))?;
    let pause = if adapter < device { PAUSES.0 } else { PAUSES.1 };
    let mut tried = open(adapter, device, channel).await;
    for _ in 1..TRIES {
        if tried.is_ok() {
            break;
        }
        sleep(pause).await;
        tried = open(adapter, device, channel).await;
    }
    let problem = |error| format!("channel {channel} of {device}: {error}");
    Ok(Stream::new(tried.map_err(problem)?).address(&device.to_string()))
}

async fn open(adapter: Address, device: Address, channel: u8) -> io::Result<OwnedFd> {
    let socket = rfcomm::Socket::new()?;
    socket.bind(rfcomm::SocketAddr::new(adapter, 0))?;
    // Pairing would prove nothing that the keys of the Nodes do not.
    let level = rfcomm::SecurityLevel::Low;
    socket.set_security(rfcomm::Security { level, key_size: 0 })?;
    let connecting =
        async { connected(&socket.connect(rfcomm::SocketAddr::new(device, channel)).await?).await };
    timeout(OPENING, connecting).await?
}

/// At which RFCOMM channel a device has each of these services.
pub(crate) async fn channels(
    adapter: Address,
    device: Address,
    services: &[Uuid],
) -> Result<Vec<Option<u8>>, Failure> {
    match timeout(ASKING, ask(adapter, device, services)).await {
        Ok(asked) => asked,
        Err(_) => Err(format!("{device} does not say which services it has").into()),
    }
}

async fn ask(
    adapter: Address,
    device: Address,
    services: &[Uuid],
) -> Result<Vec<Option<u8>>, Failure> {
    let socket = l2cap::Socket::new_seq_packet()?;
    socket.bind(l2cap::SocketAddr::new(adapter, AddressType::BrEdr, 0))?;
    let at = l2cap::SocketAddr::new(device, AddressType::BrEdr, SDP);
    let asked = socket.connect(at).await?;
    connected(&asked).await?;
    let mut channels = Vec::with_capacity(services.len());
    for service in services {
        channels.push(sdp::channel(&attributes(&asked, *service).await?)?);
    }
    Ok(channels)
}

/// What a device says of a service, of all parts of its answer.
async fn attributes(asked: &l2cap::SeqPacket, service: Uuid) -> Result<Vec<u8>, Failure> {
    let (mut attributes, mut continuation) = (Vec::new(), Vec::new());
    let mut packet = vec![0; LARGEST_PACKET];
    for transaction in 0..MOST_PARTS {
        asked.send(&sdp::request(transaction, service, &continuation)).await?;
        let length = asked.recv(&mut packet).await?;
        let part = sdp::part(packet.get(..length).unwrap_or_default(), transaction)?;
        attributes.extend(part.attributes);
        continuation = part.continuation.to_vec();
        if continuation.is_empty() {
            return Ok(attributes);
        }
    }
    Err(sdp::Malformed::Nonsense.into())
}

/// A descriptor of a socket, once it is connected: bluer takes a socket that was writable before for one.
// What has taken the place of `AsyncFd::new` is unsafe, for types that do not keep their descriptor open; this one does.
#[allow(deprecated)]
async fn connected(socket: &impl AsRawFd) -> io::Result<OwnedFd> {
    let socket = AsyncFd::new(duplicate(socket)?)?;
    drop(socket.writable().await?);
    socket_error(socket.get_ref())??;
    Ok(socket.into_inner())
}
