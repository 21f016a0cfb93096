//! Standard output and standard error, whose reader may be slow, or gone.
//!
//! A pager that was left open, a terminal that was paused, a pipe to a program that hangs: a write to
//! them may block for ever, and must not block the Node. So lines wait, up to a bound, for a thread
//! that does nothing but write them. What comes when there is no more room is lost, and counted; the
//! count is written where it would have been.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Most bytes that wait.
const MAX_WAITING: usize = 1024 * 1024;

/// The thread's stack: it has little to remember.
const STACK: usize = 64 * 1024;

/// A stream that never blocks who writes to it. Clones lead to the same stream.
#[derive(Clone)]
pub struct Output {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// Lines lost since the last of those that wait.
    lost: u64,
    writing: bool,
}

impl Output {
    /// Writes to this stream from now on. What the stream says to it is ignored: its reader may
    /// be gone, which is no business of the Node.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(stream: impl Write + Send + 'static) -> io::Result<Output> {
        let shared = Arc::<Shared>::default();
        let thread = thread::Builder::new().name("output".to_owned()).stack_size(STACK);
        let of_thread = Arc::clone(&shared);
        thread.spawn(move || of_thread.write_on(stream))?;
        Ok(Output { shared })
    }

    /// Writes a line, to which the newline is added.
    pub fn line(&self, line: &str) {
        self.shared.push(&[line.as_bytes(), b"\n"]);
    }

    /// Waits until everything is written, but no longer than this.
    pub fn flush(&self, limit: Duration) {
        let busy = |state: &mut State| !state.is_idle();
        // Either it is, or there was no more time: nothing can be done about it.
        let _ = self.shared.changed.wait_timeout_while(self.shared.lock(), limit, busy);
    }
}

/// Each call of `write` is taken to be whole lines, as those of the log are.
impl Write for Output {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.shared.push(&[lines]);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn push(&self, parts: &[&[u8]]) {
        let size: usize = parts.iter().map(|part| part.len()).sum();
        let mut state = self.lock();
        if state.lost > 0 || (!state.waiting.is_empty() && state.waiting.len() + size > MAX_WAITING)
        {
            state.lost += 1;
            return;
        }
        state.waiting.extend(parts.iter().copied().flatten());
        drop(state);
        self.changed.notify_all();
    }

    fn write_on(&self, mut stream: impl Write) {
        loop {
            let idle = |state: &mut State| state.is_idle();
            let waited = self.changed.wait_while(self.lock(), idle);
            let mut state = waited.unwrap_or_else(PoisonError::into_inner);
            state.writing = true;
            let mut lines = std::mem::take(&mut state.waiting);
            let lost = std::mem::take(&mut state.lost);
            drop(state);
            if lost > 0 {
                lines.extend_from_slice(
                    format!("({lost} lines are missing here: they were not read in time)\n")
                        .as_bytes(),
                );
            }
            let _ = stream.write_all(&lines).and_then(|()| stream.flush());
            self.lock().writing = false;
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.lost == 0 && !self.writing
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{BufRead, BufReader};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn lines_come_out_in_order() {
        let (reader, writer) = io::pipe().unwrap();
        let output = Output::start(writer).unwrap();
        (0..1000).for_each(|number| output.line(&number.to_string()));
        let lines = BufReader::new(reader).lines().take(1000).map(Result::unwrap);
        assert!(lines.eq((0..1000).map(|number| number.to_string())));
        output.flush(PATIENCE);
        assert!(output.shared.lock().is_idle());
    }

    #[test]
    fn without_a_reader_nothing_blocks_and_the_loss_is_told() {
        let (reader, writer) = io::pipe().unwrap();
        let output = Output::start(writer).unwrap();
        let line = "x".repeat(1000);
        // More than the pipe and the bound together take.
        const ALL: usize = 4 * MAX_WAITING / 1000;
        (0..ALL).for_each(|_| output.line(&line));
        output.flush(Duration::ZERO);
        assert!(output.shared.lock().waiting.len() <= MAX_WAITING);
        let mut read = 0;
        let told = BufReader::new(reader).lines().map(Result::unwrap).find(|found| {
            read += usize::from(*found == line);
            *found != line
        });
        let wanted = format!("({} lines are missing here: they were not read in time)", ALL - read);
        assert_eq!(told, Some(wanted));
    }

    #[test]
    fn a_reader_who_is_gone_is_forgotten() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let output = Output::start(writer).unwrap();
        output.line("anybody?");
        output.flush(PATIENCE);
        assert!(output.shared.lock().is_idle());
    }
}
