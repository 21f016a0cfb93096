//! Running a program as a Role.

use std::env;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::state::Shared;
use super::{Role, attach, halves};
use crate::arguments::{self, ByHand, Invocation};
use crate::descriptors::{self, Reader, Writer};
use crate::hear::{Said, read};
use crate::input::Input;
use crate::{Description, Error, Failure};

/// How long what waits to be written may take once the Role has ended.
const FAREWELL: Duration = Duration::from_secs(5);

/// A program that is a type of Roles.
#[derive(Debug)]
pub struct Program {
    description: Description,
    says_ready: bool,
}

/// A Node that listens, and has not said anything that was not read yet but `start`.
pub(super) struct Connection {
    pub(super) input: Input<Reader>,
    pub(super) writer: Writer,
}

impl Program {
    pub(super) fn new(description: Description) -> Program {
        Program { description, says_ready: false }
    }

    /// The Role says by [`Role::ready`] when it works, within 30 s: it has something to set up first. Without this it works from
    /// the start.
    pub fn says_ready(mut self) -> Program {
        self.says_ready = true;
        self
    }

    /// Runs the Role, and gives what `main` is to return. Of a program that a Node has started it is the Role, over standard input and
    /// output; one that a person has started attaches itself to a Node of this machine, as its command line says. With
    /// `--describe` it prints its description instead.
    ///
    /// The function runs on one thread, with the timers, sockets and `spawn_local` of tokio. When the Role is to stop,
    /// [`Role::receive`] gives nothing any more; then it is to return. Why it fails, the Node shows.
    pub fn run(self, role: impl AsyncFnOnce(Role) -> Result<(), Failure>) -> ExitCode {
        match self.start(role) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // Standard error may be closed.
                let _ = writeln!(std::io::stderr(), "{error}");
                ExitCode::FAILURE
            }
        }
    }

    fn start(self, role: impl AsyncFnOnce(Role) -> Result<(), Failure>) -> Result<(), Failure> {
        let words = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
        let by_hand = match arguments::read(words)? {
            Invocation::Describe => {
                writeln!(std::io::stdout(), "{:#}", self.description.to_json())?;
                return Ok(());
            }
            Invocation::Help => {
                let name = attach::program_name();
                let usage = format!(
                    "Usage: {name} [--node NODE] [--name ROLE] [--set OPTION=VALUE]...\n       {name} --describe\n\n\
                     Attaches to a Node of this machine as a Role. In a folder of rolePath, the Node starts it."
                );
                writeln!(
                    std::io::stdout(),
                    "{}",
                    arguments::help(&self.description.to_json(), &usage)
                )?;
                return Ok(());
            }
            Invocation::Run(by_hand) => by_hand,
        };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let ended = LocalSet::new().block_on(&runtime, self.go(&by_hand, role));
        // What blocks a thread of its own is not waited for.
        runtime.shutdown_background();
        ended
    }

    async fn go(
        self,
        by_hand: &ByHand,
        role: impl AsyncFnOnce(Role) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let of_a_node = ["KOZO_RUN", "KOZO_ROLE"].iter().all(|name| env::var_os(name).is_some());
        let Connection { mut input, writer } = if of_a_node {
            let (reader, writer) = descriptors::standard()?;
            Connection { input: Input::new(reader, None), writer }
        } else {
            attach::attach(&self.description, by_hand).await?
        };
        let Some(start) = input.line().await? else { return Ok(()) };
        let Said::Start(start) = read(input.encoding(), &start)? else {
            return Err(Error::Protocol("its first line was not `start`".to_owned()).into());
        };
        let shared = Arc::new(Shared::new(input.encoding(), *start));
        tokio::spawn(halves::listen(Arc::clone(&shared), input));
        let writing = tokio::spawn(halves::speak(Arc::clone(&shared), writer));
        let this = Role { shared: Arc::clone(&shared) };
        if !self.says_ready {
            this.ready().await?;
        }
        let ended = role(this).await;
        shared.close();
        let _ = timeout(FAREWELL, writing).await;
        match shared.lost() {
            // Whatever failed then, failed because of that.
            Some(lost) => Err(lost.into()),
            // What it asked for is not answered any more once it is to stop.
            None if shared.is_stopped() && ended.as_ref().is_err_and(is_gone) => Ok(()),
            None => ended,
        }
    }
}

fn is_gone(error: &Failure) -> bool {
    matches!(error.downcast_ref(), Some(Error::Gone(_)))
}
