//! What a Node says to a Transport, and doing it.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncRead;
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use super::channel::cut;
use super::{Channel, Connection, Node, Start, Target, Transport};
use crate::input::Input;
use crate::{Encoding, Error, Failure};

/// The code of JSON-RPC for a method that there is not.
const NO_METHOD: i64 = -32601;

/// The code for parameters that make no sense.
const INVALID_PARAMS: i64 = -32602;

/// The code for what did not come about.
pub(super) const FAILED: i64 = -32000;

/// A line of the Node.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    method: Option<String>,
    id: Option<Value>,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    result: Value,
    error: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    code: i64,
    message: String,
}

/// What `connect` is asked for.
#[derive(Debug, Deserialize)]
struct Attempt {
    #[serde(flatten)]
    target: Target,
    #[serde(default)]
    address: Value,
}

/// Requests under way, by their ids, as JSON. What is dropped here is cancelled.
type UnderWay = Rc<RefCell<HashMap<String, oneshot::Sender<()>>>>;

/// What the Node says, line by line.
pub(super) struct Lines<R> {
    input: Input<R>,
    /// Lines that came while the Transport was built, and are to be done after that.
    kept: VecDeque<Line>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R) -> Lines<R> {
        Lines { input: Input::new(reader, Some(Encoding::Json)), kept: VecDeque::new() }
    }

    /// Reads what the Transport is told when it starts; nothing if the Node closes before.
    pub(super) async fn start(&mut self) -> Result<Option<Start>, Error> {
        let Some(line) = self.read().await? else { return Ok(None) };
        if line.method.as_deref() != Some("start") {
            return Err(Error::Protocol("its first line was not `start`".to_owned()));
        }
        let start = serde_json::from_value(line.params);
        start.map(Some).map_err(|error| Error::Protocol(format!("`start`: {error}")))
    }

    /// What building a Transport gives, to which the Node's answers are passed on meanwhile; nothing if the Node says before that
    /// the Transport is to stop, or closes.
    pub(super) async fn while_building<T>(
        &mut self,
        building: impl Future<Output = Result<T, Failure>>,
        channel: &Channel,
    ) -> Result<Option<T>, Failure> {
        let mut building = pin!(building);
        loop {
            match first(building.as_mut(), self.read()).await {
                First::One(built) => return built.map(Some),
                First::Other(line) => match line? {
                    None => return Ok(None),
                    Some(line) if line.method.as_deref() == Some("stop") => return Ok(None),
                    Some(line) if line.is_answer() => line.pass_on(channel),
                    Some(line) => self.kept.push_back(line),
                },
            }
        }
    }

    async fn next(&mut self) -> Result<Option<Line>, Error> {
        match self.kept.pop_front() {
            Some(line) => Ok(Some(line)),
            None => self.read().await,
        }
    }

    /// Cancel safe.
    async fn read(&mut self) -> Result<Option<Line>, Error> {
        while let Some(line) = self.input.line().await? {
            if !line.trim_ascii().is_empty() {
                let line = serde_json::from_slice(&line);
                return line.map(Some).map_err(|error| Error::Protocol(error.to_string()));
            }
        }
        Ok(None)
    }
}

impl Line {
    fn is_answer(&self) -> bool {
        self.method.is_none() && self.id.is_some()
    }

    /// Gives the answer to what asked for it.
    fn pass_on(self, channel: &Channel) {
        let refused =
            self.error.map(|Refusal { code, message }| Error::Refused { code, text: message });
        let id = self.id.and_then(|id| id.as_u64()).unwrap_or_default();
        channel.answered(id, refused.map_or(Ok(self.result), Err));
    }
}

/// Does what the Node asks for until it says that the Transport is to stop, or closes.
pub(super) async fn serve<R: AsyncRead + Unpin, T: Transport>(
    transport: Rc<T>,
    node: Node,
    channel: Rc<Channel>,
    mut lines: Lines<R>,
) -> Result<(), Error> {
    let under_way = UnderWay::default();
    while let Some(line) = lines.next().await? {
        if line.is_answer() {
            line.pass_on(&channel);
            continue;
        }
        match (line.method.as_deref(), line.id) {
            (Some("stop"), _) => break,
            (Some("cancel"), _) => {
                let id = line.params.get("id").map(Value::to_string).unwrap_or_default();
                under_way.borrow_mut().remove(&id);
            }
            (Some(method), Some(id)) => {
                let (going_on, cancelled) = oneshot::channel();
                under_way.borrow_mut().insert(id.to_string(), going_on);
                let request = Request {
                    transport: Rc::clone(&transport),
                    node: node.clone(),
                    channel: Rc::clone(&channel),
                    under_way: Rc::clone(&under_way),
                };
                spawn_local(request.serve(method.to_owned(), id, line.params, cancelled));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a request needs.
struct Request<T> {
    transport: Rc<T>,
    node: Node,
    channel: Rc<Channel>,
    under_way: UnderWay,
}

/// What became of a request.
enum Outcome {
    Result(Value),
    Connected(Connection),
    Refused(i64, String),
}

impl<T: Transport> Request<T> {
    async fn serve(
        self,
        method: String,
        id: Value,
        params: Value,
        cancelled: oneshot::Receiver<()>,
    ) {
        let outcome = unless(self.carry_out(&method, params), cancelled).await;
        self.under_way.borrow_mut().remove(&id.to_string());
        let told = match outcome {
            None => Ok(()),
            Some(Outcome::Result(result)) => self.channel.answer(&id, result, None).await,
            Some(Outcome::Refused(code, text)) => self.channel.refuse(&id, code, &text).await,
            Some(Outcome::Connected(connection)) => {
                let (result, socket) = match connection {
                    Connection::Stream(stream) => {
                        let (result, socket) = stream.into_parts();
                        (result, Some(socket))
                    }
                    Connection::Command(words) => (json!({"proxyCommand": words}), None),
                    Connection::FdpassCommand(words) => {
                        (json!({"proxyCommand": words, "proxyUseFdpass": true}), None)
                    }
                };
                self.channel.answer(&id, result, socket).await
            }
        };
        // Any other error means that the Node has gone: reading says so too.
        if let Err(error @ Error::Encode(_)) = told {
            let _ = self.channel.refuse(&id, FAILED, &error.to_string()).await;
        }
    }

    async fn carry_out(&self, method: &str, params: Value) -> Outcome {
        let Request { transport, node, .. } = self;
        match method {
            "listen" => {
                let told = |address: Option<String>| match address {
                    Some(address) => json!({"address": cut(&address)}),
                    None => json!({}),
                };
                outcome(transport.listen(node).await.map(told))
            }
            "canConnect" => match parsed::<Target>(params) {
                Ok(to) => outcome(transport.can_connect(node, &to).await.map(Value::from)),
                Err(refused) => refused,
            },
            "addresses" => match parsed::<Target>(params) {
                Ok(to) => outcome(transport.addresses(node, &to).await.map(Value::from)),
                Err(refused) => refused,
            },
            "connect" => match parsed::<Attempt>(params) {
                Ok(Attempt { target, address }) => {
                    match transport.connect(node, &target, &address).await {
                        Ok(connection) => Outcome::Connected(connection),
                        Err(error) => Outcome::Refused(FAILED, error.to_string()),
                    }
                }
                Err(refused) => refused,
            },
            other => Outcome::Refused(NO_METHOD, format!("there is no method '{other}'")),
        }
    }
}

fn parsed<P: for<'a> Deserialize<'a>>(params: Value) -> Result<P, Outcome> {
    serde_json::from_value(params)
        .map_err(|error| Outcome::Refused(INVALID_PARAMS, error.to_string()))
}

fn outcome(result: Result<Value, Failure>) -> Outcome {
    match result {
        Ok(result) => Outcome::Result(result),
        Err(error) => Outcome::Refused(FAILED, error.to_string()),
    }
}

/// What a future gives, unless it is cancelled before.
async fn unless<T>(future: impl Future<Output = T>, cancelled: oneshot::Receiver<()>) -> Option<T> {
    match first(cancelled, future).await {
        First::One(_) => None,
        First::Other(output) => Some(output),
    }
}

/// What the first one of two futures gave.
enum First<A, B> {
    One(A),
    Other(B),
}

/// What the first one of two futures gives; the one before the other where both do.
async fn first<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> First<A, B> {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|context| match one.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(First::One(output)),
        Poll::Pending => other.as_mut().poll(context).map(First::Other),
    })
    .await
}
