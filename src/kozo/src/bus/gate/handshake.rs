//! The lines with which a client of the control socket authenticates.

use std::io;

/// Most bytes of them.
const MOST: usize = 4096;

/// Looks at what a client says before its first message: zbus keeps all of it, and searches it again
/// and again.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    line: Vec<u8>,
    total: usize,
    is_over: bool,
}

impl Handshake {
    /// Refuses what is too much, and lines that do not end as they should.
    pub(super) fn look(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            if self.is_over {
                break;
            }
            self.total += 1;
            self.line.push(*byte);
            if self.total > MOST || (*byte == b'\n' && !self.line.ends_with(b"\r\n")) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "this is not D-Bus"));
            }
            if *byte == b'\n' {
                self.is_over = self.line == b"BEGIN\r\n";
                self.line.clear();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(bytes: &[u8]) -> bool {
        let mut handshake = Handshake::default();
        bytes.chunks(7).all(|piece| handshake.look(piece).is_ok())
    }

    #[test]
    fn what_is_no_greeting_is_refused() {
        let handshake = b"\0AUTH EXTERNAL 30\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n".to_vec();
        assert!(look(&handshake));
        assert!(
            look(&[handshake.clone(), vec![b'\n'; 10_000]].concat()),
            "messages may have any byte"
        );
        assert!(!look(b"\n"));
        assert!(!look(b"\0AUTH\r\n\n"));
        assert!(!look(&[0; 5000]));
        assert!(!look(&b"AUTH X\r\n".repeat(1000)));
    }
}
