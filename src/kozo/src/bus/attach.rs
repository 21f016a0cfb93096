//! How programs attach themselves as Roles: at a socket of the Node, or on a connection that they have asked for over D-Bus.
//!
//! A program says `attach` in its first line, and is told whether it may. From then on it is spoken with as with one
//! that the Node has started ([`crate::role::conversation`]), for as long as the connection lasts.

use std::io;
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use nix::unistd::{Uid, User};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Chain};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::accounts::{Accounts, Held, Share};
use super::socket::{self, SocketError, SocketGuard};
use crate::BoxFuture;
use crate::config::programs::{Encoding, description};
use crate::local::{self, Listener, ReadHalf, Stream, WriteHalf};
use crate::node::{ATTACHED, Node};
use crate::process::descent;
use crate::role::conversation::{self, LineBudget, Start};
use crate::role::{Host as _, Role, RoleContext, RoleError};
use kozo_core::places;
use kozo_core::queue::Limits;

/// How long a program has to say who it is.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Longest first line, in bytes.
const LONGEST: u64 = 64 * 1024;

/// How many Messages may wait for a program at most, as for other Roles.
const LENGTHS: RangeInclusive<usize> = 1..=1_000_000;

/// Pause after a failed accept, for instance when there are no file descriptors left.
const PAUSE: Duration = Duration::from_secs(1);

/// The socket that systemd has passed, or one in the folder of the control socket.
pub(super) fn listen(
    passed: Option<StdListener>,
    folder: Option<&SocketGuard>,
) -> Result<Listener, SocketError> {
    match (passed, folder) {
        (Some(listener), _) => socket::adopt(listener),
        (None, Some(folder)) => folder.bind(places::ROLE_SOCKET),
        (None, None) => Err(SocketError::NotInherited),
    }
}

/// Takes programs in until aborted. Those that are there already end with the Node.
pub(super) async fn serve(listener: Listener, node: Node, accounts: Arc<Accounts>) {
    let mut newcomers = tokio::task::JoinSet::new();
    loop {
        while newcomers.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok(stream) => stream,
            Err(problem) => {
                warn!("cannot accept on the role socket: {problem}");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(creds) = stream.peer() else { continue };
        let Some(held) = accounts.try_take(creds.uid(), Share::Attached, 1) else {
            // It may not be read, and is not waited for.
            let why = "this user has too many programs attached: close one of them";
            let _ = stream.try_write(refusal(&Value::Null, why).as_bytes());
            continue;
        };
        let node = node.clone();
        newcomers.spawn(async move {
            visitor(stream, &node, held).await;
        });
    }
}

/// Opens a connection for a program of this user that may attach, as who called for it knows; returns the program's end.
pub(super) async fn open(
    node: Node,
    user: u32,
    process: Option<i32>,
    held: Held,
) -> io::Result<OwnedFd> {
    let (stream, theirs) = local::pair()?;
    let by = who(user, process).await;
    tokio::spawn(async move { newcomer(stream, &node, held, by).await });
    Ok(theirs)
}

/// The request that a program begins with.
#[derive(Deserialize)]
struct Request {
    id: Value,
    method: String,
    params: Params,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params {
    name: String,
    #[serde(rename = "type")]
    role_type: Option<String>,
    #[serde(default)]
    options: Map<String, Value>,
    #[serde(default)]
    encoding: Encoding,
    interest: Option<Vec<IndexMap<String, String>>>,
    message_queue_length: Option<usize>,
}

/// Lets a program in that has come to the socket, or tells it why not.
async fn visitor(stream: Stream, node: &Node, held: Held) {
    let Ok(creds) = stream.peer() else { return };
    // Who can open the socket may attach: root, the user of the Node, and of the service the group `kozo`, which its
    // process may have without its user being a member.
    if descent::is_peer_program(&stream) {
        let refused = "a program that a Node started cannot attach to a Node";
        return refuse(&mut stream.into_split().1, Value::Null, refused).await;
    }
    let by = who(creds.uid(), Some(creds.pid())).await;
    newcomer(stream, node, held, by).await;
}

/// Lets a program in that says in time who it is. `by` says to people whose it is.
async fn newcomer(stream: Stream, node: &Node, held: Held, by: String) {
    if timeout(HANDSHAKE, introduction(stream, node, held, by)).await.is_err() {
        debug!("a program connected to attach, but did not identify itself");
    }
}

/// Lets a program in as what it says that it is, or tells it why not.
async fn introduction(stream: Stream, node: &Node, held: Held, by: String) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    if (&mut reader).take(LONGEST).read_until(b'\n', &mut line).await.is_err() {
        return;
    }
    if !line.ends_with(b"\n") {
        let what = format!("the first line is incomplete, or longer than {LONGEST} bytes");
        return refuse(&mut writer, Value::Null, &what).await;
    }
    let request: Request = match serde_json::from_slice(&line) {
        Ok(request) => request,
        Err(error) => {
            let what = format!("the first line must be a request `attach`: {error}");
            return refuse(&mut writer, Value::Null, &what).await;
        }
    };
    if request.method != "attach" {
        return refuse(&mut writer, request.id, "the first request must be `attach`").await;
    }
    let Params { name, role_type, options, encoding, interest, message_queue_length } =
        request.params;
    let interest = match interest.as_deref().map(description::interests).transpose() {
        Ok(interest) => interest,
        Err(problem) => return refuse(&mut writer, request.id, &problem).await,
    };
    let role_type = role_type.unwrap_or_else(|| ATTACHED.to_owned());
    let mut queue = Limits::default();
    queue.length = message_queue_length.unwrap_or(queue.length);
    if !LENGTHS.contains(&queue.length) {
        let [least, most] = [LENGTHS.start(), LENGTHS.end()];
        let what = format!("messageQueueLength must be {least} to {most}");
        return refuse(&mut writer, request.id, &what).await;
    }
    let interests = interest.unwrap_or_default();
    let attachment = match node.attach(&name, &role_type, by, interests, queue).await {
        Ok(attachment) => attachment,
        Err(error) => return refuse(&mut writer, request.id, &error.to_string()).await,
    };
    let result = json!({"name": name, "node": node.node_name()});
    let answer = json!({"jsonrpc": "2.0", "id": request.id, "result": result});
    if writer.write_all(format!("{answer}\n").as_bytes()).await.is_ok() {
        let start = Start { role_type, options };
        let (lines, _held) = (node.lines(), held);
        // What has come already is read first. No buffer is kept for a conversation that is idle.
        let reader = io::Cursor::new(reader.buffer().to_vec()).chain(reader.into_inner());
        let role = AttachedRole { reader, writer, start, encoding, lines, _held };
        attachment.run(Box::new(role));
    }
}

/// Who attaches, for people.
async fn who(user: u32, process: Option<i32>) -> String {
    // Users may be kept on a server.
    let named = spawn_blocking(move || User::from_uid(Uid::from_raw(user))).await;
    let named = named.ok().and_then(Result::ok).flatten();
    let user = named.map_or_else(|| user.to_string(), |user| user.name);
    match process {
        Some(process) => format!("attached by {user}, process {process}"),
        None => format!("attached by {user}"),
    }
}

/// The Node's side of a program that has attached itself.
struct AttachedRole {
    reader: Chain<io::Cursor<Vec<u8>>, ReadHalf>,
    writer: WriteHalf,
    start: Start,
    encoding: Encoding,
    lines: LineBudget,
    _held: Held,
}

impl Role for AttachedRole {
    fn run(self: Box<Self>, context: RoleContext) -> BoxFuture<'static, Result<(), RoleError>> {
        let AttachedRole { reader, writer, start, encoding, lines, _held } = *self;
        Box::pin(async move {
            let _held = _held;
            conversation::converse(&context, start, encoding.into(), &lines, reader, writer).await
        })
    }
}

/// Tells a program why it may not attach.
async fn refuse(writer: &mut WriteHalf, id: Value, why: &str) {
    // It may be gone.
    let _ = writer.write_all(refusal(&id, why).as_bytes()).await;
}

/// The line that says so.
fn refusal(id: &Value, why: &str) -> String {
    let error = json!({"code": conversation::code::REFUSED, "message": why});
    format!("{}\n", json!({"jsonrpc": "2.0", "id": id, "error": error}))
}
