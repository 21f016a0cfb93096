//! `kozoctl ping`: how long a Peer takes to answer, as the Node measures it.

use std::time::Duration;

use kozo_client::{Client, Error};
use serde_json::json;
use tokio::time::sleep;

use crate::failure::{Exit, Failure};
use crate::node;
use crate::output::{Output, say};
use crate::view::micros;

/// Between two questions.
const PAUSE: Duration = Duration::from_secs(1);

/// Asks so often; each answer is a line.
///
/// # Errors
/// When the Peer is not up, or one question was not answered in time. The others are asked all the
/// same.
pub(crate) async fn run(
    client: &Client,
    peer: &str,
    count: u32,
    output: Output,
) -> Result<(), Failure> {
    let mut result = Ok(());
    for number in 1..=count {
        if number > 1 {
            sleep(PAUSE).await;
        }
        match client.peer(peer).ping().await {
            // One that is late says nothing about the next.
            Err(error @ Error::TimedOut(_)) if number < count => {
                say(&format!("kozoctl: {error}"));
                result = Err(Failure::Silent(Exit::TimedOut));
            }
            answered => {
                let time = node::named(client, peer, answered).await?;
                let answer = json!({ "peer": peer, "round_trip_time": time });
                let text = format!("{peer} answered in {}", micros(time));
                output.line(&if output.json { answer.to_string() } else { text })?;
            }
        }
    }
    result
}
