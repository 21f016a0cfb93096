//! The Role type `debugger`: opens a password-protected console when an Order `debug` comes.
//!
//! The console is a TCP port for a limited time, on this machine only unless told otherwise. Who
//! attaches sees the state of the Node and its Messages, and may change what the daemon logs; nothing
//! there sends Messages or changes the Node. What crosses the port is not encrypted.

mod console;
#[cfg(test)]
mod tests;
mod visitor;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::visitor::Visitor;
use super::listener::Listener;
use crate::BoxFuture;
use crate::config::{RoleConfig, Schema};
use crate::interest::{Interest, Pattern};
use crate::message::Kind;
use crate::rate_limiter::RateLimiter;
use crate::role::{Role, RoleContext, RoleError, RoleType};
use kozo_core::types::{self, LOG};

/// Connections at a time.
const MAX_CONNECTIONS: usize = 8;

/// Wrong passwords on all connections, then no more are let in until the next Order.
const MAX_FAILURES: u32 = 12;

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
                        self.say(&context, "The debug console accepts no more connections: its time is over").await;
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
