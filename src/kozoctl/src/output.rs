//! What the program writes: answers to standard output, all else to standard error.
//!
//! Nothing here panics when its reader has gone: writing the answer can fail, and says so; writing anything
//! else cannot be reported at all.

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};

use anstyle::{AnsiColor, Style};
use kozo_core::value::show;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;
use terminal_size::terminal_size_of;
use tokio::sync::oneshot;

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// Tells the user something that is not the answer.
pub(crate) fn say(text: &str) {
    // There is no one to tell when this fails.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Tells a person who waits what for.
pub(crate) fn progress(text: &str) {
    if io::stderr().is_terminal() {
        say(text);
    }
}

/// Whether standard error goes to a terminal that shows colours.
pub(crate) fn stderr_colour() -> bool {
    io::stderr().is_terminal() && colours()
}

fn colours() -> bool {
    // As no-color.org has it: an empty one does not count.
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Where the answer goes, and for whom it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// For a program, in JSON.
    pub(crate) json: bool,
    /// A person is watching.
    pub(crate) terminal: bool,
    /// Columns of the terminal; nothing where all may be written.
    pub(crate) width: Option<usize>,
    colour: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Output {
        let terminal = io::stdout().is_terminal();
        let size = terminal.then(|| terminal_size_of(io::stdout())).flatten();
        let width = size.map(|(width, _)| usize::from(width.0));
        Output { json, terminal, width, colour: terminal && colours() && !json }
    }

    /// One that writes for a program or a person alike, in so many columns.
    #[cfg(test)]
    pub(crate) fn plain(width: Option<usize>) -> Output {
        Output { json: false, terminal: false, width, colour: false }
    }

    /// The text in this style, for those who see it.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        if self.colour && style != Style::new() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// Writes one line, or several, at once.
    pub(crate) fn line(self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(format!("{text}\n").as_bytes())?;
        stdout.flush()
    }

    /// Writes an answer in JSON, on several lines.
    pub(crate) fn json<T: Serialize>(self, value: &T) -> io::Result<()> {
        self.line(&show::json_lines(value))
    }

    /// Writes what is in JSON if that is asked for, and the text if not.
    pub(crate) fn answer<T: Serialize>(self, value: &T, text: &str) -> io::Result<()> {
        if self.json { self.json(value) } else { self.line(text) }
    }
}

/// Waits until there are such events, or the other end has gone, and says which of these it is.
///
/// # Errors
/// When it cannot be waited for.
pub(crate) fn ready(fd: BorrowedFd<'_>, events: PollFlags) -> nix::Result<PollFlags> {
    let mut fds = [PollFd::new(fd, events)];
    while let Err(error) = poll(&mut fds, PollTimeout::NONE) {
        if error != Errno::EINTR {
            return Err(error);
        }
    }
    let [fd] = fds;
    Ok(fd.revents().unwrap_or(PollFlags::empty()))
}

/// Ends when the reader of standard output has gone: then there is nothing left to do for a program
/// that would only write once something happens. A file or terminal never gets there.
pub(crate) async fn unread() {
    let (sender, receiver) = oneshot::channel();
    // A thread, since this wait has no end; it ends with the process.
    let watching = std::thread::Builder::new().spawn(move || {
        let stdout = io::stdout();
        if ready(stdout.as_fd(), PollFlags::empty()).is_ok() {
            let _ = sender.send(());
        }
    });
    if watching.is_err() || receiver.await.is_err() {
        std::future::pending::<()>().await;
    }
}
