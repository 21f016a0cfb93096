//! The Role type `exec`: runs a command for Messages, or at a regular interval, and sends what it prints.
//!
//! What does not run yet waits in the queue of the Role. A command is a [`crate::process`] like any other program of a
//! Role; [`command`] is what it gets of a Message, [`output`] what becomes of what it prints.

mod command;
mod output;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::ChildStdin;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, timeout};
use tracing::warn;

use crate::BoxFuture;
use crate::config::{RoleConfig, Schema};
use crate::interest::Interest;
use crate::message::Message;
use crate::process::{Exit, Process};
use crate::rate_limiter::RateLimiter;
use crate::role::{Role, RoleContext, RoleError, RoleType};
use command::Command;
use kozo_core::types;
use output::{Outgoing, Output};

pub(super) struct Exec;

impl RoleType for Exec {
    fn schema(&self) -> Schema {
        types::exec::schema()
    }

    fn interests(&self, config: &RoleConfig) -> Vec<Interest> {
        // All of them were read when the configuration was.
        config.options.list("on").iter().filter_map(|text| text.parse().ok()).collect()
    }

    fn build(&self, config: &RoleConfig) -> Box<dyn Role> {
        let options = &config.options;
        let parallel = options.integer("parallel").and_then(|count| usize::try_from(count).ok());
        Box::new(ExecRole {
            on: !options.list("on").is_empty(),
            every: options.duration("every"),
            parallel: parallel.unwrap_or(1),
            job: Arc::new(Job {
                command: Command::new(options),
                send: options.block("send").map(Outgoing::new),
                timeout: options.duration("timeout").unwrap_or_default(),
                limiter: Mutex::default(),
            }),
        })
    }
}

struct ExecRole {
    /// Whether Messages are a reason to run.
    on: bool,
    every: Option<Duration>,
    parallel: usize,
    job: Arc<Job>,
}

/// What is done each time.
struct Job {
    command: Command,
    send: Option<Outgoing>,
    timeout: Duration,
    /// Says at most once a minute that the same went wrong.
    limiter: Mutex<RateLimiter<String>>,
}

impl Role for ExecRole {
    fn run(self: Box<Self>, context: RoleContext) -> BoxFuture<'static, Result<(), RoleError>> {
        Box::pin(async move {
            let stopped = context.stopped();
            tokio::pin!(stopped);
            // What is sent at the start is for Peers too.
            tokio::select! {
                () = &mut stopped => return Ok(()),
                () = context.links_ready() => {}
            }
            let mut every = self.every.map(|interval| {
                let mut interval = tokio::time::interval(interval);
                interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
                interval
            });
            let mut runs = JoinSet::new();
            loop {
                let has_room = runs.len() < self.parallel;
                let message = tokio::select! {
                    biased;
                    () = &mut stopped => break,
                    Some(_) = runs.join_next(), if !runs.is_empty() => continue,
                    message = context.receive(), if has_room && self.on => match message {
                        Some(message) => Some(message),
                        None => break,
                    },
                    () = due(&mut every), if has_room && every.is_some() => None,
                };
                let (job, context) = (Arc::clone(&self.job), context.clone());
                runs.spawn(async move { job.run(message, &context).await });
            }
            // Each ends its command.
            while runs.join_next().await.is_some() {}
            Ok(())
        })
    }
}

/// Returns when the next run is due.
async fn due(every: &mut Option<Interval>) {
    match every {
        Some(every) => {
            every.tick().await;
        }
        None => std::future::pending().await,
    }
}

impl Job {
    /// Runs the command once, and says what went wrong.
    async fn run(&self, message: Option<Message>, context: &RoleContext) {
        let problem = self.attempt(message.as_ref(), context).await.err();
        if let Some(problem) = &problem {
            let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(more) = limiter.allow(problem.as_str()) {
                let role = &*context.name;
                warn!(role, "{problem}{more}");
            }
        }
        context.set_problem(problem);
    }

    async fn attempt(
        &self,
        message: Option<&Message>,
        context: &RoleContext,
    ) -> Result<(), String> {
        let launch = self.command.of(message, context);
        let stdin = self.command.stdin(message);
        let stdout = output::stream(self.send.is_some());
        let mut process =
            context.launcher().start(&launch, stdin, stdout).map_err(|error| error.to_string())?;
        let _shown = context.show_process(process.pid());
        let attended = tokio::select! {
            attended = self.attend(message, &mut process, context) => attended,
            () = context.stopped() => {
                process.terminate().await;
                return Ok(());
            }
        };
        let exit = match attended {
            Ok(exit) => exit,
            Err(problem) => {
                // It may already be over; that changes nothing about what was wrong with it.
                process.terminate().await;
                context.set_exit(&problem);
                return Err(format!("the command {problem}"));
            }
        };
        context.set_exit(&exit.to_string());
        match (exit.is_success(), process.last_line()) {
            (true, _) => Ok(()),
            (false, line) if line.is_empty() => Err(format!("the command {exit}")),
            (false, line) => Err(format!("the command {exit}: {line}")),
        }
    }

    /// Feeds the command, sends what it prints, and waits for its end.
    async fn attend(
        &self,
        message: Option<&Message>,
        process: &mut Process,
        context: &RoleContext,
    ) -> Result<Exit, String> {
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let output = Output::new(self.send.as_ref(), context);
        let work = async {
            let feed = async {
                feed(stdin, message).await;
                Ok(())
            };
            // Its end closes what it has left open in its group.
            let ended = async { Ok(process.wait().await) };
            let (output, (), exit) = tokio::try_join!(output.read(stdout), feed, ended)?;
            if exit.is_success() {
                output.finish().await?;
            }
            Ok(exit)
        };
        timeout(self.timeout, work).await.unwrap_or_else(|_| {
            let longest = crate::config::show_duration(self.timeout);
            Err(format!("was killed: it took longer than {longest}"))
        })
    }
}

/// Gives the data of the Message to the command, which need not read it.
async fn feed(stdin: Option<ChildStdin>, message: Option<&Message>) {
    if let (Some(mut stdin), Some(message)) = (stdin, message) {
        let _ = stdin.write_all(&command::data(message)).await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
