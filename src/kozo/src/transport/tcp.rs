//! The Transport `tcp`.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::warn;

use super::{Connection, Found, Listener, Priority, Target, Transport, TransportType};
use crate::BoxFuture;
use crate::class;
use crate::config::{Options, Schema, TransportConfig, address};
use crate::status::{TransportState, TransportStatus};
use kozo_core::types::{self, tcp::LOOKUPS};

/// How long a name and then its addresses may take together. Systems ask their second name server
/// after five seconds.
const CONNECT: Duration = Duration::from_secs(10);

/// How long the addresses may take.
const RACE: Duration = Duration::from_secs(5);

/// Bytes that the kernel takes before it has sent those that it took: what waits there is out of reach. The send window
/// of a link allows less on all but fast lines, and at 100 MB/s this is 40 ms. With 1 MiB a sender sleeps four times as
/// often in a flood of Messages of 1 KiB over loopback, which becomes 4 % slower.
const UNSENT: u32 = 4 * 1024 * 1024;

/// Pause before the next address of a name is tried beside the one under way (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Builds `tcp` Transports.
pub struct TcpType;

impl TransportType for TcpType {
    fn schema(&self) -> Schema {
        types::tcp::schema()
    }

    fn build(&self, config: &TransportConfig) -> Arc<dyn Transport> {
        let backlog = config.options.integer("socketConnectionBacklog").unwrap_or_default();
        Arc::new(Tcp {
            name: config.name.clone(),
            bind: config.options.text("bindAddress").unwrap_or_default().to_owned(),
            port: port(&config.options),
            backlog: u32::try_from(backlog).unwrap_or_default(),
            listens: Mutex::default(),
        })
    }
}

struct Tcp {
    name: String,
    bind: String,
    port: u16,
    backlog: u32,
    /// Where it listens, as long as its listener is there.
    listens: Mutex<Weak<String>>,
}

impl Transport for Tcp {
    fn priority(&self) -> Priority {
        Priority::Best
    }

    fn can_connect(&self, other: &TransportConfig) -> bool {
        other.transport_type == "tcp"
    }

    fn addresses(&self, other: &TransportConfig) -> Vec<String> {
        let default = port(&other.options);
        other.options.list("address").iter().map(|host| with_port(host, default)).collect()
    }

    fn connect<'a>(
        &'a self,
        target: &'a Target,
        found: &'a Found,
    ) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let stream = connect(&target.address, found).await?;
            let address = stream.peer_addr()?.to_string();
            connection(stream, address)
        })
    }

    fn connect_timeout(&self) -> Duration {
        CONNECT
    }

    fn can_accept(&self) -> bool {
        true
    }

    fn listen(&self, passed: Vec<OwnedFd>) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let passed: Vec<_> = passed.into_iter().map(take_over).collect::<io::Result<_>>()?;
            let listeners = match self.bind.as_str() {
                "" => {
                    let everywhere =
                        |at: SocketAddr| at.ip().is_unspecified() && at.port() == self.port;
                    let found = self.choose(passed, everywhere)?;
                    if found.is_empty() {
                        vec![listen_on_all(self.port, self.backlog)?]
                    } else {
                        found
                    }
                }
                name => {
                    let unknown = |error| named(error, &format!("bindAddress {name}"));
                    let wanted: Vec<_> =
                        lookup_host((name, self.port)).await.map_err(unknown)?.collect();
                    let mut found = self.choose(passed, |at| wanted.contains(&at))?;
                    let there = addresses(&found)?;
                    for address in wanted.into_iter().filter(|address| !there.contains(address)) {
                        found.push(listen(address, self.backlog)?);
                    }
                    found
                }
            };
            let texts: Vec<_> = addresses(&listeners)?.iter().map(SocketAddr::to_string).collect();
            let address = Arc::new(texts.join(", "));
            *self.listens() = Arc::downgrade(&address);
            Ok(Box::new(Listeners { listeners, address }) as Box<dyn Listener>)
        })
    }

    fn status(&self) -> TransportStatus {
        let address = self.listens().upgrade().map(|address| address.to_string());
        let state =
            if address.is_some() { TransportState::Running } else { TransportState::Stopped };
        TransportStatus { state, address, ..TransportStatus::default() }
    }
}

impl Tcp {
    fn listens(&self) -> MutexGuard<'_, Weak<String>> {
        self.listens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of the passed sockets that are where the configuration says.
    fn choose(
        &self,
        passed: Vec<TcpListener>,
        wanted: impl Fn(SocketAddr) -> bool,
    ) -> io::Result<Vec<TcpListener>> {
        let mut chosen = Vec::new();
        for listener in passed {
            let address = listener.local_addr()?;
            if wanted(address) {
                chosen.push(listener);
            } else {
                warn!(
                    class = class::OTHER_PORT,
                    transport = self.name,
                    "not listening on the passed socket at {address}, as the configuration has \
                     another address"
                );
            }
        }
        Ok(chosen)
    }
}

fn take_over(socket: OwnedFd) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn addresses(listeners: &[TcpListener]) -> io::Result<Vec<SocketAddr>> {
    listeners.iter().map(TcpListener::local_addr).collect()
}

fn port(options: &Options) -> u16 {
    options.integer("port").and_then(|port| u16::try_from(port).ok()).unwrap_or_default()
}

/// `host:port` for a configured address, which may name a port of its own.
fn with_port(address: &str, default: u16) -> String {
    let (host, port) = address::split(address);
    let port = port.unwrap_or(default);
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The error with what it is about in front.
fn named(error: io::Error, what: &str) -> io::Error {
    let help = match error.kind() {
        io::ErrorKind::AddrNotAvailable => ": this machine does not have this address now",
        io::ErrorKind::AddrInUse => ": another program listens there",
        _ => "",
    };
    io::Error::new(error.kind(), format!("{what}: {error}{help}"))
}

/// Resolves the name and races its addresses with a stagger.
async fn connect(address: &str, found: &Found) -> io::Result<TcpStream> {
    let (host, _) = address::split(address);
    if host.trim_end_matches('.').ends_with(".onion") {
        // RFC 7686, section 2: never ask DNS for these.
        return Err(io::Error::other("an .onion address needs the onion Transport"));
    }
    let addresses = interleave(look_up(address).await?);
    found(&addresses.iter().map(SocketAddr::ip).collect::<Vec<_>>());
    match timeout(RACE, race(addresses)).await {
        Ok(result) => result,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// The addresses of a name, as the system knows them.
async fn look_up(address: &str) -> io::Result<Vec<SocketAddr>> {
    static THREADS: Semaphore = Semaphore::const_new(LOOKUPS);
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    // Apart, because only so an IPv6 address may have a zone.
    let (host, port) = address::split(address);
    let to_look_up = (host.to_owned(), port.unwrap_or_default());
    let place = THREADS.acquire().await.map_err(io::Error::other)?;
    let found = spawn_blocking(move || {
        let (host, port) = to_look_up;
        let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        // Only now, even if the attempt was given up meanwhile: otherwise attempts would pile up
        // behind a name server that hangs.
        drop(place);
        found
    });
    found.await.map_err(io::Error::other)?
}

/// The first of the addresses that answers; each is tried a little after the one before.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut addresses = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        let more = addresses.len() > 0;
        if attempts.is_empty() && !more {
            return Err(error);
        }
        tokio::select! {
            biased;
            Some(attempt) = attempts.next(), if !attempts.is_empty() => match attempt {
                Ok(stream) => return Ok(stream),
                Err(failure) => error = failure,
            },
            () = tokio::time::sleep(STAGGER), if more && !attempts.is_empty() => {}
            () = std::future::ready(()), if more && attempts.is_empty() => {}
        }
        attempts.extend(addresses.next().map(TcpStream::connect));
    }
}

/// IPv6 and IPv4 in turn, beginning with the family that the resolver put first.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut second = second.into_iter();
    let mut mixed: Vec<_> =
        first.into_iter().flat_map(|address| [Some(address), second.next()]).flatten().collect();
    mixed.extend(second);
    mixed
}

/// One listener for both families where the machine has IPv6, else for IPv4.
fn listen_on_all(port: u16, backlog: u32) -> io::Result<TcpListener> {
    listen(SocketAddr::from(([0_u16; 8], port)), backlog)
        .or_else(|_| listen(SocketAddr::from(([0_u8; 4], port)), backlog))
}

fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }?;
    socket.set_reuseaddr(true)?;
    let at = |error| named(error, &address.to_string());
    socket.bind(address).map_err(at)?;
    socket.listen(backlog).map_err(at)
}

fn connection(stream: TcpStream, address: String) -> io::Result<Connection> {
    prepare(&stream)?;
    Ok(Connection { stream: Box::new(stream), address, peer: None })
}

/// Makes a connection of TCP fit for a link.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    // Messages are coalesced before they are written: waiting for more would only delay them.
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_notsent_lowat(UNSENT)
}

struct Listeners {
    listeners: Vec<TcpListener>,
    address: Arc<String>,
}

impl Listener for Listeners {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async move {
            let accepts = self.listeners.iter().map(|listener| Box::pin(listener.accept()));
            let (accepted, ..) = futures_util::future::select_all(accepts).await;
            let (stream, address) = accepted?;
            let canonical = SocketAddr::new(address.ip().to_canonical(), address.port());
            connection(stream, canonical.to_string())
        })
    }

    fn address(&self) -> String {
        self.address.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ports_are_added_where_none_is_named() {
        assert_eq!(with_port("10.1.2.3", 6020), "10.1.2.3:6020");
        assert_eq!(with_port("fe80::1", 6020), "[fe80::1]:6020");
        assert_eq!(with_port("[fe80::1]:7", 6020), "[fe80::1]:7");
        assert_eq!(with_port("[fe80::1]", 6020), "[fe80::1]:6020");
        assert_eq!(with_port("fe80::1%eth0", 6020), "[fe80::1%eth0]:6020");
        assert_eq!(with_port("[fe80::1%eth0]:7", 6020), "[fe80::1%eth0]:7");
        assert_eq!(with_port("clock.local", 6020), "clock.local:6020");
        assert_eq!(with_port("clock.local:7", 6020), "clock.local:7");
    }

    #[test]
    fn families_take_turns() {
        let parse = |text: &[&str]| -> Vec<SocketAddr> {
            text.iter().map(|address| address.parse().unwrap()).collect()
        };
        let mixed = interleave(parse(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]));
        assert_eq!(mixed, parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]));
    }

    fn tcp(bind: &str, port: u16) -> Tcp {
        Tcp {
            name: "tcp".to_owned(),
            bind: bind.to_owned(),
            port,
            backlog: 16,
            listens: Mutex::default(),
        }
    }

    #[tokio::test]
    async fn a_passed_socket_is_listened_on_if_it_is_the_one_to_listen_on() {
        let passed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = passed.local_addr().unwrap().port();
        let copy = || vec![OwnedFd::from(passed.try_clone().unwrap())];
        // A second socket could not be opened at this address.
        let transport = tcp("127.0.0.1", port);
        assert_eq!(transport.status().state, TransportState::Stopped);
        let mut listener = transport.listen(copy()).await.unwrap();
        assert_eq!(listener.address(), format!("127.0.0.1:{port}"));
        assert_eq!(transport.status().address, Some(listener.address()));
        assert_eq!(transport.status().state, TransportState::Running);
        let client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let accepted = listener.accept().await.unwrap();
        assert_eq!(accepted.address, client.local_addr().unwrap().to_string());
        drop(listener);
        assert_eq!(transport.status().state, TransportState::Stopped);

        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let other_port = other.local_addr().unwrap().port();
        drop(other);
        let listener = tcp("127.0.0.1", other_port).listen(copy()).await.unwrap();
        assert_eq!(listener.address(), format!("127.0.0.1:{other_port}"));
    }

    #[tokio::test]
    async fn an_address_of_ipv6_may_have_a_zone() {
        let found = look_up(&with_port("fe80::1%lo", 6020)).await.unwrap();
        let [SocketAddr::V6(address)] = found.as_slice() else { unreachable!("{found:?}") };
        assert_eq!((address.port(), address.scope_id() > 0), (6020, true));
        let found = lookup_host(("fe80::1%lo", 6020)).await.unwrap().next();
        assert_eq!(found, Some(SocketAddr::V6(*address)));
    }

    #[tokio::test]
    async fn what_cannot_be_listened_at_is_named() {
        let name = "x".repeat(300);
        let error = tcp(&name, 6020).listen(Vec::new()).await.err().unwrap();
        assert!(error.to_string().starts_with(&format!("bindAddress {name}: ")), "{error}");
        let error = tcp("192.0.2.1", 6020).listen(Vec::new()).await.err().unwrap();
        assert!(error.to_string().starts_with("192.0.2.1:6020: "), "{error}");
        assert!(error.to_string().ends_with("does not have this address now"), "{error}");
    }

    #[tokio::test]
    async fn onion_names_are_never_resolved() {
        let name = "gnreiuoyh5rrtkjhe4r5j5423t4egyr.onion:6020";
        let error = connect(name, &|_| unreachable!()).await.unwrap_err();
        assert!(error.to_string().contains("onion Transport"), "{error}");
    }
}
