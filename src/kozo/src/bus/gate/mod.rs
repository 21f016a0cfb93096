//! What stands between a socket and zbus, which would read everything as fast as it comes.
//!
//! A call gets in when there is room for it in what its user may have the Node keep ([`Accounts`]), and counts
//! until its answer is written. On the control socket it waits until there is: its user's own
//! connection is not read meanwhile. On the bus, where all have one connection, it is refused. The body
//! of a call is read only then; of more than [`SMALL`] bytes only if its user may send Messages.

mod authenticator;
mod handshake;
mod head;
mod input;
mod ledger;
mod output;

use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tracing::debug;
use zbus::address::Transport;
use zbus::address::transport::UnixSocket;
use zbus::connection::Builder;
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::export::async_trait::async_trait;
use zbus::fdo::ConnectionCredentials;
use zbus::{Address, Message};

pub(super) use authenticator::{Authenticator, Callers};
use handshake::Handshake;
use head::Head;
use input::Input;
use ledger::{Ledger, Open};
use output::Output;

use super::access::Action;
use super::accounts::{Accounts, Held, Share};
use super::error::Error;
use crate::local::Stream;
use crate::message::MAX_MESSAGE;

/// Most bytes of a call whose caller may not send Messages.
pub(super) const SMALL: usize = 256 * 1024;

/// Most bytes of any call: the largest Message, and what is said about it.
const LARGE: usize = MAX_MESSAGE + 64 * 1024;

/// A call counts as this many KiB at least: it takes a task, and more than its own bytes.
const LEAST_KIB: u32 = 16;

/// Most calls of one connection to the control socket that are not answered yet.
const CALLS: usize = 8;

/// How long a client of the control socket may leave an answer unread, or a call half sent.
const PATIENCE: Duration = Duration::from_secs(30);

/// Refusals that wait to be sent.
const REFUSALS: usize = 4;

/// A socket whose calls are counted.
pub(super) struct Gate {
    reader: Reader,
    writer: Writer,
}

impl Gate {
    /// In front of this socket. Also returns the refusals to be sent on the connection that is made of it.
    pub(super) fn new(
        socket: Stream,
        authenticator: Authenticator,
        accounts: &Arc<Accounts>,
    ) -> (Gate, mpsc::Receiver<Message>) {
        let socket = Arc::new(socket);
        let patience = authenticator.is_of_one().then_some(PATIENCE);
        let (refusals, to_send) = mpsc::channel(REFUSALS);
        let ledger = Arc::<Ledger>::default();
        let writer = Writer {
            output: Output { socket: Arc::clone(&socket), patience },
            ledger: Arc::clone(&ledger),
            accounts: Arc::clone(accounts),
            by_sender: !authenticator.is_of_one(),
        };
        let reader = Reader {
            input: Input { socket, patience, ahead: Vec::new() },
            handshake: authenticator.is_of_one().then(Handshake::default),
            authenticator,
            accounts: Arc::clone(accounts),
            ledger,
            permits: Arc::new(Semaphore::new(CALLS)),
            refusals,
        };
        (Gate { reader, writer }, to_send)
    }
}

impl Socket for Gate {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        Split::new(self.reader, self.writer)
    }
}

/// Connects to the bus at this address.
pub(super) async fn connect(
    address: &Address,
    authenticator: Authenticator,
    accounts: &Arc<Accounts>,
) -> zbus::Result<(Builder<'static>, mpsc::Receiver<Message>)> {
    let Transport::Unix(unix) = address.transport() else { return Err(zbus::Error::Unsupported) };
    let address = match unix.path() {
        UnixSocket::File(path) => SocketAddr::from_pathname(path)?,
        UnixSocket::Abstract(name) => SocketAddr::from_abstract_name(name.as_encoded_bytes())?,
        _ => return Err(zbus::Error::Unsupported),
    };
    // The other end is on this machine, and takes it at once or has too many waiting.
    let socket = Stream::of(UnixStream::connect_addr(&address)?)?;
    let (gate, to_send) = Gate::new(socket, authenticator, accounts);
    Ok((Builder::socket(gate), to_send))
}

/// What the gate does with a message.
enum Verdict {
    /// zbus gets it, and it holds this until it is answered.
    Take(Vec<Held>),
    /// It is dropped.
    Skip,
    Refuse(Error),
}

/// The half that is read.
#[derive(Debug)]
pub(super) struct Reader {
    input: Input,
    /// What a client says first, where it is not the bus that says it.
    handshake: Option<Handshake>,
    authenticator: Authenticator,
    accounts: Arc<Accounts>,
    ledger: Arc<Ledger>,
    /// Bounds the open calls of this connection, where it is one user's.
    permits: Arc<Semaphore>,
    refusals: mpsc::Sender<Message>,
}

impl Reader {
    /// Decides about a call.
    async fn judge(&self, head: &Head, sender: Option<&str>) -> Verdict {
        let Some(user) = self.authenticator.user(sender).await else { return Verdict::Skip };
        let size = head.size();
        if size > LARGE {
            return Verdict::Refuse(Error::MessageTooLarge(format!(
                "this call has {size} bytes; at most {LARGE} are allowed"
            )));
        }
        if size > SMALL && !self.authenticator.is_admitted(sender, user).await {
            return Verdict::Refuse(Error::NotAllowed(format!(
                "more than {SMALL} bytes at a time are taken only from who has the polkit action {} \
                 without a password prompt",
                Action::Inject.id()
            )));
        }
        let kib = u32::try_from(size / 1024).unwrap_or(u32::MAX).max(LEAST_KIB);
        let mut held = Vec::with_capacity(2);
        for (share, count) in [(Share::Calls, self.accounts.weight()), (Share::Kib, kib)] {
            let taken = match self.authenticator.is_of_one() {
                true => self.accounts.take(user, share, count).await,
                false => self.accounts.try_take(user, share, count),
            };
            let Some(taken) = taken else { return Verdict::Refuse(too_much()) };
            held.push(taken);
        }
        Verdict::Take(held)
    }

    /// Reads messages until there is one for zbus, whose head is put back. Gives its sender and serial
    /// where it is a call.
    async fn next(&mut self) -> zbus::Result<Option<(Option<String>, u32)>> {
        loop {
            // Before anything is read of a call.
            let permit = match self.authenticator.is_of_one() {
                true => Some(Arc::clone(&self.permits).acquire_owned().await),
                false => None,
            };
            let permit =
                permit.transpose().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            let mut head = Head::read(&mut self.input).await?;
            let (sender, has_descriptors) = head.fields();
            // All are of one, and that one may write there what it likes.
            let sender = sender.filter(|_| !self.authenticator.is_of_one());
            let verdict = match head.is_call {
                _ if head.is_unreadable => Verdict::Skip,
                // They are dropped already, and zbus would miss them.
                true if has_descriptors => Verdict::Refuse(Error::InvalidArgument(
                    "a file descriptor cannot be sent".to_owned(),
                )),
                false if has_descriptors => Verdict::Skip,
                true => self.judge(&head, sender.as_deref()).await,
                // Answers to our calls, and signals that we asked for: nothing else has a reason to come.
                false if head.size() <= SMALL && !self.authenticator.is_of_one() => {
                    self.input.put_back(std::mem::take(&mut head.bytes));
                    return Ok(None);
                }
                false => Verdict::Skip,
            };
            match verdict {
                Verdict::Take(held) => {
                    let open = Open { is_silent: head.is_silent, _held: held, _permit: permit };
                    if self.ledger.begin(sender.clone(), head.serial, open) {
                        head.want_answer();
                        self.input.put_back(std::mem::take(&mut head.bytes));
                        return Ok(Some((sender, head.serial)));
                    }
                    // Two calls with one serial: their caller could not tell the answers apart.
                    self.input.skip(head.rest).await?;
                }
                Verdict::Skip => self.input.skip(head.rest).await?,
                Verdict::Refuse(error) => {
                    self.input.skip(head.rest).await?;
                    if !head.is_silent {
                        let refusal = head.refusal(sender.as_deref(), &error)?;
                        // This fails only when the connection ends.
                        let _ = self.refusals.send(refusal).await;
                    }
                }
            }
        }
    }
}

fn too_much() -> Error {
    Error::LimitsExceeded("too many calls of yours, or of all users, are unanswered".to_owned())
}

#[async_trait]
impl ReadHalf for Reader {
    async fn receive_message(
        &mut self,
        seq: u64,
        already_received: &mut Vec<u8>,
        _: &mut Vec<OwnedFd>,
    ) -> zbus::Result<Message> {
        self.input.put_back(std::mem::take(already_received));
        loop {
            let call = self.next().await?;
            let received = self.input.receive_message(seq, &mut Vec::new(), &mut Vec::new()).await;
            match received {
                // On the bus one who sends what zbus cannot read must not end it for all.
                Err(problem) if !matches!(problem, zbus::Error::InputOutput(_)) => {
                    debug!("a message was not understood: {problem}");
                    if self.authenticator.is_of_one() {
                        return Err(problem);
                    }
                    if let Some((sender, serial)) = call {
                        self.ledger.strike(sender, serial);
                    }
                }
                received => return received,
            }
        }
    }

    /// Only for the first words; messages are read by `receive_message`.
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let count = self.input.read(buffer).await?;
        if let Some(handshake) = &mut self.handshake {
            handshake.look(buffer.get(..count).unwrap_or_default())?;
        }
        Ok((count, Vec::new()))
    }

    fn can_pass_unix_fd(&self) -> bool {
        // Descriptors go out, and those that come in are dropped unseen: D-Bus knows only both or none.
        true
    }

    async fn peer_credentials(&mut self) -> io::Result<ConnectionCredentials> {
        self.input.peer_credentials().await
    }
}

/// The half that is written.
#[derive(Debug)]
pub(super) struct Writer {
    output: Output,
    ledger: Arc<Ledger>,
    accounts: Arc<Accounts>,
    by_sender: bool,
}

#[async_trait]
impl WriteHalf for Writer {
    async fn send_message(&mut self, message: &Message) -> zbus::Result<()> {
        let answered = self.ledger.end(message, self.by_sender);
        if let Some(call) = &answered {
            self.accounts.note_answer(message.data().len());
            if call.is_silent {
                return Ok(());
            }
        }
        // What it answers counts until this is written.
        self.output.send_message(message).await
    }

    async fn sendmsg(
        &mut self,
        buffer: &[u8],
        fds: &[std::os::fd::BorrowedFd<'_>],
    ) -> io::Result<usize> {
        self.output.sendmsg(buffer, fds).await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.output.close().await
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }

    async fn peer_credentials(&mut self) -> io::Result<ConnectionCredentials> {
        self.output.peer_credentials().await
    }
}
