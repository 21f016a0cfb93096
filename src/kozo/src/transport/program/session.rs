//! One run of the program: from its start to its end.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{info, warn};

use super::accept::AcceptSocket;
use super::keys;
use super::reading::Reading;
use super::requests::{LINES, Requests};
use super::shared::Shared;
use super::{Knowledge, PROTOCOL, Setup};
use crate::local::{self, WriteHalf};
use crate::process::{Exit, Launch, Limits, Process};
use crate::rpc::Encoding;
use crate::rpc::output::object;

/// Bytes of the longest path that a Unix socket can have, unix(7).
const LONGEST_PATH: usize = 107;

/// The variable with the path of the accept socket.
const ACCEPT: &str = "KOZO_ACCEPT";

/// How long what a program has said may take to be read once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long a program may take to read why it is ended.
const FAREWELL: Duration = Duration::from_millis(500);

/// What ended a run.
enum Ended {
    /// The program closed its channel, or said something that makes no sense, or cannot listen.
    Talk(Result<(), String>),
    /// The program ended.
    Process,
    /// It is to stop.
    Stop,
}

/// How the half that writes ends.
enum Last {
    /// What waits is written, and `stop`.
    Stop,
    /// What waits is written.
    Nothing,
}

/// Runs the program until it is to stop.
///
/// # Errors
/// Why it ended otherwise.
pub(super) async fn run(
    shared: &Arc<Shared>,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), String> {
    let (setup, knowledge) = (&shared.setup, shared.knowledge());
    // They end with the run.
    let mut tasks = JoinSet::new();
    let accept = accept(shared, &knowledge);
    if let Some(path) = &accept {
        knowledge.launcher.make_folder().map_err(|error| error.to_string())?;
        let socket = AcceptSocket::bind(path).map_err(|error| {
            format!("cannot open the accept socket at {}: {error}", path.display())
        })?;
        tasks.spawn(socket.accept(Arc::clone(shared)));
    }
    let (channel, theirs) =
        local::pair().map_err(|error| format!("cannot open a channel to the program: {error}"))?;
    let mut process = knowledge
        .launcher
        .start(&launch(setup, accept.as_deref()), Stdio::from(theirs), Stdio::null())
        .map_err(|error| error.to_string())?;
    shared.set_process(process.pid());
    let (input, output) = channel.into_split();
    let (lines, waiting) = mpsc::channel(LINES);
    let (last, is_last) = oneshot::channel();
    let (tasks_of_keys, to_sign) = mpsc::channel(keys::WAITING);
    tasks.spawn(keys::work(
        Arc::clone(&knowledge.key),
        Arc::clone(&knowledge.system),
        to_sign,
        lines.clone(),
    ));
    let mut writing = JoinSet::new();
    writing.spawn(write(output, waiting, is_last));
    // There is room: it is the first.
    let _ = lines.try_send(start(accept.as_deref(), knowledge)?);
    let requests = Arc::new(Requests::new(lines.clone()));
    let reading = Reading::new(shared, &requests, lines, tasks_of_keys, input);
    let mut reading = pin!(reading.read());
    let ended = tokio::select! {
        biased;
        said = &mut reading => Ended::Talk(said),
        Err(problem) = begin(shared, &requests) => Ended::Talk(Err(problem)),
        _ = stopping.wait_for(|stopping| *stopping) => Ended::Stop,
        _ = process.wait() => Ended::Process,
    };
    requests.close();
    let said = match ended {
        Ended::Talk(said) => said,
        // What it said before counts, unless something else has its channel and keeps it open.
        Ended::Process => timeout(LAST_WORDS, reading).await.unwrap_or(Ok(())),
        Ended::Stop => {
            let _ = last.send(Last::Stop);
            // It may have to say something before it ends.
            let hear_out = async {
                let _ = reading.await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                _ = process.stop() => {}
                () = hear_out => {}
            }
            return Ok(());
        }
    };
    let _ = last.send(Last::Nothing);
    let exit = match &said {
        Ok(()) => process.stop().await,
        Err(_) => {
            let _ = timeout(FAREWELL, writing.join_next()).await;
            process.terminate().await
        }
    };
    Err(problem(said, exit, &process))
}

/// The path of the accept socket, if there is to be one: a stream that comes over it does not say who the Peer is.
fn accept(shared: &Shared, knowledge: &Knowledge) -> Option<PathBuf> {
    let Setup { name, can_accept: true, authenticates: false, .. } = &shared.setup else {
        return None;
    };
    let why = match &knowledge.accept {
        Some(path) if path.as_os_str().len() <= LONGEST_PATH => return Some(path.clone()),
        Some(path) => {
            let path = path.display();
            format!("its path, {path}, would have more than {LONGEST_PATH} bytes")
        }
        None => "the node has no folder for what it keeps".to_owned(),
    };
    if shared.may_complain("no accept socket").is_some() {
        warn!(transport = name, "no accept socket: {why}; `roleStorage` can name another folder");
    }
    None
}

fn problem(said: Result<(), String>, exit: Exit, process: &Process) -> String {
    match said {
        // What it was about to say when it crashed does not say why.
        Err(said) if !exit.is_crash() => said,
        _ => exit.as_failure(&process.last_line()),
    }
}

/// Lets the program listen, if it is one that does. Then it runs, and this never ends.
async fn begin(shared: &Shared, requests: &Arc<Requests>) -> Result<(), String> {
    let address = match shared.setup.can_accept {
        true => requests
            .listen()
            .await
            .map_err(|refusal| format!("it cannot listen: {}", refusal.text))?,
        false => None,
    };
    if let Some(address) = &address {
        info!(transport = shared.setup.name, "listening on {address}");
    }
    shared.running(requests, address);
    std::future::pending().await
}

/// Writes what there is to say to the program, until that is the last.
async fn write(
    mut output: WriteHalf,
    mut lines: mpsc::Receiver<Vec<u8>>,
    mut is_last: oneshot::Receiver<Last>,
) -> io::Result<()> {
    let last = loop {
        tokio::select! {
            Some(line) = lines.recv() => output.write_all(&line).await?,
            last = &mut is_last => break last,
        }
    };
    while let Ok(line) = lines.try_recv() {
        output.write_all(&line).await?;
    }
    if let Ok(Last::Stop) = last {
        let mut line = Vec::new();
        Encoding::Json.notify(&mut line, "stop", &object([]));
        output.write_all(&line).await?;
    }
    output.shutdown().await
}

/// The first line.
fn start(accept: Option<&Path>, knowledge: Knowledge) -> Result<Vec<u8>, String> {
    let mut said = knowledge.start;
    said.insert("protocol".to_owned(), PROTOCOL.into());
    said.insert("features".to_owned(), serde_json::Value::Array(Vec::new()));
    let accept = accept.map(|path| path.to_string_lossy().into_owned());
    said.insert("accept".to_owned(), accept.into());
    let said = rmpv::ext::to_value(said)
        .map_err(|error| format!("the configuration cannot be encoded: {error}"))?;
    let mut line = Vec::new();
    Encoding::Json.notify(&mut line, "start", &said);
    Ok(line)
}

fn launch(setup: &Setup, accept: Option<&Path>) -> Launch {
    let variable = accept.map(|path| (ACCEPT.into(), path.as_os_str().to_owned()));
    Launch {
        environment: setup.environment.iter().cloned().chain(variable).collect(),
        limits: Limits { memory: setup.memory_limit, ..Limits::default() },
        granted: accept.map(Path::to_owned).into_iter().collect(),
        channel: true,
        ..Launch::of(setup.command.iter().cloned())
    }
}
