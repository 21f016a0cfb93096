//! The transcript in kozo-role(7) is what happens.

use super::*;

#[path = "../../../../../../tests/kit/transcript.rs"]
#[allow(unreachable_pub)]
mod page;

#[tokio::test(start_paused = true)]
async fn what_the_page_shows_is_what_happens() {
    let lines = page::lines();
    let read = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let start = read(&lines[0].1)["params"].clone();
    let options = start["options"].as_object().unwrap().clone();
    let start = Start { role_type: start["type"].as_str().unwrap().to_owned(), options };
    let host = TestHost::new("clock");
    let declared = vec![Interest::exactly(Kind::Order, "ring")];
    let mut program =
        Program::start_as(&host, start, declared, Encoding::Json, &LineBudget::default());
    for (speaker, line) in &lines {
        if *speaker == page::Speaker::Program {
            program.write(&line.clone().into_bytes().with_end()).await;
            continue;
        }
        let said = read(line);
        if said["method"] == "message" {
            let text = |name: &str| said["params"][name].as_str().unwrap().to_owned();
            let data = json::parse(&said["params"]["data"].to_string()).unwrap();
            let (message_type, channel) = (text("type"), text("channel"));
            let draft = Draft::new(text("kind").parse().unwrap(), &message_type);
            host.inject(&text("role"), &draft.channel(Some(&channel)).data(&data));
        }
        let heard = String::from_utf8(program.next_bytes().await.unwrap()).unwrap();
        page::check(line, &heard);
    }
    let last = read(&lines.last().unwrap().1);
    let failure = program.ended().await.unwrap_err().to_string();
    assert_eq!(failure, last["error"]["message"].as_str().unwrap());
    assert_eq!(host.seen(|seen| seen.status.clone()).as_deref(), Some("no rings yet"));
}
