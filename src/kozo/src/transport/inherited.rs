//! Sockets that were opened before this program began, by name: for the Transports to listen on, and
//! for the control plane.
//!
//! A Transport's sockets have its name, spelt so that systemd takes it, see [`socket_name`].

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;

use kozo_core::names::socket_name;

/// Sockets by name; there may be several of one name.
#[derive(Debug, Default)]
pub struct InheritedSockets(HashMap<String, Vec<OwnedFd>>);

impl InheritedSockets {
    /// Adds a socket.
    pub fn add(&mut self, name: String, socket: OwnedFd) {
        self.0.entry(name).or_default().push(socket);
    }

    /// Takes the sockets of a name, for good.
    pub fn take(&mut self, name: &str) -> Vec<OwnedFd> {
        self.0.remove(name).unwrap_or_default()
    }

    /// The sockets of a Transport. They are copies: it may cease to listen and begin again.
    ///
    /// # Errors
    /// When there are no more file descriptors.
    pub fn of_transport(&self, transport: &str) -> io::Result<Vec<OwnedFd>> {
        let sockets = socket_name(transport).and_then(|name| self.0.get(&name));
        sockets.into_iter().flatten().map(OwnedFd::try_clone).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_transport_gets_copies_and_others_the_sockets_themselves() {
        let mut inherited = InheritedSockets::default();
        let socket = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (first, second) = (socket(), socket());
        let address = first.local_addr().unwrap();
        inherited.add("tcp".to_owned(), first.into());
        inherited.add("tcp".to_owned(), second.into());
        inherited.add("bus".to_owned(), socket().into());
        for _ in 0..2 {
            let copies = inherited.of_transport("tcp").unwrap();
            let copies: Vec<_> = copies.into_iter().map(std::net::TcpListener::from).collect();
            assert_eq!(copies.len(), 2);
            assert!(copies.iter().any(|copy| copy.local_addr().unwrap() == address));
        }
        assert!(inherited.of_transport("bus").unwrap().is_empty());
        assert_eq!(inherited.take("bus").len(), 1);
        assert!(inherited.take("bus").is_empty());
    }
}
