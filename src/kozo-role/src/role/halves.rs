//! The halves of a conversation: one reads what the Node says, one writes what it is told.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::state::{Answer, News, Shared};
use crate::Error;
use crate::hear::{Said, read};
use crate::input::Input;

/// Reads until the Node says that the Role is to stop, or closes. What has come waits until it is taken; until then no more is
/// read, unless an answer is to come: see [`Queue`](super::queue::Queue).
pub(super) async fn listen<R: AsyncRead + Unpin>(shared: Arc<Shared>, mut input: Input<R>) {
    let why = match take_in(&shared, &mut input).await {
        Ok(why) | Err(why) => why,
    };
    shared.end(why);
}

/// Gives why nothing more comes.
async fn take_in<R: AsyncRead + Unpin>(
    shared: &Shared,
    input: &mut Input<R>,
) -> Result<Error, Error> {
    let mut news = VecDeque::new();
    let mut answers: Vec<(u64, Answer)> = Vec::new();
    loop {
        let mut is_to_stop = false;
        while let Some(line) = input.next()? {
            match read(shared.encoding, &line)? {
                Said::Message(message) => news.push_back(News::Message(message)),
                Said::Peer(peer) => news.push_back(News::Peer(peer)),
                Said::Reopen => news.push_back(News::Reopen),
                Said::Answer(id, answer) => answers.push((id, answer)),
                Said::Complaint(error) => return Err(error),
                Said::Stop => is_to_stop = true,
                Said::Start(_) | Said::Unknown => {}
            }
        }
        shared.arrive(&mut news, &mut answers);
        if is_to_stop {
            shared.stop();
            return Ok(Error::Gone("the Role must stop".to_owned()));
        }
        shared.wants_more().await;
        if !input.fill().await? {
            return Err(Error::Gone("it closed the connection".to_owned()));
        }
    }
}

/// Writes what there is to write, until there will be no more.
pub(super) async fn speak(shared: Arc<Shared>, mut writer: impl AsyncWrite + Unpin) {
    while let Some(out) = shared.take().await {
        if let Err(error) = writer.write_all(&out).await {
            shared.fail(&Error::Gone(error.to_string()));
            return;
        }
        shared.give_back(out);
    }
    // What is at the other end sees it by the end of the process too.
    let _ = writer.shutdown().await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::hear::Start;
    use crate::{Encoding, speak};
    use serde_json::{Value, json};
    use std::time::Duration;
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    use tokio::time::timeout;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn messages_before_an_answer_are_bounded_and_one_line_says_how_many_were_dropped() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (node, role) = tokio::io::duplex(1024 * 1024);
            let (reader, writer) = tokio::io::split(role);
            let (from_role, mut to_role) = tokio::io::split(node);
            let shared = Arc::new(Shared::new(Encoding::Json, Start::default()));
            tokio::spawn(listen(Arc::clone(&shared), Input::new(reader, Some(Encoding::Json))));
            tokio::spawn(super::speak(Arc::clone(&shared), writer));
            let node = tokio::spawn(async move {
                let mut lines = BufReader::new(from_role).lines();
                let asked = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
                let asked: Value = serde_json::from_str(&asked).unwrap();
                for id in 0..5000 {
                    let message = json!({"method": "message", "params": {"time": 1, "node": "a", "boot": "1",
                        "id": id, "role": "b", "kind": "event", "type": "t", "data": null}});
                    to_role.write_all(format!("{message}\n").as_bytes()).await.unwrap();
                }
                let answer = json!({"id": asked["id"], "result": null});
                to_role.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
                let logged = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
                (serde_json::from_str::<Value>(&logged).unwrap(), lines, to_role)
            });
            let ask = shared.ask(|out, id| speak::call(Encoding::Json, out, "store", Some(id), &json!({})));
            timeout(PATIENCE, ask).await.unwrap().unwrap();
            let (logged, _lines, to_role) = node.await.unwrap();
            drop(to_role);
            let mut left = 0;
            let mut last = None;
            while let Some(News::Message(message)) = shared.try_next() {
                left += 1;
                last = Some(message.id());
            }
            assert_eq!(last, Some(4999));
            let text = logged["params"]["text"].as_str().unwrap();
            assert_eq!((&logged["method"], &logged["params"]["level"]), (&json!("log"), &json!("warning")));
            assert_eq!(text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() + left, 5000, "{text}");
        });
    }
}
