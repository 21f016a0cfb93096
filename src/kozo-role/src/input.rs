//! What the Node says, cut into lines or into values of MessagePack.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::pack::Scanner;
use crate::{Encoding, Error};

/// Bytes that are read at once: as many as a pipe holds.
const CHUNK: usize = 64 * 1024;

/// Bytes of a line beyond which the other side is no Node: a Message of 16 MiB in Base64 has fewer.
const LONGEST: usize = 32 * 1024 * 1024;

/// Cuts what comes into lines.
pub(crate) struct Input<R> {
    reader: R,
    /// Unknown until the Node has said something.
    encoding: Option<Encoding>,
    buffer: BytesMut,
    /// Bytes of the next line in which there is no end.
    searched: usize,
    scanner: Scanner,
}

impl<R: AsyncRead + Unpin> Input<R> {
    pub(crate) fn new(reader: R, encoding: Option<Encoding>) -> Input<R> {
        Input {
            reader,
            encoding,
            buffer: BytesMut::new(),
            searched: 0,
            scanner: Scanner::default(),
        }
    }

    /// How the Node speaks, as far as it is known.
    pub(crate) fn encoding(&self) -> Encoding {
        self.encoding.unwrap_or_default()
    }

    /// How it speaks from the next line on.
    pub(crate) fn set_encoding(&mut self, encoding: Encoding) {
        self.encoding = Some(encoding);
    }

    /// Waits for more; says no once the Node has closed. Cancel safe.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn fill(&mut self) -> Result<bool, Error> {
        self.buffer.reserve(CHUNK);
        let read = self.reader.read_buf(&mut self.buffer).await;
        read.map(|length| length > 0).map_err(|error| Error::Gone(error.to_string()))
    }

    /// The next line that is there, without its end.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let encoding = match (self.encoding, self.buffer.first()) {
            (Some(encoding), _) => encoding,
            (None, None) => return Ok(None),
            // What a Node says first is an object; only in JSON does one begin so.
            (None, Some(b'{')) => *self.encoding.insert(Encoding::Json),
            (None, Some(_)) => *self.encoding.insert(Encoding::MessagePack),
        };
        match encoding {
            Encoding::Json => {
                let new = self.buffer.get(self.searched..).unwrap_or_default();
                let Some(end) = new.iter().position(|byte| *byte == b'\n') else {
                    self.searched = self.buffer.len();
                    return too_long(self.searched).map(|()| None);
                };
                let mut line = self.buffer.split_to(self.searched + end + 1);
                line.truncate(self.searched + end);
                self.searched = 0;
                Ok(Some(line.freeze()))
            }
            Encoding::MessagePack => {
                let Some(length) = self.scanner.scan(&self.buffer)? else {
                    return too_long(self.scanner.known()).map(|()| None);
                };
                self.scanner = Scanner::default();
                Ok(Some(self.buffer.split_to(length).freeze()))
            }
        }
    }

    /// Waits for the next line; nothing comes once the Node has closed.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub(crate) async fn line(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(line) = self.next()? {
                return Ok(Some(line));
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }
}

fn too_long(length: usize) -> Result<(), Error> {
    match length {
        0..=LONGEST => Ok(()),
        _ => Err(Error::Protocol(format!("a line is longer than {LONGEST} bytes"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::io::AsyncWriteExt as _;

    #[test]
    fn lines_are_cut_in_whatever_pieces_they_come_and_however_they_are_encoded() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let said = json!({"method": "message", "params": {"data": "x".repeat(100)}});
        for encoding in [Encoding::Json, Encoding::MessagePack] {
            let (line, end) = match encoding {
                Encoding::Json => (serde_json::to_vec(&said).unwrap(), &b"\n"[..]),
                Encoding::MessagePack => (rmp_serde::to_vec(&said).unwrap(), &b""[..]),
            };
            let all = [&line[..], end].concat().repeat(3);
            for piece in [1, 7, 130, 131, 1000] {
                runtime.block_on(async {
                    // No more than a piece can be read at once.
                    let (mut node, program) = tokio::io::duplex(piece);
                    let all = all.clone();
                    let saying = tokio::spawn(async move { node.write_all(&all).await });
                    let mut input = Input::new(program, None);
                    for _ in 0..3 {
                        assert_eq!(input.line().await.unwrap().unwrap(), line);
                    }
                    assert_eq!(input.line().await.unwrap(), None);
                    assert_eq!(input.encoding(), encoding);
                    saying.await.unwrap().unwrap();
                });
            }
        }
    }

    #[test]
    fn a_line_that_never_ends_is_an_error() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let endless = tokio::io::AsyncReadExt::chain(&b"{"[..], tokio::io::repeat(b' '));
        let told = runtime.block_on(Input::new(endless, None).line());
        assert!(matches!(told, Err(Error::Protocol(_))), "{told:?}");
    }
}
