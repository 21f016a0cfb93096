//! Programs that do what they should not: none of it harms the Node.

use std::fs;
use std::time::{Duration, Instant};

use kozo::status::TransportState;
use kozo::transport::Transport as _;
use tokio::time::timeout;

use super::super::support::{lives, until};
use super::{Tried, accept, expect};

#[tokio::test]
async fn one_that_hangs_is_not_waited_for() {
    let tried = Tried::new("while True: time.sleep(600)", |setup| setup.can_accept = false);
    let begun = Instant::now();
    let failed = tried.connect().await.err().unwrap().to_string();
    assert_eq!(failed, "the program did not answer 'canConnect' within 5 s");
    assert!(begun.elapsed() < Duration::from_secs(15));
    let pid = tried.status().process.unwrap();
    // It has its channel full, and still ends in time.
    let many =
        (0..1000).map(|_| timeout(Duration::ZERO, tried.transport.connect(&TARGET, &|_| {})));
    futures_util::future::join_all(many).await;
    let begun = Instant::now();
    tried.transport.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    until("gone", || !lives(pid)).await;
}

static TARGET: std::sync::LazyLock<kozo::transport::Target> =
    std::sync::LazyLock::new(|| super::target(&[]));

#[tokio::test]
async fn what_makes_no_sense_ends_the_program_with_the_place_of_it() {
    for (script, why) in [
        (r"node.sendall(b'\n\nrubbish\n')", "line 3, column 1: this is not JSON: expected value"),
        (r"node.sendall(b'\xff\n')", "line 1, column 1: this is not UTF-8"),
        (
            "tell(method='dance')",
            "line 1, column 30: there is no method 'dance': there are accepted, log, status, sign and \
             verify",
        ),
        ("node.sendall(b'x' * 70000)", "line 1: it is longer than 65536 bytes"),
        (
            "tell(method='accepted', params={'peer': 'x' * 5000})",
            "line 1, column 61: the name of a peer has 1 to 64 bytes",
        ),
        ("refuse(hear(), 5, 'the port is in use')", "it cannot listen: the port is in use"),
        (
            "for _ in range(17): socket.send_fds(node, [b' '], [0])",
            "it cannot be read: more than 16 descriptors arrived that belong to no line",
        ),
        (
            "socket.send_fds(node, [b' '], [0] * 200)",
            "it cannot be read: more than 16 descriptors arrived that belong to no line",
        ),
        (
            "node.shutdown(socket.SHUT_RDWR); sys.exit('enough')",
            "the program exited with code 1: enough",
        ),
    ] {
        let tried = Tried::new(&format!("{script}\ntime.sleep(600)"), |_| {});
        let _listener = tried.listen().await;
        let failure = tried.failure().await;
        assert_eq!(failure, why, "{script}");
    }
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_ends_the_program() {
    for (result, why) in [
        ("7", "expected an object"),
        ("{'proxyCommand': []}", "proxyCommand has no words"),
        ("{'proxyCommand': 7}", "proxyCommand is a list, and this is a number"),
    ] {
        let tried = Tried::new(
            &format!(
                "refuse(hear(), -32601, '')\nrefuse(hear(), -32601, '')\nanswer(hear(), {result})\n\
                 time.sleep(600)"
            ),
            |setup| setup.can_accept = false,
        );
        let failed = tried.connect().await.err().unwrap().to_string();
        assert_eq!(failed, "the program has ended", "{result}");
        let failure = tried.failure().await;
        assert!(failure.starts_with("line 3, column ") && failure.ends_with(why), "{failure}");
    }
}

/// The Node says that it was nothing, and goes on with what comes then.
#[tokio::test]
async fn descriptors_that_are_no_streams_are_refused_and_the_program_goes_on() {
    let tried = Tried::new(
        r"
answer(hear(), {})
heard = []
listener = socket.create_server(('127.0.0.1', 0))
for descriptor in [open('/dev/null'), listener, socket.socket(type=socket.SOCK_DGRAM), None]:
    tell([descriptor] if descriptor else [], method='accepted', params={})
    heard.append(hear())
heard.append(tell(method='accepted', id=7, params={}) or hear())
assert [error['id'] for error in heard] == [None] * 4 + [7], heard
open('heard', 'w').write('\n'.join(error['error']['message'] for error in heard))
near, far = socket.socketpair()
far.sendall(b'fine')
node.sendall(bytes(3))
tell([near], method='accepted', params={})
asked = hear()
refuse(asked, -32601, '')
asked = hear()
refuse(asked, -32601, '')
answer(hear(), {}, [open('/dev/null')])
hear()
",
        |_| {},
    );
    let mut listener = tried.listen().await;
    expect(&mut accept(&mut listener).await, "fine").await;
    let heard = fs::read_to_string(tried.place.path("storage/air.transport/heard")).unwrap();
    let expected = [
        "the descriptor is not a socket",
        "the descriptor is a socket that is not connected",
        "the descriptor is not a stream socket",
        "it came without a descriptor",
        "it came without a descriptor",
    ];
    assert_eq!(heard.lines().collect::<Vec<_>>(), expected);
    let failed = tried.connect().await.err().unwrap();
    assert_eq!(failed.to_string(), "the descriptor is not a socket");
    assert_eq!(tried.status().last_error, None);
}

#[tokio::test]
async fn a_thousand_streams_are_as_many_as_are_accepted_and_the_others_are_closed() {
    let tried = Tried::new(
        r"
answer(hear(), {})
for _ in range(1000):
    near, far = socket.socketpair()
    tell([near], method='accepted', params={'address': 'the flood'})
    near.close()
    far.close()
status('flooded')
hear()
",
        |_| {},
    );
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    let mut listener = tried.listen().await;
    tried.until_said("flooded").await;
    assert_eq!(tried.status().state, TransportState::Running);
    let mut accepted = Vec::new();
    while let Ok(connection) = timeout(Duration::from_millis(100), listener.accept()).await {
        accepted.push(connection.unwrap());
    }
    assert_eq!(accepted.len(), 256);
    // Some are the program's, and its Transport's.
    let few = before + 16;
    until("the others closed", || open() <= few + 256).await;
    drop(accepted);
    until("all closed", || open() <= few).await;
}

#[tokio::test]
async fn who_the_peer_is_says_only_a_program_that_authenticates() {
    let script = r"
def connect(asked, params):
    near, far = socket.socketpair()
    answer(asked, {'peer': params['options']['peer']} if params['options'] else {}, [near])
    near.close()
while True:
    asked = hear()
    if asked['method'] == 'connect':
        connect(asked, asked['params'])
    elif 'id' in asked:
        refuse(asked, -32601, '')
";
    let tried = Tried::new(script, |setup| setup.can_accept = false);
    let failed = tried.connect_to(&[("peer", "scribe")]).await.err().unwrap().to_string();
    assert!(failed.contains("does not say that it authenticates"), "{failed}");
    assert!(tried.connect().await.is_ok());
    let tried = Tried::new(script, |setup| {
        (setup.can_accept, setup.authenticates) = (false, true);
    });
    let failed = tried.connect().await.err().unwrap().to_string();
    assert!(failed.contains("says that it authenticates"), "{failed}");
    // Whether that is the Peer, the handshake looks at.
    let connection = tried.connect_to(&[("peer", "someone")]).await.unwrap();
    assert_eq!(connection.peer.as_deref(), Some("someone"));
}
