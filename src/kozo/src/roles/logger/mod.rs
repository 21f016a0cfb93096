//! The Role type `logger`: prints Log Messages and writes them to a file.
//!
//! The disk may be slow, full or gone. So lines are gathered here and handed over, many at a time, to
//! a [`LogFile`] on a thread of its own; meanwhile Messages are received and printed on.

mod file;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::file::{Lines, LogFile, MAX_WAITING, Settings};
use crate::BoxFuture;
use crate::class;
use crate::config::{RoleConfig, Schema};
use crate::interest::{Interest, Pattern};
use crate::message::{Kind, Message};
use crate::role::{Role, RoleContext, RoleError, RoleType};
use kozo_core::types;
use kozo_core::value::show::{most_text, one_line, shown};

/// How long a line waits at most for `flushEvery` of them to come together.
const FLUSH_AFTER: Duration = Duration::from_secs(1);

/// Messages taken from the queue at a time, before others have their turn.
const MESSAGES_AT_ONCE: usize = 64;

pub(super) struct Logger;

impl RoleType for Logger {
    fn schema(&self) -> Schema {
        types::logger::schema()
    }

    fn interests(&self, config: &RoleConfig) -> Vec<Interest> {
        let node = match config.options.text("nodeRestrict") {
            None | Some("*") => Pattern::Any,
            Some(node) => Pattern::literal(node),
        };
        vec![Interest { kind: Some(Kind::Log), node, ..Interest::any() }]
    }

    fn build(&self, config: &RoleConfig) -> Box<dyn Role> {
        let options = &config.options;
        let number =
            |name| u64::try_from(options.integer(name).unwrap_or_default()).unwrap_or_default();
        Box::new(LoggerRole {
            settings: Settings {
                path: options.path("file").map(PathBuf::from).unwrap_or_default(),
                clear: options.flag("clearLog"),
                rotate_every: number("rotateEvery"),
                rotate_max: u32::try_from(number("rotateMax")).unwrap_or(1),
            },
            format: Format {
                prefix: options.text("timePrefix").unwrap_or_default().to_owned(),
                all_nodes: options.text("nodeRestrict").is_none_or(|node| node == "*"),
            },
            flush_every: number("flushEvery").max(1),
        })
    }
}

struct LoggerRole {
    settings: Settings,
    format: Format,
    flush_every: u64,
}

impl Role for LoggerRole {
    fn run(self: Box<Self>, context: RoleContext) -> BoxFuture<'static, Result<(), RoleError>> {
        Box::pin(async move {
            self.format.check()?;
            Running::start(*self, context).run().await
        })
    }
}

/// How a Message becomes a line.
struct Format {
    prefix: String,
    all_nodes: bool,
}

impl Format {
    fn check(&self) -> Result<(), RoleError> {
        match jiff::fmt::strtime::format(&self.prefix, &Zoned::now()) {
            Ok(_) => Ok(()),
            Err(error) => {
                let prefix = one_line(&self.prefix);
                Err(RoleError(format!(
                    "timePrefix: \"{prefix}\" is not a valid time format: {error}; see strftime(3)"
                )))
            }
        }
    }

    fn line(&self, message: &Message) -> String {
        let sent = i64::try_from(message.timestamp()).ok();
        // No calendar has a place for every number that a sender may give.
        let sent = sent.and_then(|time| Timestamp::from_microsecond(time).ok());
        let text = match message.value() {
            Ok(value) => shown(&value, most_text(message.data().len())),
            Err(error) => format!("({error})"),
        };
        self.compose(
            sent.unwrap_or_else(Timestamp::now),
            message.role(),
            &message.origin().node,
            &text,
        )
    }

    fn compose(&self, time: Timestamp, role: &str, node: &str, text: &str) -> String {
        let zoned = time.to_zoned(TimeZone::system());
        let prefix = jiff::fmt::strtime::format(&self.prefix, &zoned).unwrap_or_default();
        let prefix = prefix.replace('\n', " ");
        let role = one_line(role);
        if self.all_nodes {
            format!("{prefix}<{role}@{}> {text}", one_line(node))
        } else {
            format!("{prefix}<{role}> {text}")
        }
    }
}

/// A logger at work.
struct Running {
    context: RoleContext,
    format: Arc<Format>,
    flush_every: u64,
    /// Lines not handed over yet, and when the first of them came.
    gathered: Lines,
    gathered_since: Instant,
    reopen: bool,
    file: Writer,
}

/// The file is here, or with the thread that writes to it.
enum Writer {
    Idle(Box<LogFile>),
    Busy(JoinHandle<Box<LogFile>>),
}

impl Running {
    fn start(role: LoggerRole, context: RoleContext) -> Running {
        let format = Arc::new(role.format);
        let (name, node) = (context.name.to_string(), context.host.node_name().to_owned());
        let (note_format, settings) = (format.clone(), role.settings);
        let opening = tokio::task::spawn_blocking(move || {
            let note_name = name.clone();
            let note = move |lost: u64| {
                let text = format!("{lost} lines are missing here: the file could not be written");
                note_format.compose(Timestamp::now(), &note_name, &node, &text)
            };
            Box::new(LogFile::new(settings, &name, Box::new(note)))
        });
        Running {
            context,
            format,
            flush_every: role.flush_every,
            gathered: Lines::default(),
            gathered_since: Instant::now(),
            reopen: false,
            file: Writer::Busy(opening),
        }
    }

    async fn run(mut self) -> Result<(), RoleError> {
        let mut reopen = self.context.reopen.clone();
        let context = self.context.clone();
        loop {
            self = self.hand_over();
            let wake = self.wake();
            tokio::select! {
                message = context.receive() => {
                    let Some(message) = message else { return self.finish().await };
                    self.take(&message);
                    for _ in 1..MESSAGES_AT_ONCE {
                        let Some(Some(message)) = context.receive().now_or_never() else { break };
                        self.take(&message);
                    }
                }
                idle = written(&mut self.file) => {
                    let file = idle?;
                    context.set_problem(file.problem().cloned());
                    self.file = Writer::Idle(file);
                }
                () = sleep_until(wake) => {}
                () = changed(&mut reopen) => self.reopen = true,
            }
        }
    }

    fn take(&mut self, message: &Message) {
        let line = self.format.line(message);
        self.context.print(&line);
        if self.gathered.is_empty() {
            self.gathered_since = Instant::now();
        }
        self.gathered.push(line.as_bytes());
    }

    /// Gives the thread its work, if it is free and there is some that is due.
    fn hand_over(mut self) -> Running {
        let Writer::Idle(mut file) = self.file else { return self };
        let now = Instant::now();
        let enough = self.gathered.count() >= self.flush_every
            || self.gathered.size() >= MAX_WAITING / 4
            || (!self.gathered.is_empty() && now >= self.gathered_since + FLUSH_AFTER);
        let reopen = std::mem::take(&mut self.reopen);
        self.file = if enough || reopen || file.next_try().is_some_and(|next| now >= next) {
            let lines = if enough { std::mem::take(&mut self.gathered) } else { Lines::default() };
            Writer::Busy(tokio::task::spawn_blocking(move || {
                if reopen {
                    file.reopen();
                }
                file.write(&lines);
                file
            }))
        } else {
            Writer::Idle(file)
        };
        self
    }

    /// When there is work for the thread, if nothing happens before.
    fn wake(&self) -> Option<Instant> {
        let Writer::Idle(file) = &self.file else { return None };
        let due = (!self.gathered.is_empty()).then(|| self.gathered_since + FLUSH_AFTER);
        due.into_iter().chain(file.next_try()).min()
    }

    async fn finish(mut self) -> Result<(), RoleError> {
        let mut file = match self.file {
            Writer::Idle(file) => file,
            Writer::Busy(_) => written(&mut self.file).await?,
        };
        let lines = self.gathered;
        let unwritten = tokio::task::spawn_blocking(move || {
            file.write(&lines);
            file.finish()
        });
        match unwritten.await {
            Ok(0) => {}
            Ok(count) => {
                tracing::warn!(class = class::LINES_LOST, role = %self.context.name, "{count} lines lost")
            }
            Err(error) => return Err(RoleError(format!("writing failed: {error}"))),
        }
        Ok(())
    }
}

/// The file, as soon as its thread is done with it. Cancel safe.
async fn written(file: &mut Writer) -> Result<Box<LogFile>, RoleError> {
    match file {
        Writer::Busy(work) => {
            work.await.map_err(|error| RoleError(format!("writing failed: {error}")))
        }
        Writer::Idle(_) => std::future::pending().await,
    }
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Returns when files are to be opened anew.
async fn changed(reopen: &mut tokio::sync::watch::Receiver<u64>) {
    if reopen.changed().await.is_err() {
        // The Node is gone; that it stops is told in another way.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rmpv::Value;

    use super::*;
    use crate::config::OptionValue;
    use crate::message::Draft;
    use crate::role::testing::{TestHost, configure};

    fn file(path: &Path) -> (&'static str, OptionValue) {
        ("file", OptionValue::Path(path.to_owned()))
    }

    fn plain() -> (&'static str, OptionValue) {
        ("timePrefix", OptionValue::Text(String::new()))
    }

    fn count(name: &'static str, count: i64) -> (&'static str, OptionValue) {
        (name, OptionValue::Integer(count))
    }

    /// Waits until the file is as it should be. Its thread works in real time.
    async fn until_file(path: &Path, wanted: &str) {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            let found = fs::read_to_string(path).unwrap_or_default();
            if found == wanted {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "{found:?} is not {wanted:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn one_line_for_each_message_with_its_own_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let host = TestHost::new("scribe");
        let prefix = OptionValue::Text("%s ".to_owned());
        let running = host.start(&Logger, &[file(&path), ("timePrefix", prefix)]);
        let map = Value::Map(vec![("a".into(), 1.into())]);
        host.arrive("clock", "timer1", 1_000_000_000_000_000, &Draft::log("hello"));
        host.arrive("clock", "timer1", 2_000_000_000_000_000, &Draft::log("two\nlines\x1b[2J"));
        host.arrive(
            "clock",
            "timer1",
            3_000_000_000_000_000,
            &Draft::new(Kind::Log, "x").data(&map),
        );
        host.arrive(
            "clock",
            "timer1",
            4_000_000_000_000_000,
            &Draft::new(Kind::Log, "x").encoded(b"\xa5ab"),
        );
        host.arrive("clock", "timer1", 5, &Draft::event("tick"));
        host.until(|seen| seen.printed.len() == 4).await;
        running.stop().await.unwrap();
        let written = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = written.lines().collect();
        assert_eq!(host.seen(|seen| seen.printed.clone()), lines);
        assert_eq!(lines[0], "1000000000 <timer1@clock> hello");
        assert_eq!(lines[1], "2000000000 <timer1@clock> two\\nlines\\x1b[2J");
        assert_eq!(lines[2], "3000000000 <timer1@clock> {\"a\":1}");
        assert!(lines[3].starts_with("4000000000 <timer1@clock> (the data is not"), "{}", lines[3]);
        assert_eq!(lines.len(), 4);
    }

    #[tokio::test]
    async fn one_node_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let host = TestHost::new("scribe");
        let restrict = ("nodeRestrict", OptionValue::Text("clock".to_owned()));
        let running = host.start(&Logger, &[file(&path), plain(), restrict]);
        host.arrive("kitchen", "oven", 0, &Draft::log("no"));
        host.arrive("clock", "timer1", 0, &Draft::log("yes"));
        running.stop().await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "<timer1> yes\n");
    }

    #[tokio::test]
    async fn a_time_that_no_calendar_has_is_no_trouble() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let host = TestHost::new("scribe");
        let running = host.start(&Logger, &[file(&path)]);
        host.arrive("clock", "timer1", u64::MAX, &Draft::log("far"));
        running.stop().await.unwrap();
        assert!(fs::read_to_string(&path).unwrap().ends_with("<timer1@clock> far\n"));
    }

    #[tokio::test]
    async fn a_wrong_time_format_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let host = TestHost::new("scribe");
        let prefix = OptionValue::Text("%Y-%é ".to_owned());
        let running =
            host.start(&Logger, &[file(&folder.path().join("log")), ("timePrefix", prefix)]);
        let error = running.ended().await.unwrap_err().to_string();
        assert!(error.starts_with("timePrefix: \"%Y-%é \" is not a valid time format"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn written_after_so_many_lines_or_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let host = TestHost::new("scribe");
        let running = host.start(&Logger, &[file(&path), plain(), count("flushEvery", 3)]);
        let start = Instant::now();
        for _ in 0..2 {
            host.arrive("a", "b", 0, &Draft::log("x"));
        }
        host.until(|seen| seen.printed.len() == 2).await;
        assert_eq!(fs::read_to_string(&path).unwrap_or_default(), "");
        host.arrive("a", "b", 0, &Draft::log("x"));
        until_file(&path, &"<b@a> x\n".repeat(3)).await;
        assert!(start.elapsed() < FLUSH_AFTER, "{:?}", start.elapsed());
        host.arrive("a", "b", 0, &Draft::log("x"));
        until_file(&path, &"<b@a> x\n".repeat(4)).await;
        assert!(start.elapsed() >= FLUSH_AFTER);
        running.stop().await.unwrap();
    }

    #[tokio::test]
    async fn clears_and_rotates_as_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "old\n").unwrap();
        let host = TestHost::new("scribe");
        let rotation = [count("rotateEvery", 2), count("rotateMax", 1)];
        let clear = ("clearLog", OptionValue::Flag(true));
        let options = [file(&path), plain(), clear, rotation[0].clone(), rotation[1].clone()];
        let running = host.start(&Logger, &options);
        for number in 0..5 {
            host.arrive("a", "b", 0, &Draft::log(&number.to_string()));
        }
        running.stop().await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "<b@a> 4\n");
        let old = fs::read_to_string(folder.path().join("log.1")).unwrap();
        assert_eq!(old, "<b@a> 2\n<b@a> 3\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_disk_harms_nothing_and_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let host = TestHost::new("scribe");
        let running = host.start(&Logger, &[file(&path), plain(), count("flushEvery", 1)]);
        for number in 0..100 {
            host.arrive("a", "b", 0, &Draft::log(&number.to_string()));
            host.until(|seen| seen.printed.len() > number).await;
        }
        fs::remove_file(&path).unwrap();
        let wanted: String = (0..100).map(|number| format!("<b@a> {number}\n")).collect();
        until_file(&path, &wanted).await;
        running.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_hangup_opens_the_file_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let host = TestHost::new("scribe");
        let running = host.start(&Logger, &[file(&path), plain(), count("flushEvery", 1)]);
        host.arrive("a", "b", 0, &Draft::log("1"));
        until_file(&path, "<b@a> 1\n").await;
        fs::rename(&path, folder.path().join("log.old")).unwrap();
        running.reopen.send_modify(|count| *count += 1);
        // No line has to come for it.
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while !path.exists() {
            assert!(std::time::Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        host.arrive("a", "b", 0, &Draft::log("2"));
        running.stop().await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "<b@a> 2\n");
        assert_eq!(fs::read_to_string(folder.path().join("log.old")).unwrap(), "<b@a> 1\n");
    }

    #[test]
    fn wants_the_logs_it_is_told() {
        let interest = |options: &[_]| Logger.interests(&configure(&Logger, options))[0].clone();
        assert_eq!(interest(&[]).node, Pattern::Any);
        assert_eq!(interest(&[]).kind, Some(Kind::Log));
        let one = interest(&[("nodeRestrict", OptionValue::Text("clock".to_owned()))]);
        assert_eq!(one.node, Pattern::literal("clock"));
    }
}
