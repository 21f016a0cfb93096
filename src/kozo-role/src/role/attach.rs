//! Attaching a program that a person has started to a Node that runs.

use std::env;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::program::Connection;
use crate::arguments::ByHand;
use crate::hear::{Said, read};
use crate::input::Input;
use crate::{Description, Encoding, Error};

/// Where systemd makes the folders of its Nodes.
const SYSTEM: &str = "/run/kozo";

/// Name of the socket in the folder of a Node at which programs attach.
const SOCKET: &str = "role";

/// How long a Node may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Messages that may wait in the Node for a program that a person has started: there is no configuration to say so.
const QUEUE_LENGTH: u32 = 1024;

/// Names that are tried where a person did not give one.
const MOST_NAMES: u32 = 100;

/// The name of this program's file, without its extension.
pub(super) fn program_name() -> String {
    let file = env::args_os().next().unwrap_or_default();
    let name = Path::new(&file).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if name.is_empty() { "role".to_owned() } else { name }
}

/// Attaches to the Node that is meant, under the name that was given or the first one that is free.
pub(super) async fn attach(
    description: &Description,
    by_hand: &ByHand,
) -> Result<Connection, Error> {
    let options = description.common.options(&by_hand.options).map_err(Error::Start)?;
    let named =
        by_hand.node.clone().or_else(|| env::var("KOZO_NODE").ok().filter(|name| !name.is_empty()));
    let socket = find(named.as_deref()).map_err(Error::Start)?;
    let name = by_hand.name.clone().unwrap_or_else(program_name);
    let mut params = json!({
        "name": name, "type": program_name(), "options": options, "interest": description.patterns(),
        "encoding": description.encoding.name(), "messageQueueLength": QUEUE_LENGTH,
    });
    for number in 2..=MOST_NAMES {
        let attempt = timeout(ANSWER, introduce(&socket, &params, description.encoding));
        let attempt =
            attempt.await.unwrap_or_else(|_| Err(Error::Gone("it does not answer".to_owned())));
        match attempt {
            Err(Error::Refused { text, .. })
                if by_hand.name.is_none() && text.ends_with("already") =>
            {
                if let Some(tried) = params.get_mut("name") {
                    *tried = Value::from(format!("{name}-{number}"));
                }
            }
            other => return other,
        }
    }
    Err(Error::Start(format!(
        "{MOST_NAMES} Roles are already called '{name}': choose another name, such as --name bell"
    )))
}

async fn introduce(socket: &Path, params: &Value, encoding: Encoding) -> Result<Connection, Error> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => Error::Start(format!(
            "you may not attach programs to the Node at {}: be root, or join the group kozo",
            socket.display()
        )),
        _ => Error::Gone(format!("{}: {error}", socket.display())),
    };
    let mut stream = UnixStream::connect(socket).await.map_err(failed)?;
    let request = json!({"id": 0, "method": "attach", "params": params});
    stream.write_all(format!("{request}\n").as_bytes()).await.map_err(failed)?;
    let (reader, writer) = stream.into_split();
    let mut input = Input::new(Box::new(reader) as _, Some(Encoding::Json));
    let answer = input.line().await?.ok_or_else(|| Error::Gone("it has closed".to_owned()))?;
    match read(Encoding::Json, &answer)? {
        Said::Answer(_, answer) => answer.map(drop)?,
        Said::Complaint(error) => return Err(error),
        _ => return Err(Error::Protocol("it did not answer".to_owned())),
    }
    input.set_encoding(encoding);
    Ok(Connection { input, writer: Box::new(writer) })
}

/// The socket of the Node of this name or at this path, or of the only one there is.
fn find(named: Option<&str>) -> Result<PathBuf, String> {
    if let Some(path) = named.filter(|name| name.contains('/')).map(Path::new) {
        return Ok(if path.is_dir() { path.join(SOCKET) } else { path.to_owned() });
    }
    let mut found: Vec<PathBuf> =
        parents().iter().flat_map(|parent| sockets(parent, named)).collect();
    match (found.pop(), found.len(), named) {
        (Some(only), 0, _) => Ok(only),
        (None, _, Some(name)) => Err(format!("the Node '{name}' does not run on this machine")),
        (None, _, None) => Err("no Node runs on this machine".to_owned()),
        (Some(last), ..) => {
            found.push(last);
            let shown: Vec<_> = found.iter().map(|path| path.display().to_string()).collect();
            Err(format!(
                "several Nodes run here: choose one with --node NAME or --node PATH ({})",
                shown.join(", ")
            ))
        }
    }
}

/// Folders in which there may be folders of Nodes that this user can reach.
fn parents() -> Vec<PathBuf> {
    let user = rustix::process::geteuid();
    let mut found = vec![PathBuf::from(SYSTEM)];
    let runtime = env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
    found.extend(runtime.map(|folder| Path::new(&folder).join("kozo")));
    found.push(format!("/run/user/{}/kozo", user.as_raw()).into());
    found.push(format!("/tmp/kozo-{}", user.as_raw()).into());
    found.sort();
    found.dedup();
    found.retain(|folder| is_trustworthy(folder));
    found
}

/// Whether only root and this user can have put something there.
fn is_trustworthy(folder: &Path) -> bool {
    fs::symlink_metadata(folder).is_ok_and(|found| {
        let user = rustix::process::geteuid().as_raw();
        let is_ours = [0, user].contains(&found.uid()) && found.mode() & 0o022 == 0;
        found.is_dir() && (is_ours || folder == Path::new(SYSTEM))
    })
}

fn sockets(parent: &Path, named: Option<&str>) -> Vec<PathBuf> {
    let names = match named {
        Some(name) => vec![parent.join(name)],
        None => {
            fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
        }
    };
    let sockets = names.into_iter().map(|folder| folder.join(SOCKET));
    sockets.filter(|path| listens(path)).collect()
}

/// Whether a Node listens there, or may: one that this user may not reach is one all the same.
fn listens(path: &Path) -> bool {
    let is_socket = match fs::metadata(path) {
        Ok(found) => found.file_type().is_socket(),
        Err(error) => return error.kind() == std::io::ErrorKind::PermissionDenied,
    };
    is_socket
        && match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
        }
}
