//! Descriptors that a program sends unasked, and whose close(2) takes long: the Node goes on meanwhile.

use std::time::Duration;

use kozo::transport::{Connection, Transport as _};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::super::support::PATIENCE;
use super::{Tried, accept};

#[path = "../../kit/pulse.rs"]
#[allow(unreachable_pub)]
mod pulse;

use pulse::steady;

/// What an attack is made of.
const ATTACK: &str = r"
import struct
kept = []
# A socket whose close(2) takes ten seconds.
def lingering():
    listener = socket.create_server(('127.0.0.1', 0))
    near = socket.create_connection(listener.getsockname())
    kept.append(listener.accept()[0])
    near.setblocking(False)
    try:
        while True:
            near.send(bytes(65536))
    except BlockingIOError:
        pass
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 10))
    return near
# A socket in which such a one waits to be received.
def nested():
    near, far = socket.socketpair()
    with lingering() as descriptor:
        socket.send_fds(far, [b' '], [descriptor.fileno()])
    return near
# Each comes with a byte of its own: so it takes a read for each to get to the next.
def attack(stream, count=8, byte=b'x'):
    for number in range(count):
        with (nested if number % 2 else lingering)() as descriptor:
            socket.send_fds(stream, [byte], [descriptor.fileno()])
";

fn attacking(script: &str) -> Tried {
    Tried::new(&format!("{ATTACK}{script}"), |_| {})
}

/// Reads half of the bytes of an attack, and closes the stream with the others in it.
async fn suffer(what: &str, connection: Connection) {
    let Connection { mut stream, .. } = connection;
    let read = async {
        for _ in 0..4 {
            let byte = timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap();
            assert_eq!(byte, b'x');
        }
        drop(stream);
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    steady(what, read).await;
}

#[tokio::test]
async fn the_node_waits_for_none_in_a_stream_that_was_handed_over() {
    let tried = attacking(
        r"
answer(hear(), {})
near, far = socket.socketpair()
attack(far)
tell([near], method='accepted', params={})
near.close()
hear()
",
    );
    let mut listener = tried.listen().await;
    suffer("a stream that was handed over", accept(&mut listener).await).await;
}

#[tokio::test]
async fn the_node_waits_for_none_in_a_stream_at_the_accept_socket() {
    let tried = attacking(
        r"
answer(hear(), {})
near = socket.socket(socket.AF_UNIX)
near.connect(start['accept'])
attack(near)
hear()
",
    );
    let mut listener = tried.listen().await;
    suffer("a stream at the accept socket", accept(&mut listener).await).await;
}

#[tokio::test]
async fn the_node_waits_for_none_from_a_proxy_command() {
    let code = format!(
        "import socket, time\n{ATTACK}\nattack(socket.socket(fileno=1))\ntime.sleep(600)\n"
    );
    for passes_descriptor in [false, true] {
        let fdpass = if passes_descriptor { "True" } else { "False" };
        let tried = Tried::connecting(&format!(
            "code = {code:?}\ndef connect(asked, params):\n    \
             answer(asked, {{'proxyCommand': ['python3', '-c', code], 'proxyUseFdpass': {fdpass}}})\n"
        ));
        let connection = steady("a proxy command", tried.connect()).await.unwrap();
        if passes_descriptor {
            // It is a socket, and lingers too.
            steady("what it has sent", async { drop(connection) }).await;
        } else {
            suffer("a proxy command", connection).await;
        }
        steady("the end of it", tried.transport.stop()).await;
    }
}

#[tokio::test]
async fn the_node_waits_for_none_on_the_channel_of_a_program() {
    // Sixteen are kept for lines that may come, and one more is too many.
    let tried = attacking("answer(hear(), {})\nattack(node, 40, b'\\n')\ntime.sleep(600)");
    let _listener = tried.listen().await;
    let failure = steady("the channel", tried.failure()).await;
    let why = "it cannot be read: more than 16 descriptors arrived that belong to no line";
    assert_eq!(failure, why);
    // Or they are kept until it ends.
    let tried = attacking("answer(hear(), {})\nattack(node, 16, b'\\n')\nstatus('sent')\nhear()");
    let _listener = tried.listen().await;
    steady("the channel", tried.until_said("sent")).await;
    steady("the end of it", tried.transport.stop()).await;
}
