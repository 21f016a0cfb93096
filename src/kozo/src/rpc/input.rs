//! What a program says, cut into lines or into values of MessagePack.

use std::future::poll_fn;
use std::io;
use std::pin::pin;

use bytes::BufMut as _;
use kozo_core::pack::{self, Scanner};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::OwnedSemaphorePermit;

use super::Encoding;
use super::budget::{FREE, LONGEST_LINE, LineBudget};
use super::fault::{Fault, code};
use super::part::MAX_DEPTH;

/// Bytes that are asked for at once.
const CHUNK: usize = 16 * 1024;

/// Cuts what comes into lines. Holds memory only while a part of one is there.
pub(crate) struct Input<R> {
    reader: R,
    encoding: Encoding,
    budget: LineBudget,
    /// Bytes of the longest line.
    longest: usize,
    buffer: Vec<u8>,
    /// Where in the buffer the next line begins.
    begin: usize,
    /// Bytes of the line that is there, with its end.
    given: usize,
    /// Bytes of the next line in which there is no end.
    searched: usize,
    scanner: Scanner,
    /// Bytes of a line that there is room for.
    room: usize,
    permit: Option<OwnedSemaphorePermit>,
    number: u64,
    /// Bytes of all lines so far.
    position: u64,
    ended: bool,
}

/// Why there is no line.
#[derive(Debug)]
pub(crate) enum Broken {
    /// It could not be read.
    Io(io::Error),
    /// It makes no sense.
    Fault(Fault),
}

impl Broken {
    /// Whether there is no line because the program is gone.
    pub(crate) fn is_end(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, UnexpectedEof};
        let Broken::Io(error) = self else { return false };
        matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected | UnexpectedEof)
    }
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Broken {
        Broken::Fault(fault)
    }
}

impl<R: AsyncRead + Unpin> Input<R> {
    pub(crate) fn new(reader: R, encoding: Encoding, budget: LineBudget) -> Input<R> {
        Input {
            reader,
            encoding,
            budget,
            longest: LONGEST_LINE,
            buffer: Vec::new(),
            begin: 0,
            given: 0,
            searched: 0,
            scanner: Scanner::default(),
            room: FREE,
            permit: None,
            number: 0,
            position: 0,
            ended: false,
        }
    }

    /// Of lines of JSON that take no memory of the budget: at most [`FREE`] bytes.
    pub(crate) fn of_short_lines(reader: R) -> Input<R> {
        Input { longest: FREE, ..Input::new(reader, Encoding::Json, LineBudget::new(0)) }
    }

    /// Goes on to the next line, or the next value; says no once the program has closed. What is behind the last end of a line
    /// is a line too. Cancel safe.
    ///
    /// # Errors
    /// When it cannot be read, or is too long.
    pub(crate) async fn next(&mut self) -> Result<bool, Broken> {
        self.begin += std::mem::take(&mut self.given);
        self.give_back();
        let (length, end) = loop {
            if let Some(found) = self.find()? {
                break found;
            }
            if self.ended {
                match self.rest()? {
                    0 => return Ok(false),
                    length => break (length, 0),
                }
            }
            self.fill().await?;
        };
        self.number += 1;
        self.searched = 0;
        self.scanner = Scanner::default();
        self.given = length + end;
        self.position += self.given as u64;
        Ok(true)
    }

    /// How many bytes had come when this line was complete.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The number of this line, or of the one that is still coming; the first is 1.
    pub(crate) fn number(&self) -> u64 {
        if self.given > 0 { self.number } else { self.number + 1 }
    }

    /// The line without its end; nothing while none is there.
    pub(crate) fn line(&self) -> &[u8] {
        let line = self.buffer.get(self.begin..self.begin + self.given).unwrap_or_default();
        let end = line.strip_suffix(b"\n").filter(|_| self.encoding == Encoding::Json);
        end.unwrap_or(line)
    }

    /// The length of the next line and of its end, if they are there.
    fn find(&mut self) -> Result<Option<(usize, usize)>, Fault> {
        let waiting = self.buffer.get(self.begin..).unwrap_or_default();
        match self.encoding {
            Encoding::Json => {
                let new = waiting.get(self.searched..).unwrap_or_default();
                let end = new.iter().position(|byte| *byte == b'\n');
                let length = end.map(|end| self.searched + end);
                self.searched = waiting.len();
                Ok(length.map(|length| (length, 1)))
            }
            Encoding::MessagePack => {
                let found = self.scanner.scan(waiting, MAX_DEPTH, usize::MAX);
                let length = found.map_err(|problem| Fault::malformed(&problem))?;
                if self.scanner.known() > self.longest {
                    return Err(self.too_long());
                }
                let Some(length) = length else { return Ok(None) };
                let most = pack::most_values(length);
                if self.scanner.values() > most {
                    return Err(Fault::malformed(&pack::Problem::TooMany(most)));
                }
                Ok(Some((length, 0)))
            }
        }
    }

    /// The length of what is behind the last end.
    fn rest(&self) -> Result<usize, Fault> {
        let length = self.buffer.len() - self.begin;
        if self.encoding == Encoding::MessagePack && length > 0 {
            return Err(Fault::new(
                code::PARSE,
                "the program closed the connection in the middle of it",
            ));
        }
        Ok(length)
    }

    /// Waits until there is more.
    async fn fill(&mut self) -> Result<(), Broken> {
        if self.begin > 0 {
            self.buffer.drain(..self.begin);
            self.begin = 0;
        }
        if self.buffer.len() >= self.room {
            self.grow()?;
        }
        let Input { reader, buffer, room, .. } = self;
        let wanted = CHUNK.min(room.saturating_sub(buffer.len()));
        let read = poll_fn(|context| {
            buffer.reserve(wanted);
            let mut space = (&mut *buffer).limit(wanted);
            let polled = pin!(reader.read_buf(&mut space)).poll(context);
            if polled.is_pending() && buffer.is_empty() {
                *buffer = Vec::new();
            }
            polled
        });
        self.ended = read.await.map_err(Broken::Io)? == 0;
        Ok(())
    }

    /// Makes room for a longer line.
    fn grow(&mut self) -> Result<(), Fault> {
        if self.room >= self.longest {
            return Err(self.too_long());
        }
        let more = self.room.min(self.longest - self.room);
        let permit = self.budget.take(more)?;
        match &mut self.permit {
            Some(held) => held.merge(permit),
            None => self.permit = Some(permit),
        }
        self.room += more;
        self.buffer.reserve_exact(self.room - self.buffer.len());
        Ok(())
    }

    fn too_long(&self) -> Fault {
        Fault::new(code::INVALID_REQUEST, format!("it is longer than {} bytes", self.longest))
    }

    /// What is wrong, and where.
    pub(crate) fn described(&self, fault: &Fault) -> String {
        let (number, line) = (self.number(), self.line());
        let (whole, place) = match self.encoding {
            Encoding::Json => ("line", "column"),
            Encoding::MessagePack => ("value", "byte"),
        };
        let Some(at) = fault.at else { return format!("{whole} {number}: {}", fault.text) };
        let before = line.get(..at).unwrap_or(line);
        let column = match self.encoding {
            Encoding::Json => String::from_utf8_lossy(before).chars().count(),
            Encoding::MessagePack => before.len(),
        };
        format!("{whole} {number}, {place} {}: {}", column + 1, fault.text)
    }

    /// Gives back what was taken for a long line, once it is not needed.
    fn give_back(&mut self) {
        let waiting = self.buffer.len() - self.begin;
        if self.permit.is_some() && waiting <= FREE {
            self.buffer.drain(..self.begin);
            self.begin = 0;
            self.buffer.shrink_to_fit();
            self.permit = None;
            self.room = FREE;
        }
    }
}
