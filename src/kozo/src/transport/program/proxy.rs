//! Streams that a command makes, as those of OpenSSH's `ProxyCommand` and `ProxyUseFdpass`.

use std::ffi::OsString;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::descriptors::Receiver;
use super::requests::{Described, ProxyCommand};
use super::shared::Shared;
use crate::local::{self, Descriptor, Stream};
use crate::process::{Launch, Limits, Process};
use crate::transport::Connection;

/// Runs a command, and gives the stream that it makes. Dropped before that, it ends the command.
pub(super) async fn connect(
    shared: &Shared,
    command: ProxyCommand,
    otherwise: &str,
) -> io::Result<Connection> {
    let ProxyCommand { words, passes_descriptor, address } = command;
    let setup = &shared.setup;
    let launch = Launch {
        environment: setup.environment.clone(),
        limits: Limits { memory: setup.memory_limit, ..Limits::default() },
        ..Launch::of(words.into_iter().map(OsString::from))
    };
    let (ours, theirs) = local::pair()?;
    let process = shared
        .knowledge()
        .launcher
        .start(&launch, Stdio::from(theirs.try_clone()?), Stdio::from(theirs))
        .map_err(io::Error::other)?;
    if passes_descriptor {
        let descriptor = receive(ours, process).await?;
        let described = Described { descriptor, address, peer: None };
        return shared.connection(described, otherwise);
    }
    let stream = Box::new(Proxied { stream: ours, _running: run(process) });
    Ok(Connection { stream, address: address.unwrap_or_else(|| otherwise.to_owned()), peer: None })
}

/// The descriptor that the command sends. What else it has to do it may do then, but not for long.
async fn receive(socket: Stream, mut process: Process) -> io::Result<Descriptor> {
    let (reader, _writer) = socket.into_split();
    let (mut receiver, descriptors) = Receiver::new(reader);
    let mut bytes = [0; 64];
    while receiver.read(&mut bytes).await? > 0 {
        if let Some(descriptor) = descriptors.take(u64::MAX) {
            tokio::spawn(async move { process.stop().await });
            return Ok(descriptor);
        }
    }
    let exit = process.stop().await;
    let problem = exit.as_failure(&process.last_line());
    Err(io::Error::other(format!("it sent no descriptor: {problem}")))
}

/// Lets the command run as long as what is given is there, and a little longer.
fn run(mut process: Process) -> oneshot::Sender<()> {
    let (running, ended) = oneshot::channel();
    tokio::spawn(async move {
        tokio::select! {
            _ = process.wait() => {}
            _ = ended => {
                process.stop().await;
            }
        }
    });
    running
}

/// A stream that a command carries.
struct Proxied {
    stream: Stream,
    /// Dropped with the stream, which ends the command.
    _running: oneshot::Sender<()>,
}

impl AsyncRead for Proxied {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Proxied {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
