//! One who attaches to the console: lets in who gives the password, and does what is asked.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use kozo_core::value::show::one_line;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::console::{self, Command};
use crate::interest::Interest;
use crate::role::RoleContext;
use crate::roles::listener::{Line, LineReader};

/// Wrong passwords on one connection, then it is closed.
pub(super) const MAX_ATTEMPTS: u32 = 3;

/// Pause after a wrong password.
pub(super) const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// How long to wait for a password.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest line, in bytes.
const MAX_LINE: usize = 4096;

/// Messages of a tap that go out at once.
const MESSAGES_AT_ONCE: usize = 64;

/// A client that connected.
pub(super) struct Visitor {
    pub(super) context: RoleContext,
    pub(super) address: SocketAddr,
    pub(super) password: Arc<str>,
    pub(super) log: bool,
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
    pub(super) async fn visit(self, stream: TcpStream) -> u32 {
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
                        "ok, until the daemon restarts\n".to_owned()
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
        terminal.write("press Enter to stop\n").await?;
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

/// Whether the two are the same. The time it takes says nothing about `secret` but, at most, its
/// length.
fn same(given: &[u8], secret: &[u8]) -> bool {
    let mut difference = given.len() ^ secret.len();
    for (given, secret) in given.iter().zip(secret.iter().cycle()) {
        difference = black_box(difference | usize::from(given ^ secret));
    }
    difference == 0 && !secret.is_empty()
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn only_the_same_is_the_same() {
        assert!(same(b"secret", b"secret"));
        for given in [&b""[..], b"secre", b"secrets", b"Secret", b"secretsecret"] {
            assert!(!same(given, b"secret"));
        }
        assert!(!same(b"", b""));
    }
}
