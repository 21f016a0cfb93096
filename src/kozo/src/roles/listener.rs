//! What the Roles that people connect to share: listening at a name, reading lines of bounded length.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};

/// Pause after a connection could not be accepted: usually there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Listens at all addresses that a name stands for.
#[derive(Debug)]
pub(super) struct Listener {
    sockets: Vec<TcpListener>,
}

impl Listener {
    /// Listens at a name or an IP address; an empty one or `*` stands for all interfaces. Port 0 is
    /// any free one, the same at all addresses.
    ///
    /// # Errors
    /// When the name is unknown, the port is taken at one of its addresses, or none is of this machine.
    pub(super) async fn bind(name: &str, port: u16) -> io::Result<Listener> {
        let everywhere = matches!(name, "" | "*");
        let addresses: Vec<SocketAddr> = if everywhere {
            vec![SocketAddr::from(([0_u16; 8], port)), SocketAddr::from(([0_u8; 4], port))]
        } else {
            let name =
                name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
            tokio::net::lookup_host((name, port)).await?.collect()
        };
        let mut sockets: Vec<TcpListener> = Vec::new();
        let mut problem = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let mut chosen = port;
        for mut address in addresses {
            address.set_port(chosen);
            match TcpListener::bind(address).await {
                Ok(socket) => {
                    chosen = socket.local_addr()?.port();
                    sockets.push(socket);
                }
                // The socket for IPv6 serves IPv4 too, where the system is set so.
                Err(_) if everywhere && !sockets.is_empty() => {}
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
                // Names often have an address of a protocol that this machine does not speak.
                Err(error) => problem = error,
            }
        }
        if sockets.is_empty() { Err(problem) } else { Ok(Listener { sockets }) }
    }

    /// Where it listens.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Whether other machines can reach it.
    pub(super) fn is_exposed(&self) -> bool {
        self.addresses().iter().any(|address| !address.ip().is_loopback())
    }

    /// The addresses for people.
    pub(super) fn shown(&self) -> String {
        let addresses: Vec<_> = self.addresses().iter().map(SocketAddr::to_string).collect();
        addresses.join(" and ")
    }

    /// The next connection. Cancel safe.
    pub(super) async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            let accepted = poll_fn(|context| {
                let ready =
                    self.sockets.iter().find_map(|socket| match socket.poll_accept(context) {
                        Poll::Ready(accepted) => Some(accepted),
                        Poll::Pending => None,
                    });
                ready.map_or(Poll::Pending, Poll::Ready)
            });
            match accepted.await {
                Ok(connection) => return connection,
                Err(error) => {
                    tracing::debug!("cannot accept a connection at {}: {error}", self.shown());
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// What a connection gives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end.
    Whole(String),
    /// A line longer than allowed; it was skipped.
    TooLong,
    /// A line that is not UTF-8.
    NotText,
}

/// Reads lines, none longer than a limit.
#[derive(Debug)]
pub(super) struct LineReader<R> {
    stream: R,
    limit: usize,
    buffer: BytesMut,
    /// Bytes at the start of `buffer` known to have no end of line.
    searched: usize,
    skipping: bool,
    ended: bool,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// A reader of lines of up to `limit` bytes.
    pub(super) fn new(stream: R, limit: usize) -> Self {
        let buffer = BytesMut::new();
        LineReader { stream, limit, buffer, searched: 0, skipping: false, ended: false }
    }

    /// The next line; the last one may have no end. `None` at the end of the stream. Cancel safe.
    ///
    /// # Errors
    /// When the connection broke.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.buffered() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(None);
            }
            self.buffer.reserve(4096);
            self.ended = self.stream.read_buf(&mut self.buffer).await? == 0;
        }
    }

    fn buffered(&mut self) -> Option<Line> {
        loop {
            let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
            let end =
                unsearched.iter().position(|byte| *byte == b'\n').map(|at| self.searched + at);
            let Some(end) = end else {
                self.searched = self.buffer.len();
                if self.skipping {
                    self.forget();
                    return None;
                }
                if self.buffer.len() > self.limit {
                    self.forget();
                    self.skipping = true;
                    return Some(Line::TooLong);
                }
                let last = self.ended && !self.buffer.is_empty();
                return last.then(|| {
                    let line = whole(&self.buffer);
                    self.forget();
                    line
                });
            };
            let line = self.buffer.split_to(end);
            self.buffer.advance(1);
            self.searched = 0;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            return Some(if line.len() > self.limit { Line::TooLong } else { whole(&line) });
        }
    }

    fn forget(&mut self) {
        // Not only emptied: a long line's memory is not kept for as long as the connection lasts.
        self.buffer = BytesMut::new();
        self.searched = 0;
    }
}

fn whole(line: &[u8]) -> Line {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    std::str::from_utf8(line).map_or(Line::NotText, |line| Line::Whole(line.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn read(parts: &[&[u8]], limit: usize) -> Vec<Line> {
        let (mut writer, stream) = tokio::io::duplex(8);
        let parts: Vec<Vec<u8>> = parts.iter().map(|part| part.to_vec()).collect();
        tokio::spawn(async move {
            for part in parts {
                writer.write_all(&part).await.unwrap();
            }
        });
        let mut reader = LineReader::new(stream, limit);
        let mut lines = Vec::new();
        while let Some(line) = reader.next().await.unwrap() {
            lines.push(line);
        }
        lines
    }

    fn line(text: &str) -> Line {
        Line::Whole(text.to_owned())
    }

    #[tokio::test]
    async fn lines_come_whole_however_they_arrive() {
        let wanted = [line("one"), line(""), line("two"), line("three")];
        assert_eq!(read(&[b"one\n\ntw", b"o\r", b"\nthree"], 10).await, wanted);
        assert_eq!(read(&[b"one\n\ntwo\nthree\n"], 10).await, wanted);
        assert_eq!(read(&[], 10).await, []);
    }

    #[tokio::test]
    async fn what_is_no_line_is_skipped_and_no_more() {
        let long = [b'x'; 100];
        let wanted = [line("a"), Line::TooLong, line("b"), Line::NotText, line("c")];
        assert_eq!(read(&[b"a\n", &long, b"\nb\n\xff\nc"], 10).await, wanted);
        assert_eq!(read(&[&long], 10).await, [Line::TooLong]);
        assert_eq!(
            read(&[b"12345678901\n1234567890\n"], 10).await,
            [Line::TooLong, line("1234567890")]
        );
    }

    #[tokio::test]
    async fn listens_at_every_address_of_a_name() {
        let listener = Listener::bind("localhost", 0).await.unwrap();
        assert!(!listener.is_exposed());
        for address in listener.addresses() {
            let client = TcpStream::connect(address).await.unwrap();
            assert_eq!(listener.accept().await.1, client.local_addr().unwrap());
        }
        let port = listener.addresses()[0].port();
        let taken = Listener::bind("localhost", port).await.unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        Listener::bind("localhost", port).await.unwrap();
    }

    #[tokio::test]
    async fn everywhere_is_exposed() {
        for name in ["", "*", "0.0.0.0"] {
            let listener = Listener::bind(name, 0).await.unwrap();
            assert!(listener.is_exposed(), "{name}");
            let port = listener.addresses()[0].port();
            TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_not_of_this_machine_is_an_error() {
        // From the range that documents use for examples.
        assert!(Listener::bind("192.0.2.1", 0).await.is_err());
    }
}
