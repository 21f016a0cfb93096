//! The console from its Order to its end, attached to as a person would.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::io;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt as _, BufReader};

use super::visitor::{FAILURE_PAUSE, MAX_ATTEMPTS};
use super::*;
use crate::config::OptionValue;
use crate::message::Draft;
use crate::role::testing::{Running, TestHost, configure};

fn text(name: &'static str, value: &str) -> (&'static str, OptionValue) {
    (name, OptionValue::Text(value.to_owned()))
}

/// A client that reads up to what it waits for.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(address: &str) -> Client {
        Client(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }

    async fn send(&mut self, line: &str) {
        self.0.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        let read = async {
            while !text.ends_with(end.as_bytes()) {
                text.push(self.0.read_u8().await.unwrap());
            }
        };
        tokio::time::timeout(Duration::from_secs(20), read).await.unwrap();
        String::from_utf8(text).unwrap()
    }

    async fn ask(&mut self, line: &str) -> String {
        self.send(line).await;
        self.until("clock> ").await
    }

    async fn rest(&mut self) -> String {
        let mut text = String::new();
        self.0.read_to_string(&mut text).await.unwrap();
        text
    }
}

/// Sends the Order and waits until the console says where it is.
async fn open(host: &Arc<TestHost>) -> String {
    host.inject("somebody", &Draft::order("debug"));
    address(host).await
}

async fn address(host: &Arc<TestHost>) -> String {
    let find = |logs: Vec<String>| {
        let place = logs.iter().rev().find_map(|log| log.split_once("is open at "))?.1.to_owned();
        place.split_whitespace().find(|word| word.contains("127.0.0.1:")).map(str::to_owned)
    };
    host.until(|seen| find(seen.logs()).is_some()).await;
    host.seen(|seen| find(seen.logs())).unwrap()
}

async fn start(options: &[(&str, OptionValue)]) -> (Arc<TestHost>, Running, String) {
    let host = TestHost::new("clock");
    let running = host.start(&Debugger, options);
    let address = open(&host).await;
    (host, running, address)
}

#[tokio::test]
async fn a_console_from_the_order_to_the_end() {
    let (host, running, address) = start(&[text("password", "open sesame")]).await;
    let mut client = Client::connect(&address).await;
    client.until("password: ").await;
    let greeting = client.ask("open sesame").await;
    assert!(greeting.contains("help lists"), "{greeting}");
    assert!(client.ask("help").await.contains("tap [WHAT"));
    assert!(client.ask("status").await.contains("node clock · kozo 1.2.3"));
    assert!(client.ask("roles").await.starts_with("ROLE"));
    assert!(client.ask("peers").await.starts_with("PEER"));
    assert!(client.ask("nonsense").await.contains("nonsense is no command"));
    assert!(client.ask(&"x".repeat(5000)).await.contains("no command"));
    assert_eq!(client.ask("log nonsense").await, "no such level\nclock> ");
    assert!(client.ask("log kozo=debug").await.starts_with("ok"));
    assert_eq!(host.seen(|seen| seen.log_filter.clone()).unwrap(), "kozo=debug");

    client.send("tap ti*").await;
    client.until("press Enter to stop\n").await;
    host.inject("timer1", &Draft::event("other"));
    host.inject("timer1", &Draft::event("tick"));
    let line = client.until("\n").await;
    assert!(line.contains(r#""kind":"event","type":"tick""#), "{line}");
    assert_eq!(
        client.ask("").await,
        "1 shown, 0 dropped because this connection was too slow\nclock> "
    );
    client.send("quit").await;
    assert_eq!(client.rest().await, "");
    host.until(|seen| seen.logs().iter().any(|log| log.contains("has left"))).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn wrong_passwords_are_slow_few_and_final() {
    let (host, running, address) = start(&[text("password", "right")]).await;
    let begin = std::time::Instant::now();
    let mut client = Client::connect(&address).await;
    for password in ["", "righ", "right2"] {
        client.until("password: ").await;
        client.send(password).await;
    }
    assert_eq!(client.rest().await, "wrong password\n");
    assert!(begin.elapsed() >= FAILURE_PAUSE * MAX_ATTEMPTS);
    host.until(|seen| seen.logs().iter().any(|log| log.contains("wrong passwords"))).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn too_many_wrong_passwords_close_the_console() {
    let (host, running, address) = start(&[text("password", "right")]).await;
    let attack = (0..MAX_FAILURES / MAX_ATTEMPTS).map(|_| async {
        let mut client = Client::connect(&address).await;
        client.send("a\nb\nc").await;
        client.rest().await
    });
    futures_util::future::join_all(attack).await;
    host.until(|seen| seen.logs().iter().any(|log| log.contains("too many wrong"))).await;
    assert!(TcpStream::connect(&address).await.is_err());
    // The next Order opens it again.
    host.inject("somebody", &Draft::order("debug"));
    host.until(|seen| seen.logs().iter().filter(|log| log.contains("open at")).count() == 2).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn connections_are_bounded() {
    let (_host, running, address) = start(&[]).await;
    let mut clients = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        let mut client = Client::connect(&address).await;
        client.until("password: ").await;
        clients.push(client);
    }
    assert_eq!(Client::connect(&address).await.rest().await, "too many connections\n");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn when_time_is_over_nobody_else_attaches_but_who_is_there_stays() {
    let timeout = OptionValue::Duration(Duration::from_secs(1));
    let options = [text("password", "right"), ("debugTimeout", timeout)];
    let (host, running, address) = start(&options).await;
    let mut client = Client::connect(&address).await;
    client.ask("right").await;
    host.until(|seen| seen.logs().iter().any(|log| log.contains("time is over"))).await;
    assert!(TcpStream::connect(&address).await.is_err());
    assert!(client.ask("status").await.contains("node clock"));
    running.stop().await.unwrap();
    assert_eq!(client.rest().await, "");
}

/// Collects what is traced on this thread.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<u8>>>);

impl Journal {
    fn open() -> (Journal, tracing::subscriber::DefaultGuard) {
        let journal = Journal::default();
        let writer = journal.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (journal, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Journal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_random_password_is_told_to_the_journal_only() {
    let (journal, guard) = Journal::open();
    let (host, running, address) = start(&[]).await;
    drop(guard);
    let journal = journal.text();
    let rest = journal.split_once("with the password ").unwrap().1;
    let password = rest.split_whitespace().next().unwrap();
    assert_eq!(password.len(), 16);
    host.seen(|seen| {
        assert!(!seen.logs().concat().contains(password));
        assert!(!seen.printed.concat().contains(password));
    });
    let mut client = Client::connect(&address).await;
    client.send("kozo").await;
    client.until("wrong password\npassword: ").await;
    assert!(client.ask(password).await.contains("help lists"));
    running.stop().await.unwrap();
    assert_ne!(random_password(), random_password());
}

#[tokio::test]
async fn other_machines_only_if_allowed() {
    let (_host, running, _address) = start(&[]).await;
    running.stop().await.unwrap();
    let host = TestHost::new("clock");
    let running = host.start(&Debugger, &[("allowRemote", OptionValue::Flag(true))]);
    host.inject("somebody", &Draft::order("debug"));
    host.until(|seen| seen.logs().iter().any(|log| log.contains("is open at"))).await;
    let logs = host.seen(|seen| seen.logs());
    assert!(logs[0].contains("[::]:") || logs[0].contains("0.0.0.0:"), "{logs:?}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_ends_nothing() {
    let (journal, _guard) = Journal::open();
    let taken = Listener::bind("localhost", 0).await.unwrap();
    let port = OptionValue::Integer(i64::from(taken.addresses()[0].port()));
    let host = TestHost::new("clock");
    let running = host.start(&Debugger, &[("port", port)]);
    host.inject("somebody", &Draft::order("debug"));
    let deadline = Instant::now() + Duration::from_secs(20);
    while !journal.text().contains("cannot open the debug console at port") {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    drop(taken);
    open(&host).await;
    running.stop().await.unwrap();
}

#[test]
fn obeys_the_orders_of_its_channel() {
    let channel =
        |options: &[_]| Debugger.interests(&configure(&Debugger, options))[0].channel.clone();
    assert_eq!(channel(&[]), None);
    assert_eq!(channel(&[text("channel", "me")]), Some(Pattern::literal("me")));
}
