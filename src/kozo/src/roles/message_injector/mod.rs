//! The Role type `message_injector`: sends the Messages that people write to a TCP port.
//!
//! Every line is answered: `ok` and whom it was queued for, or `error` and what is wrong with it. What
//! lines look like, `injection` says; nothing is ever evaluated.

pub mod injection;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use self::injection::Injection;
use super::listener::{Line, LineReader, Listener};
use crate::BoxFuture;
use crate::config::{RoleConfig, Schema};
use crate::interest::Interest;
use crate::role::{Role, RoleContext, RoleError, RoleType, Sent};
use kozo_core::types;

/// Longest line, in bytes.
const MAX_LINE: usize = 1024 * 1024;

/// Connections at a time.
const MAX_CONNECTIONS: usize = 64;

/// How long a client may leave an answer unread.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) struct MessageInjector;

impl RoleType for MessageInjector {
    fn schema(&self) -> Schema {
        types::message_injector::schema()
    }

    fn interests(&self, _config: &RoleConfig) -> Vec<Interest> {
        Vec::new()
    }

    fn build(&self, config: &RoleConfig) -> Box<dyn Role> {
        let options = &config.options;
        let port = options.integer("bindPort").and_then(|port| u16::try_from(port).ok());
        Box::new(Injector {
            address: options.text("bindAddress").unwrap_or_default().to_owned(),
            port: port.unwrap_or_default(),
            log: options.flag(types::LOG),
        })
    }
}

struct Injector {
    address: String,
    port: u16,
    log: bool,
}

impl Role for Injector {
    fn run(self: Box<Self>, context: RoleContext) -> BoxFuture<'static, Result<(), RoleError>> {
        Box::pin(async move {
            let (address, port) = (&self.address, self.port);
            let listener = Listener::bind(address, port).await.map_err(|error| {
                RoleError(format!(
                    "cannot listen at {address} port {port} (bindAddress, bindPort): {error}"
                ))
            })?;
            if listener.is_exposed() {
                tracing::warn!(
                    class = crate::class::OPEN_TO_ALL,
                    role = %context.name,
                    "anyone who reaches {} can send any Message; bindAddress: localhost restricts it to this machine",
                    listener.shown()
                );
            }
            context.set_status(Some(format!("listens at {}", listener.shown())));
            serve(&listener, &context, self.log).await;
            Ok(())
        })
    }
}

/// Serves all who connect until the Role is to stop.
async fn serve(listener: &Listener, context: &RoleContext, log: bool) {
    let mut connections = JoinSet::new();
    let stopped = context.stopped();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => return,
            (stream, address) = listener.accept() => {
                if connections.len() < MAX_CONNECTIONS {
                    let connection = Connection { context: context.clone(), log, address };
                    connections.spawn(connection.serve(stream));
                } else {
                    // There is room for it in the buffer of a new connection.
                    let _ = stream.try_write(b"error: too many connections\n");
                }
            }
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(role = %context.name, "a connection failed: {error}");
                }
            }
        }
    }
}

struct Connection {
    context: RoleContext,
    log: bool,
    address: SocketAddr,
}

impl Connection {
    async fn serve(self, mut stream: TcpStream) {
        if let Err(error) = self.answer_all(&mut stream).await {
            tracing::debug!(role = %self.context.name, "connection of {}: {error}", self.address);
        }
    }

    async fn answer_all(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let (reader, mut writer) = stream.split();
        let mut lines = LineReader::new(reader, MAX_LINE);
        while let Some(line) = lines.next().await? {
            let Some(mut answer) = self.answer(&line).await else { continue };
            answer.push('\n');
            tokio::time::timeout(ANSWER_TIMEOUT, writer.write_all(answer.as_bytes())).await??;
        }
        Ok(())
    }

    /// What to say to a line; nothing to an empty one.
    async fn answer(&self, line: &Line) -> Option<String> {
        let result = match line {
            Line::Whole(line) if line.trim().is_empty() => return None,
            Line::Whole(line) => self.inject(line).await,
            Line::TooLong => Err(format!("the line is longer than {MAX_LINE} bytes")),
            Line::NotText => Err("the line is not UTF-8".to_owned()),
        };
        Some(match result {
            Ok(answer) => format!("ok: {answer}"),
            Err(problem) => {
                if self.log {
                    let text = format!("Refused a line of {}: {problem}", self.address);
                    self.context.log(&text).await;
                }
                format!("error: {problem}")
            }
        })
    }

    async fn inject(&self, line: &str) -> Result<String, String> {
        let injection = Injection::parse(line).map_err(|error| error.to_string())?;
        let sent = self.context.send(injection.draft()).await.map_err(|error| error.to_string())?;
        if self.log {
            let channel = injection.channel.as_deref().map(|channel| format!(" on {channel}"));
            let text = format!(
                "Injected {} {}{} for {}",
                injection.kind,
                injection.message_type,
                channel.unwrap_or_default(),
                self.address
            );
            self.context.log(&text).await;
        }
        Ok(outcome(&sent))
    }
}

/// What became of a Message, for the one who injected it.
fn outcome(sent: &Sent) -> String {
    let count =
        |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let queued: Vec<String> = [(sent.roles, "role"), (sent.peers, "peer")]
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| count(number, what))
        .collect();
    match (queued.is_empty(), sent.unreachable) {
        (true, 0) => "no one is interested".to_owned(),
        (false, 0) => format!("queued for {}", queued.join(" and ")),
        (true, away) => format!("not queued; {} cannot be reached", count(away, "interested peer")),
        (false, away) => {
            let away = count(away, "interested peer");
            format!("queued for {}; {away} cannot be reached", queued.join(" and "))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use std::sync::Arc;

    use rmpv::Value;
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

    use super::*;
    use crate::config::OptionValue;
    use crate::message::Kind;
    use crate::role::testing::TestHost;

    /// An injector on a free port, with a Role that wants everything `wanted` there.
    async fn start(log: bool) -> (Arc<TestHost>, SocketAddr, Arc<crate::role::Inbox>) {
        let host = TestHost::new("kitchen");
        let inbox = crate::role::Host::tap(
            &*host,
            vec![
                Interest::exactly(Kind::Event, "wanted"),
                Interest::exactly(Kind::Order, "wanted"),
            ],
        );
        let listener = Listener::bind("127.0.0.1", 0).await.unwrap();
        let address = listener.addresses()[0];
        let strings = host.context("injector", Vec::new());
        tokio::spawn(async move {
            // All of it lives on with the task: dropping what stops the Role would stop it.
            let strings = strings;
            serve(&listener, &strings.context, log).await;
        });
        (host, address, inbox)
    }

    /// All answers to what is sent at once.
    async fn answers(address: SocketAddr, bytes: &[u8]) -> Vec<String> {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn every_line_is_answered_and_a_bad_one_drops_nothing_else() {
        let (host, address, inbox) = start(false).await;
        let lines = b"('event', 'wanted', 'channel', {'a': [1, None]})\r\n\
            ('event', 'tick'\n\
            \n\
            {\"kind\": \"order\", \"type\": \"wanted\", \"data\": 18446744073709551615}\n\
            \xff\xfe\n\
            ('event', '')\n\
            ('event', 'tick')";
        let found = answers(address, lines).await;
        assert_eq!(found[0], "ok: queued for 1 role");
        assert!(found[1].starts_with("error: column 17: the line ends"), "{}", found[1]);
        assert_eq!(found[2], "ok: queued for 1 role");
        assert_eq!(found[3], "error: the line is not UTF-8");
        assert!(found[4].starts_with("error: the type is 0 bytes long"), "{}", found[4]);
        assert_eq!(found[5], "ok: no one is interested");
        assert_eq!(found.len(), 6);

        let first = inbox.receive().await.unwrap();
        assert_eq!(first.to_string(), "event wanted from injector@kitchen on channel");
        let data = Value::Map(vec![("a".into(), Value::Array(vec![1.into(), Value::Nil]))]);
        assert_eq!(first.value().unwrap(), data);
        assert_eq!(inbox.receive().await.unwrap().value().unwrap(), Value::from(u64::MAX));
        assert_eq!(host.seen(|seen| seen.sent.len()), 3);
    }

    #[tokio::test]
    async fn answers_come_line_by_line_on_a_connection_that_stays() {
        let (_host, address, _inbox) = start(false).await;
        let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
        for _ in 0..3 {
            stream.write_all(b"('event', 'wanted')\n").await.unwrap();
            let mut answer = String::new();
            stream.read_line(&mut answer).await.unwrap();
            assert_eq!(answer, "ok: queued for 1 role\n");
        }
    }

    #[tokio::test]
    async fn a_line_without_end_is_bounded() {
        let (host, address, _inbox) = start(false).await;
        let mut bytes = vec![b'x'; MAX_LINE + 4096];
        bytes.extend_from_slice(b"\n('event', 'wanted')\n");
        let found = answers(address, &bytes).await;
        assert_eq!(
            found,
            ["error: the line is longer than 1048576 bytes", "ok: queued for 1 role"]
        );
        assert_eq!(host.seen(|seen| seen.sent.len()), 1);
    }

    #[tokio::test]
    async fn a_message_that_cannot_be_sent_is_refused_alone() {
        let (host, address, inbox) = start(false).await;
        let long = format!("('event', '{}')\n('event', 'wanted')\n", "t".repeat(300));
        let found = answers(address, long.as_bytes()).await;
        assert!(found[0].starts_with("error: the type is 300 bytes"), "{}", found[0]);
        assert_eq!(found[1], "ok: queued for 1 role");
        assert_eq!(inbox.counters().length, 1);
        assert_eq!(host.seen(|seen| seen.sent.len()), 1);
    }

    #[tokio::test]
    async fn lines_are_logged_if_told() {
        let (host, address, _inbox) = start(true).await;
        answers(address, b"('event', 'wanted', 'c')\n(\n").await;
        let logs = host.seen(|seen| seen.logs());
        assert!(logs[0].starts_with("Injected event wanted on c for 127.0.0.1:"), "{logs:?}");
        assert!(logs[1].starts_with("Refused a line of 127.0.0.1:"), "{logs:?}");
        assert_eq!(logs.len(), 2);
    }

    #[tokio::test]
    async fn connections_are_bounded_and_idle_ones_harm_nobody() {
        let (_host, address, _inbox) = start(false).await;
        let mut idle = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // Once it answers, it has its place.
            stream.write_all(b"('event', 'wanted')\n").await.unwrap();
            stream.read_u8().await.unwrap();
            idle.push(stream);
        }
        let mut text = String::new();
        let mut refused = TcpStream::connect(address).await.unwrap();
        refused.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "error: too many connections\n");
        idle.pop();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let found = answers(address, b"").await;
            if found.is_empty() {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_an_error_that_names_the_options() {
        let taken = Listener::bind("127.0.0.1", 0).await.unwrap();
        let port = i64::from(taken.addresses()[0].port());
        let host = TestHost::new("kitchen");
        let options = [
            ("bindAddress", OptionValue::Text("127.0.0.1".to_owned())),
            ("bindPort", OptionValue::Integer(port)),
        ];
        let error = host.start(&MessageInjector, &options).ended().await.unwrap_err().to_string();
        assert!(error.contains("bindPort") && error.contains(&port.to_string()), "{error}");
        drop(taken);
        let running = host.start(&MessageInjector, &options);
        running.stop().await.unwrap();
    }

    #[test]
    fn outcomes_read_well() {
        let sent = |roles, peers, unreachable| Sent {
            sequence: 1,
            roles,
            peers,
            unreachable,
            full: false,
        };
        for (sent, wanted) in [
            (sent(0, 0, 0), "no one is interested"),
            (sent(1, 0, 0), "queued for 1 role"),
            (sent(2, 1, 0), "queued for 2 roles and 1 peer"),
            (sent(0, 2, 1), "queued for 2 peers; 1 interested peer cannot be reached"),
            (sent(0, 0, 2), "not queued; 2 interested peers cannot be reached"),
        ] {
            assert_eq!(outcome(&sent), wanted);
        }
    }
}
