//! What programs write to standard error, in the log of the Node: line by line, and not too much of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kozo_core::value::show::one_line;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info, warn};

use super::Owner;

/// Bytes of a line that are logged.
const LONGEST: usize = 2048;

/// Lines and bytes that the programs of a Role or Transport may write in [`WINDOW`]. More lines are counted instead of being
/// logged; for who writes more bytes the Node reads no further until the window is over.
const LINES: u64 = 200;
const BYTES: usize = 1024 * 1024;
const WINDOW: Duration = Duration::from_secs(10);

/// What the programs of one Role or Transport may still write, all together.
#[derive(Clone, Debug, Default)]
pub struct StderrBudget(Arc<Mutex<Budget>>);

#[derive(Debug)]
struct Budget {
    since: Instant,
    lines: u64,
    bytes: usize,
    /// Lines of windows that are over which were not logged, and of which nothing was said yet.
    left_out: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { since: Instant::now(), lines: 0, bytes: 0, left_out: 0 }
    }
}

impl Budget {
    /// Begins another window if this one is over.
    fn turn(&mut self) {
        if self.since.elapsed() >= WINDOW {
            let left_out = self.left_out + self.lines.saturating_sub(LINES);
            *self = Budget { left_out, ..Budget::default() };
        }
    }

    /// Until when nothing more is to be read.
    fn pause(&mut self, bytes: usize) -> Option<Instant> {
        self.turn();
        self.bytes = self.bytes.saturating_add(bytes);
        (self.bytes > BYTES).then(|| self.since + WINDOW)
    }

    /// Whether another line is logged, and how many were left out before it.
    fn line(&mut self) -> (bool, u64) {
        self.turn();
        self.lines += 1;
        (self.lines <= LINES, std::mem::take(&mut self.left_out))
    }
}

/// The end of what a program said.
pub(super) type LastLine = Arc<Mutex<String>>;

/// The lines of one program.
pub(super) struct Lines {
    pub(super) owner: Owner,
    pub(super) budget: StderrBudget,
    pub(super) last: LastLine,
}

impl Lines {
    /// Logs what comes until there is no more.
    pub(super) async fn read(self, mut stderr: impl AsyncRead + Unpin) {
        let mut buffer = vec![0; 4096];
        let mut line = Line::default();
        loop {
            let count = match stderr.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => count,
            };
            for byte in buffer.iter().take(count) {
                match byte {
                    b'\n' => self.log(&line.take()),
                    byte => line.push(*byte),
                }
            }
            let pause = self.with_budget(|budget| budget.pause(count));
            if let Some(until) = pause {
                sleep_until(until).await;
            }
        }
        if !line.is_empty() {
            self.log(&line.take());
        }
    }

    fn with_budget<T>(&self, action: impl FnOnce(&mut Budget) -> T) -> T {
        action(&mut self.budget.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn log(&self, line: &str) {
        let (may_log, left_out) = self.with_budget(Budget::line);
        let (role, transport) = (self.owner.role(), self.owner.transport());
        if left_out > 0 {
            warn!(role, transport, "suppressed {left_out} more lines of its standard error");
        }
        let (level, text) = level(line);
        if !text.trim().is_empty() {
            text.clone_into(&mut self.last.lock().unwrap_or_else(PoisonError::into_inner));
        }
        match level {
            _ if !may_log => {}
            ..=3 => error!(role, transport, "{text}"),
            4 => warn!(role, transport, "{text}"),
            5..=6 => info!(role, transport, "{text}"),
            _ => debug!(role, transport, "{text}"),
        }
    }
}

/// A line that is not complete yet, as much of it as is logged.
#[derive(Default)]
struct Line {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Line {
    fn push(&mut self, byte: u8) {
        if self.bytes.len() < LONGEST {
            self.bytes.push(byte);
        } else {
            self.is_cut = true;
        }
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The line as people may see it; the next one begins.
    fn take(&mut self) -> String {
        let bytes = self.bytes.strip_suffix(b"\r").unwrap_or(&self.bytes);
        let mut text = one_line(&String::from_utf8_lossy(bytes));
        if self.is_cut {
            text.push('…');
        }
        *self = Line::default();
        text
    }
}

/// The level that a line begins with, as sd-daemon(3) has it: `<3>text`. Else it is a remark.
fn level(line: &str) -> (u8, &str) {
    let prefixed = || {
        let (level, text) = line.strip_prefix('<')?.split_once('>')?;
        let level = level.parse().ok().filter(|level| *level <= 7)?;
        Some((level, text))
    };
    prefixed().unwrap_or((6, line))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn lines() -> Lines {
        let owner = Owner::Role("r".into());
        Lines { owner, budget: StderrBudget::default(), last: LastLine::default() }
    }

    #[test]
    fn levels_as_systemd_knows_them() {
        assert_eq!(level("<3>broken"), (3, "broken"));
        assert_eq!(level("<9>what"), (6, "<9>what"));
        assert_eq!(level("<html>"), (6, "<html>"));
        assert_eq!(level("plain"), (6, "plain"));
    }

    #[test]
    fn lines_are_cut_and_harmless() {
        let mut line = Line::default();
        b"\x1b[2J\xff!\r".iter().for_each(|byte| line.push(*byte));
        assert!(!line.take().contains('\u{1b}'));
        (0..LONGEST + 10).for_each(|_| line.push(b'x'));
        let text = line.take();
        assert!(text.ends_with("x…") && text.len() == LONGEST + '…'.len_utf8());
        assert!(line.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_counted_instead_of_logged_and_slows_who_makes_it() {
        let lines = lines();
        let budget = lines.budget.clone();
        let last = Arc::clone(&lines.last);
        let flood = [b"spam\n".repeat(BYTES / 4), b"end\n".to_vec()].concat();
        let started = Instant::now();
        lines.read(&*flood).await;
        assert!(started.elapsed() >= WINDOW);
        assert_eq!(*last.lock().unwrap(), "end");
        assert!(budget.0.lock().unwrap().lines < flood.len() as u64 / 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_without_lines_is_slowed_for_as_long_as_it_lasts() {
        let lines = lines();
        let started = Instant::now();
        lines.read(&*vec![b'x'; 4 * BYTES]).await;
        assert!(started.elapsed() >= 3 * WINDOW, "{:?}", started.elapsed());
    }
}
