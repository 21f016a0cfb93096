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
pub(super) struct Input<R> {
    reader: R,
    encoding: Encoding,
    budget: LineBudget,
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
    ended: bool,
}

/// Why there is no line.
#[derive(Debug)]
pub(super) enum Broken {
    /// It could not be read.
    Io(io::Error),
    /// It makes no sense.
    Fault(Fault),
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Broken {
        Broken::Fault(fault)
    }
}

impl<R: AsyncRead + Unpin> Input<R> {
    pub(super) fn new(reader: R, encoding: Encoding, budget: LineBudget) -> Input<R> {
        Input {
            reader,
            encoding,
            budget,
            buffer: Vec::new(),
            begin: 0,
            given: 0,
            searched: 0,
            scanner: Scanner::default(),
            room: FREE,
            permit: None,
            number: 0,
            ended: false,
        }
    }

    /// Goes on to the next line, or the next value; says no once the program has closed. What is behind the last end of a line
    /// is a line too. Cancel safe.
    ///
    /// # Errors
    /// When it cannot be read, or is too long.
    pub(super) async fn next(&mut self) -> Result<bool, Broken> {
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
        Ok(true)
    }

    /// The how-manieth line it is, or the one that is still coming.
    pub(super) fn number(&self) -> u64 {
        if self.given > 0 { self.number } else { self.number + 1 }
    }

    /// The line without its end; nothing while none is there.
    pub(super) fn line(&self) -> &[u8] {
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
                if self.scanner.known() > LONGEST_LINE {
                    return Err(too_long());
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
            return Err(Fault::new(code::PARSE, "the program closed in the middle of it"));
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
        if self.room >= LONGEST_LINE {
            return Err(too_long());
        }
        let more = self.room.min(LONGEST_LINE - self.room);
        let permit = self.budget.take(more)?;
        match &mut self.permit {
            Some(held) => held.merge(permit),
            None => self.permit = Some(permit),
        }
        self.room += more;
        self.buffer.reserve_exact(self.room - self.buffer.len());
        Ok(())
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

fn too_long() -> Fault {
    Fault::new(code::INVALID_REQUEST, format!("it is longer than {LONGEST_LINE} bytes"))
}
