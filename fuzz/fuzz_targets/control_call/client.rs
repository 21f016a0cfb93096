//! A client of the control socket that sends what it is told, valid or not.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::arguments::{Argument, Writer};

/// A call takes no longer than this, whatever it is. A Peer that does not answer a ping takes five seconds.
const ANSWER: Duration = Duration::from_secs(20);

const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;

pub struct Client {
    stream: BufReader<UnixStream>,
    serial: u32,
    ended: bool,
}

impl Client {
    /// Connects and says who it is.
    pub async fn connect(socket: &Path) -> Client {
        let stream = UnixStream::connect(socket).await.expect("it listens");
        let mut stream = BufReader::new(stream);
        stream
            .write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n")
            .await
            .expect("it reads");
        let mut lines = 0;
        while lines < 3 {
            lines += usize::from(stream.read_u8().await.expect("it answers") == b'\n');
        }
        Client { stream, serial: 0, ended: false }
    }

    /// Whether the connection is over.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.ended |= self.stream.write_all(bytes).await.is_err();
    }

    /// Makes a call; whether it was answered, and not with an error.
    pub async fn call(&mut self, method: [&str; 3], arguments: &[Argument<'_>]) -> bool {
        let mut body = Writer::default();
        arguments.iter().for_each(|argument| argument.put(&mut body));
        let signature: String = arguments.iter().map(Argument::signature).collect();
        self.call_raw(method, &signature, &body.0).await
    }

    /// Makes a call with a body.
    pub async fn call_raw(&mut self, method: [&str; 3], signature: &str, body: &[u8]) -> bool {
        self.serial += 1;
        let [path, interface, member] = method;
        let mut message = Writer(vec![b'l', 1, 0, 1]);
        message.u32(body.len() as u32);
        message.u32(self.serial);
        message.array(8, |out| {
            for (code, kind, text) in [(1, "o", path), (2, "s", interface), (3, "s", member)] {
                out.align(8);
                out.0.push(code);
                out.signature(kind);
                out.text(text);
            }
            out.align(8);
            out.0.push(8);
            out.signature("g");
            out.signature(signature);
        });
        message.align(8);
        message.0.extend(body);
        self.write(&message.0).await;
        let serial = self.serial;
        timeout(ANSWER, self.answer(serial)).await.expect("an answer in time")
    }

    /// The answer to a call, or the end of the connection.
    async fn answer(&mut self, serial: u32) -> bool {
        loop {
            match self.message().await {
                Ok((kind @ (METHOD_RETURN | ERROR), Some(to))) => {
                    assert_eq!(to, serial, "an answer to another call");
                    return kind == METHOD_RETURN;
                }
                // A signal.
                Ok(_) => {}
                Err(_) => {
                    self.ended = true;
                    return false;
                }
            }
        }
    }

    /// The kind of the next message, and which call it answers.
    async fn message(&mut self) -> std::io::Result<(u8, Option<u32>)> {
        let mut head = [0; 16];
        self.stream.read_exact(&mut head).await?;
        assert_eq!(head[0], b'l', "{head:?}");
        let number = |at: usize| {
            u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize
        };
        let (body, fields) = (number(4), number(12));
        let mut rest = vec![0; fields.next_multiple_of(8) + body];
        self.stream.read_exact(&mut rest).await?;
        // Code 5, of type u: which call it answers. All fields begin at a multiple of eight.
        let field = rest[..fields]
            .chunks(8)
            .find(|field| field.starts_with(&[5, 1, b'u', 0]) && field.len() == 8);
        let to = field.map(|field| u32::from_le_bytes([field[4], field[5], field[6], field[7]]));
        Ok((head[1], to))
    }
}
