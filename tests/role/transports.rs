//! The example of a Transport, whose Node the test plays: over a socket that the program has as descriptor 3.

use std::io::{BufRead as _, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};

use super::support::{PATIENCE, example, until};

/// A program that is a Transport, and its Node.
struct Played {
    socket: UnixStream,
    child: Child,
    waiting: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Played {
    fn start(options: &Value) -> Played {
        Played::start_by("exec 3<&0 </dev/null; exec \"$0\"", options)
    }

    /// By this script of a shell, whose standard input is the socket and `$0` the program.
    fn start_by(script: &str, options: &Value) -> Played {
        let (socket, theirs) = UnixStream::pair().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(example("tcp")).stdin(Stdio::from(OwnedFd::from(theirs)));
        let child = command.spawn().unwrap();
        drop(command);
        let mut played = Played { socket, child, waiting: Vec::new(), descriptors: Vec::new() };
        let params = json!({"protocol": 1, "features": [], "node": "clock", "transport": "tcp2", "type": "tcp",
            "options": options, "accept": "/nowhere", "nodes": {}, "config": {"heartbeat": 10}, "later": 1});
        played.say(&json!({"jsonrpc": "2.0", "method": "start", "params": params}));
        played
    }

    fn say(&mut self, line: &Value) {
        self.socket.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Asks, and gives what the program says next.
    fn ask(&mut self, id: u64, method: &str, params: &Value) -> Value {
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        self.next()
    }

    /// The next line.
    fn next(&mut self) -> Value {
        loop {
            if let Some(end) = self.waiting.iter().position(|byte| *byte == b'\n') {
                let line: Vec<_> = self.waiting.drain(..=end).collect();
                return serde_json::from_slice(&line).unwrap();
            }
            assert!(self.receive() > 0, "the program has closed");
        }
    }

    /// Receives bytes, and the descriptors that come with them; says how many bytes.
    fn receive(&mut self) -> usize {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(&mut bytes)];
        let received = recvmsg(&self.socket, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC);
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        let length = received.unwrap().bytes;
        self.waiting.extend_from_slice(&bytes[..length]);
        length
    }

    /// The one descriptor that has come.
    fn stream(&mut self) -> TcpStream {
        assert_eq!(self.descriptors.len(), 1);
        let stream = TcpStream::from(self.descriptors.remove(0));
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn exchange(mut one: TcpStream, mut other: TcpStream) {
    one.write_all(b"there\n").unwrap();
    let mut line = String::new();
    std::io::BufReader::new(&mut other).read_line(&mut line).unwrap();
    assert_eq!(line, "there\n");
    drop(one);
    assert_eq!(other.read(&mut [0]).unwrap(), 0, "no copy of the descriptor is left");
}

#[test]
fn streams_that_come_in_are_handed_over() {
    let mut played = Played::start(&json!({"bindAddress": "127.0.0.1", "port": 0}));
    let listening = played.ask(1, "listen", &json!({}));
    let address = listening["result"]["address"].as_str().unwrap().to_owned();
    let stranger = TcpStream::connect(&address).unwrap();
    let accepted = played.next();
    assert_eq!(accepted["method"], "accepted");
    let from = stranger.local_addr().unwrap().to_string();
    assert_eq!(accepted["params"], json!({"address": from}));
    exchange(played.stream(), stranger);
}

#[test]
fn a_peer_is_connected_to_at_its_addresses() {
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = peer.local_addr().unwrap().port();
    let mut played = Played::start(&json!({"bindAddress": "127.0.0.1", "port": 0}));
    let to = json!({"node": "scribe", "transport": "tcp", "type": "tcp",
        "options": {"address": ["127.0.0.1"], "port": port}});
    assert_eq!(played.ask(1, "canConnect", &to)["result"], true);
    let addresses = played.ask(2, "addresses", &to)["result"].take();
    assert_eq!(addresses, json!([format!("127.0.0.1:{port}")]));
    let usual = json!({"node": "scribe", "transport": "tcp", "type": "tcp", "options": {"address": ["host"]}});
    assert_eq!(played.ask(2, "addresses", &usual)["result"], json!(["host:6021"]));
    let mut attempt = to;
    attempt["address"] = addresses[0].clone();
    attempt["index"] = 0.into();
    let connected = played.ask(3, "connect", &attempt);
    assert_eq!(connected["result"]["address"], addresses[0]);
    let (accepted, _) = peer.accept().unwrap();
    exchange(played.stream(), accepted);
    drop(peer);
    let failed = played.ask(4, "connect", &attempt);
    assert_eq!(failed["error"]["code"], -32000, "{failed}");
    let unknown = played.ask(5, "dance", &json!({}));
    assert_eq!(unknown["error"]["code"], -32601);
}

#[test]
fn it_ends_when_it_is_told_to_and_when_its_node_is_gone() {
    let options = json!({"bindAddress": "127.0.0.1", "port": 0});
    let mut played = Played::start(&options);
    played.ask(1, "listen", &json!({}));
    played.say(&json!({"jsonrpc": "2.0", "method": "stop", "params": {}}));
    let status = until("ended", || played.child.try_wait().unwrap());
    assert!(status.success(), "{status}");
    let mut played = Played::start(&options);
    played.ask(1, "listen", &json!({}));
    played.socket.shutdown(std::net::Shutdown::Both).unwrap();
    until("ended", || played.child.try_wait().unwrap());
}

#[test]
fn streams_that_the_node_does_not_take_are_dropped_and_the_program_goes_on() {
    // What root may do lifts the limit.
    let unprivileged = match rustix::process::geteuid().is_root() {
        true => "setpriv --bounding-set=-sys_admin,-sys_resource",
        false => "",
    };
    let script = format!("ulimit -n 32; exec 3<&0 </dev/null; exec {unprivileged} \"$0\"");
    let mut played = Played::start_by(&script, &json!({"bindAddress": "127.0.0.1", "port": 0}));
    let listening = played.ask(1, "listen", &json!({}));
    let address = listening["result"]["address"].as_str().unwrap().to_owned();
    let connect = || {
        let stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    // The test takes none meanwhile, and keeps its ends open.
    let mut strangers: Vec<_> = (0..64).map(|_| connect()).collect();
    let is_closed = |stream: &mut TcpStream| stream.read(&mut [0]).unwrap() == 0;
    assert!(is_closed(strangers.last_mut().unwrap()), "the last one is dropped");
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = json!({"node": "scribe", "transport": "tcp", "type": "tcp", "address": peer.local_addr().unwrap().to_string()});
    played.say(&json!({"jsonrpc": "2.0", "id": 2, "method": "connect", "params": to}));
    let (mut connected, _) = peer.accept().unwrap();
    connected.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(is_closed(&mut connected), "so is the one that was asked for");
    let mut warnings = 0;
    let answer = loop {
        let line = played.next();
        match line["method"].as_str() {
            None => break line,
            Some(method) => warnings += u32::from(method == "log"),
        }
    };
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(2), &json!(-32000)), "{answer}");
    assert!(warnings > 0);
    let text = answer["error"]["message"].as_str().unwrap();
    assert!(text.contains("has not taken"), "{answer}");
    played.descriptors.clear();
    let stranger = connect();
    let accepted = played.next();
    assert_eq!(accepted["params"]["address"], stranger.local_addr().unwrap().to_string());
    exchange(played.stream(), stranger);
}
