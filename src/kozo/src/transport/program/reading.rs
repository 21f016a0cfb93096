//! What the program says: answers, streams that came in, and what it asks for.

use std::sync::Arc;

use rmpv::Value;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tracing::warn;

use super::descriptors::{Descriptors, Receiver};
use super::keys;
use super::requests::{Answer, Connected, Described, ProxyCommand, Refusal, Requests, Waiting};
use super::shared::{Shared, shown};
use crate::local::{Descriptor, ReadHalf};
use crate::process::Owner;
use crate::rpc::journal::{self, Journal};
use crate::rpc::output::object;
use crate::rpc::request::{self, Answered, Asked, Said};
use crate::rpc::{Broken, Encoding, Fault, Input, Part, code};

/// The methods that a Node has for programs.
const METHODS: &str = "accepted, log, status, sign and verify";

/// Addresses of one Transport of a Peer.
const MOST_ADDRESSES: usize = 64;

/// Words of a command.
const MOST_WORDS: usize = 256;

/// Bytes of the longest name of a Peer.
const LONGEST_PEER: usize = crate::config::LONGEST_NAME;

/// Listens to the program.
pub(super) struct Reading<'s> {
    shared: &'s Arc<Shared>,
    requests: &'s Requests,
    lines: mpsc::Sender<Vec<u8>>,
    to_sign: mpsc::Sender<keys::Request>,
    input: Input<Receiver>,
    descriptors: Descriptors,
    journal: Journal,
}

impl<'s> Reading<'s> {
    pub(super) fn new(
        shared: &'s Arc<Shared>,
        requests: &'s Requests,
        lines: mpsc::Sender<Vec<u8>>,
        to_sign: mpsc::Sender<keys::Request>,
        socket: ReadHalf,
    ) -> Reading<'s> {
        let (receiver, descriptors) = Receiver::new(socket);
        let journal = Journal::new(Owner::Transport(shared.setup.name.as_str().into()));
        let input = Input::of_short_lines(receiver);
        Reading { shared, requests, lines, to_sign, input, descriptors, journal }
    }

    /// Takes what the program says until it closes.
    ///
    /// # Errors
    /// When it says something that makes no sense. What is wrong is said to it too.
    pub(super) async fn read(mut self) -> Result<(), String> {
        loop {
            // What it has said already may be much.
            tokio::task::coop::consume_budget().await;
            let told = match self.input.next().await {
                Ok(true) => self.take().await,
                Ok(false) => return Ok(()),
                Err(broken) if broken.is_end() => return Ok(()),
                Err(Broken::Io(error)) => return Err(format!("it cannot be read: {error}")),
                Err(Broken::Fault(fault)) => Err(fault),
            };
            if let Err(fault) = told {
                let text = self.input.described(&fault);
                // Who does not read learns nothing.
                let _ = self.lines.try_send(refusal(fault.id.as_deref(), fault.code, &text));
                return Err(text);
            }
        }
    }

    /// Takes the line that is there.
    async fn take(&mut self) -> Result<(), Fault> {
        let line = self.input.line();
        // Some that send a descriptor send a byte with it that is no part of a line.
        let zeros = line.iter().take_while(|byte| **byte == 0).count();
        let line = Part::new(Encoding::Json, line.get(zeros..).unwrap_or_default())?;
        if line.is_blank() {
            return Ok(());
        }
        match request::read(&line)? {
            Said::Answered(answered) => answer(self, &answered),
            Said::Asked(asked) => {
                let done = carry_out(self.shared, &self.descriptors, self.input.position(), &asked)
                    .map_err(|fault| asked.blame(fault))?;
                let id = asked.id.map(<[u8]>::to_vec);
                self.finish(id, done).await;
                Ok(())
            }
        }
    }

    /// Does the rest of what was asked for, and answers.
    async fn finish(&mut self, id: Option<Vec<u8>>, done: Done) {
        let refused = match done {
            Done::Nothing => None,
            Done::Log(level, text) => {
                self.journal.write(level, text);
                None
            }
            Done::ToSign(task) => match id {
                // There is no answer to it.
                None => return,
                Some(id) => match self.to_sign.try_send(keys::Request { id, task }) {
                    Ok(()) => return,
                    Err(mpsc::error::TrySendError::Full(request)) => {
                        let text = format!("{} signatures are already waiting", keys::WAITING);
                        return self.say(refusal(Some(&request.id), code::REFUSED, &text)).await;
                    }
                    Err(mpsc::error::TrySendError::Closed(_)) => return,
                },
            },
            Done::Refused(text) => {
                if let Some(more) = self.shared.may_complain("refused") {
                    let transport = &*self.shared.setup.name;
                    warn!(transport, "refused an incoming stream: {text}{more}");
                }
                Some(text)
            }
        };
        match (refused, id) {
            (Some(text), id) => self.say(refusal(id.as_deref(), code::REFUSED, &text)).await,
            (None, Some(id)) => {
                let mut line = Vec::new();
                Encoding::Json.answer(&mut line, &id, &object([]));
                self.say(line).await;
            }
            (None, None) => {}
        }
    }

    /// A program that asks and asks and does not listen has to wait.
    async fn say(&self, line: Vec<u8>) {
        // When nothing is written any more, the program is ending.
        let _ = self.lines.send(line).await;
    }
}

fn refusal(id: Option<&[u8]>, code: i32, text: &str) -> Vec<u8> {
    let mut line = Vec::new();
    Encoding::Json.refuse(&mut line, id, code, text);
    line
}

/// What was done of what a program asked for.
enum Done {
    /// All of it.
    Nothing,
    /// This is to be logged.
    Log(journal::Level, String),
    /// This is to be signed or verified.
    ToSign(keys::Task),
    /// It was not done, for this reason, and the program goes on.
    Refused(String),
}

fn carry_out(
    shared: &Shared,
    descriptors: &Descriptors,
    position: u64,
    asked: &Asked<'_>,
) -> Result<Done, Fault> {
    match &*asked.method()? {
        "accepted" => {
            let [address, peer] = asked.pick(["address", "peer"])?;
            let (address, peer) = (address_of(address)?, peer_of(peer)?);
            let taken = descriptors.take(position).ok_or_else(no_descriptor);
            let accepted = taken.and_then(|descriptor| {
                let described = Described { descriptor, address, peer };
                shared.connection(described, &shared.setup.name).map_err(|error| error.to_string())
            });
            Ok(match accepted {
                Ok(connection) => {
                    shared.deliver(connection);
                    Done::Nothing
                }
                Err(text) => Done::Refused(text),
            })
        }
        "log" => journal::log(asked).map(|(level, text)| Done::Log(level, text)),
        "status" => {
            shared.set_status(journal::status(asked)?);
            Ok(Done::Nothing)
        }
        "sign" => keys::sign(asked).map(Done::ToSign),
        "verify" => keys::verify(asked).map(Done::ToSign),
        unknown => Err(asked.unknown(unknown, METHODS)),
    }
}

fn no_descriptor() -> String {
    "it came without a descriptor".to_owned()
}

/// Takes what became of a request.
fn answer(reading: &Reading<'_>, answered: &Answered<'_>) -> Result<(), Fault> {
    let take = || reading.descriptors.take(reading.input.position());
    let id = answered.id.map(|id| id.value()).transpose()?.and_then(|id| id.as_u64());
    let waiting = id.and_then(|id| reading.requests.answered(id));
    let outcome = outcome(answered)?;
    let Some(waiting) = waiting else {
        // It is not wanted any more. Then the descriptor that it has is not for another one.
        if let Some(result) = outcome.ok().filter(Part::is_object) {
            drop(connected(&result, take)?);
        }
        return Ok(());
    };
    let result = match outcome {
        Ok(result) => result,
        Err(refusal) => {
            waiting.refuse(refusal);
            return Ok(());
        }
    };
    match waiting {
        Waiting::Listen(answer) => {
            let [address] = result.pick(["address"], code::INVALID_PARAMS)?;
            give(answer, Ok(address_of(address)?));
        }
        Waiting::CanConnect(answer) => give(answer, Ok(result.truth("the result")?)),
        Waiting::Addresses(answer) => {
            let items = result.items("the result", MOST_ADDRESSES)?;
            let values = items.iter().map(|item| item.value()).collect::<Result<_, _>>()?;
            give(answer, Ok(values));
        }
        Waiting::Connect(answer) => give(answer, connected(&result, take)?),
    }
    Ok(())
}

/// It may be that it is not wanted any more.
fn give<T>(answer: oneshot::Sender<Answer<T>>, given: Answer<T>) {
    let _ = answer.send(given);
}

/// The result, or why there is none.
fn outcome<'a>(answered: &Answered<'a>) -> Result<Answer<Part<'a>>, Fault> {
    let Some(error) = answered.error.and_then(Part::some) else {
        return Ok(answered
            .result
            .ok_or_else(|| Refusal::new("the program's answer has no result")));
    };
    let [code, message] = error.pick(["code", "message"], code::INVALID_REQUEST)?;
    let code = code.map(|code| code.value()).transpose()?.and_then(|code| code.as_i64());
    let message = message.map(|message| message.text("message")).transpose()?;
    let text = message.filter(|text| !text.is_empty()).map(|text| shown(&text));
    Ok(Err(Refusal {
        code,
        text: text.unwrap_or_else(|| "the program refused without a reason".to_owned()),
    }))
}

/// What came of `connect`.
fn connected(
    result: &Part<'_>,
    take: impl FnOnce() -> Option<Descriptor>,
) -> Result<Answer<Connected>, Fault> {
    const NAMES: [&str; 4] = ["address", "peer", "proxyCommand", "proxyUseFdpass"];
    let [address, peer, command, passes] = result.pick(NAMES, code::INVALID_PARAMS)?;
    let (address, peer) = (address_of(address)?, peer_of(peer)?);
    let Some(command) = command.and_then(Part::some) else {
        let stream = take().map(|descriptor| Described { descriptor, address, peer });
        return Ok(stream.map(Connected::Stream).ok_or_else(|| Refusal::new(no_descriptor())));
    };
    let passes = passes.and_then(Part::some);
    let passes_descriptor = passes.map(|passes| passes.truth("proxyUseFdpass")).transpose()?;
    Ok(Ok(Connected::Proxy(ProxyCommand {
        words: words(&command)?,
        passes_descriptor: passes_descriptor.unwrap_or_default(),
        address,
    })))
}

/// The words of a command, of which one text is for the shell.
fn words(command: &Part<'_>) -> Result<Vec<String>, Fault> {
    const NAME: &str = "proxyCommand";
    if let Value::String(_) = command.value()? {
        let text = command.text(NAME)?.into_owned();
        return Ok(vec!["/bin/sh".to_owned(), "-c".to_owned(), text]);
    }
    let words = command.items(NAME, MOST_WORDS)?;
    if words.is_empty() {
        return Err(command.fault(code::INVALID_PARAMS, "proxyCommand has no words"));
    }
    words.iter().map(|word| Ok(word.text("a word of proxyCommand")?.into_owned())).collect()
}

fn address_of(part: Option<Part<'_>>) -> Result<Option<String>, Fault> {
    let text = part.and_then(Part::some).map(|part| part.text("address")).transpose()?;
    Ok(text.filter(|text| !text.is_empty()).map(|text| shown(&text)))
}

fn peer_of(part: Option<Part<'_>>) -> Result<Option<String>, Fault> {
    let Some(part) = part.and_then(Part::some) else { return Ok(None) };
    let name = part.text("peer")?;
    if name.is_empty() || name.len() > LONGEST_PEER {
        let text = format!("the name of a peer has 1 to {LONGEST_PEER} bytes");
        return Err(part.fault(code::INVALID_PARAMS, text));
    }
    Ok(Some(name.into_owned()))
}
