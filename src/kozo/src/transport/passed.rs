//! Sockets that were opened before this program began, by name: for the Transports to listen on, and
//! for whoever else a name belongs to.
//!
//! A Transport's sockets have its name, spelt so that systemd takes it, see [`name_of`].

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;

/// Longest name that systemd takes.
const LONGEST_NAME: usize = 255;

/// Names that are not for Transports: the control socket's.
const RESERVED: &[&str] = &["bus"];

/// Sockets by name; there may be several of one name.
#[derive(Debug, Default)]
pub struct Passed(HashMap<String, Vec<OwnedFd>>);

impl Passed {
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
        let sockets = name_of(transport).and_then(|name| self.0.get(&name));
        sockets.into_iter().flatten().map(OwnedFd::try_clone).collect()
    }
}

/// The name of a Transport's sockets: its own, with `%XX` for every byte that is not a letter, a
/// digit, `-`, `_` or `.`, as in a URL; and for the first one where the name is not free. None where it
/// would be too long.
pub fn name_of(transport: &str) -> Option<String> {
    let reserved = RESERVED.contains(&transport);
    let spell = |(at, byte): (usize, u8)| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' if at > 0 || !reserved => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    let name: String = transport.bytes().enumerate().map(spell).collect();
    (name.len() <= LONGEST_NAME).then_some(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(name_of("tcp").unwrap(), "tcp");
        assert_eq!(name_of("tcp-2.lan_x").unwrap(), "tcp-2.lan_x");
        assert_eq!(name_of("my lan:1").unwrap(), "my%20lan%3A1");
        assert_eq!(name_of("é%").unwrap(), "%C3%A9%25");
        assert_eq!(name_of("bus").unwrap(), "%62us");
        assert_eq!(name_of(&"é".repeat(100)), None);
    }

    #[test]
    fn a_transport_gets_copies_and_others_the_sockets_themselves() {
        let mut passed = Passed::default();
        let socket = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (first, second) = (socket(), socket());
        let address = first.local_addr().unwrap();
        passed.add("tcp".to_owned(), first.into());
        passed.add("tcp".to_owned(), second.into());
        passed.add("bus".to_owned(), socket().into());
        for _ in 0..2 {
            let copies = passed.of_transport("tcp").unwrap();
            let copies: Vec<_> = copies.into_iter().map(std::net::TcpListener::from).collect();
            assert_eq!(copies.len(), 2);
            assert!(copies.iter().any(|copy| copy.local_addr().unwrap() == address));
        }
        assert!(passed.of_transport("bus").unwrap().is_empty());
        assert_eq!(passed.take("bus").len(), 1);
        assert!(passed.take("bus").is_empty());
    }
}
