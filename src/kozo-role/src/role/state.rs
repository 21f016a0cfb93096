//! What the Role's function, and the halves that read and write for it, share.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::json;
use tokio::sync::{Notify, oneshot, watch};

use super::queue::Queue;
use crate::hear::{Encoded, Peer, Start};
use crate::{Encoding, Error, Level, Message, speak};

/// Bytes beyond which who sends has to wait: what a pipe holds.
const MOST_WAITING: usize = 64 * 1024;

/// Bytes of a buffer that is used again.
const KEPT: usize = 4 * MOST_WAITING;

/// Something that comes from the Node.
#[derive(Clone, Debug)]
pub enum News {
    /// A Message.
    Message(Message),
    /// How the link to a Peer stands; after [`Role::subscribe_peers`](crate::Role::subscribe_peers).
    Peer(Peer),
    /// Files that are written to are to be opened anew, as they may have been moved.
    Reopen,
}

pub(crate) type Answer = Result<Encoded, Error>;

/// A conversation with a Node.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) encoding: Encoding,
    pub(crate) start: Start,
    state: Mutex<State>,
    /// There is something to write, or nothing more will be.
    to_write: Notify,
    /// There is room for what is sent.
    room: Notify,
    /// Something has come.
    arrived: Notify,
    /// More may come.
    to_read: Notify,
    stopped: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    out: Vec<u8>,
    /// An empty buffer, for the next one.
    spare: Vec<u8>,
    /// Nothing more is sent.
    closed: bool,
    /// Why nothing can be sent or asked any more.
    gone: Option<Error>,
    news: Queue,
    /// Nothing more comes.
    ended: bool,
    /// Why it ended although the Role was not to stop.
    lost: Option<Error>,
    last_id: u64,
    asked: HashMap<u64, oneshot::Sender<Answer>>,
}

impl Shared {
    pub(crate) fn new(encoding: Encoding, start: Start) -> Shared {
        Shared {
            encoding,
            start,
            state: Mutex::default(),
            to_write: Notify::new(),
            room: Notify::new(),
            arrived: Notify::new(),
            to_read: Notify::new(),
            stopped: watch::Sender::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes something once there is room for it.
    pub(crate) async fn put<T>(
        &self,
        mut write: impl FnMut(&mut Vec<u8>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        wait(&self.room, || self.try_put(&mut write)).await
    }

    /// Writes something if there is room for it.
    fn try_put<T>(
        &self,
        write: &mut impl FnMut(&mut Vec<u8>) -> Result<T, Error>,
    ) -> Option<Result<T, Error>> {
        let mut state = self.lock();
        if let Some(gone) = &state.gone {
            return Some(Err(gone.clone()));
        }
        if state.out.len() >= MOST_WAITING {
            return None;
        }
        let was_empty = state.out.is_empty();
        let written = write(&mut state.out);
        drop(state);
        if was_empty {
            self.to_write.notify_one();
        }
        Some(written)
    }

    /// Writes something that the Node answers, and waits for the answer.
    pub(crate) async fn ask(
        &self,
        mut write: impl FnMut(&mut Vec<u8>, u64) -> Result<(), Error>,
    ) -> Answer {
        let (id, answer) = {
            let mut state = self.lock();
            state.last_id += 1;
            let (sender, answer) = oneshot::channel();
            let id = state.last_id;
            // Nothing is answered any more once it has ended: then only the sender is dropped.
            if !state.ended {
                state.asked.insert(id, sender);
            }
            (id, answer)
        };
        let asked = Asked { shared: self, id };
        self.put(|out| write(out, id)).await?;
        // The answer may be behind Messages that are not wanted yet.
        self.to_read.notify_one();
        let answer =
            answer.await.unwrap_or_else(|_| Err(Error::Gone("the Role must stop".to_owned())));
        drop(asked);
        answer
    }

    /// The next thing that comes; nothing after the Node has said that the Role is to stop.
    pub(crate) async fn next(&self) -> Option<News> {
        wait(&self.arrived, || {
            let mut state = self.lock();
            match self.pop(&mut state) {
                None if state.ended => Some(None),
                next => next.map(Some),
            }
        })
        .await
    }

    /// The next thing that has come already.
    pub(crate) fn try_next(&self) -> Option<News> {
        self.pop(&mut self.lock())
    }

    fn pop(&self, state: &mut State) -> Option<News> {
        let next = state.news.pop();
        if next.is_some() && state.news.is_empty() {
            self.report_dropped(state);
            self.to_read.notify_one();
        }
        next
    }

    /// Logs, once nothing is read ahead any more, how many Messages were dropped.
    fn report_dropped(&self, state: &mut State) {
        if !state.asked.is_empty() && !state.news.is_empty() {
            return;
        }
        let dropped = state.news.take_dropped();
        if dropped == 0 {
            return;
        }
        let text =
            format!("dropped {dropped} messages that arrived while the role waited for an answer");
        let params = json!({"level": Level::Warning.name(), "text": text});
        // Two texts can always be encoded.
        let _ = speak::call(self.encoding, &mut state.out, "log", None, &params);
        self.to_write.notify_one();
    }

    /// Returns when the Role is to stop.
    pub(crate) async fn stopped(&self) {
        // The sender is here.
        let _ = self.stopped.subscribe().wait_for(|stopped| *stopped).await;
    }

    /// Whether the Node has said that the Role is to stop.
    pub(super) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Why the Node is gone, if it did not say before that the Role is to stop.
    pub(super) fn lost(&self) -> Option<Error> {
        self.lock().lost.clone()
    }

    // For the halves.

    /// Takes all that is to be written; nothing once there will be no more.
    pub(super) async fn take(&self) -> Option<Vec<u8>> {
        let out = wait(&self.to_write, || {
            let mut state = self.lock();
            if state.out.is_empty() {
                return state.closed.then_some(None);
            }
            let spare = std::mem::take(&mut state.spare);
            Some(Some(std::mem::replace(&mut state.out, spare)))
        });
        let out = out.await?;
        self.room.notify_waiters();
        Some(out)
    }

    /// Gives a buffer back whose bytes are written.
    pub(super) fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        if buffer.capacity() <= KEPT {
            self.lock().spare = buffer;
        }
    }

    /// Takes in what has come, and answers what was asked.
    pub(super) fn arrive(&self, news: &mut VecDeque<News>, answers: &mut Vec<(u64, Answer)>) {
        let mut state = self.lock();
        state.news.append(news);
        for (id, answer) in answers.drain(..) {
            if let Some(asked) = state.asked.remove(&id) {
                // Who asked may wait no longer.
                let _ = asked.send(answer);
            }
        }
        self.report_dropped(&mut state);
        drop(state);
        self.arrived.notify_waiters();
    }

    /// Returns when more is to be read: all that has come is taken, or there is an answer to come.
    pub(super) async fn wants_more(&self) {
        wait(&self.to_read, || {
            let state = self.lock();
            (state.news.is_empty() || !state.asked.is_empty()).then_some(())
        })
        .await;
    }

    /// The Role is to stop.
    pub(super) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Nothing more comes, and nothing is answered.
    pub(super) fn end(&self, why: Error) {
        let mut state = self.lock();
        state.ended = true;
        if !self.is_stopped() {
            state.lost = Some(why.clone());
        }
        for (_, asked) in state.asked.drain() {
            let _ = asked.send(Err(why.clone()));
        }
        self.report_dropped(&mut state);
        drop(state);
        self.stop();
        self.arrived.notify_waiters();
    }

    /// Nothing can be sent any more.
    pub(super) fn fail(&self, why: &Error) {
        let mut state = self.lock();
        state.gone.get_or_insert_with(|| why.clone());
        drop(state);
        self.room.notify_waiters();
    }

    /// No more is sent than what waits already.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.to_write.notify_one();
    }
}

/// A request that is forgotten when nothing waits for its answer.
struct Asked<'s> {
    shared: &'s Shared,
    id: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.asked.remove(&self.id);
        self.shared.report_dropped(&mut state);
    }
}

/// Waits until there is something.
async fn wait<T>(changed: &Notify, mut find: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = find() {
            return found;
        }
        let mut notified = pin!(changed.notified());
        // What happens from here on is not missed.
        notified.as_mut().enable();
        if let Some(found) = find() {
            return found;
        }
        notified.await;
    }
}
