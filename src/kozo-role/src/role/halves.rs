//! The halves of a conversation: one reads what the Node says, one writes what it is told.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::state::{Answer, News, Shared};
use crate::Error;
use crate::hear::{Said, read};
use crate::input::Input;

/// Reads until the Node says that the Role is to stop, or closes. What has come waits until it is taken; until then no more is
/// read, unless an answer is to come.
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
            return Ok(Error::Gone("the Role is to stop".to_owned()));
        }
        shared.wants_more().await;
        if !input.fill().await? {
            return Err(Error::Gone("it has closed the connection".to_owned()));
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
