//! Transports that are programs: each is written in Python, and speaks the protocol by hand.

mod hostile;
mod keys;
mod lingering;
mod streams;
mod transcript;

use std::sync::Arc;
use std::time::Duration;

use kozo::config::{OptionValue, Options, Runs, TransportConfig};
use kozo::process::Owner;
use kozo::status::{TransportState, TransportStatus};
use kozo::transport::program::{Knowledge, ProgramTransport, Setup};
use kozo::transport::{Connection, Listener, Priority, Target, Transport};
use russh::keys::{Algorithm, PrivateKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::support::{PATIENCE, Place, until};

/// What every program begins with.
const PRELUDE: &str = r#"
import base64, json, os, socket, subprocess, sys, threading, time
node = socket.socket(fileno=3)
lines = node.makefile('r', encoding='utf-8')
def tell(fds=(), **message):
    data = (json.dumps(dict(jsonrpc='2.0', **message)) + '\n').encode()
    if fds:
        socket.send_fds(node, [data], [fd if isinstance(fd, int) else fd.fileno() for fd in fds])
    else:
        node.sendall(data)
def status(text):
    tell(method='status', params={'text': text})
def answer(asked, result, fds=()):
    tell(fds, id=asked['id'], result=result)
def refuse(asked, code, text):
    tell(id=asked['id'], error={'code': code, 'message': text})
def hear():
    line = lines.readline()
    return json.loads(line) if line else sys.exit(0)
started = hear()
assert started['method'] == 'start', started
start = started['params']
"#;

/// What a program says that only connects: `connect` is a function that answers.
const CONNECTS: &str = r"
while True:
    asked = hear()
    if asked['method'] == 'connect':
        connect(asked, asked['params'])
    elif asked['method'] == 'listen':
        answer(asked, {})
    elif 'id' in asked:
        refuse(asked, -32601, 'no such method')
";

/// A Transport that is a program, and the Node's folder.
pub(super) struct Tried {
    place: Place,
    public_key: String,
    transport: Arc<ProgramTransport>,
}

impl Tried {
    /// Of a program that connects, and does so by this function.
    pub(super) fn connecting(connect: &str) -> Tried {
        Tried::new(&format!("{connect}{CONNECTS}"), |_| {})
    }

    /// Of any program.
    pub(super) fn new(script: &str, change: impl FnOnce(&mut Setup)) -> Tried {
        let place = Place::new();
        let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap();
        let public_key = key.public_key().to_openssh().unwrap();
        let system = place.system(&public_key);
        let script = format!("{PRELUDE}{script}");
        let mut setup = Setup {
            name: "air".to_owned(),
            command: ["python3", "-c", &script].map(Into::into).to_vec(),
            priority: Priority::Meh,
            can_accept: true,
            authenticates: false,
            connects_to: vec!["air".to_owned()],
            connect_timeout: Duration::from_secs(10),
            environment: Vec::new(),
            memory_limit: u64::MAX,
            knowledge: Knowledge {
                start: serde_json::Map::new(),
                key: Arc::new(key),
                launcher: Arc::new(place.launcher_of(&system, Owner::Transport("air".into()))),
                system,
                accept: Some(place.path("accept")),
            },
        };
        change(&mut setup);
        Tried { place, public_key, transport: ProgramTransport::new(setup) }
    }

    async fn listen(&self) -> Box<dyn Listener> {
        self.transport.listen(Vec::new()).await.unwrap()
    }

    async fn connect(&self) -> std::io::Result<Connection> {
        self.connect_to(&[]).await
    }

    /// Connects to a Transport of the Peer `scribe` that has these options.
    async fn connect_to(&self, options: &[(&str, &str)]) -> std::io::Result<Connection> {
        let target = target(options);
        assert!(self.transport.can_connect(&target.transport));
        let connecting = self.transport.connect(&target, &|_| unreachable!());
        timeout(PATIENCE, connecting).await.unwrap()
    }

    fn status(&self) -> TransportStatus {
        self.transport.status()
    }

    async fn until_running(&self) {
        until("running", || self.status().state == TransportState::Running).await;
    }

    /// Waits until the program says this of itself.
    async fn until_said(&self, text: &str) {
        until(text, || self.status().status.as_deref() == Some(text)).await;
    }

    /// Why the program has failed, once it has.
    async fn failure(&self) -> String {
        until("failed", || self.status().last_error.is_some()).await;
        self.status().last_error.unwrap()
    }
}

fn target(options: &[(&str, &str)]) -> Target {
    let option =
        |(name, text): &(&str, &str)| ((*name).to_owned(), OptionValue::Text((*text).to_owned()));
    let transport = transport_named("air", Options(options.iter().map(option).collect()));
    let (peer, address) = ("scribe".to_owned(), "air".to_owned());
    Target { peer, transport: Arc::new(transport), address }
}

/// A Transport of this name and type.
fn transport_named(name: &str, options: Options) -> TransportConfig {
    let name = name.to_owned();
    TransportConfig { transport_type: name.clone(), name, options, runs: Runs::Attached }
}

async fn say(connection: &mut Connection, text: &str) {
    let said = connection.stream.write_all(text.as_bytes());
    timeout(PATIENCE, said).await.unwrap().unwrap();
}

/// The next bytes of a stream, which are this text.
async fn expect(connection: &mut Connection, text: &str) {
    let mut heard = vec![0; text.len()];
    timeout(PATIENCE, connection.stream.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8(heard).unwrap(), text);
}

/// The next stream that comes in.
async fn accept(listener: &mut Box<dyn Listener>) -> Connection {
    timeout(PATIENCE, listener.accept()).await.expect("no stream came in").unwrap()
}
