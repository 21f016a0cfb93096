//! Running a program as a Transport.

use std::env;
use std::io::Write as _;
use std::os::fd::RawFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

use super::channel::{self, Channel};
use super::{Node, Transport, TransportProgram, protocol};
use crate::arguments::{self, Invocation};
use crate::descriptors::take_socket;
use crate::{Error, Failure};

/// The descriptor that is the socket of the Node.
const CHANNEL: RawFd = 3;

/// How long the last lines may take to be written.
const FAREWELL: Duration = Duration::from_secs(1);

impl TransportProgram {
    /// Runs the Transport that `build` makes, once the Node has said what it is, and gives what `main` is to return. With
    /// `--describe` the program prints its description instead.
    pub fn run<T: Transport>(
        self,
        build: impl AsyncFnOnce(&Node) -> Result<T, Failure>,
    ) -> ExitCode {
        match self.start(build) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // Standard error may be closed.
                let _ = writeln!(std::io::stderr(), "{error}");
                ExitCode::FAILURE
            }
        }
    }

    fn start<T: Transport>(
        self,
        build: impl AsyncFnOnce(&Node) -> Result<T, Failure>,
    ) -> Result<(), Failure> {
        let words = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
        match arguments::read(words)? {
            Invocation::Describe => {
                writeln!(std::io::stdout(), "{:#}", self.description.to_json())?;
                return Ok(());
            }
            Invocation::Help => {
                let usage = "A Node starts this program from a folder of transportPath; --describe prints its description.";
                writeln!(
                    std::io::stdout(),
                    "{}",
                    arguments::help(&self.description.to_json(), usage)
                )?;
                return Ok(());
            }
            Invocation::Run(_) => {}
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let ended = LocalSet::new().block_on(&runtime, async {
            let socket = take_socket(CHANNEL).map_err(|error| {
                Error::Start(format!("a Node must start this program ({error})"))
            })?;
            serve(socket, build).await
        });
        runtime.shutdown_background();
        ended
    }
}

/// Speaks with a Node over this socket.
pub(super) async fn serve<T: Transport>(
    socket: UnixStream,
    build: impl AsyncFnOnce(&Node) -> Result<T, Failure>,
) -> Result<(), Failure> {
    let socket = Rc::new(socket);
    let mut lines = protocol::Lines::new(channel::Reading(Rc::clone(&socket)));
    let Some(start) = lines.start().await? else { return Ok(()) };
    let (channel, to_write) = Channel::new();
    let channel = Rc::new(channel);
    spawn_local(channel::write(socket, to_write));
    let node = Node { start: Rc::new(start), channel: Rc::clone(&channel) };
    if let Some(transport) = lines.while_building(build(&node), &channel).await? {
        let transport = Rc::new(transport);
        protocol::serve(Rc::clone(&transport), node.clone(), Rc::clone(&channel), lines).await?;
        transport.stop().await;
    }
    let _ = timeout(FAREWELL, channel.flush()).await;
    Ok(())
}
