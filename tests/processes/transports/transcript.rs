//! The transcript in kozo-transport(7) is what happens.

use std::fs;

use kozo::config::{OptionValue, Options};
use kozo::transport::{Target, Transport as _};
use serde_json::Value;
use tokio::time::timeout;

use super::super::support::{PATIENCE, until};
use super::{Tried, accept, transport_named};

#[path = "../../kit/transcript.rs"]
#[allow(dead_code, unreachable_pub)]
mod page;

const PAGE: &str = include_str!("../../../packaging/man/kozo-transport.7");

/// Stands in the page before a line with which a descriptor goes.
const WITH_DESCRIPTOR: &str = "[fd] ";

#[tokio::test]
async fn what_the_page_shows_is_what_happens() {
    let lines = page::lines_of(PAGE);
    let of_node = || lines.iter().filter(|(speaker, _)| *speaker == page::Speaker::Node);
    let mut first: Value = serde_json::from_str(&of_node().next().unwrap().1).unwrap();
    let tried = Tried::new(
        r"
streams = []
with open('heard', 'w') as heard:
    print(json.dumps(started), file=heard)
    for by_node, line in json.load(open(os.environ['TRANSCRIPT']))[1:]:
        if by_node:
            print(lines.readline(), end='', file=heard, flush=True)
        elif line.startswith('[fd] '):
            streams.append(socket.socketpair())
            socket.send_fds(node, [(line[5:] + '\n').encode()], [streams[-1][0].fileno()])
        else:
            node.sendall((line + '\n').encode())
    print('end', file=heard)
",
        |setup| {
            setup.name = "radio".to_owned();
            setup.connects_to = vec!["radio".to_owned()];
            setup.environment.push((
                "TRANSCRIPT".into(),
                setup.knowledge.accept.clone().unwrap().with_file_name("transcript").into(),
            ));
            let start = first["params"].as_object_mut().unwrap();
            start["accept"] = setup.knowledge.accept.as_ref().unwrap().to_str().into();
            setup.knowledge.start = start.clone();
        },
    );
    let told: Vec<_> =
        lines.iter().map(|(speaker, line)| (*speaker == page::Speaker::Node, line)).collect();
    let transcript = serde_json::to_string(&told).unwrap();
    fs::write(tried.place.path("transcript"), transcript).unwrap();
    assert_eq!(lines.iter().filter(|(_, line)| line.starts_with(WITH_DESCRIPTOR)).count(), 2);

    let mut listener = tried.listen().await;
    assert_eq!(accept(&mut listener).await.address, "aa:bb");
    assert_eq!(listener.address(), "band 2");
    let options = Options([("band".to_owned(), OptionValue::Integer(3))].into_iter().collect());
    let transport = transport_named("radio", options).into();
    let target = Target { peer: "scribe".to_owned(), transport, address: "radio".to_owned() };
    let connecting = tried.transport.connect(&target, &|_| {});
    assert_eq!(timeout(PATIENCE, connecting).await.unwrap().unwrap().address, "aa:dd");
    tried.transport.stop().await;
    let own = tried.place.path("storage/air.transport/heard");
    let heard = || fs::read_to_string(&own).unwrap();
    until("the end", || heard().ends_with("end\n")).await;
    let heard = heard();
    page::check(&first.to_string(), heard.lines().next().unwrap());
    let rest = heard.lines().zip(of_node()).skip(1);
    let mut count = 1;
    for (said, (_, line)) in rest {
        page::check(line, said);
        count += 1;
    }
    assert_eq!(count, of_node().count());
}
