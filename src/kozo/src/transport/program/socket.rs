//! The sockets that a program hands over: only what can carry a stream becomes one.

use std::io;
use std::net::TcpStream as StdTcpStream;
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, SockRef, Type};
use tokio::net::TcpStream;

use crate::transport::{BoxStream, tcp};

/// Families of sockets beside those that `socket2` names.
const BLUETOOTH: i32 = nix::libc::AF_BLUETOOTH;

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
pub(super) fn stream(descriptor: OwnedFd) -> io::Result<Handed> {
    let socket = SockRef::from(&descriptor);
    let unfit = |what: &str| io::Error::other(format!("the descriptor {what}"));
    let kind = socket.r#type().map_err(|_| unfit("is no socket"))?;
    if kind != Type::STREAM {
        return Err(unfit("is no stream socket"));
    }
    let domain = socket.domain()?;
    let families = [Domain::UNIX, Domain::IPV4, Domain::IPV6, Domain::VSOCK, BLUETOOTH.into()];
    if !families.contains(&domain) {
        return Err(unfit("is a socket of a family that carries no streams here"));
    }
    let peer = socket.peer_addr().map_err(|_| unfit("is a socket that is not connected"))?;
    socket.set_nonblocking(true)?;
    let is_tcp = peer.as_socket().is_some() && socket.protocol()? == Some(Protocol::TCP);
    // Reading and writing are the same for all stream sockets.
    let stream = TcpStream::from_std(StdTcpStream::from(descriptor))?;
    let ip = |address: std::net::SocketAddr| {
        std::net::SocketAddr::new(address.ip().to_canonical(), address.port()).to_string()
    };
    let address = peer.as_socket().map(ip);
    if is_tcp {
        tcp::prepare(&stream)?;
    }
    Ok(Handed { stream: Box::new(stream), address })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn refusal(descriptor: impl Into<OwnedFd>) -> String {
        stream(descriptor.into()).err().unwrap().to_string()
    }

    #[tokio::test]
    async fn only_connected_stream_sockets_become_streams() {
        let folder = tempfile::tempdir().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(refusal(file), "the descriptor is no socket");
        let (pipe, _writer) = std::io::pipe().unwrap();
        assert_eq!(refusal(pipe), "the descriptor is no socket");
        let (datagram, _other) = UnixDatagram::pair().unwrap();
        assert_eq!(refusal(datagram), "the descriptor is no stream socket");
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        assert_eq!(refusal(listener), "the descriptor is a socket that is not connected");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        assert_eq!(refusal(listener.try_clone().unwrap()), refusal(listener.try_clone().unwrap()));
        let unconnected = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        assert_eq!(refusal(unconnected), "the descriptor is a socket that is not connected");

        let tcp = std::net::TcpStream::connect(there).unwrap();
        let copy = tcp.try_clone().unwrap();
        let handed = stream(tcp.into()).unwrap();
        assert_eq!(handed.address, Some(there.to_string()));
        assert!(copy.nodelay().unwrap());

        let (one, other) = UnixStream::pair().unwrap();
        let (one, other) = (stream(one.into()).unwrap(), stream(other.into()).unwrap());
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
