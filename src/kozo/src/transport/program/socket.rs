//! The sockets that a program hands over: only what can carry a stream becomes one.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockRef, Type};

use crate::local::{BLUETOOTH, Descriptor, Stream};
use crate::transport::{BoxStream, tcp};

/// A stream that a program has handed over.
pub(super) struct Handed {
    /// The bytes.
    pub(super) stream: BoxStream,
    /// The address of its other end, if it is one of IP.
    pub(super) address: Option<String>,
}

/// Makes a stream of a descriptor.
///
/// # Errors
/// When it is no connected stream socket; the descriptor is closed then.
pub(super) fn stream(descriptor: Descriptor) -> io::Result<Handed> {
    let socket = SockRef::from(&descriptor);
    let unfit = |what: &str| io::Error::other(format!("the descriptor {what}"));
    let kind = socket.r#type().map_err(|_| unfit("is not a socket"))?;
    if kind != Type::STREAM {
        return Err(unfit("is not a stream socket"));
    }
    let domain = socket.domain()?;
    let families = [Domain::UNIX, Domain::IPV4, Domain::IPV6, Domain::VSOCK, BLUETOOTH.into()];
    if !families.contains(&domain) {
        return Err(unfit("is a socket of an unsupported family"));
    }
    let peer = socket.peer_addr().map_err(|_| unfit("is a socket that is not connected"))?;
    let is_tcp = peer.as_socket().is_some() && socket.protocol()? == Some(Protocol::TCP);
    if is_tcp {
        tcp::prepare(&descriptor)?;
    }
    let address = peer
        .as_socket()
        .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()).to_string());
    Ok(Handed { stream: Box::new(Stream::handed(descriptor)?), address })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn refusal(descriptor: impl Into<OwnedFd>) -> String {
        handed(descriptor).err().unwrap().to_string()
    }

    fn handed(descriptor: impl Into<OwnedFd>) -> io::Result<Handed> {
        stream(Descriptor::from(descriptor.into()))
    }

    #[tokio::test]
    async fn only_connected_stream_sockets_become_streams() {
        let folder = tempfile::tempdir().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(refusal(file), "the descriptor is not a socket");
        let (pipe, _writer) = std::io::pipe().unwrap();
        assert_eq!(refusal(pipe), "the descriptor is not a socket");
        let (datagram, _other) = UnixDatagram::pair().unwrap();
        assert_eq!(refusal(datagram), "the descriptor is not a stream socket");
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        assert_eq!(refusal(listener), "the descriptor is a socket that is not connected");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        assert_eq!(refusal(listener.try_clone().unwrap()), refusal(listener.try_clone().unwrap()));
        let unconnected = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        assert_eq!(refusal(unconnected), "the descriptor is a socket that is not connected");

        let tcp = std::net::TcpStream::connect(there).unwrap();
        let copy = tcp.try_clone().unwrap();
        let stream = handed(tcp).unwrap();
        assert_eq!(stream.address, Some(there.to_string()));
        assert!(copy.nodelay().unwrap());

        let (one, other) = UnixStream::pair().unwrap();
        let (one, other) = (handed(one).unwrap(), handed(other).unwrap());
        assert_eq!(one.address, None);
        let (mut one, mut other) = (one.stream, other.stream);
        one.write_all(b"hello").await.unwrap();
        one.shutdown().await.unwrap();
        let mut heard = String::new();
        other.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "hello");
        other.write_all(b"back").await.unwrap();
        drop(other);
        one.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "helloback");
    }
}
