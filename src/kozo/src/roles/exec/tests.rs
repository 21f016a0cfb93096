//! The Role with real commands, started through the built daemon.

use std::time::Duration;

use rmpv::Value;
use tokio::time::Instant;

use super::*;
use crate::config::{OptionValue, Options};
use crate::message::{Draft, Kind};
use crate::role::testing::{Running, TestHost};

fn text(text: &str) -> OptionValue {
    OptionValue::Text(text.to_owned())
}

fn words(words: &[&str]) -> OptionValue {
    OptionValue::List(words.iter().map(|word| (*word).to_owned()).collect())
}

/// Sends what is printed as an Event `out`.
fn send(each: &str) -> OptionValue {
    let options = [("kind", "event"), ("type", "out"), ("each", each)];
    let options = options.map(|(name, value)| (name.to_owned(), text(value)));
    OptionValue::Block(Options(options.into()))
}

struct Bell {
    host: Arc<TestHost>,
    running: Running,
    // Holds what the Role keeps.
    _folder: tempfile::TempDir,
}

fn start(options: &[(&str, OptionValue)]) -> Bell {
    let folder = tempfile::tempdir().unwrap();
    let host = TestHost::with_storage("scribe", Some(folder.path()));
    let running = host.start(&Exec, options);
    Bell { host, running, _folder: folder }
}

fn on(run: OptionValue, each: &str) -> Bell {
    start(&[("on", words(&["event:ring"])), ("run", run), ("send", send(each))])
}

impl Bell {
    fn ring(&self, data: &Value) {
        self.host.arrive(
            "clock",
            "tower",
            7,
            &Draft::event("ring").channel(Some("hall")).data(data),
        );
    }

    /// The data of the first so many Messages that it sent.
    async fn sent(&self, count: usize) -> Vec<Value> {
        self.host.until(|seen| seen.sent.len() >= count).await;
        let value = |message: &Message| message.value().unwrap();
        self.host.seen(|seen| seen.sent.iter().map(value).collect())
    }

    /// What keeps it from doing its job, once something does.
    async fn problem(&self) -> String {
        self.host.until(|seen| seen.problem.is_some()).await;
        self.host.seen(|seen| seen.problem.clone().unwrap())
    }
}

#[tokio::test]
async fn a_command_gets_the_message_and_its_output_is_sent() {
    let script = "cat; echo $KOZO_KIND $KOZO_TYPE $KOZO_CHANNEL $KOZO_NODE $KOZO_ROLE; \
                  echo $KOZO_LOCAL_NODE $KOZO_LOCAL_ROLE";
    let bell = on(text(script), "line");
    bell.ring(&Value::Map(vec![("a".into(), Value::Nil)]));
    let sent = bell.sent(3).await;
    let data = Value::Map(vec![("a".into(), Value::Nil)]);
    assert_eq!(sent, [data, "event ring hall clock tower".into(), "scribe my-exec".into()]);
    bell.host.seen(|seen| {
        let first = seen.sent.first().unwrap();
        assert_eq!((first.kind(), first.message_type()), (Kind::Event, "out"));
    });
    bell.running.stop().await.unwrap();
}

#[tokio::test]
async fn the_whole_output_is_one_message_if_all_went_well() {
    let bell = on(text("read ok; echo one; echo two; echo; [ $ok = true ]"), "whole");
    bell.ring(&false.into());
    bell.ring(&true.into());
    assert_eq!(bell.sent(1).await, [Value::from("one\ntwo")]);
    bell.running.stop().await.unwrap();
    assert_eq!(bell.host.seen(|seen| seen.sent.len()), 1);
}

#[tokio::test]
async fn nothing_of_a_message_is_run() {
    let bell = on(words(&["/bin/echo", "$(id)", "`id`", ";", "id"]), "whole");
    bell.host.arrive("clock", "`id`", 7, &Draft::event("ring").channel(Some("$(id)\0;id")));
    assert_eq!(bell.sent(1).await, [Value::from("$(id) `id` ; id")]);
    bell.running.stop().await.unwrap();
}

#[tokio::test]
async fn failures_are_told_with_the_last_line() {
    for (script, problem) in [
        ("echo first >&2; echo last >&2; exit 3", "the command exited with code 3: last"),
        ("kill -9 $$", "the command was killed by SIGKILL"),
        (
            "head -c 2000000 /dev/zero",
            "the command was killed: it printed more than 1 MiB for one message",
        ),
        ("sleep 600", "the command was killed: it took longer than 500 ms"),
    ] {
        let timeout = OptionValue::Duration(Duration::from_millis(500));
        let options = [
            ("on", words(&["ring"])),
            ("run", text(script)),
            ("send", send("whole")),
            ("timeout", timeout),
        ];
        let bell = start(&options);
        bell.ring(&Value::Nil);
        assert_eq!(bell.problem().await, problem);
        bell.running.stop().await.unwrap();
    }
    let bell = on(words(&["/not/there"]), "line");
    bell.ring(&Value::Nil);
    let problem = bell.problem().await;
    assert!(
        problem.starts_with("the command could not be started: /not/there cannot be run"),
        "{problem}"
    );
    bell.running.stop().await.unwrap();
}

#[tokio::test]
async fn only_so_many_run_at_once_and_the_others_wait() {
    let options = [
        ("on", words(&["ring"])),
        ("run", text("echo start; sleep 0.2; echo end")),
        ("send", send("line")),
        ("parallel", OptionValue::Integer(2)),
    ];
    let bell = start(&options);
    for _ in 0..5 {
        bell.ring(&Value::Nil);
    }
    let sent = bell.sent(10).await;
    let mut running = 0_i32;
    let mut most = 0;
    for value in &sent {
        running += if value.as_str() == Some("start") { 1 } else { -1 };
        most = most.max(running);
    }
    assert_eq!((most, running), (2, 0), "{sent:?}");
    let host = Arc::clone(&bell.host);
    bell.running.stop().await.unwrap();
    // Each was shown while it ran.
    host.seen(|seen| {
        let (began, ended): (Vec<_>, Vec<_>) = seen.processes.iter().partition(|(_, runs)| *runs);
        let pids = |shown: Vec<(u32, bool)>| shown.into_iter().map(|(pid, _)| pid).collect();
        let (mut began, mut ended): (Vec<u32>, Vec<u32>) = (pids(began), pids(ended));
        began.sort_unstable();
        ended.sort_unstable();
        assert_eq!((began.len(), &began), (5, &ended));
    });
}

#[tokio::test]
async fn it_runs_at_an_interval_too() {
    let every = OptionValue::Duration(Duration::from_millis(50));
    let script = "echo ${KOZO_TYPE-none} ${KOZO_NODE-none}; cat";
    let bell = start(&[("every", every), ("run", text(script)), ("send", send("line"))]);
    assert_eq!(bell.sent(3).await.first(), Some(&Value::from("none none")));
    bell.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_stop_ends_what_runs() {
    let bell = on(text("trap '' TERM; echo up; while :; do sleep 0.01; done"), "line");
    bell.ring(&Value::Nil);
    bell.sent(1).await;
    let asked = Instant::now();
    bell.running.stop().await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_command_that_reads_nothing_and_one_that_leaves_something_behind_hold_nothing_up() {
    let bell = on(text("sleep 600 & echo done"), "line");
    bell.ring(&Value::from("x".repeat(1_000_000).as_str()));
    bell.ring(&Value::Nil);
    assert_eq!(bell.sent(2).await, [Value::from("done"), "done".into()]);
    bell.running.stop().await.unwrap();
}
