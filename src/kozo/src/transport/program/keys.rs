//! Signatures in the name of the Node, and those of other Nodes: for programs that authenticate by themselves, which never get the
//! key.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use rmpv::Value;
use ssh_key::{HashAlg, LineEnding, PrivateKey, SshSig};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use crate::config::System;
use crate::rpc::output::object;
use crate::rpc::request::Asked;
use crate::rpc::{Encoding, Fault, code};

/// What all signatures are for: one made for anything else does not hold here, nor one of these there.
pub(super) const NAMESPACE: &str = "kozo-transport";

/// Bytes that are signed at once.
const LONGEST: usize = 16 * 1024;

/// Bytes of the longest signature: one of RSA takes a tenth of it.
const LONGEST_SIGNATURE: usize = 16 * 1024;

/// Time from the beginning of one of them to that of the next one.
const INTERVAL: Duration = Duration::from_millis(100);

/// Requests that may wait.
pub(super) const WAITING: usize = 16;

/// What a program wants to have signed or verified.
#[derive(Debug)]
pub(super) struct Request {
    /// Its id, as it is encoded.
    pub(super) id: Vec<u8>,
    /// What it wants.
    pub(super) task: Task,
}

/// What a program wants to have signed or verified.
#[derive(Debug)]
pub(super) enum Task {
    /// A signature of this Node.
    Sign { data: Vec<u8> },
    /// Whether this is one of that Node.
    Verify { node: String, data: Vec<u8>, signature: String },
}

/// Reads what `sign` asks for.
pub(super) fn sign(asked: &Asked<'_>) -> Result<Task, Fault> {
    let [data] = asked.pick(["data"])?;
    Ok(Task::Sign { data: bytes(asked, data)? })
}

/// Reads what `verify` asks for.
pub(super) fn verify(asked: &Asked<'_>) -> Result<Task, Fault> {
    let [node, data, signature] = asked.pick(["node", "data", "signature"])?;
    let node = asked.needed(node, "node")?.text("node")?.into_owned();
    let data = bytes(asked, data)?;
    let part = asked.needed(signature, "signature")?;
    let signature = part.text("signature")?.into_owned();
    if signature.len() > LONGEST_SIGNATURE {
        let text = format!("a signature has at most {LONGEST_SIGNATURE} bytes");
        return Err(part.fault(code::INVALID_PARAMS, text));
    }
    Ok(Task::Verify { node, data, signature })
}

fn bytes(asked: &Asked<'_>, data: Option<crate::rpc::Part<'_>>) -> Result<Vec<u8>, Fault> {
    let part = asked.needed(data, "data")?;
    let fault = |text: String| part.fault(code::INVALID_PARAMS, text);
    let data = BASE64
        .decode(part.text("data")?.as_bytes())
        .map_err(|error| fault(format!("data is not Base64: {error}")))?;
    if data.len() > LONGEST {
        return Err(fault(format!("data has at most {LONGEST} bytes")));
    }
    Ok(data)
}

/// Signs and verifies one after the other, and answers, until no more requests can come.
pub(super) async fn work(
    key: Arc<PrivateKey>,
    system: Arc<System>,
    mut requests: mpsc::Receiver<Request>,
    answers: mpsc::Sender<Vec<u8>>,
) {
    let mut next = Instant::now();
    while let Some(Request { id, task }) = requests.recv().await {
        sleep_until(next).await;
        next = Instant::now() + INTERVAL;
        let (key, system) = (Arc::clone(&key), Arc::clone(&system));
        // A signature of RSA takes milliseconds.
        let done = spawn_blocking(move || task.carry_out(&key, &system)).await;
        let mut line = Vec::new();
        match done.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(result) => Encoding::Json.answer(&mut line, &id, &result),
            Err(text) => Encoding::Json.refuse(&mut line, Some(&id), code::REFUSED, &text),
        }
        // Who does not read its answers waits for them.
        if answers.send(line).await.is_err() {
            return;
        }
    }
}

impl Task {
    fn carry_out(&self, key: &PrivateKey, system: &System) -> Result<Value, String> {
        match self {
            Task::Sign { data } => {
                let signature = key.sign(NAMESPACE, HashAlg::Sha512, data);
                let text = signature.and_then(|signature| signature.to_pem(LineEnding::LF));
                let text = text.map_err(|error| error.to_string())?;
                Ok(object([("signature", text.into())]))
            }
            Task::Verify { node, data, signature } => {
                let Some(node) = system.node(node) else { return Ok(false.into()) };
                let Ok(signature) = SshSig::from_pem(signature) else { return Ok(false.into()) };
                Ok(node.public_key.verify(NAMESPACE, data, &signature).is_ok().into())
            }
        }
    }
}
