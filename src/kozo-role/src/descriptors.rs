//! The descriptors that a program has from its Node, taken without `unsafe`.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream as StdUnixStream;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

/// Where what the Node says comes from.
pub(crate) type Reader = Box<dyn AsyncRead + Send + Unpin>;
/// Where what it is told goes.
pub(crate) type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// The lowest number that a descriptor of ours may have.
const FIRST: RawFd = 3;

/// Takes standard input and output for the Node. From here on what the program reads there is nothing, and what it prints goes
/// where its errors go.
///
/// # Errors
/// When they are neither pipes nor sockets.
pub(crate) fn standard() -> io::Result<(Reader, Writer)> {
    let input = fcntl_dupfd_cloexec(io::stdin(), FIRST)?;
    let output = fcntl_dupfd_cloexec(io::stdout(), FIRST)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok((reader(input)?, writer(output)?))
}

fn reader(input: OwnedFd) -> io::Result<Reader> {
    match is_socket(&input) {
        true => Ok(Box::new(stream(input)?)),
        false => Ok(Box::new(pipe::Receiver::from_owned_fd(input)?)),
    }
}

fn writer(output: OwnedFd) -> io::Result<Writer> {
    match is_socket(&output) {
        true => Ok(Box::new(stream(output)?)),
        false => Ok(Box::new(pipe::Sender::from_owned_fd(output)?)),
    }
}

fn is_socket(descriptor: &OwnedFd) -> bool {
    rustix::net::sockopt::socket_type(descriptor).is_ok()
}

fn stream(socket: OwnedFd) -> io::Result<UnixStream> {
    let stream = StdUnixStream::from(socket);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// Takes the socket that is this descriptor of the process.
///
/// # Errors
/// When it is no socket of the kind that a Node gives to a Transport.
pub(crate) fn take_socket(number: RawFd) -> io::Result<UnixStream> {
    let socket = duplicate(&number)?;
    let is_ours = rustix::net::sockopt::socket_domain(&socket)
        == Ok(rustix::net::AddressFamily::UNIX)
        && rustix::net::sockopt::socket_type(&socket) == Ok(rustix::net::SocketType::STREAM);
    if !is_ours {
        let text = format!("descriptor {number} is not a Unix socket for a stream");
        return Err(io::Error::other(text));
    }
    // Programs that this one starts are not to have it.
    nix::unistd::close(number)?;
    stream(socket)
}

/// Another descriptor of what a library knows by its number only.
///
/// A number cannot be made an [`OwnedFd`] without `unsafe`, but it can be sent over a socket, and what comes out at the other end is
/// one. The system calls for that are allowed to every program of a Node, which those that would be shorter (`pidfd_getfd`) are not.
///
/// # Errors
/// When there is no such descriptor, or no room for another one.
pub fn duplicate(of: &impl AsRawFd) -> io::Result<OwnedFd> {
    let (here, there) = StdUnixStream::pair()?;
    let bytes = [io::IoSlice::new(b".")];
    let rights = [ControlMessage::ScmRights(&[of.as_raw_fd()])];
    sendmsg::<()>(here.as_raw_fd(), &bytes, &rights, MsgFlags::empty(), None)?;
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(
        &there,
        &mut [io::IoSliceMut::new(&mut byte)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(descriptors.next().ok_or(io::ErrorKind::NotFound)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::fd::IntoRawFd as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[test]
    fn a_socket_is_taken_by_its_number_and_closed_with_what_took_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let (node, program) = StdUnixStream::pair().unwrap();
        let number = program.into_raw_fd();
        runtime.block_on(async {
            let mut taken = take_socket(number).unwrap();
            assert!(
                rustix::io::fcntl_getfd(&taken).unwrap().contains(rustix::io::FdFlags::CLOEXEC)
            );
            taken.write_all(b"here").await.unwrap();
            drop(taken);
            let mut node = stream(node.into()).unwrap();
            let mut said = String::new();
            // It ends, so there is no other one left.
            node.read_to_string(&mut said).await.unwrap();
            assert_eq!(said, "here");
        });
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let file = File::open("/dev/null").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let error = take_socket(file.as_raw_fd()).unwrap_err();
            assert!(error.to_string().contains("is not a Unix socket"), "{error}");
            assert!(take_socket(987_654).is_err());
        });
        rustix::io::fcntl_getfd(&file).unwrap();
    }
}
