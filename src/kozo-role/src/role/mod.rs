//! Roles.

mod attach;
mod halves;
mod program;
mod queue;
mod state;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use program::Program;
pub use state::News;
use state::Shared;

use crate::message::{Draft, Message};
use crate::{Description, Encoding, Error, Level, Pattern, speak};

/// This program, as a Role of a Node. Clones are the same one, and any thread may have them.
#[derive(Clone, Debug)]
pub struct Role {
    shared: Arc<Shared>,
}

/// What became of a Message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Sent {
    /// Its number among the Messages of this run of the Node.
    pub sequence: u64,
    /// For how many Roles of this Node it was queued.
    pub roles: u64,
    /// For how many Peers it was queued.
    pub peers: u64,
    /// How many Peers want it and cannot be reached.
    pub unreachable: u64,
}

impl Role {
    /// A program that is a type of Roles.
    pub fn describe(description: Description) -> Program {
        Program::new(description)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.start.role
    }

    /// The name of its Node.
    pub fn node(&self) -> &str {
        &self.shared.start.node
    }

    /// Its type.
    pub fn role_type(&self) -> &str {
        &self.shared.start.role_type
    }

    /// Its options, with the defaults of those that the configuration does not have: a struct with a field for each, or a map.
    ///
    /// # Errors
    /// When they do not fit: the description says something else.
    pub fn options<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let options = Value::Object(self.shared.start.options.clone());
        serde_json::from_value(options)
            .map_err(|error| Error::Decode(format!("the options: {error}")))
    }

    /// The options of the top level of the configuration.
    pub fn configuration(&self) -> &Map<String, Value> {
        &self.shared.start.config
    }

    /// The public keys of all Nodes, in OpenSSH's format, by their names.
    pub fn keys(&self) -> &BTreeMap<String, String> {
        &self.shared.start.keys
    }

    /// The value that [`store`](Role::store) has stored last, before this run of the program.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn stored<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        self.shared.start.stored.as_ref().map(|stored| stored.decode()).transpose()
    }

    /// The next Message that the Role wants; nothing once it is to stop. What else comes is left out. Cancel safe.
    pub async fn receive(&self) -> Option<Message> {
        loop {
            if let News::Message(message) = self.shared.next().await? {
                return Some(message);
            }
        }
    }

    /// A Message that has come already.
    pub fn try_receive(&self) -> Option<Message> {
        loop {
            if let News::Message(message) = self.shared.try_next()? {
                return Some(message);
            }
        }
    }

    /// The next Message or other piece of news; nothing once the Role is to stop. Cancel safe.
    pub async fn next(&self) -> Option<News> {
        self.shared.next().await
    }

    /// Returns when the Role is to stop: it has about a second then. Is known when what came before it was received.
    pub async fn stopped(&self) {
        self.shared.stopped().await;
    }

    /// Sends a Message, and does not wait for what becomes of it: what the Node refuses is in its journal. Waits while more
    /// waits to be written than a pipe holds, as when others are slow. It is written when the program next waits for something.
    ///
    /// # Errors
    /// When its data cannot be encoded, is larger than the 16 MiB of the largest Message, or the Node is gone.
    pub async fn send<T: Serialize + ?Sized>(&self, draft: Draft<'_, T>) -> Result<(), Error> {
        let encoding = self.shared.encoding;
        self.shared.put(|out| speak::send(encoding, out, None, &draft)).await
    }

    /// Sends a Message, and waits until the Node has said for how many it was queued. Meanwhile up to 1024 Messages and 4 MiB of
    /// them are read ahead; beyond that the oldest are dropped, and the journal says how many.
    ///
    /// # Errors
    /// When it is refused too.
    pub async fn send_confirmed<T: Serialize + ?Sized>(
        &self,
        draft: Draft<'_, T>,
    ) -> Result<Sent, Error> {
        let encoding = self.shared.encoding;
        let answer = self.shared.ask(|out, id| speak::send(encoding, out, Some(id), &draft));
        answer.await?.decode()
    }

    /// Keeps a value, which [`stored`](Role::stored) gives to the next run of the program. Returns when it is on disk.
    /// Messages are read ahead meanwhile, as in [`send_confirmed`](Role::send_confirmed).
    ///
    /// # Errors
    /// When it cannot be stored: the Node has no `roleStorage`, or its disk is full.
    pub async fn store<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Stored<'a, T: ?Sized> {
            value: &'a T,
        }
        let encoding = self.shared.encoding;
        let params = Stored { value };
        let answer =
            self.shared.ask(|out, id| speak::call(encoding, out, "store", Some(id), &params));
        answer.await.map(drop)
    }

    /// Writes a line to the journal, with the name of the Role. At most 600 a minute are written, and 4096 bytes of each.
    ///
    /// # Errors
    /// When the Node is gone.
    pub async fn log(&self, level: Level, text: &str) -> Result<(), Error> {
        self.tell("log", &json!({"level": level.name(), "text": text})).await
    }

    /// Sets what `kozoctl role` shows of the Role, of at most 256 bytes; an empty text takes it away.
    ///
    /// # Errors
    /// When the Node is gone.
    pub async fn status(&self, text: &str) -> Result<(), Error> {
        self.tell("status", &json!({"text": text})).await
    }

    /// Sets which Messages the Role wants from now on, in place of those that it wanted before; at most 256 patterns.
    ///
    /// # Errors
    /// When the Node is gone.
    pub async fn interest(&self, patterns: &[Pattern]) -> Result<(), Error> {
        let patterns: Vec<_> = patterns.iter().map(Pattern::said).collect();
        self.tell("interest", &json!({"patterns": patterns})).await
    }

    /// Asks the Node to tell how the links to its Peers stand: first of every Peer, then of each that has changed. [`next`](Role::next)
    /// gives them.
    ///
    /// # Errors
    /// When the Node is gone.
    pub async fn subscribe_peers(&self) -> Result<(), Error> {
        self.tell("subscribe", &json!({"facts": ["peers"]})).await
    }

    /// Says that the Role works now; only needed after [`says_ready`](Program::says_ready).
    ///
    /// # Errors
    /// When the Node is gone.
    pub async fn ready(&self) -> Result<(), Error> {
        self.tell("ready", &json!({})).await
    }

    /// How it speaks with its Node.
    pub fn encoding(&self) -> Encoding {
        self.shared.encoding
    }

    async fn tell(&self, method: &str, params: &Value) -> Result<(), Error> {
        let encoding = self.shared.encoding;
        self.shared.put(|out| speak::call(encoding, out, method, None, params)).await
    }
}
