//! A log file that outlives what happens to it: a full disk, a folder that vanishes, rotation by
//! itself and by others.
//!
//! Everything here blocks; `logger` calls it on a thread of its own. Lines that cannot be written are
//! kept up to a bound and tried again; beyond it they are counted, and the count is written where
//! they would have been.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::rate_limiter::RateLimiter;
use kozo_core::pauses::Pauses;

/// Most bytes that wait, here or in the Role, for a disk that does not take them.
pub(super) const MAX_WAITING: usize = 4 * 1024 * 1024;

/// Pauses before a file that cannot be written is tried again.
const PAUSES: Pauses = Pauses::new(Duration::from_secs(1), Duration::from_secs(60));

/// Where and how to write.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) path: PathBuf,
    /// Whether to empty the file when it is opened first.
    pub(super) clear: bool,
    /// Lines after which the file makes room for a new one; 0 for never.
    pub(super) rotate_every: u64,
    /// Old files that are kept.
    pub(super) rotate_max: u32,
}

/// Lines on their way to the file, each with its newline.
#[derive(Debug, Default)]
pub(super) struct Lines {
    text: Vec<u8>,
    count: u64,
    lost: u64,
}

impl Lines {
    /// Adds a line, without newline; counts it as lost when there is no room or one before it is.
    pub(super) fn push(&mut self, line: &[u8]) {
        if self.lost > 0 || (!self.text.is_empty() && self.text.len() + line.len() > MAX_WAITING) {
            self.lost += 1;
            return;
        }
        self.text.extend_from_slice(line);
        self.text.push(b'\n');
        self.count += 1;
    }

    /// Adds the lines of another behind its own.
    fn append(&mut self, other: &Lines) {
        for line in other.text.split_inclusive(|byte| *byte == b'\n') {
            self.push(line.strip_suffix(b"\n").unwrap_or(line));
        }
        self.lost += other.lost;
    }

    /// How many there are, not counting lost ones.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Bytes they take.
    pub(super) fn size(&self) -> usize {
        self.text.len()
    }

    /// Whether there is nothing to write, not even that lines were lost.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.lost == 0
    }

    /// Where the first `count` lines end.
    fn end_of(&self, count: u64) -> usize {
        if count >= self.count {
            return self.text.len();
        }
        let lines = self.text.split_inclusive(|byte| *byte == b'\n');
        lines.zip(0..count).map(|(line, _)| line.len()).sum()
    }

    /// Lets go of the lines that are whole among the first `written` bytes, and says how many they were.
    /// One that lacks nothing but its newline is whole: the file gets that before anything else.
    fn remove(&mut self, written: usize) -> u64 {
        let written = match self.text.get(..=written) {
            Some([.., before, b'\n']) if *before != b'\n' => written + 1,
            _ => written,
        };
        let text = self.text.get(..written).unwrap_or_default();
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let count = newlines(text);
        self.text.drain(..end);
        self.count -= count;
        count
    }
}

fn newlines(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Makes the line that tells how many were lost.
pub(super) type Note = Box<dyn Fn(u64) -> String + Send>;

/// The file and the lines that are not in it yet.
pub(super) struct LogFile {
    settings: Settings,
    note: Note,
    role: String,
    open: Option<Open>,
    /// The file that was left in the middle of a line.
    torn: Option<Identity>,
    waiting: Lines,
    not_before: Instant,
    pauses: Pauses,
    /// Why nothing can be written now.
    failing: Option<String>,
    /// Why the file was not rotated when it was time.
    unrotated: Option<String>,
    limiter: RateLimiter<String>,
}

/// Device and number of a file.
type Identity = (u64, u64);

struct Open {
    file: File,
    regular: bool,
    /// To see whether the path still leads to it.
    identity: Identity,
    lines: u64,
}

impl Open {
    /// Writes the first `end` bytes of the lines as far as they go, and lets go of those that are written;
    /// says too whether the file was left in the middle of a line.
    fn write(&mut self, lines: &mut Lines, end: usize) -> (Option<Identity>, io::Result<()>) {
        let text = lines.text.get(..end).unwrap_or(&lines.text);
        let (written, result) = write_counted(&mut self.file, text);
        let torn = text.get(..written).and_then(<[u8]>::last).is_some_and(|byte| *byte != b'\n');
        self.lines += lines.remove(written);
        (torn.then_some(self.identity), result)
    }
}

impl LogFile {
    /// Opens the file. If that fails it is said and tried again later.
    pub(super) fn new(settings: Settings, role: &str, note: Note) -> LogFile {
        let mut log = LogFile {
            settings,
            note,
            role: role.to_owned(),
            open: None,
            torn: None,
            waiting: Lines::default(),
            not_before: Instant::now(),
            pauses: PAUSES,
            failing: None,
            unrotated: None,
            limiter: RateLimiter::default(),
        };
        if let Err(error) = log.ensure_open() {
            log.failed(&error);
        }
        log
    }

    /// Writes these lines, or keeps them for later.
    pub(super) fn write(&mut self, lines: &Lines) {
        // Once it works again, what was lost is to be told before these lines.
        self.flush();
        self.waiting.append(lines);
        self.flush();
    }

    /// What is wrong with the file now.
    pub(super) fn problem(&self) -> Option<&String> {
        self.failing.as_ref().or(self.unrotated.as_ref())
    }

    /// When to call [`flush`](Self::flush) next, if there is a reason to.
    pub(super) fn next_try(&self) -> Option<Instant> {
        self.has_to_do().then_some(self.not_before)
    }

    /// Whether there are lines to write, or a file that could not be opened: others see that it cannot.
    fn has_to_do(&self) -> bool {
        !self.waiting.is_empty() || self.failing.is_some()
    }

    /// Opens the path anew: the file was renamed, as SIGHUP says.
    pub(super) fn reopen(&mut self) {
        self.open = None;
        self.not_before = Instant::now();
        match self.ensure_open() {
            Ok(_) => self.flush(),
            Err(error) => self.failed(&error),
        }
    }

    /// Tries to write what waits, whether or not it is time; says how many lines remain unwritten.
    pub(super) fn finish(mut self) -> u64 {
        self.not_before = Instant::now();
        self.flush();
        self.waiting.count + self.waiting.lost
    }

    /// Tries to write what waits, if it is time.
    pub(super) fn flush(&mut self) {
        if !self.has_to_do() || Instant::now() < self.not_before {
            return;
        }
        match self.try_flush() {
            Ok(()) => {
                if self.failing.take().is_some() && self.limiter.allow("written again").is_some() {
                    tracing::info!(class = crate::class::FILE_WELL, role = %self.role, "{} can be written again", self.shown());
                }
                self.pauses.reset();
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &io::Error) {
        // A file opened anew is the best chance that it is right again.
        self.open = None;
        self.not_before = Instant::now() + self.pauses.after_failure();
        let problem = format!(
            "cannot write {}: {error}; retrying, lines beyond {} MiB are lost until then",
            self.shown(),
            MAX_WAITING / 1024 / 1024
        );
        self.warn(&problem);
        self.failing = Some(problem);
    }

    fn warn(&mut self, problem: &str) {
        if self.limiter.allow(problem).is_some() {
            tracing::warn!(class = crate::class::FILE_TROUBLE, role = %self.role, "{problem}");
        }
    }

    fn shown(&self) -> std::path::Display<'_> {
        self.settings.path.display()
    }

    fn try_flush(&mut self) -> io::Result<()> {
        self.close_if_moved();
        self.ensure_open()?;
        while self.waiting.count > 0 {
            let room = self.room()?;
            let end = self.waiting.end_of(room);
            let Some(open) = &mut self.open else { return Err(io::ErrorKind::NotFound.into()) };
            let result;
            (self.torn, result) = open.write(&mut self.waiting, end);
            result?;
        }
        if self.waiting.lost > 0 {
            let lost = self.waiting.lost;
            let mut note = Lines::default();
            note.push((self.note)(lost).as_bytes());
            let (torn, result) = self.ensure_open()?.write(&mut note, usize::MAX);
            self.torn = torn;
            if note.is_empty() {
                self.waiting.lost = 0;
            }
            result?;
            if self.limiter.allow("lines lost").is_some() {
                tracing::warn!(class = crate::class::LINES_LOST, role = %self.role, "{lost} lines for {} lost", self.shown());
            }
        }
        Ok(())
    }

    /// How many lines the open file still takes, having rotated it if it was none.
    fn room(&mut self) -> io::Result<u64> {
        let every = self.settings.rotate_every;
        let open = self.ensure_open()?;
        if every == 0 || !open.regular {
            return Ok(u64::MAX);
        }
        if open.lines < every {
            return Ok(every - open.lines);
        }
        if let Err(error) = rotate(&self.settings.path, self.settings.rotate_max) {
            let problem = format!("cannot rotate {}: {error}; it keeps growing", self.shown());
            self.warn(&problem);
            self.unrotated = Some(problem);
            self.ensure_open()?.lines = 0;
            return Ok(every);
        }
        self.unrotated = None;
        self.open = None;
        self.ensure_open()?;
        Ok(every)
    }

    /// Closes the file if the path does not lead to it any more.
    fn close_if_moved(&mut self) {
        let found = fs::metadata(&self.settings.path).ok().map(|found| (found.dev(), found.ino()));
        if self.open.as_ref().is_some_and(|open| found != Some(open.identity)) {
            self.open = None;
        }
    }

    fn ensure_open(&mut self) -> io::Result<&mut Open> {
        let open = match self.open.take() {
            Some(open) => open,
            None => open(&self.settings, self.torn)?,
        };
        self.settings.clear = false;
        self.torn = None;
        Ok(self.open.insert(open))
    }
}

/// Opens the file, with its last line ended: also when it is the one known to be `torn`, where that
/// cannot be seen.
fn open(settings: &Settings, torn: Option<Identity>) -> io::Result<Open> {
    let path = &settings.path;
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o640);
    let mut file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Only the last folder: with those above it gone, a disk is probably not mounted.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let Some(folder) = folder else { return Err(error) };
            DirBuilder::new().mode(0o750).create(folder)?;
            options.open(path)?
        }
        other => other?,
    };
    let metadata = file.metadata()?;
    let regular = metadata.is_file();
    let identity = (metadata.dev(), metadata.ino());
    let (mut lines, mut torn) = (0, torn == Some(identity));
    if regular && settings.clear {
        file.set_len(0)?;
    } else if regular && metadata.len() > 0 {
        let (found, seen_torn) = examine(path, settings.rotate_every);
        lines = found;
        torn |= seen_torn;
    }
    if torn {
        // A line was cut off by a full disk or a power cut.
        file.write_all(b"\n")?;
        lines += 1;
    }
    Ok(Open { file, regular, identity, lines })
}

/// How many lines a file has, counted no further than `enough`, and whether its last one has no end.
/// A file that may not be read counts as empty: that it can be written is what matters.
fn examine(path: &Path, enough: u64) -> (u64, bool) {
    let Ok(mut file) = File::open(path) else { return (0, false) };
    let mut last = [b'\n'];
    let torn = file.seek(SeekFrom::End(-1)).and_then(|_| file.read_exact(&mut last)).is_ok()
        && last != *b"\n";
    let mut lines = 0;
    if file.rewind().is_ok() {
        let mut reader = BufReader::with_capacity(64 * 1024, file);
        while lines < enough {
            let Ok(chunk) = reader.fill_buf() else { break };
            if chunk.is_empty() {
                break;
            }
            lines += newlines(chunk);
            let length = chunk.len();
            reader.consume(length);
        }
    }
    (lines, torn)
}

/// Writes all of it as far as it goes: how much went, and why no more.
fn write_counted(file: &mut File, text: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while let Some(rest) = text.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// Renames `log` to `log.1`, what was `log.1` to `log.2`, and so on; the oldest is overwritten.
fn rotate(path: &Path, keep: u32) -> io::Result<()> {
    for number in (1..keep).rev() {
        match fs::rename(numbered(path, number), numbered(path, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, numbered(path, 1))
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn settings(path: &Path) -> Settings {
        Settings { path: path.to_owned(), clear: false, rotate_every: 0, rotate_max: 9 }
    }

    fn log(settings: Settings) -> LogFile {
        LogFile::new(settings, "logger", Box::new(|lost| format!("{lost} lost")))
    }

    fn lines(texts: impl IntoIterator<Item = impl ToString>) -> Lines {
        let mut lines = Lines::default();
        for text in texts {
            lines.push(text.to_string().as_bytes());
        }
        lines
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[tokio::test]
    async fn goes_on_in_the_file_that_is_there_or_clears_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "old\n").unwrap();
        log(settings(&path)).write(&lines(["a", "b"]));
        assert_eq!(read(&path), "old\na\nb\n");
        let mut cleared = log(Settings { clear: true, ..settings(&path) });
        cleared.write(&lines(["c"]));
        cleared.reopen();
        cleared.write(&lines(["d"]));
        assert_eq!(read(&path), "c\nd\n");
    }

    #[tokio::test]
    async fn a_torn_line_is_ended_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "whole\nto").unwrap();
        log(settings(&path)).write(&lines(["a"]));
        assert_eq!(read(&path), "whole\nto\na\n");
    }

    #[tokio::test]
    async fn rotates_after_so_many_lines_and_keeps_so_many_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let rotating = Settings { rotate_every: 3, rotate_max: 2, ..settings(&path) };
        fs::write(&path, "x\ny\n").unwrap();
        let mut file = log(rotating.clone());
        file.write(&lines(0..3));
        assert_eq!(read(&numbered(&path, 1)), "x\ny\n0\n");
        assert_eq!(read(&path), "1\n2\n");
        file.write(&lines(3..11));
        drop(file);
        assert_eq!(read(&path), "10\n");
        assert_eq!(read(&numbered(&path, 1)), "7\n8\n9\n");
        assert_eq!(read(&numbered(&path, 2)), "4\n5\n6\n");
        assert!(!numbered(&path, 3).exists());
        // A daemon that is started again counts what is there.
        let mut file = log(rotating);
        file.write(&lines(["a", "b", "c"]));
        assert_eq!(read(&path), "c\n");
    }

    #[tokio::test]
    async fn a_rotation_that_fails_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let in_the_way = numbered(&path, 1);
        fs::create_dir_all(in_the_way.join("full")).unwrap();
        let mut file = log(Settings { rotate_every: 2, rotate_max: 1, ..settings(&path) });
        file.write(&lines(0..5));
        assert_eq!(read(&path), "0\n1\n2\n3\n4\n");
        fs::remove_dir_all(&in_the_way).unwrap();
        file.write(&lines(5..8));
        assert_eq!(read(&path), "6\n7\n");
    }

    #[tokio::test]
    async fn a_file_moved_or_removed_by_others_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = log(settings(&path));
        file.write(&lines(["a"]));
        let moved = folder.path().join("moved");
        fs::rename(&path, &moved).unwrap();
        file.write(&lines(["b"]));
        fs::remove_file(&path).unwrap();
        file.write(&lines(["c"]));
        assert_eq!((read(&moved).as_str(), read(&path).as_str()), ("a\n", "c\n"));
        fs::rename(&path, &moved).unwrap();
        file.reopen();
        assert_eq!(read(&path), "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_disk_costs_lines_only_beyond_the_bound_and_says_how_many() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut file = log(settings(&path));
        file.write(&lines(["a", "b"]));
        let large = "x".repeat(MAX_WAITING / 2);
        file.write(&lines([&large, &large, &large]));
        file.write(&lines(["not this one either: the order is kept"]));
        assert!(file.next_try().unwrap() > Instant::now());
        fs::remove_file(&path).unwrap();
        file.flush();
        assert!(!path.exists(), "it waits before it tries again");
        tokio::time::advance(Duration::from_secs(60)).await;
        file.write(&lines(["again"]));
        assert_eq!(read(&path), format!("a\nb\n{large}\n3 lost\nagain\n"));
        assert_eq!(file.next_try(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_a_minute_and_no_further() {
        let mut file = log(settings(Path::new("/dev/full")));
        file.write(&lines(["a"]));
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let pause = file.next_try().unwrap() - Instant::now();
            pauses.push(pause.as_secs());
            tokio::time::advance(pause).await;
            file.flush();
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(file.finish(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_is_made_again_but_not_the_ones_above_it() {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("disk/logs");
        let path = logs.join("log");
        let mut file = log(settings(&path));
        file.write(&lines(["a"]));
        assert!(!folder.path().join("disk").exists());
        fs::create_dir(folder.path().join("disk")).unwrap();
        tokio::time::advance(Duration::from_secs(60)).await;
        file.flush();
        assert_eq!(read(&path), "a\n");
        fs::remove_dir_all(&logs).unwrap();
        file.write(&lines(["b"]));
        assert_eq!(read(&path), "b\n");
        fs::remove_dir_all(&logs).unwrap();
        fs::write(&logs, "in the way").unwrap();
        file.write(&lines(["c"]));
        assert!(file.next_try().is_some());
        fs::remove_file(&logs).unwrap();
        assert_eq!(file.finish(), 0);
        assert_eq!(read(&path), "c\n");
    }

    #[test]
    fn lines_partly_written_stay_whole() {
        let mut waiting = lines(["one", "two", "three"]);
        assert_eq!(waiting.remove(6), 1);
        assert_eq!((waiting.text.as_slice(), waiting.count), (&b"two\nthree\n"[..], 2));
        assert_eq!(waiting.end_of(1), 4);
        assert_eq!(waiting.end_of(9), 10);
        assert_eq!(waiting.remove(10), 2);
        assert!(waiting.is_empty());
    }

    #[test]
    fn a_line_that_lacks_only_its_newline_is_written() {
        let mut waiting = lines(["one", "two", "three"]);
        assert_eq!(waiting.remove(2), 0);
        assert_eq!(waiting.remove(3), 1);
        assert_eq!(waiting.text, b"two\nthree\n");
        assert_eq!(waiting.remove(0), 0);
        assert_eq!(waiting.remove(9), 2);
        assert!(waiting.is_empty());
    }
}
