//! What the Node asks of a program, until it is answered or not wanted any more.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rmpv::Value;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::local::Descriptor;
use crate::rpc::Encoding;
use crate::rpc::output::object;

/// Requests that are under way at once.
const MOST: usize = 64;

/// Lines that may wait for the program to read them.
pub(super) const LINES: usize = 256;

/// How long a program has to say whether and where it can connect.
const SHORT: Duration = Duration::from_secs(5);

/// How long it has until it listens.
const LISTEN: Duration = Duration::from_secs(30);

/// Why nothing came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Its code, if the program has said it.
    pub(super) code: Option<i64>,
    /// Why, for people.
    pub(super) text: String,
}

impl Refusal {
    /// What the Node finds.
    pub(super) fn new(text: impl Into<String>) -> Refusal {
        Refusal { code: None, text: text.into() }
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> io::Error {
        io::Error::other(refusal.text)
    }
}

/// What came of a request.
pub(super) type Answer<T> = Result<T, Refusal>;

/// What a program gives for a connection.
#[derive(Debug)]
pub(super) enum Connected {
    /// The stream itself.
    Stream(Described),
    /// A command to be run, whose input and output are the stream.
    Proxy(ProxyCommand),
}

/// A stream, and what is said of it.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) descriptor: Descriptor,
    pub(super) address: Option<String>,
    pub(super) peer: Option<String>,
}

/// A command that makes a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ProxyCommand {
    /// The program and its arguments.
    pub(super) words: Vec<String>,
    /// Whether it gives a descriptor instead of carrying the bytes itself.
    pub(super) passes_descriptor: bool,
    /// Where it leads, for people.
    pub(super) address: Option<String>,
}

/// A request that is not answered, by what its answer has to be.
#[derive(Debug)]
pub(super) enum Waiting {
    Listen(oneshot::Sender<Answer<Option<String>>>),
    CanConnect(oneshot::Sender<Answer<bool>>),
    Addresses(oneshot::Sender<Answer<Vec<Value>>>),
    Connect(oneshot::Sender<Answer<Connected>>),
}

impl Waiting {
    /// Nothing comes of it. One that is not wanted any more does not hear of it.
    pub(super) fn refuse(self, refusal: Refusal) {
        match self {
            Waiting::Listen(answer) => drop(answer.send(Err(refusal))),
            Waiting::CanConnect(answer) => drop(answer.send(Err(refusal))),
            Waiting::Addresses(answer) => drop(answer.send(Err(refusal))),
            Waiting::Connect(answer) => drop(answer.send(Err(refusal))),
        }
    }
}

/// The requests to one run of a program.
#[derive(Debug)]
pub(super) struct Requests {
    lines: mpsc::Sender<Vec<u8>>,
    next: AtomicU64,
    /// By id; nothing once the program has gone.
    waiting: Mutex<Option<HashMap<u64, Waiting>>>,
    places: Semaphore,
}

impl Requests {
    /// Of a program that gets what is sent here, line by line.
    pub(super) fn new(lines: mpsc::Sender<Vec<u8>>) -> Requests {
        let (waiting, places) = (Mutex::new(Some(HashMap::new())), Semaphore::new(MOST));
        Requests { lines, next: AtomicU64::new(1), waiting, places }
    }

    /// Lets it listen. The answer is where it does, for people.
    pub(super) async fn listen(&self) -> Answer<Option<String>> {
        self.ask("listen", object([]), LISTEN, Waiting::Listen).await
    }

    /// Whether it can connect to this Transport of a Peer. One that does not know the question can.
    pub(super) async fn can_connect(&self, target: Value) -> Answer<bool> {
        let answer = self.ask("canConnect", target, SHORT, Waiting::CanConnect).await;
        unless_unknown(answer, true)
    }

    /// Where to connect to. One that does not know the question has one address, null.
    pub(super) async fn addresses(&self, target: Value) -> Answer<Vec<Value>> {
        let answer = self.ask("addresses", target, SHORT, Waiting::Addresses).await;
        unless_unknown(answer, vec![Value::Nil])
    }

    /// Lets it connect, within this time.
    pub(super) async fn connect(&self, params: Value, limit: Duration) -> Answer<Connected> {
        self.ask("connect", params, limit, Waiting::Connect).await
    }

    /// Takes the request of this id, which is answered.
    pub(super) fn answered(&self, id: u64) -> Option<Waiting> {
        self.lock().as_mut()?.remove(&id)
    }

    /// Ends all of them: the program is gone.
    pub(super) fn close(&self) {
        let all = self.lock().take();
        for waiting in all.into_iter().flat_map(HashMap::into_values) {
            waiting.refuse(gone());
        }
    }

    async fn ask<T>(
        &self,
        method: &str,
        params: Value,
        limit: Duration,
        waiting: impl FnOnce(oneshot::Sender<Answer<T>>) -> Waiting,
    ) -> Answer<T> {
        let _place = self.places.acquire().await.map_err(|_| gone())?;
        let (answer, answered) = oneshot::channel();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().as_mut().ok_or_else(gone)?.insert(id, waiting(answer));
        let unanswered = Unanswered { requests: self, id };
        let mut line = Vec::new();
        Encoding::Json.request(&mut line, id, method, &params);
        self.lines.try_send(line).map_err(|_| Refusal::new("the program does not read"))?;
        let answer = timeout(limit, answered).await;
        drop(unanswered);
        match answer {
            Ok(answer) => answer.unwrap_or_else(|_| Err(gone())),
            Err(_) => {
                let seconds = limit.as_secs();
                Err(Refusal::new(format!(
                    "the program did not answer '{method}' within {seconds} s"
                )))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<u64, Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the program that an answer is not wanted any more, unless it has come.
struct Unanswered<'r> {
    requests: &'r Requests,
    id: u64,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if self.requests.answered(self.id).is_some() {
            let mut line = Vec::new();
            Encoding::Json.notify(&mut line, "cancel", &object([("id", self.id.into())]));
            // Where there is no room, the program does not read what it is asked either.
            let _ = self.requests.lines.try_send(line);
        }
    }
}

fn gone() -> Refusal {
    Refusal::new("the program has ended")
}

fn unless_unknown<T>(answer: Answer<T>, otherwise: T) -> Answer<T> {
    match answer {
        Err(refusal) if refusal.code == Some(crate::rpc::code::NO_METHOD.into()) => Ok(otherwise),
        answer => answer,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn requests() -> (Arc<Requests>, mpsc::Receiver<Vec<u8>>) {
        let (lines, sent) = mpsc::channel(LINES);
        (Arc::new(Requests::new(lines)), sent)
    }

    async fn next(sent: &mut mpsc::Receiver<Vec<u8>>) -> serde_json::Value {
        serde_json::from_slice(&sent.recv().await.unwrap()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_wanted_any_more_is_cancelled() {
        let (requests, mut sent) = requests();
        let answer = requests.connect(object([]), Duration::from_secs(7)).await.unwrap_err();
        assert_eq!(answer.text, "the program did not answer 'connect' within 7 s");
        let id = next(&mut sent).await["id"].clone();
        let cancel = next(&mut sent).await;
        assert_eq!((cancel["method"].as_str(), &cancel["params"]["id"]), (Some("cancel"), &id));
        assert!(requests.answered(id.as_u64().unwrap()).is_none());
        let dropped = Box::pin(requests.connect(object([]), Duration::from_secs(7)));
        assert!(timeout(Duration::from_secs(1), dropped).await.is_err());
        assert_eq!(next(&mut sent).await["method"], "connect");
        assert_eq!(next(&mut sent).await["method"], "cancel");
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_does_not_know_a_question_can_connect() {
        let (requests, mut sent) = requests();
        let asking = tokio::spawn({
            let requests = Arc::clone(&requests);
            async move { requests.can_connect(object([])).await }
        });
        let id = next(&mut sent).await["id"].as_u64().unwrap();
        let refusal = Refusal { code: Some(-32601), text: "no".to_owned() };
        requests.answered(id).unwrap().refuse(refusal);
        assert_eq!(asking.await.unwrap(), Ok(true));
        assert!(sent.try_recv().is_err(), "what is answered is not cancelled");
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_are_under_way_at_once_and_all_end_with_the_program() {
        let (requests, mut sent) = requests();
        let ask = || {
            let requests = Arc::clone(&requests);
            tokio::spawn(
                async move { requests.connect(object([]), LISTEN).await.unwrap_err().text },
            )
        };
        let asking: Vec<_> = (0..=MOST).map(|_| ask()).collect();
        for _ in 0..MOST {
            next(&mut sent).await;
        }
        tokio::task::yield_now().await;
        assert!(sent.try_recv().is_err(), "one has to wait");
        requests.close();
        for ended in asking {
            assert_eq!(ended.await.unwrap(), "the program has ended");
        }
    }
}
