//! The ways in which a program makes streams.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use kozo::config::{LocalNode, NodeConfig, Options};
use kozo::status::TransportState;
use kozo::transport::Transport as _;
use russh::keys::{Algorithm, PrivateKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::super::support::{PATIENCE, lives, until};
use super::{Tried, accept, expect, say, transport_named};

/// Answers with a stream that brings back what is written to it.
const ECHO: &str = r"
def echo(far):
    while data := far.recv(4096):
        far.sendall(data)
    far.close()
def connect(asked, params):
    near, far = socket.socketpair()
    threading.Thread(target=echo, args=(far,), daemon=True).start()
    answer(asked, {}, [near])
    near.close()
";

#[tokio::test]
async fn each_address_is_tried_and_what_is_handed_over_outlives_the_program() {
    let tried = Tried::new(
        r"
while True:
    asked = hear()
    params = asked.get('params')
    if asked['method'] == 'canConnect':
        assert (params['node'], params['transport'], params['type']) == ('scribe', 'air', 'air')
        answer(asked, params['options'].get('port') is not None)
    elif asked['method'] == 'addresses':
        answer(asked, ['nowhere', {'port': int(params['options']['port'])}])
    elif asked['method'] == 'connect':
        assert params['index'] == (0 if params['address'] == 'nowhere' else 1)
        if params['address'] == 'nowhere':
            refuse(asked, 1, 'nothing is there')
            continue
        there = socket.create_connection(('127.0.0.1', params['address']['port']))
        answer(asked, {}, [there])
        if params['options'].get('die'):
            os._exit(3)
",
        |setup| setup.can_accept = false,
    );
    let scribe = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = scribe.local_addr().unwrap().port().to_string();
    let nothing = tried.connect().await.err().unwrap();
    assert_eq!(nothing.to_string(), "its program cannot connect to this Transport");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();

    let mut connection = tried.connect_to(&[("port", &port), ("die", "1")]).await.unwrap();
    assert_eq!(connection.address, format!("127.0.0.1:{port}"));
    assert_eq!(connection.peer, None);
    let (mut other, _) = scribe.accept().await.unwrap();
    assert!(tried.failure().await.starts_with("the program exited with code 3"));
    say(&mut connection, "hello").await;
    let mut heard = [0; 5];
    other.read_exact(&mut heard).await.unwrap();
    other.write_all(&heard).await.unwrap();
    expect(&mut connection, "hello").await;

    // It is back after a second, and then fails at both addresses.
    tried.until_running().await;
    assert_eq!(tried.status().restarts, 1);
    let failed = tried.connect_to(&[("port", &closed.port().to_string())]).await.err().unwrap();
    assert!(failed.to_string().starts_with("nothing is there; "), "{failed}");
}

#[tokio::test]
async fn a_unix_socket_carries_a_stream_both_ways() {
    let tried = Tried::connecting(ECHO);
    let mut connection = tried.connect().await.unwrap();
    assert_eq!(connection.address, "air");
    say(&mut connection, "there and back").await;
    connection.stream.shutdown().await.unwrap();
    expect(&mut connection, "there and back").await;
    assert_eq!(connection.stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_proxy_command_carries_the_bytes_and_ends_with_the_stream() {
    for command in ["['cat']", "'echo $$ > proxy; exec cat'"] {
        let tried = Tried::connecting(&format!(
            "def connect(asked, params):\n    answer(asked, {{'proxyCommand': {command}, 'address': 'cat'}})\n"
        ));
        let mut connection = tried.connect().await.unwrap();
        assert_eq!(connection.address, "cat");
        say(&mut connection, "meow").await;
        expect(&mut connection, "meow").await;
        let pid = tried.place.path("storage/air.transport/proxy");
        if command.contains("proxy") {
            let pid: u32 = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
            assert!(lives(pid));
            drop(connection);
            until("gone", || !lives(pid)).await;
        }
    }
}

#[tokio::test]
async fn a_proxy_command_may_hand_over_a_descriptor() {
    let tried = Tried::connecting(
        r"
code = '''
import os, socket, sys
there = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
socket.send_fds(socket.socket(fileno=1), [bytes(1)], [there.fileno()])
'''
def connect(asked, params):
    port = params['options'].get('port')
    command = ['python3', '-c', code, port] if port else ['sh', '-c', 'echo no luck >&2; exit 7']
    answer(asked, {'proxyCommand': command, 'proxyUseFdpass': True})
",
    );
    let scribe = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = scribe.local_addr().unwrap().port().to_string();
    let mut connection = tried.connect_to(&[("port", &port)]).await.unwrap();
    assert_eq!(connection.address, format!("127.0.0.1:{port}"));
    let (mut other, _) = scribe.accept().await.unwrap();
    other.write_all(b"hi").await.unwrap();
    expect(&mut connection, "hi").await;
    let failed = tried.connect().await.err().unwrap().to_string();
    let why = "the proxyCommand 'sh -c echo no luck >&2; exit 7': \
               it sent no descriptor: the program exited with code 7: no luck";
    assert_eq!(failed, why);
}

#[tokio::test]
async fn streams_that_come_in_are_accepted() {
    let tried = Tried::new(
        r"
listener = socket.create_server(('127.0.0.1', 0))
asked = hear()
assert asked['method'] == 'listen'
answer(asked, {'address': '127.0.0.1:%d' % listener.getsockname()[1]})
while True:
    stream, address = listener.accept()
    stream.sendall(b'hello')
    tell([stream], method='accepted', params={'address': '%s:%d' % address})
    stream.close()
",
        |_| {},
    );
    let mut listener = tried.listen().await;
    tried.until_running().await;
    let address = tried.status().address.unwrap();
    assert_eq!(listener.address(), address);
    for _ in 0..3 {
        let mut client = TcpStream::connect(&address).await.unwrap();
        let mut accepted = accept(&mut listener).await;
        assert_eq!(accepted.address, client.local_addr().unwrap().to_string());
        say(&mut accepted, "bye").await;
        drop(accepted);
        let mut heard = String::new();
        timeout(PATIENCE, client.read_to_string(&mut heard)).await.unwrap().unwrap();
        assert_eq!(heard, "hellobye");
    }
}

#[tokio::test]
async fn what_connects_to_the_accept_socket_is_a_stream_that_came_in() {
    let tried = Tried::new(
        r"
assert os.environ['KOZO_ACCEPT'] == start['accept'] and os.environ['KOZO_TRANSPORT'] == 'air'
assert 'KOZO_ROLE' not in os.environ
answer(hear(), {})
near = socket.socket(socket.AF_UNIX)
near.connect(start['accept'])
near.sendall(b'hello')
hear()
",
        |_| {},
    );
    let mut listener = tried.listen().await;
    let mut accepted = accept(&mut listener).await;
    assert_eq!(accepted.address, "air");
    expect(&mut accepted, "hello").await;
    let path = tried.place.path("accept");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    tried.transport.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn an_attempt_that_is_given_up_is_cancelled_and_its_late_answer_is_thrown_away() {
    let tried = Tried::new(
        r"
def stream(text):
    near, far = socket.socketpair()
    far.sendall(text)
    return near
waiting = None
while True:
    asked = hear()
    if asked['method'] == 'connect' and waiting is None:
        waiting = asked
        status('connecting')
    elif asked['method'] == 'connect':
        answer(asked, {}, [stream(b'second')])
    elif asked['method'] == 'cancel':
        assert asked['params']['id'] == waiting['id']
        answer(waiting, {}, [stream(b'first')])
        status('cancelled')
    elif 'id' in asked:
        refuse(asked, -32601, 'no such method')
",
        |setup| setup.can_accept = false,
    );
    {
        let connecting = tried.connect();
        tokio::pin!(connecting);
        tokio::select! {
            _ = &mut connecting => panic!("it is connected"),
            () = tried.until_said("connecting") => {}
        }
    }
    tried.until_said("cancelled").await;
    let mut connection = tried.connect().await.unwrap();
    expect(&mut connection, "second").await;
    assert_eq!(tried.status().last_error, None);
}

#[tokio::test]
async fn a_transport_that_is_stopped_ends_its_program_and_can_be_used_again() {
    let tried = Tried::new(
        r"
answer(hear(), {'address': 'the air'})
status('up')
assert hear()['method'] == 'stop' and lines.readline() == ''
open('stopped', 'w').write('by itself')
",
        |_| {},
    );
    assert_eq!(tried.status().state, TransportState::Stopped);
    let _listener = tried.listen().await;
    tried.until_said("up").await;
    let status = tried.status();
    assert_eq!(status.address.as_deref(), Some("the air"));
    let first = status.process.unwrap();
    assert!(lives(first));
    tried.transport.stop().await;
    assert!(!lives(first));
    let note = fs::read_to_string(tried.place.path("storage/air.transport/stopped"));
    assert_eq!(note.unwrap(), "by itself");
    let status = tried.status();
    assert_eq!((status.state, status.process), (TransportState::Stopped, None));
    assert_eq!(status.last_error, None);

    assert!(tried.connect().await.is_err(), "a link that still tries does not start it again");
    assert_eq!(tried.status().state, TransportState::Stopped);
    tried.transport.resume().await;
    let _listener = tried.listen().await;
    tried.until_said("up").await;
    let second = tried.status().process.unwrap();
    drop(tried);
    until("gone", || !lives(second)).await;
}

#[tokio::test]
async fn a_program_that_knows_another_system_begins_anew() {
    let tried = Tried::new(
        r"
answer(hear(), {})
status('knows %s' % list(start.get('nodes', {})))
hear()
",
        |_| {},
    );
    let _listener = tried.listen().await;
    tried.until_said("knows []").await;
    let first = tried.status().process;
    let system = tried.place.system(&tried.public_key);
    let mut config = NodeConfig::clone(system.node("clock").unwrap());
    config.transports = vec![transport_named("air", Options::default())];
    let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap();
    let local = LocalNode { system, config: Arc::new(config), private_key: Arc::new(key) };
    tried.transport.renew(&local).await;
    tried.until_said("knows ['clock']").await;
    let second = tried.status().process;
    assert_ne!(first, second);
    tried.transport.renew(&local).await;
    assert_eq!(tried.status().process, second, "that is no news");
    assert_eq!(tried.status().restarts, 0);
}
