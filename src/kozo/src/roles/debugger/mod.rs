//! The Role type `debugger`: opens a password-protected console when an Order `debug` comes.
//!
//! The console is a TCP port for a limited time, on this machine only unless told otherwise. Who
//! attaches sees the state of the Node and its Messages, and may change what the daemon logs; nothing
//! there sends Messages or changes the Node. What crosses the port is not encrypted.

mod console;

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use rand::RngExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::console::Command;
use super::listener::{Line, LineReader, Listener};
use crate::BoxFuture;
use crate::config::{RoleConfig, Schema};
use crate::interest::{Interest, Pattern};
use crate::message::Kind;
use crate::rate_limiter::RateLimiter;
use crate::role::{Role, RoleContext, RoleError, RoleType};
use kozo_core::types::{self, LOG};
use kozo_core::value::show::one_line;

/// Connections at a time.
const MAX_CONNECTIONS: usize = 8;

/// Wrong passwords on one connection, then it is closed.
const MAX_ATTEMPTS: u32 = 3;

/// Wrong passwords on all connections, then no more are let in until the next Order.
const MAX_FAILURES: u32 = 12;

/// Pause after a wrong password.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// How long to wait for a password.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest line, in bytes.
const MAX_LINE: usize = 4096;

/// Messages of a tap that go out at once.
const MESSAGES_AT_ONCE: usize = 64;

pub(super) struct Debugger;

impl RoleType for Debugger {
    fn schema(&self) -> Schema {
        types::debugger::schema()
    }

    fn interests(&self, config: &RoleConfig) -> Vec<Interest> {
        let channel = config.options.text("channel").map(Pattern::literal);
        vec![Interest { channel, ..Interest::exactly(Kind::Order, "debug") }]
    }

    fn build(&self, config: &RoleConfig) -> Box<dyn Role> {
        let options = &config.options;
        let port = options.integer("port").and_then(|port| u16::try_from(port).ok());
        Box::new(DebuggerRole {
            password: options.text("password").filter(|text| !text.is_empty()).map(Arc::from),
            allow_remote: options.flag("allowRemote"),
            timeout: options.duration("debugTimeout").unwrap_or_default(),
            port: port.unwrap_or_default(),
            log: options.flag(LOG),
        })
    }
}

struct DebuggerRole {
    password: Option<Arc<str>>,
    allow_remote: bool,
    timeout: Duration,
    port: u16,
    log: bool,
}

/// The time in which one can attach.
struct Window {
    listener: Listener,
    password: Arc<str>,
    until: Instant,
    failures: u32,
}

impl Role for DebuggerRole {
    fn run(self: Box<Self>, context: RoleContext) -> BoxFuture<'static, Result<(), RoleError>> {
        Box::pin(async move {
            let mut window: Option<Window> = None;
            let mut limiter = RateLimiter::default();
            // Each says how many wrong passwords it was given.
            let mut visitors: JoinSet<u32> = JoinSet::new();
            loop {
                tokio::select! {
                    order = context.receive() => {
                        if order.is_none() {
                            return Ok(());
                        }
                        match &mut window {
                            Some(open) => open.until = Instant::now() + self.timeout,
                            None => window = self.open(&context, &mut limiter).await,
                        }
                    }
                    (stream, address) = accept(window.as_ref()) => {
                        let Some(open) = &window else { continue };
                        if visitors.len() < MAX_CONNECTIONS {
                            let (context, log) = (context.clone(), self.log);
                            let visitor =
                                Visitor { context, address, password: open.password.clone(), log };
                            visitors.spawn(visitor.visit(stream));
                        } else {
                            // There is room for it in the buffer of a new connection.
                            let _ = stream.try_write(b"too many connections\n");
                        }
                    }
                    Some(ended) = visitors.join_next() => {
                        if let (Some(open), Ok(failures)) = (&mut window, ended) {
                            open.failures += failures;
                            if open.failures >= MAX_FAILURES {
                                window = None;
                                self.say(&context, "The debug console is closed: too many wrong passwords").await;
                            }
                        }
                    }
                    () = closing(window.as_ref()) => {
                        window = None;
                        self.say(&context, "The debug console lets nobody else in: its time is over").await;
                    }
                }
            }
        })
    }
}

impl DebuggerRole {
    async fn open(
        &self,
        context: &RoleContext,
        limiter: &mut RateLimiter<String>,
    ) -> Option<Window> {
        let name = if self.allow_remote { "*" } else { "localhost" };
        let listener = match Listener::bind(name, self.port).await {
            Ok(listener) => listener,
            Err(error) => {
                let problem =
                    format!("cannot open the debug console at port {}: {error}", self.port);
                if limiter.allow(&*problem).is_some() {
                    tracing::warn!(role = %context.name, "{problem}");
                }
                return None;
            }
        };
        let place = format!("{} for {} s", listener.shown(), self.timeout.as_secs());
        let password = match &self.password {
            Some(password) => {
                tracing::warn!(
                    class = crate::class::CONSOLE_OPEN,
                    role = %context.name,
                    "the debug console is open at {place}"
                );
                password.clone()
            }
            None => {
                let password = random_password();
                // Here and nowhere else: Log Messages go to other machines and into files.
                tracing::warn!(
                    class = crate::class::CONSOLE_OPEN,
                    role = %context.name,
                    "the debug console is open at {place}, with the password {password}"
                );
                Arc::from(password)
            }
        };
        self.say(context, &format!("The debug console is open at {place}")).await;
        Some(Window { listener, password, until: Instant::now() + self.timeout, failures: 0 })
    }

    async fn say(&self, context: &RoleContext, text: &str) {
        tracing::info!(role = %context.name, "{text}");
        if self.log {
            context.log(text).await;
        }
    }
}

async fn accept(window: Option<&Window>) -> (TcpStream, SocketAddr) {
    match window {
        Some(window) => window.listener.accept().await,
        None => std::future::pending().await,
    }
}

async fn closing(window: Option<&Window>) {
    match window {
        Some(window) => tokio::time::sleep_until(window.until).await,
        None => std::future::pending().await,
    }
}

/// Sixteen characters of 32 that look like no other: 80 random bits.
fn random_password() -> String {
    const CHARACTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = rand::rng();
    let pick = |_| CHARACTERS.get(random.random_range(0..CHARACTERS.len())).copied();
    (0..16).filter_map(pick).map(char::from).collect()
}

/// Whether the two are the same. The time it takes says nothing about `secret` but, at most, its
/// length.
fn same(given: &[u8], secret: &[u8]) -> bool {
    let mut difference = given.len() ^ secret.len();
    for (given, secret) in given.iter().zip(secret.iter().cycle()) {
        difference = black_box(difference | usize::from(given ^ secret));
    }
    difference == 0 && !secret.is_empty()
}

/// A client that connected.
struct Visitor {
    context: RoleContext,
    address: SocketAddr,
    password: Arc<str>,
    log: bool,
}

/// The two ends of the connection.
struct Terminal {
    lines: LineReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Terminal {
    async fn write(&mut self, text: &str) -> std::io::Result<()> {
        self.writer.write_all(text.as_bytes()).await
    }

    /// The next line, `None` at the end.
    async fn line(&mut self) -> std::io::Result<Option<String>> {
        Ok(self.lines.next().await?.map(|line| match line {
            Line::Whole(line) => line,
            Line::TooLong | Line::NotText => "?".repeat(3),
        }))
    }
}

impl Visitor {
    /// Lets the visitor in or not, and says how many wrong passwords were given.
    async fn visit(self, stream: TcpStream) -> u32 {
        let mut failures = 0;
        // A connection that breaks needs no word: its visitor is gone.
        let _ = self.converse(stream, &mut failures).await;
        failures
    }

    async fn converse(&self, stream: TcpStream, failures: &mut u32) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let mut terminal = Terminal { lines: LineReader::new(reader, MAX_LINE), writer };
        let node = self.context.host.node_name().to_owned();
        terminal.write(&format!("Debug console of {node}\n")).await?;
        if !self.log_in(&mut terminal, failures).await? {
            return Ok(());
        }
        self.say(&format!("{} is attached to the debug console", self.address)).await;
        let result = self.obey(&mut terminal, &node).await;
        self.say(&format!("{} has left the debug console", self.address)).await;
        result
    }

    async fn log_in(&self, terminal: &mut Terminal, failures: &mut u32) -> std::io::Result<bool> {
        while *failures < MAX_ATTEMPTS {
            terminal.write("password: ").await?;
            let line = tokio::time::timeout(LOGIN_TIMEOUT, terminal.line()).await??;
            let Some(given) = line else { return Ok(false) };
            if same(given.as_bytes(), self.password.as_bytes()) {
                return Ok(true);
            }
            *failures += 1;
            tokio::time::sleep(FAILURE_PAUSE).await;
            terminal.write("wrong password\n").await?;
        }
        self.say(&format!("{} gave the debug console wrong passwords", self.address)).await;
        Ok(false)
    }

    async fn obey(&self, terminal: &mut Terminal, node: &str) -> std::io::Result<()> {
        let host = &self.context.host;
        terminal.write("help lists the commands\n").await?;
        loop {
            terminal.write(&format!("{node}> ")).await?;
            let Some(line) = terminal.line().await? else { return Ok(()) };
            let answer = match Command::parse(&line) {
                Ok(Command::Nothing) => String::new(),
                Ok(Command::Help) => console::HELP.to_owned(),
                Ok(Command::Status) => console::status(&host.status()),
                Ok(Command::Roles) => console::roles(&host.status()),
                Ok(Command::Peers) => console::peers(&host.status()),
                Ok(Command::Tap(interests)) => self.tap(terminal, interests).await?,
                Ok(Command::Log(filter)) => match host.set_log_filter(&filter) {
                    Ok(()) => {
                        let filter = one_line(&filter);
                        let text = format!("{} has set the log filter {filter}", self.address);
                        self.say(&text).await;
                        "ok, until the daemon is started again\n".to_owned()
                    }
                    Err(error) => format!("{error}\n"),
                },
                Ok(Command::Quit) => return Ok(()),
                Err(problem) => format!("{problem}\n"),
            };
            terminal.write(&answer).await?;
        }
    }

    /// Shows Messages until a line comes, then says how many there were.
    async fn tap(
        &self,
        terminal: &mut Terminal,
        interests: Vec<Interest>,
    ) -> std::io::Result<String> {
        let inbox = self.context.host.tap(interests);
        terminal.write("Enter ends this\n").await?;
        let mut shown: u64 = 0;
        loop {
            tokio::select! {
                line = terminal.lines.next() => {
                    line?;
                    break;
                }
                message = inbox.receive() => {
                    let Some(message) = message else { break };
                    let mut text = console::message_line(&message) + "\n";
                    shown += 1;
                    for _ in 1..MESSAGES_AT_ONCE {
                        let Some(Some(message)) = inbox.receive().now_or_never() else { break };
                        text += &(console::message_line(&message) + "\n");
                        shown += 1;
                    }
                    terminal.write(&text).await?;
                }
            }
        }
        let dropped = inbox.counters().dropped;
        Ok(format!("{shown} shown, {dropped} dropped because this connection was too slow\n"))
    }

    async fn say(&self, text: &str) {
        tracing::info!(role = %self.context.name, "{text}");
        if self.log {
            self.context.log(text).await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use tokio::io::{AsyncReadExt, BufReader};

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
            let place =
                logs.iter().rev().find_map(|log| log.split_once("is open at "))?.1.to_owned();
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
        client.until("Enter ends this\n").await;
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
        host.until(|seen| seen.logs().iter().filter(|log| log.contains("open at")).count() == 2)
            .await;
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
            let subscriber = tracing_subscriber::fmt()
                .with_ansi(false)
                .with_writer(move || writer.clone())
                .finish();
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

    #[test]
    fn only_the_same_is_the_same() {
        assert!(same(b"secret", b"secret"));
        for given in [&b""[..], b"secre", b"secrets", b"Secret", b"secretsecret"] {
            assert!(!same(given, b"secret"));
        }
        assert!(!same(b"", b""));
    }
}
